//! Sockets and connections: HTTP/1.1 and HTTP/2, with or without TLS, each within its limits.
//!
//! It does not know what a request means: [`Router`] answers it.
use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use model::{Timestamp, limits};
use rustls::ServerConfig;
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::http::{
    connection_slots::{ConnectionSlot, ConnectionSlots, Stage},
    content::Content,
    pace::{PACE, Paced},
    router::Router,
};

/// The time a client has for its TLS handshake, and then for its first request's head. HTTP/1.1
/// clients have it for each further head too, so it is also how long such a connection may idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection without a request for this long is closed, and one whose client does not take its
/// answers at the latest this long after it should have.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often an HTTP/2 client is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 32;
/// What an HTTP/2 client may send before it is read, bytes: the least that the protocol allows. Per
/// connection, so that a thousand of them hold no more than 64 MiB.
const WINDOW_BYTES: u32 = (64 << 10) - 1;
/// The largest head of an HTTP/2 request, bytes: there may be as many as streams.
const STREAM_HEAD_BYTES_MAX: u32 = 16 << 10;
/// What waits to be sent on an HTTP/2 connection, bytes.
const SEND_BYTES_MAX: usize = 64 << 10;
/// A client has this long to take an answer that is there, and a second more for each so many bytes.
const TAKE_TIMEOUT: Duration = Duration::from_secs(60);
const TAKE_BYTES_PER_SEC: usize = 16 << 10;
/// The pause after the system had no descriptor or memory left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The time that requests under way get once the process is to end.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// Takes the address.
///
/// # Errors
/// When another program has it, or the user may not.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse(address),
            _ => ListenError::Bind { address, source },
        })
}

/// Reads certificate and key.
///
/// # Errors
/// When a file cannot be read, holds no PEM section of its kind, or the two do not fit.
pub(crate) fn tls(certificate: &Path, key: &Path) -> Result<TlsAcceptor, ListenError> {
    let wrong = |path: &Path| {
        let path = path.to_owned();
        move |source| ListenError::Pem { path, source }
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(wrong(certificate))?;
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(wrong(key))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(chain, key_der)
        })
        .map_err(|source| ListenError::Certificate {
            path: certificate.to_owned(),
            source,
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// When the first certificate of a chain ends; none when it does not read.
pub(crate) fn not_after(certificate: &Path) -> Option<Timestamp> {
    let der = CertificateDer::pem_file_iter(certificate)
        .ok()?
        .next()?
        .ok()?;
    service::clusters::authority::not_after(&der)
}

/// Serves connections, `at_once` of them at most, until `stop` changes; then lets requests under way finish, within a bound.
pub(crate) async fn run(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Arc<Router>,
    slots: Arc<ConnectionSlots>,
    mut stop: watch::Receiver<()>,
) {
    loop {
        let accepted = tokio::select! {
            _ = stop.changed() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                // Whoever makes room for it has left first: there is never a connection too many.
                let slot = tokio::select! {
                    _ = stop.changed() => break,
                    slot = slots.enter(from.ip()) => slot,
                };
                let (tls, router, stop) = (tls.clone(), Arc::clone(&router), stop.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        biased;
                        () = slot.displaced() => {
                            tracing::debug!(client = %from.ip(), "a connection made room for another");
                        }
                        () = greet(stream, tls, router, &slot, stop) => {}
                    }
                });
            }
            // The peer gave up before it was its turn.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                ) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // The system has no descriptor or no memory: one that is idle gives its own back.
                slots.make_room();
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if timeout(FINISH_TIMEOUT, slots.all_left()).await.is_err() {
        tracing::info!("connections that did not finish are cut");
    }
}

async fn greet(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    router: Arc<Router>,
    slot: &ConnectionSlot,
    stop: watch::Receiver<()>,
) {
    // Answers are small and written at once; waiting for more only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection ended before it began");
        return;
    }
    let stream = Paced::new(stream, PACE);
    match tls {
        None => converse(stream, router, slot, stop).await,
        Some(tls) => match timeout(HEAD_TIMEOUT, tls.accept(stream)).await {
            Ok(Ok(stream)) => converse(stream, router, slot, stop).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        },
    }
}

