//! What actions and jobs share: the rooms, the settings, and the signals between them.
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use catalog::{Catalog, Touched, WatchedCatalog};
use engine::{Engine, EngineError, EngineRegistry};
use model::{Clock, Cluster, Entropy, JobKind, Timestamp};
use tokio::sync::Notify;

use crate::{
    Parts, Settings,
    background::status::Tasks,
    clusters::{answering::Answering, users::Users},
    jobs::{deaths::Deaths, places::Places, snapshot_turns::Turns},
    keys::{KeyService, Keys, Outside},
    link::transport::PeerTransport,
    metrics::{Metrics, scraped::Scraped},
    record_log::{batch::Seal, checkpoint::RecordLogWriter},
    vaults::Vaults,
};

/// What actions and jobs share.
pub struct Core {
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
    /// The places of this node's jobs.
    pub places: Arc<Places>,
    /// Wakes the mirror: a record was changed.
    pub mirror: Arc<Notify>,
    /// The OS users of this node's clusters.
    pub users: Users,
    /// The clusters of this node whose servers take sessions.
    pub answering: Answering,
    /// The jobs under which this node's processes died.
    pub deaths: Arc<Deaths>,
    /// How the background tasks fare.
    pub tasks: Tasks,
    /// What is counted.
    pub metrics: Metrics,
    pub(crate) scraped: Scraped,
    /// One snapshot of a cluster at a time.
    pub turns: Turns,
    /// Reaches regions that other deployments host.
    pub peer_transport: Arc<dyn PeerTransport>,
    stopping: AtomicBool,
    draining: AtomicBool,
    stop_signal: Notify,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Core {
    /// `narrow` are the kinds of jobs that have fewer places than others.
    pub(crate) fn new(parts: Parts, settings: Settings, narrow: Vec<JobKind>) -> Self {
        let (work, mirror) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (jobs, records) = (work.clone(), mirror.clone());
        // Whoever waits for new jobs or records hears of them from the commit itself.
        let catalog: Arc<dyn Catalog> =
            Arc::new(WatchedCatalog::new(parts.catalog, move |what| match what {
                Touched::Jobs => jobs.notify_one(),
                Touched::Records => records.notify_one(),
            }));
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
            places: Arc::new(Places::new(narrow)),
            mirror,
            users,
            answering: Answering::default(),
            deaths,
            tasks: Tasks::default(),
            metrics: Metrics::default(),
            scraped: Scraped::default(),
            turns: Turns::default(),
            peer_transport: parts.peer_transport,
            stopping: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            stop_signal: Notify::new(),
        }
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
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
