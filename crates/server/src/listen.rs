//! Sockets and connections: HTTP/1.1 and HTTP/2, with or without TLS, each within its limits.
//!
//! It does not know what a request means: [`Front`] answers it.
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use model::limits;
use rustls::ServerConfig;
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::front::Front;

/// The time a client has for its TLS handshake, and then for its first request's head. HTTP/1.1
/// clients have it for each further head too, so it is also how long such a connection may idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection without a request for this long is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often an HTTP/2 client is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 64;
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

/// Serves connections, `at_once` of them at most, until `stop` changes; then lets requests under way finish, within a bound.
pub(crate) async fn run(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    front: Arc<Front>,
    at_once: usize,
    mut stop: watch::Receiver<()>,
) {
    let places = Arc::new(Semaphore::new(at_once));
    loop {
        let place = tokio::select! {
            _ = stop.changed() => break,
            place = Arc::clone(&places).acquire_owned() => place.expect("the semaphore is never closed"),
        };
        let accepted = tokio::select! {
            _ = stop.changed() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (tls, front, stop) = (tls.clone(), Arc::clone(&front), stop.clone());
                tokio::spawn(async move {
                    greet(stream, tls, front, stop).await;
                    drop(place);
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
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let all = u32::try_from(at_once).unwrap_or(u32::MAX);
    if timeout(FINISH_TIMEOUT, places.acquire_many(all))
        .await
        .is_err()
    {
        tracing::info!("connections that did not finish are cut");
    }
}

async fn greet(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    front: Arc<Front>,
    stop: watch::Receiver<()>,
) {
    // Answers are small and written at once; waiting for more only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection ended before it began");
        return;
    }
    match tls {
        None => converse(stream, front, stop).await,
        Some(tls) => match timeout(HEAD_TIMEOUT, tls.accept(stream)).await {
            Ok(Ok(stream)) => converse(stream, front, stop).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        },
    }
}

/// What one connection has done, so that one that does nothing can be told.
#[derive(Debug, Default)]
struct Activity {
    requests: AtomicU64,
    under_way: AtomicU64,
}

/// A request that is being answered. It ends also when the client takes it back.
struct UnderWay(Arc<Activity>);

impl UnderWay {
    fn begin(activity: Arc<Activity>) -> Self {
        activity.requests.fetch_add(1, Ordering::Relaxed);
        activity.under_way.fetch_add(1, Ordering::Relaxed);
        Self(activity)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    front: Arc<Front>,
    mut stop: watch::Receiver<()>,
) {
    let activity = Arc::new(Activity::default());
    let service = service_fn(|request: Request<Incoming>| {
        let (front, activity) = (Arc::clone(&front), Arc::clone(&activity));
        let under_way = UnderWay::begin(activity);
        async move {
            let response = front.answer(request).await;
            drop(under_way);
            Ok::<_, Infallible>(response)
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
                let requests = activity.requests.load(Ordering::Relaxed);
                if requests == requests_seen && activity.under_way.load(Ordering::Relaxed) == 0 {
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
        .max_header_list_size(u32::try_from(limits::HEAD_BYTES_MAX).expect("a few KiB"))
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
