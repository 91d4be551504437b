//! An S3 server in this process: it checks signatures, and answers as a plan of faults says.
//!
//! It does not know what its objects are. What a request changes is changed under one lock.
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, OnceLock},
    time::Duration,
};

use object_store::{BackoffConfig, ClientOptions, RetryConfig, aws::AmazonS3Builder};
use tokio::{
    io::BufReader,
    net::{TcpListener, TcpStream},
    sync::watch,
};
use vault::{Bucket, BucketOptions, PART_BYTES_MIN, Vault};

use super::{
    http::{Answer, Request, Sent},
    objects::{Objects, Seen},
    signature,
};

/// What is wrong with one answer.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    None,
    /// Nothing is done, and this is the status.
    Refused(u16),
    /// It is done, and this is the status.
    Denied(u16),
    /// Nothing is done, and the connection ends.
    Cut,
    /// It is done, and the connection ends.
    CutAfter,
    /// Half of the body.
    Torn,
    /// One byte of the body of an object is another.
    Wrong,
    /// The first byte comes late, or each does.
    Late(Duration),
    Slow,
    /// What is changed is seen late.
    Stale,
    /// It is taken in, and done when the watched value is true.
    Held(watch::Receiver<bool>),
}

pub(crate) type Plan = Box<dyn FnMut(&Request) -> Fault + Send>;

/// What kind of work a request is, for counting.
pub(crate) fn kind(request: &Request) -> &'static str {
    let has = |name: &str| request.query.contains_key(name);
    let copies = request.headers.contains_key("x-amz-copy-source");
    match request.method.as_str() {
        "GET" if request.key.is_empty() => "list",
        "GET" if request.headers.contains_key("range") => "range",
        "GET" => "get",
        "HEAD" => "head",
        "PUT" if has("partNumber") => "part",
        "PUT" if copies => "copy",
        "PUT" => "put",
        "POST" if has("uploads") => "begin",
        "POST" if has("uploadId") => "complete",
        "DELETE" if has("uploadId") => "abort",
        "POST" | "DELETE" => "delete",
        _ => "other",
    }
}

/// How many requests of a kind there were, and how many at once at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) all: usize,
    now: usize,
    pub(crate) most: usize,
}

struct State {
    objects: Mutex<Objects>,
    plan: Mutex<Plan>,
    latency: Mutex<Duration>,
    counts: Mutex<BTreeMap<&'static str, Count>>,
    /// Requests that asked for a condition, and those that were not signed.
    conditions: Mutex<Vec<String>>,
}

/// The server. It ends with its runtime.
#[derive(Clone)]
pub(crate) struct Server {
    state: Arc<State>,
    address: SocketAddr,
    /// One client for all regions, as the product has it.
    shared: OnceLock<Bucket>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(|e| e.into_inner())
}

/// Quick, so that failures are soon over.
pub(crate) fn quick() -> BucketOptions {
    BucketOptions {
        streams: 16,
        part_bytes: PART_BYTES_MIN,
        pause: Duration::from_millis(2),
        settle: Duration::from_millis(5),
    }
}

