//! Requests made ready to send: signed, and laid out as HTTP/1.1 bytes.
//!
//! It does not send them.
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use wire::{RawRequest, sigv4::Signer};

/// Stands for the request's number in a body.
const NUMBER: &str = "{n}";

/// What every request of one run shares.
#[derive(Debug)]
pub(crate) struct Template<'a> {
    /// The `Host` header.
    pub(crate) host: &'a str,
    /// Whose signature.
    pub(crate) signer: Signer<'a>,
    /// The form body; `{n}` becomes the request's number.
    pub(crate) body: &'a str,
}

impl Template<'_> {
    /// The bytes of the request with this number.
    ///
    /// # Errors
    /// When the host or the access key cannot stand in a header.
    pub(crate) fn request(&self, number: u64) -> anyhow::Result<Vec<u8>> {
        let body = self.body.replace(NUMBER, &number.to_string());
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(self.host)?);
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8"),
        );
        let request = RawRequest {
            method: Method::POST,
            path: "/".to_owned(),
            query: String::new(),
            headers,
            body: Bytes::from(body),
        };
        #[expect(clippy::disallowed_methods, reason = "requests are signed now")]
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .context("the clock is before 1970")?;
        let added = self
            .signer
            .sign_header(&request, i64::try_from(now.as_secs())?)?;
        let mut bytes = b"POST / HTTP/1.1\r\n".to_vec();
        for (name, value) in request.headers.iter().chain(&added) {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        let length = format!("content-length: {}\r\n\r\n", request.body.len());
        bytes.extend_from_slice(length.as_bytes());
        bytes.extend_from_slice(&request.body);
        Ok(bytes)
    }
}
