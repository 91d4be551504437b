//! What actions and jobs share: the rooms, the settings, and the signals between them.
use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use audit::AuditLog;
use catalog::{Catalog, Touched, WatchedCatalog};
use engine::{Engine, EngineError, EngineRegistry};
use model::{
    Clock, Cluster, Entropy, InstanceId, JobKind, ResourceId, Timestamp,
    limits::LOOK_HEADERS_BYTES_MAX,
};
use tokio::{sync::Notify, time::Instant};
use uuid::Uuid;
use vault::Headers;

use crate::{
    Dependencies, Settings,
    account_limiter::AccountLimiter,
    background::status::Tasks,
    backup_jobs::door::RestoreDoor,
    clusters::{answering::Answering, peer_key::PeerKey, users::Users},
    jobs::{deaths::Deaths, keyed_queues::KeyedQueues, slots::JobSlots},
    keys::{KeyService, Keys, Outside},
    link::transport::PeerTransport,
    logs::windows::LogWindows,
    metrics::{Metrics, scraped::Scraped},
    receipts::ReceiptKey,
    record_log::{batch::Seal, checkpoint::RecordLogWriter},
    trace,
    vaults::Vaults,
};

/// What actions and jobs share.
pub struct ServiceContext {
    /// What exists.
    pub catalog: Arc<dyn Catalog>,
    /// The built-in KMS.
    pub kms: Arc<Keys>,
    /// The keys that RDS uses: the built-in KMS's, or an outside one's.
    pub keys: Arc<dyn KeyService>,
    /// The outside KMS, when there is one.
    pub outside_kms: Option<Outside>,
    /// The regions' vaults.
    pub vaults: Arc<Vaults>,
    /// Run databases.
    pub engines: EngineRegistry,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Draws identifiers.
    pub entropy: Arc<dyn Entropy>,
    /// What the deployment chose.
    pub settings: Settings,
    /// Wakes the runner: a job was added.
    pub work: Arc<Notify>,
    /// The slots of this node's jobs.
    pub slots: Arc<JobSlots>,
    /// Wakes the record log: a record was changed.
    pub records_changed: Arc<Notify>,
    /// Wakes what gives servers their parameters: a group was changed.
    pub parameters: Arc<Notify>,
    /// Wakes what asks for automated snapshots: a cluster has become available.
    pub backups: Notify,
    /// Wakes what begins jobs of AWS Backup: one was asked for.
    pub backup_jobs: Notify,
    /// The OS users of this node's clusters.
    pub users: Users,
    /// What servers on several nodes prove themselves with; with a catalog of its own a node has none.
    pub peer_key: OnceLock<PeerKey>,
    /// What receipts of drills are signed by.
    pub receipt_key: OnceLock<Arc<ReceiptKey>>,
    /// Wakes who sees to servers: one is to be looked at.
    pub servers_changed: Notify,
    /// The clusters of this node whose servers take sessions.
    pub answering: Answering,
    /// The moments that clusters can be restored to, as this node's streams know them.
    pub log_windows: LogWindows,
    /// The same of what this node brings to other regions.
    pub brought_windows: LogWindows,
    /// The jobs under which this node's processes died.
    pub deaths: Arc<Deaths>,
    /// How the background tasks fare.
    pub tasks: Tasks,
    /// What is counted.
    pub metrics: Metrics,
    pub(crate) scraped: Scraped,
    /// One snapshot of a cluster at a time.
    pub queues: KeyedQueues<ResourceId>,
    /// The right to begin or end an instance's server, one at a time.
    pub server_turns: KeyedQueues<InstanceId>,
    /// One look into the vaults on a caller's behalf at a time.
    pub(crate) looks: AccountLimiter,
    /// What manifests reach, as such looks remember it.
    pub(crate) headers: Headers,
    /// Reaches regions that other deployments host.
    pub peer_transport: Arc<dyn PeerTransport>,
    /// Where records of requests go; none: nowhere.
    pub audit: Option<AuditLog>,
    /// Tells this process from others, and from those before it.
    process: Uuid,
    /// Asks the API for clusters that are restored for tests, once the API is there.
    pub restores: OnceLock<Arc<dyn RestoreDoor>>,
    /// When this process looked at the clock last.
    looked: Mutex<Option<Instant>>,
    stopping: AtomicBool,
    draining: AtomicBool,
    stop_signal: Notify,
}