impl Server {
    pub(crate) fn start(runtime: &tokio::runtime::Runtime) -> Self {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            shared: OnceLock::new(),
            state: Arc::new(State {
                objects: Mutex::default(),
                plan: Mutex::new(Box::new(|_| Fault::None)),
                latency: Mutex::default(),
                counts: Mutex::default(),
                conditions: Mutex::default(),
            }),
        };
        let state = Arc::clone(&server.state);
        runtime.spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&state).serve(connection));
            }
        });
        server
    }

    /// A client's view of the bucket `b`.
    pub(crate) fn bucket(&self, secret: &str, options: BucketOptions) -> Bucket {
        let store = AmazonS3Builder::new()
            .with_endpoint(format!("http://{}", self.address))
            .with_region("us-east-1")
            .with_bucket_name("b")
            .with_access_key_id(signature::KEY_ID)
            .with_secret_access_key(secret)
            .with_client_options(
                ClientOptions::new()
                    .with_allow_http(true)
                    .with_timeout(Duration::from_secs(60)),
            )
            .with_retry(RetryConfig {
                backoff: BackoffConfig {
                    init_backoff: Duration::from_millis(1),
                    max_backoff: Duration::from_millis(4),
                    base: 2.0,
                },
                max_retries: 4,
                retry_timeout: Duration::from_secs(20),
            })
            .build()
            .unwrap();
        Bucket::new(Arc::new(store), "ferry", options).unwrap()
    }

    /// A region's vault, through the client that all of them share.
    pub(crate) fn region(&self, region: &str) -> Vault {
        let shared = || self.bucket(signature::SECRET, quick());
        let bucket = self.shared.get_or_init(shared);
        bucket.vault(&region.parse().unwrap())
    }

    /// The same through a client of its own.
    pub(crate) fn vault(&self, region: &str, options: BucketOptions) -> Vault {
        let bucket = self.bucket(signature::SECRET, options);
        bucket.vault(&region.parse().unwrap())
    }

    pub(crate) fn objects(&self) -> MutexGuard<'_, Objects> {
        lock(&self.state.objects)
    }

    /// From now on answers are as this says.
    pub(crate) fn plan(&self, plan: impl FnMut(&Request) -> Fault + Send + 'static) {
        *lock(&self.state.plan) = Box::new(plan);
    }

    pub(crate) fn sound(&self) {
        self.plan(|_| Fault::None);
    }

    pub(crate) fn latency(&self, latency: Duration) {
        *lock(&self.state.latency) = latency;
    }

    /// The counts since they were last taken.
    pub(crate) fn take_counts(&self) -> BTreeMap<&'static str, Count> {
        std::mem::take(&mut *lock(&self.state.counts))
    }

    /// Requests that asked for a condition.
    pub(crate) fn conditions(&self) -> Vec<String> {
        lock(&self.state.conditions).clone()
    }
}

impl State {
    async fn serve(self: Arc<Self>, connection: TcpStream) {
        let _ = connection.set_nodelay(true);
        let mut connection = BufReader::new(connection);
        while let Some(request) = Request::read(&mut connection).await {
            let kind = kind(&request);
            self.enter(kind);
            let latency = *lock(&self.latency);
            tokio::time::sleep(latency).await;
            let goes_on = self.answer(&request, connection.get_mut()).await;
            if let Some(count) = lock(&self.counts).get_mut(kind) {
                count.now = count.now.saturating_sub(1);
            }
            if !goes_on {
                return;
            }
        }
    }

    fn enter(&self, kind: &'static str) {
        let mut counts = lock(&self.counts);
        let count = counts.entry(kind).or_default();
        count.all += 1;
        count.now += 1;
        count.most = count.most.max(count.now);
    }

    /// False when the connection is to end.
    async fn answer(&self, request: &Request, to: &mut TcpStream) -> bool {
        for name in ["if-none-match", "if-match"] {
            if request.headers.contains_key(name) {
                lock(&self.conditions).push(request.key.clone());
            }
        }
        let is_head = request.method == "HEAD";
        let refused = |status| Answer::error(status, "SlowDown");
        if !signature::is_signed(request) {
            let answer = Answer::error(403, "SignatureDoesNotMatch");
            return answer.write(to, is_head, Sent::Whole).await;
        }
        let fault = (lock(&self.plan))(request);
        let mut sent = Sent::Whole;
        let mut seen = Seen::AtOnce;
        match &fault {
            Fault::Refused(status) => return refused(*status).write(to, is_head, sent).await,
            Fault::Cut => return false,
            Fault::Torn => sent = Sent::Torn,
            Fault::Slow => sent = Sent::Slowly,
            Fault::Late(pause) => tokio::time::sleep(*pause).await,
            Fault::Stale => seen = Seen::Late,
            Fault::Held(gate) => {
                let mut gate = gate.clone();
                let _ = gate.wait_for(|open| *open).await;
            }
            Fault::None | Fault::Denied(_) | Fault::CutAfter | Fault::Wrong => {}
        }
        let mut answer = lock(&self.objects).apply(request, seen);
        match fault {
            Fault::Denied(status) => answer = refused(status),
            Fault::CutAfter => return false,
            Fault::Wrong if request.method == "GET" && !request.key.is_empty() => {
                let mut bytes = answer.body.to_vec();
                let middle = bytes.len() / 2;
                if let Some(byte) = bytes.get_mut(middle).filter(|_| answer.status < 300) {
                    *byte ^= 1;
                }
                answer.body = bytes.into();
            }
            _ => {}
        }
        answer.write(to, is_head, sent).await
    }
}
