//! A request as it came in: nothing decoded, nothing believed.
//!
//! It does not know who sent it or what it asks.
use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method};

/// A whole request. Only `sigv4` says who sent it, only the readers say what it means.
#[derive(Clone)]
pub struct RawRequest {
    /// The method.
    pub method: Method,
    /// The path as sent, percent escapes and all.
    pub path: String,
    /// The query as sent, without the question mark.
    pub query: String,
    /// All headers; over HTTP/2 the listener puts `:authority` in as `host`.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl fmt::Debug for RawRequest {
    /// Shows no query, header value or body: they hold passwords and signatures.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawRequest")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