impl fmt::Debug for ServiceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceContext")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl ServiceContext {
    /// `narrow` are the kinds of jobs that have fewer slots than others.
    pub(crate) fn new(parts: Dependencies, settings: Settings, narrow: Vec<JobKind>) -> Self {
        let (work, records_changed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (jobs, records) = (work.clone(), records_changed.clone());
        // Whoever waits for new jobs or records hears of them from the commit itself.
        let catalog: Arc<dyn Catalog> = Arc::new(WatchedCatalog::new(
            parts.catalog,
            move |what| match what {
                Touched::Jobs => jobs.notify_one(),
                Touched::Records => records.notify_one(),
            },
            trace::current,
        ));
        let record_log = RecordLogWriter {
            catalog: catalog.clone(),
            seal: Seal::new(parts.master_key.clone()),
            entropy: parts.entropy.clone(),
        };
        let vaults = Arc::new(Vaults::new(
            record_log,
            parts.clock.clone(),
            parts.open_vault,
            parts.vault_regions,
            settings.cross_region_bytes_per_sec,
            settings.accept_older_catalog,
        ));
        let kms = Arc::new(Keys::new(
            catalog.clone(),
            vaults.clone(),
            parts.master_key,
            parts.clock.clone(),
            parts.entropy.clone(),
        ));
        let keys: Arc<dyn KeyService> = match &parts.outside_kms {
            Some(outside) => Arc::new(outside.clone()),
            None => kms.clone(),
        };
        let process = parts.entropy.uuid();
        let users = Users::new(settings.os_users);
        let deaths = Arc::new(Deaths::read(&settings.data_dir));
        Self {
            catalog,
            kms,
            keys,
            outside_kms: parts.outside_kms,
            vaults,
            engines: parts.engines,
            clock: parts.clock,
            entropy: parts.entropy,
            settings,
            work,
            slots: Arc::new(JobSlots::new(narrow)),
            records_changed,
            parameters: Arc::new(Notify::new()),
            backups: Notify::new(),
            backup_jobs: Notify::new(),
            users,
            peer_key: OnceLock::new(),
            receipt_key: OnceLock::new(),
            servers_changed: Notify::new(),
            answering: Answering::default(),
            log_windows: LogWindows::default(),
            brought_windows: LogWindows::default(),
            deaths,
            tasks: Tasks::default(),
            metrics: Metrics::default(),
            scraped: Scraped::default(),
            queues: KeyedQueues::default(),
            server_turns: KeyedQueues::default(),
            looks: AccountLimiter::new(1),
            headers: Headers::remembering(LOOK_HEADERS_BYTES_MAX),
            peer_transport: parts.peer_transport,
            audit: parts.audit,
            process,
            restores: OnceLock::new(),
            looked: Mutex::default(),
            stopping: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            stop_signal: Notify::new(),
        }
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Which process this is, and how long ago it looked at the clock, by a clock that nobody sets; it
    /// looks now. Nothing at its first look.
    pub(crate) fn lived_since_last(&self, now: Instant) -> (Uuid, Duration) {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let before = looked.replace(now);
        let lived = before.map_or(Duration::ZERO, |before| now.duration_since(before));
        (self.process, lived)
    }

    /// What runs a cluster.
    ///
    /// # Errors
    /// When this release has no such engine.
    pub fn engine_of(&self, cluster: &Cluster) -> Result<&Arc<dyn Engine>, EngineError> {
        self.engines.named(&cluster.engine)
    }

    /// Whether the process is to end: jobs stop at their next step.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Whether this node takes on no work that others can do.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Notes whether it does; answers what was so before.
    pub fn set_draining(&self, draining: bool) -> bool {
        self.draining.swap(draining, Ordering::AcqRel)
    }

    /// Resolves once the process is to end.
    pub async fn stopped(&self) {
        let signal = self.stop_signal.notified();
        tokio::pin!(signal);
        signal.as_mut().enable();
        if !self.is_stopping() {
            signal.await;
        }
    }

    pub(crate) fn begin_stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.stop_signal.notify_waiters();
    }
}
