//! Posts events to webhooks.
//!
//! It does not know what is posted, nor reads what an address answers beyond the status.
use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use service::events::transport::{WebhookTransport, WebhookTransportError};

use crate::{
    outbound::http_client::{BodyLimit, Poster},
    settings::address::Address,
};

/// Posts over HTTP/1.1.
#[derive(Debug, Default)]
pub(crate) struct HttpWebhookTransport(Poster);

#[async_trait]
impl WebhookTransport for HttpWebhookTransport {
    async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<u16, WebhookTransportError> {
        let address = Address::parse(url).ok_or_else(|| {
            WebhookTransportError("the address is not an http or https URL".to_owned())
        })?;
        let answered = self.0.post(&address, headers, body, BodyLimit::Head).await;
        answered
            .map(|(status, _)| status)
            .map_err(|error| WebhookTransportError(error.0))
    }
}
