//! How a delivery leaves the process: the binary brings the HTTP client.
use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;

/// Why a delivery did not get an answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WebhookTransportError(pub String);

/// Sends one HTTP POST.
#[async_trait]
pub trait WebhookTransport: Send + Sync + fmt::Debug {
    /// Posts a body and answers the status. It ends within a bounded time, reads no answer's
    /// body, and follows no redirect.
    ///
    /// # Errors
    /// When no answer came.
    async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<u16, WebhookTransportError>;
}
