//! Posts over HTTP, plain or TLS, each request on a connection of its own.
//!
//! It does not know what is posted. It follows no redirect, and reads no more of an answer than
//! its caller asked for, so what an address answers can neither lead it elsewhere nor keep it.
use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::settings::address::Address;

/// The whole exchange: name, connection, handshake, request and answer.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest head of an answer, bytes.
const ANSWER_HEAD_BYTES_MAX: usize = 16 << 10;
/// The most headers in an answer.
const ANSWER_HEADERS_MAX: usize = 100;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NoAnswer(pub(crate) String);

/// How much of an answer's body is read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BodyLimit {
    /// Nothing.
    Head,
    /// All, if it has no more bytes than this.
    Body(usize),
}

/// Posts over HTTP/1.1.
#[derive(Default)]
pub(crate) struct Poster {
    // Read at the first request over TLS: most deployments have none.
    tls: OnceLock<TlsConnector>,
}

impl fmt::Debug for Poster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Poster")
    }
}

fn failed(doing: &str, cause: impl fmt::Display) -> NoAnswer {
    NoAnswer(format!("{doing}: {cause}"))
}

impl Poster {
    /// Posts, and reads the answer's status and what is wanted of its body.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn post(
        &self,
        address: &Address,
        headers: HeaderMap,
        body: Bytes,
        wanted: BodyLimit,
    ) -> Result<(u16, Bytes), NoAnswer> {
        timeout(
            EXCHANGE_TIMEOUT,
            self.deliver(address, headers, body, wanted),
        )
        .await
        .map_err(|_| {
            NoAnswer(format!(
                "no answer within {} seconds",
                EXCHANGE_TIMEOUT.as_secs()
            ))
        })?
    }

    async fn deliver(
        &self,
        address: &Address,
        headers: HeaderMap,
        body: Bytes,
        wanted: BodyLimit,
    ) -> Result<(u16, Bytes), NoAnswer> {
        let stream = connect(address, || self.connector()).await?;
        exchange(stream, address, headers, body, wanted).await
    }

    /// Trusts whom the machine trusts; `SSL_CERT_FILE` names other roots.
    fn connector(&self) -> Result<TlsConnector, NoAnswer> {
        if let Some(known) = self.tls.get() {
            return Ok(known.clone());
        }
        let roots = machine_roots();
        if roots.is_empty() {
            return Err(NoAnswer(
                "the machine has no root certificates: install ca-certificates, or name a file in SSL_CERT_FILE"
                    .to_owned(),
            ));
        }
        let connector = trusting(roots)?;
        Ok(self.tls.get_or_init(|| connector).clone())
    }
}

/// Whom the machine trusts, or the file in `SSL_CERT_FILE`; empty when there is no one.
pub(crate) fn machine_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// TLS that believes these roots.
///
/// # Errors
/// When the cryptography has no version of TLS to offer.
pub(crate) fn trusting(roots: RootCertStore) -> Result<TlsConnector, NoAnswer> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed("TLS cannot be set up", error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// How the reason begins when TLS did not believe the other side.
pub(crate) const UNTRUSTED: &str = "its certificate is not trusted";

/// A connection, plain or TLS.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// Connects to an address; `connector` is asked when it is one of TLS.
///
/// # Errors
/// Why there is no connection.
pub(crate) async fn connect(
    address: &Address,
    connector: impl FnOnce() -> Result<TlsConnector, NoAnswer>,
) -> Result<Box<dyn Duplex>, NoAnswer> {
    let stream = TcpStream::connect((address.host.as_str(), address.port))
        .await
        .map_err(|error| failed("no connection", error))?;
    // Requests are written at once.
    stream
        .set_nodelay(true)
        .map_err(|error| failed("no connection", error))?;
    if !address.tls {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(address.host.clone())
        .map_err(|error| failed("the host's name is not one that TLS can check", error))?;
    let stream = connector()?.connect(name, stream).await.map_err(|error| {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
        match cause {
            Some(rustls::Error::InvalidCertificate(_)) => failed(UNTRUSTED, error),
            _ => failed("the TLS handshake failed", error),
        }
    })?;
    Ok(Box::new(stream))
}

/// One request and its answer; the connection ends with it.
async fn exchange(
    stream: Box<dyn Duplex>,
    address: &Address,
    headers: HeaderMap,
    body: Bytes,
    wanted: BodyLimit,
) -> Result<(u16, Bytes), NoAnswer> {
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
    let answer = async {
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| failed("the request was not answered", error))?;
        let status = answer.status().as_u16();
        let BodyLimit::Body(bytes_max) = wanted else {
            return Ok((status, Bytes::new()));
        };
        let body = Limited::new(answer.into_body(), bytes_max).collect().await;
        let body = body.map_err(|error| failed("the answer did not come whole", error))?;
        Ok((status, body.to_bytes()))
    };
    tokio::pin!(answer, connection);
    // The connection is driven here, so that it ends with this exchange and not later.
    tokio::select! {
        answered = &mut answer => answered,
        _ = &mut connection => answer.await,
    }
}
