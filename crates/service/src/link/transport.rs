//! How a message reaches a peer: the binary brings the HTTP client.
use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;

use super::peer::Peer;

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PeerTransportError(pub String);

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    /// Its HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its whole body.
    pub body: Bytes,
}

/// Posts messages to peers.
#[async_trait]
pub trait PeerTransport: Send + Sync + fmt::Debug {
    /// Posts a message and reads an answer of at most `body_bytes_max`. It ends within a bounded
    /// time and follows no redirect.
    ///
    /// # Errors
    /// When no whole answer came, or a larger one.
    async fn post(
        &self,
        peer: &Peer,
        path: &str,
        header: (&'static str, String),
        body: Bytes,
        body_bytes_max: usize,
    ) -> Result<Answer, PeerTransportError>;
}
