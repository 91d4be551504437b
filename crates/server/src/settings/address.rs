//! An http or https URL in its parts.
use std::net::IpAddr;

use http::{HeaderValue, Uri, uri::Scheme};

/// An address in its parts.
pub(crate) struct Address {
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The value of the Host header.
    pub(crate) authority: HeaderValue,
    /// Path and query.
    pub(crate) target: Uri,
}

impl Address {
    /// An http or https URL without a user name.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let tls = match uri.scheme()? {
            scheme if *scheme == Scheme::HTTPS => true,
            scheme if *scheme == Scheme::HTTP => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return None;
        }
        let target = uri.path_and_query().map_or("/", |part| part.as_str());
        Some(Self {
            tls,
            host: authority
                .host()
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: HeaderValue::from_str(authority.as_str()).ok()?,
            target: target.parse().ok()?,
        })
    }

    /// Whether it is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let parts = |url: &str| {
            Address::parse(url).map(|address| {
                (
                    address.tls,
                    address.host,
                    address.port,
                    address.target.to_string(),
                )
            })
        };
        assert_eq!(
            parts("https://a.example/x?y=1"),
            Some((true, "a.example".into(), 443, "/x?y=1".into()))
        );
        assert_eq!(
            parts("http://[::1]:8080"),
            Some((false, "::1".into(), 8080, "/".into()))
        );
        for wrong in [
            "a.example",
            "ftp://a.example/",
            "https://u@a.example/",
            "/x",
            "",
        ] {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }
}
