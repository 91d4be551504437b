//! Posts the links' messages to other deployments, over plain HTTP or TLS; connections are kept.
//!
//! It does not know what is said, and follows no redirect.
use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use service::link::{
    peer::Peer,
    transport::{Answer, PeerTransport, PeerTransportError},
};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::outbound::http_client::{Duplex, NoAnswer, UNTRUSTED, connect, machine_roots, trusting};
use crate::settings::address::Address;

/// Name, connection and handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// One message and its whole answer: 4 MiB at some 70 KB/s.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest head of an answer, bytes.
const ANSWER_HEAD_BYTES_MAX: usize = 64 << 10;
/// Connections without a message that are kept for one peer.
const IDLE_MAX: usize = 8;

type Sender = SendRequest<Full<Bytes>>;

/// Posts over HTTP/1.1.
#[derive(Default)]
pub(crate) struct HttpPeerTransport {
    idle: Mutex<HashMap<String, Vec<Sender>>>,
    // Read at the first message: a certificate that is renewed needs a restart.
    tls: Mutex<HashMap<String, TlsConnector>>,
}

impl fmt::Debug for HttpPeerTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpCarrier")
    }
}

fn failed(doing: &str, cause: impl fmt::Display) -> PeerTransportError {
    PeerTransportError(format!("{doing}: {cause}"))
}

#[async_trait]
impl PeerTransport for HttpPeerTransport {
    async fn post(
        &self,
        peer: &Peer,
        path: &str,
        (name, value): (&'static str, String),
        body: Bytes,
        body_bytes_max: usize,
    ) -> Result<Answer, PeerTransportError> {
        let address = Address::parse(&peer.endpoint).ok_or_else(|| {
            PeerTransportError("its address is not an http or https URL".to_owned())
        })?;
        let value = HeaderValue::from_str(&value).map_err(|error| failed("the message", error))?;
        let traceparent = service::trace::current();
        let request = || {
            let mut built = Request::builder();
            if let Some(traceparent) = &traceparent {
                built = built.header(service::trace::HEADER, traceparent);
            }
            built
                .method(Method::POST)
                .uri(path)
                .header(header::HOST, address.authority.clone())
                .header(header::CONTENT_TYPE, "application/octet-stream")
                .header(name, value.clone())
                .body(Full::new(body.clone()))
                .map_err(|error| failed("the message cannot be sent", error))
        };
        // A connection that was kept may have ended meanwhile; a fresh one says what is wrong.
        if let Some(sender) = self.kept(&peer.endpoint)
            && let Ok(answer) = self
                .exchange(peer, sender, request()?, body_bytes_max)
                .await
        {
            return Ok(answer);
        }
        let opened = async { converse(connect(&address, || self.connector(peer)).await?).await };
        let sender = timeout(CONNECT_TIMEOUT, opened)
            .await
            .map_err(|_| PeerTransportError("no connection within 10 seconds".to_owned()))?
            .map_err(|error| {
                let text = error.to_string();
                PeerTransportError(if text.starts_with(UNTRUSTED) {
                    format!("{text} (`ca` in this region's settings names the file of a private authority)")
                } else {
                    text
                })
            })?;
        self.exchange(peer, sender, request()?, body_bytes_max)
            .await
    }
}

impl HttpPeerTransport {
    fn kept(&self, endpoint: &str) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let senders = idle.get_mut(endpoint)?;
        while let Some(sender) = senders.pop() {
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    fn keep(&self, endpoint: &str, sender: Sender) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let senders = idle.entry(endpoint.to_owned()).or_default();
        senders.retain(|sender| !sender.is_closed());
        if senders.len() < IDLE_MAX {
            senders.push(sender);
        }
    }

    async fn exchange(
        &self,
        peer: &Peer,
        mut sender: Sender,
        request: Request<Full<Bytes>>,
        body_bytes_max: usize,
    ) -> Result<Answer, PeerTransportError> {
        let whole = async {
            let answer = sender
                .send_request(request)
                .await
                .map_err(|error| failed("no answer", error))?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, body_bytes_max).collect().await;
            let body = body.map_err(|error| failed("the answer did not arrive whole", error))?;
            Ok::<_, PeerTransportError>(Answer {
                status: parts.status.as_u16(),
                headers: parts.headers,
                body: body.to_bytes(),
            })
        };
        let answer = timeout(EXCHANGE_TIMEOUT, whole)
            .await
            .map_err(|_| PeerTransportError("no whole answer within 60 seconds".to_owned()))??;
        if sender.ready().await.is_ok() {
            self.keep(&peer.endpoint, sender);
        }
        Ok(answer)
    }

    /// Trusts whom the machine trusts, and the certificates that the peer's settings name.
    fn connector(&self, peer: &Peer) -> Result<TlsConnector, NoAnswer> {
        let mut known = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&peer.endpoint) {
            return Ok(known.clone());
        }
        let mut roots = machine_roots();
        if let Some(file) = &peer.ca {
            let wrong =
                |error| NoAnswer(format!("{} cannot be read as PEM: {error}", file.display()));
            for certificate in CertificateDer::pem_file_iter(file).map_err(wrong)? {
                roots.add(certificate.map_err(wrong)?).map_err(|error| {
                    NoAnswer(format!("{} is of no use: {error}", file.display()))
                })?;
            }
        }
        if roots.is_empty() {
            return Err(NoAnswer(
                "the machine has no root certificates: install ca-certificates, or name the peer's with ca"
                    .to_owned(),
            ));
        }
        let connector = trusting(roots)?;
        known.insert(peer.endpoint.clone(), connector.clone());
        Ok(connector)
    }
}

async fn converse(stream: Box<dyn Duplex>) -> Result<Sender, NoAnswer> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(ANSWER_HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| NoAnswer(format!("the connection is of no use: {error}")))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a link's connection broke");
        }
    });
    Ok(sender)
}