/// When the answers of a connection have to be taken at the latest.
#[derive(Debug, Default)]
struct Deadlines {
    next: AtomicU64,
    of: Mutex<BTreeMap<u64, Instant>>,
}

impl Deadlines {
    fn passed(&self, now: Instant) -> bool {
        self.lock().values().any(|deadline| *deadline < now)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Instant>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer on its way to the client.
struct Sent {
    body: Content,
    number: u64,
    deadlines: Arc<Deadlines>,
    _stage: Stage,
}

impl Sent {
    fn new(body: Content, deadlines: Arc<Deadlines>, mut stage: Stage) -> Self {
        stage.sending();
        let number = deadlines.next.fetch_add(1, Ordering::Relaxed);
        let bytes = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        let more = Duration::from_secs((bytes / TAKE_BYTES_PER_SEC) as u64);
        let deadline = Instant::now() + TAKE_TIMEOUT + more;
        deadlines.lock().insert(number, deadline);
        Self {
            body,
            number,
            deadlines,
            _stage: stage,
        }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if self.body.is_live() && matches!(polled, Poll::Ready(Some(_))) {
            // Each piece has to be taken in its time, and not all of them.
            let deadline = Instant::now() + TAKE_TIMEOUT;
            self.deadlines.lock().insert(self.number, deadline);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.deadlines.lock().remove(&self.number);
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Arc<Router>,
    slot: &ConnectionSlot,
    mut stop: watch::Receiver<()>,
) {
    let deadlines = Arc::new(Deadlines::default());
    let service = service_fn(|request: Request<Incoming>| {
        let (router, deadlines) = (Arc::clone(&router), Arc::clone(&deadlines));
        let (visitor, mut stage) = (slot.visitor().clone(), slot.visitor().begin());
        async move {
            let response = router.answer(request, &visitor, &mut stage).await;
            Ok::<_, Infallible>(response.map(|body| Sent::new(body, deadlines, stage)))
        }
    });
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut watch = pin!(sleep(HEAD_TIMEOUT));
    let mut requests_seen = 0;
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke");
                }
                return;
            }
            _ = stop.changed(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = watch.as_mut() => {
                let (requests, under_way) = slot.activity();
                let is_idle = requests == requests_seen && under_way == 0;
                if is_idle || deadlines.passed(Instant::now()) {
                    return;
                }
                requests_seen = requests;
                watch.as_mut().reset(Instant::now() + IDLE_TIMEOUT);
            }
        }
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(limits::HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_connection_window_size(WINDOW_BYTES)
        .initial_stream_window_size(WINDOW_BYTES)
        .max_send_buf_size(SEND_BYTES_MAX)
        .max_header_list_size(STREAM_HEAD_BYTES_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(HEAD_TIMEOUT);
    builder
}

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// Another program listens there.
    #[error("port {} of {} is in use by another program", .0.port(), .0.ip())]
    InUse(SocketAddr),
    /// The system refuses.
    #[error("cannot listen on {address}")]
    Bind {
        /// Where.
        address: SocketAddr,
        source: io::Error,
    },
    /// Not a readable PEM file.
    #[error("cannot read {} as PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        source: pem::Error,
    },
    /// Certificate and key do not serve.
    #[error("the certificate {} cannot be used", path.display())]
    Certificate {
        /// The certificate's file.
        path: PathBuf,
        source: rustls::Error,
    },
}

impl ListenError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::InUse(address) => {
                let any = SocketAddr::new(address.ip(), 0);
                Some(format!(
                    "stop that program, or let the system pick a free port with --listen {any}"
                ))
            }
            Self::Bind { source, address } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some(format!(
                    "ports below 1024 are the administrator's; try --listen {}:8085",
                    address.ip()
                ))
            }
            Self::Bind { .. } => {
                Some("choose an address of this machine with --listen ADDRESS:PORT".to_owned())
            }
            Self::Pem { .. } | Self::Certificate { .. } => None,
        }
    }
}
