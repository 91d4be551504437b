//! Keeps web pages and foreign names out: which Host is ours, and who may send an Origin.
//!
//! It does not know what a request asks for, nor whether it is signed.
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use api::Api;
use http::{HeaderMap, HeaderValue, Uri, header, uri::Authority};

use crate::settings::values::ExternalUrl;

/// AWS's domains: all partitions but China, and China.
const DOMAINS: [&str; 2] = [".amazonaws.com", ".amazonaws.com.cn"];

/// What the server is called, and over what it is reached.
#[derive(Debug)]
pub(crate) struct HostCheck {
    names: BTreeSet<String>,
    scheme: &'static str,
    /// The origin of our pages where a proxy stands before us.
    external: Option<ExternalUrl>,
}

/// Why a request is refused before anything looks at it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Not exactly one.
    #[error("The request must have one Host header.")]
    HostCount,
    /// The request line and the header say different things.
    #[error("The Host header must name the host of the request's URL.")]
    HostMismatch,
    /// Not ours: a page elsewhere may have made its own name point here.
    #[error("The host '{0}' is not served here. Start snapferry with --host {0} to serve it.")]
    Host(String),
    /// A web page's request.
    #[error("Requests from web pages are refused, and this one came from '{0}'.")]
    Origin(String),
    /// A browser says that another site made it.
    #[error("Requests from web pages of other sites are refused.")]
    CrossSite,
}

impl HostCheck {
    /// A check for a server that listens on `address`, and is called `hosts` besides; `external` is
    /// what browsers reach it by, where that is neither.
    pub(crate) fn new(
        address: SocketAddr,
        hosts: &[String],
        tls: bool,
        external: Option<ExternalUrl>,
    ) -> Self {
        let outside = external.as_ref().map(|url| url.host.clone());
        let mut names: BTreeSet<String> = (hosts.iter().cloned().chain(outside))
            .map(|host| host.to_ascii_lowercase())
            .collect();
        names.insert("localhost".to_owned());
        if !address.ip().is_unspecified() {
            names.insert(address.ip().to_string());
        }
        Self {
            names,
            scheme: if tls { "https" } else { "http" },
            external,
        }
    }

    /// Lets a request pass, or says why not.
    ///
    /// # Errors
    /// The first rule that the request breaks.
    pub(crate) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = one_host(headers)?;
        if uri
            .authority()
            .is_some_and(|target| !target.as_str().eq_ignore_ascii_case(host.as_str()))
        {
            return Err(Refusal::HostMismatch);
        }
        let name = host
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_ascii_lowercase();
        if !self.serves(&name) {
            return Err(Refusal::Host(model::limits::echo(&name)));
        }
        for origin in headers.get_all(header::ORIGIN) {
            if !self.is_own(origin, &host) {
                return Err(Refusal::Origin(model::limits::echo(
                    &String::from_utf8_lossy(origin.as_bytes()),
                )));
            }
        }
        // `same-site` is not enough: another port of this machine is the same site.
        for site in headers.get_all("sec-fetch-site") {
            if !matches!(site.as_bytes(), b"same-origin" | b"none") {
                return Err(Refusal::CrossSite);
            }
        }
        Ok(())
    }

    fn serves(&self, name: &str) -> bool {
        self.names.contains(name)
            || name
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
            || is_aws_name(name)
    }

    fn is_own(&self, origin: &HeaderValue, host: &Authority) -> bool {
        let origin = origin.to_str().unwrap_or_default();
        if let Some(outside) = &self.external {
            // Under the proxy's name there is no other origin of ours, whatever we listen for.
            let is_outside = outside.origin.eq_ignore_ascii_case(origin);
            if is_outside || outside.host.eq_ignore_ascii_case(host.host()) {
                return is_outside;
            }
        }
        origin
            .strip_prefix(self.scheme)
            .and_then(|text| text.strip_prefix("://"))
            .is_some_and(|text| text.eq_ignore_ascii_case(host.as_str()))
    }
}

