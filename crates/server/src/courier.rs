//! Posts to webhooks, over plain HTTP or TLS, each delivery on a connection of its own.
//!
//! It does not know what is posted. It follows no redirect and reads no answer's body, so what
//! an address answers can neither lead it elsewhere nor keep it.
use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header, uri::Scheme};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use serde::Deserialize;
use service::webhooks::{Courier, CourierError};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{forms::Secret, settings::SettingsError};

/// The whole delivery: name, connection, handshake, request, and the answer's head.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest head of an answer, bytes.
const ANSWER_HEAD_BYTES_MAX: usize = 16 << 10;
/// The most headers in an answer.
const ANSWER_HEADERS_MAX: usize = 100;
/// The shortest secret, characters: shorter ones can be guessed.
const SECRET_CHARS_MIN: usize = 16;

/// A webhook of the settings file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookRow {
    /// The address.
    pub(crate) url: String,
    /// What deliveries are signed with.
    pub(crate) secret: Secret,
}

impl WebhookRow {
    /// Refuses an address that cannot be posted to, and a secret that is none.
    ///
    /// # Errors
    /// The rule that is broken.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        if Address::parse(&self.url).is_none() {
            return Err(SettingsError::Value {
                setting: "a webhook's url",
                expected: "an http:// or https:// URL without a user name",
            });
        }
        if self.secret.0.chars().count() < SECRET_CHARS_MIN {
            return Err(SettingsError::Value {
                setting: "a webhook's secret",
                expected: "at least 16 characters",
            });
        }
        Ok(())
    }
}

/// An address in its parts.
struct Address {
    tls: bool,
    host: String,
    port: u16,
    /// The value of the Host header.
    authority: HeaderValue,
    /// Path and query.
    target: Uri,
}

impl Address {
    fn parse(url: &str) -> Option<Self> {
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
}

/// Posts over HTTP/1.1.
#[derive(Default)]
pub(crate) struct HttpCourier {
    // Read at the first delivery over TLS: most deployments have none.
    tls: OnceLock<TlsConnector>,
}

impl fmt::Debug for HttpCourier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpCourier")
    }
}

fn failed(doing: &str, cause: impl fmt::Display) -> CourierError {
    CourierError(format!("{doing}: {cause}"))
}

#[async_trait]
impl Courier for HttpCourier {
    async fn post(&self, url: &str, headers: HeaderMap, body: Bytes) -> Result<u16, CourierError> {
        let address = Address::parse(url)
            .ok_or_else(|| CourierError("the address is not an http or https URL".to_owned()))?;
        timeout(DELIVERY_TIMEOUT, self.deliver(&address, headers, body))
            .await
            .map_err(|_| {
                CourierError(format!(
                    "no answer within {} seconds",
                    DELIVERY_TIMEOUT.as_secs()
                ))
            })?
    }
}

impl HttpCourier {
    async fn deliver(
        &self,
        address: &Address,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<u16, CourierError> {
        let stream = TcpStream::connect((address.host.as_str(), address.port))
            .await
            .map_err(|error| failed("no connection", error))?;
        if !address.tls {
            return exchange(stream, address, headers, body).await;
        }
        let name = ServerName::try_from(address.host.clone())
            .map_err(|error| failed("the host's name is not one that TLS can check", error))?;
        let stream = self
            .connector()?
            .connect(name, stream)
            .await
            .map_err(|error| failed("the TLS handshake failed", error))?;
        exchange(stream, address, headers, body).await
    }

    /// Trusts whom the machine trusts; `SSL_CERT_FILE` names other roots.
    fn connector(&self) -> Result<TlsConnector, CourierError> {
        if let Some(known) = self.tls.get() {
            return Ok(known.clone());
        }
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (trusted, _) = roots.add_parsable_certificates(found.certs);
        if trusted == 0 {
            return Err(CourierError(
                "the machine has no root certificates: install ca-certificates, or name a file in SSL_CERT_FILE"
                    .to_owned(),
            ));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed("TLS cannot be set up", error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        Ok(self.tls.get_or_init(|| connector).clone())
    }
}

/// One request and its answer's status; the connection ends with it.
async fn exchange<S>(
    stream: S,
    address: &Address,
    headers: HeaderMap,
    body: Bytes,
) -> Result<u16, CourierError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(ANSWER_HEAD_BYTES_MAX)
        .max_headers(ANSWER_HEADERS_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed("the connection is of no use", error))?;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = address.target.clone();
    *request.headers_mut() = headers;
    for (name, value) in [
        (header::HOST, address.authority.clone()),
        (
            header::USER_AGENT,
            HeaderValue::from_static(concat!("snapferry/", env!("CARGO_PKG_VERSION"))),
        ),
        (header::CONNECTION, HeaderValue::from_static("close")),
    ] {
        request.headers_mut().insert(name, value);
    }
    let answer = sender.send_request(request);
    tokio::pin!(answer, connection);
    // The connection is driven here, so that it ends with this delivery and not later.
    tokio::select! {
        answered = &mut answer => answered,
        _ = &mut connection => answer.await,
    }
    .map(|answer| answer.status().as_u16())
    .map_err(|error| failed("the request was not answered", error))
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

    #[test]
    fn a_webhook_has_an_address_and_a_secret() {
        let row = |url: &str, secret: &str| {
            let row: WebhookRow =
                toml::from_str(&format!("url = '{url}'\nsecret = '{secret}'\n")).expect("a row");
            assert!(!format!("{row:?}").contains(secret));
            row.check().is_ok()
        };
        assert!(row("https://a.example/", "sixteen-or-more!"));
        assert!(!row("https://a.example/", "short"));
        assert!(!row("a.example", "sixteen-or-more!"));
    }
}
