//! The rooms that a sweep does not need: a webhook_transport and a peer_transport.
//!
//! It does not know who is given them.
use async_trait::async_trait;

use crate::{
    events::transport::{WebhookTransport, WebhookTransportError},
    link::transport as http_link,
};

#[derive(Debug)]
pub(in crate::sweep) struct NoWebhooks;

#[async_trait]
impl WebhookTransport for NoWebhooks {
    async fn post(
        &self,
        _: &str,
        _: http::HeaderMap,
        _: bytes::Bytes,
    ) -> Result<u16, WebhookTransportError> {
        Ok(200)
    }
}

#[derive(Debug)]
pub(in crate::sweep) struct NoPeers;

#[async_trait]
impl http_link::PeerTransport for NoPeers {
    async fn post(
        &self,
        _: &crate::link::peer::Peer,
        _: &str,
        _: (&'static str, String),
        _: bytes::Bytes,
        _: usize,
    ) -> Result<http_link::Answer, http_link::PeerTransportError> {
        unreachable!("no region here is another deployment's")
    }
}