fn one_host(headers: &HeaderMap) -> Result<Authority, Refusal> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Refusal::HostCount);
    };
    let foreign = || {
        Refusal::Host(model::limits::echo(&String::from_utf8_lossy(
            host.as_bytes(),
        )))
    };
    let authority = Authority::try_from(host.as_bytes()).map_err(|_| foreign())?;
    // A user name before the host would make `a@b` look like two names.
    if authority.as_str().contains('@') {
        Err(foreign())
    } else {
        Ok(authority)
    }
}

/// `rds.us-east-1.amazonaws.com` and its like; the region is looked at later.
fn is_aws_name(name: &str) -> bool {
    DOMAINS.iter().any(|domain| {
        name.strip_suffix(domain)
            .and_then(|rest| rest.split_once('.'))
            .is_some_and(|(service, region)| {
                Api::parse(service).is_some()
                    && (1..=63).contains(&region.len())
                    && region
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(target: &str, fields: &[(&'static str, &str)]) -> Result<(), Refusal> {
        let host_check = HostCheck::new(
            "10.1.2.3:8085".parse().expect("an address"),
            &["Ferry.Example".to_owned()],
            false,
            Some("https://Outside.Example".parse().expect("a URL")),
        );
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        host_check.check(&target.parse().expect("a target"), &headers)
    }

    #[test]
    fn own_names_pass_with_any_port() {
        for host in [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1:8085",
            "127.9.9.9",
            "[::1]:8085",
            "10.1.2.3:8085",
            "ferry.example:443",
            "rds.us-east-1.amazonaws.com",
            "kms.region.amazonaws.com:8085",
            "sts.cn-north-1.amazonaws.com.cn",
        ] {
            assert_eq!(check("/", &[("host", host)]), Ok(()), "{host}");
        }
    }

    #[test]
    fn foreign_names_do_not() {
        for host in [
            "evil.example",
            "localhost.evil.example",
            "10.1.2.4",
            "0.0.0.0",
            "rds.amazonaws.com",
            "s3.us-east-1.amazonaws.com",
            "rds.a.b.amazonaws.com",
            "rds.us-east-1.amazonaws.com.evil.example",
            "127.0.0.1.evil.example",
            "a@localhost",
            "2130706433",
        ] {
            assert!(
                matches!(check("/", &[("host", host)]), Err(Refusal::Host(_))),
                "{host}"
            );
        }
        assert_eq!(check("/", &[]), Err(Refusal::HostCount));
        assert_eq!(
            check("/", &[("host", "localhost"), ("host", "localhost")]),
            Err(Refusal::HostCount)
        );
        assert_eq!(
            check("http://localhost:2/", &[("host", "localhost:1")]),
            Err(Refusal::HostMismatch)
        );
        assert_eq!(
            check("http://localhost:1/", &[("host", "localhost:1")]),
            Ok(())
        );
    }

    #[test]
    fn pages_behind_a_proxy_are_our_own() {
        for host in ["outside.example", "10.1.2.3:8085"] {
            let with = |origin| check("/", &[("host", host), ("origin", origin)]);
            assert_eq!(with("https://outside.example"), Ok(()));
            for foreign in [
                "http://outside.example",
                "https://outside.example:8443",
                "https://evil.example",
            ] {
                assert!(
                    matches!(with(foreign), Err(Refusal::Origin(_))),
                    "{foreign}"
                );
            }
        }
    }

    #[test]
    fn pages_of_other_origins_do_not_pass() {
        let with = |name, value| check("/", &[("host", "localhost:8085"), (name, value)]);
        assert_eq!(with("origin", "http://localhost:8085"), Ok(()));
        assert_eq!(with("sec-fetch-site", "same-origin"), Ok(()));
        assert_eq!(with("sec-fetch-site", "none"), Ok(()));
        for origin in [
            "null",
            "http://localhost:3000",
            "https://localhost:8085",
            "http://localhost",
            "https://evil.example",
        ] {
            assert_eq!(
                with("origin", origin),
                Err(Refusal::Origin(origin.to_owned()))
            );
        }
        assert_eq!(
            with("sec-fetch-site", "cross-site"),
            Err(Refusal::CrossSite)
        );
        assert_eq!(with("sec-fetch-site", "same-site"), Err(Refusal::CrossSite));
    }
}
