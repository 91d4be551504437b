//! A presigned URL as the request that it stands for.
//!
//! It does not fetch it, and does not know whether its host exists.
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};

use crate::RawRequest;

/// The longest URL, bytes; as long as common servers take a request's head.
const URL_BYTES_MAX: usize = 64 << 10;

/// Why a text is not the URL of a presigned request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Longer than any head of a request.
    #[error("the URL is longer than {URL_BYTES_MAX} bytes")]
    TooLong,
    /// Spaces, control characters or letters beyond ASCII.
    #[error("the URL has characters that must be percent-encoded")]
    Character,
    /// Not http or https.
    #[error("the URL does not begin with http:// or https://")]
    Scheme,
    /// No host, or one with user information or characters that hosts cannot have.
    #[error("the URL has no plain host")]
    Host,
    /// A fragment, which no server would see.
    #[error("the URL has a fragment")]
    Fragment,
}

/// Turns a URL into the GET request that a client would make of it. The host header is in
/// lower case and has the port unless it is the scheme's own, as signers write it.
///
/// # Errors
/// A text that is not an absolute http or https URL.
pub fn url(text: &str) -> Result<RawRequest, UrlError> {
    if URL_BYTES_MAX < text.len() {
        return Err(UrlError::TooLong);
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(UrlError::Character);
    }
    if text.contains('#') {
        return Err(UrlError::Fragment);
    }
    let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
    let own_port = match scheme.to_ascii_lowercase().as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => return Err(UrlError::Scheme),
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let host = authority.to_ascii_lowercase();
    let host = host.strip_suffix(own_port).unwrap_or(&host);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    if host.is_empty() || host.starts_with(':') || !host.bytes().all(plain) {
        return Err(UrlError::Host);
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_str(host).map_err(|_| UrlError::Host)?;
    headers.insert(header::HOST, value);
    Ok(RawRequest {
        method: Method::GET,
        path: if path.is_empty() { "/" } else { path }.to_owned(),
        query: query.to_owned(),
        headers,
        body: Bytes::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_request() {
        for (text, host, path, query) in [
            ("https://A.b/?x=1&y", "a.b", "/", "x=1&y"),
            ("https://a.b:443?x", "a.b", "/", "x"),
            ("http://a.b:443/c%20d", "a.b:443", "/c%20d", ""),
            ("HTTP://127.0.0.1:9000/", "127.0.0.1:9000", "/", ""),
            ("http://[::1]:80/?a=b?c", "[::1]", "/", "a=b?c"),
        ] {
            let request = url(text).unwrap();
            assert_eq!(request.headers["host"], host, "{text}");
            assert_eq!(
                (request.path.as_str(), request.query.as_str()),
                (path, query)
            );
        }
        for (text, error) in [
            ("", UrlError::Scheme),
            ("ftp://a/", UrlError::Scheme),
            ("https:///x", UrlError::Host),
            ("https://u:p@a/", UrlError::Host),
            ("https://a b/", UrlError::Character),
            ("https://a/é", UrlError::Character),
            ("https://a/#x", UrlError::Fragment),
        ] {
            assert_eq!(url(text).unwrap_err(), error, "{text}");
        }
        let long = format!("https://a/{}", "x".repeat(URL_BYTES_MAX));
        assert_eq!(url(&long).unwrap_err(), UrlError::TooLong);
    }
}
