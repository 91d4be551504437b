//! What actions and jobs share: the rooms, the settings, and the signals between them.
use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use model::{Clock, Entropy, Region, Timestamp};
use tokio::sync::Notify;
use vault::{Intake, Throttle, Vault, VaultError};

use crate::{
    Parts, Settings,
    clusters::{supervise::Answering, users::Users},
    jobs::{deaths::Deaths, places::Places, snapshot_turns::Turns},
    keys::{KeyService, Keys, Outside},
    link::transport::Carrier,
    record_log::{
        batch::Seal,
        checkpoint::Scribe,
        owner::{self, OwnerError},
    },
};

/// Opens one region's vault.
pub type OpenVault = Box<dyn Fn(&Region) -> Result<Vault, VaultError> + Send + Sync>;

/// What was damaged since the start.
#[derive(Debug, Default)]
pub struct DamageSeen {
    found: AtomicU64,
    mended: AtomicU64,
}

impl DamageSeen {
    /// An object is damaged or gone.
    pub fn found(&self) {
        self.found.fetch_add(1, Ordering::Relaxed);
    }

    /// One was fetched again.
    pub fn mended(&self) {
        self.mended.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were found, and how many fetched again.
    pub fn counts(&self) -> (u64, u64) {
        (
            self.found.load(Ordering::Relaxed),
            self.mended.load(Ordering::Relaxed),
        )
    }
}

/// What actions and jobs share.
pub struct Core {
    /// What exists.
    pub catalog: Arc<dyn catalog::Catalog>,
    /// The built-in KMS.
    pub kms: Arc<Keys>,
    /// The keys that RDS uses: the built-in KMS's, or an outside one's.
    pub keys: Arc<dyn KeyService>,
    /// The outside KMS, when there is one.
    pub outside_kms: Option<Outside>,
    /// Writes the mirror of the records.
    pub scribe: Scribe,
    /// Runs databases.
    pub engine: Arc<dyn engine::Engine>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Draws identifiers.
    pub entropy: Arc<dyn Entropy>,
    /// What the deployment chose.
    pub settings: Settings,
    /// Wakes the runner: a job was added.
    pub work: Notify,
    /// The places of this node's jobs.
    pub places: Arc<Places>,
    /// Wakes the mirror: a record was changed.
    pub mirror: Notify,
    /// The OS users of this node's clusters.
    pub users: Users,
    /// The clusters of this node whose servers take sessions.
    pub answering: Answering,
    /// The jobs under which this node's processes died.
    pub deaths: Arc<Deaths>,
    /// What was damaged in the vaults.
    pub damage: DamageSeen,
    /// One snapshot of a cluster at a time.
    pub turns: Turns,
    /// Reaches regions that other deployments host.
    pub carrier: Arc<dyn Carrier>,
    open_vault: OpenVault,
    vault_regions: Box<dyn Fn() -> Vec<Region> + Send + Sync>,
    vaults: Mutex<HashMap<Region, Vault>>,
    owned: Mutex<HashSet<Region>>,
    throttles: Mutex<HashMap<Region, Arc<Throttle>>>,
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
    pub(crate) fn new(parts: Parts, settings: Settings) -> Self {
        let scribe = Scribe {
            catalog: parts.catalog.clone(),
            seal: Seal::new(parts.master_key.clone()),
            entropy: parts.entropy.clone(),
        };
        let kms = Arc::new(Keys::new(
            parts.catalog.clone(),
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
            catalog: parts.catalog,
            kms,
            keys,
            outside_kms: parts.outside_kms,
            scribe,
            engine: parts.engine,
            clock: parts.clock,
            entropy: parts.entropy,
            settings,
            work: Notify::new(),
            places: Arc::default(),
            mirror: Notify::new(),
            users,
            answering: Answering::default(),
            deaths,
            damage: DamageSeen::default(),
            turns: Turns::default(),
            carrier: parts.carrier,
            open_vault: parts.open_vault,
            vault_regions: parts.vault_regions,
            vaults: Mutex::default(),
            owned: Mutex::default(),
            throttles: Mutex::default(),
            stopping: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            stop_signal: Notify::new(),
        }
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// One region's vault, opened at its first use.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn vault(&self, region: &Region) -> Result<Vault, VaultError> {
        let mut vaults = self.vaults.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(vault) = vaults.get(region) {
            return Ok(vault.clone());
        }
        let vault = (self.open_vault)(region)?;
        vaults.insert(region.clone(), vault.clone());
        Ok(vault)
    }

    /// One region's vault, once it is known to be this catalog's.
    ///
    /// # Errors
    /// When it is another's, or cannot be asked.
    pub async fn owned_vault(&self, region: &Region) -> Result<Vault, OwnerError> {
        let vault = self.vault(region)?;
        let known = |regions: &Mutex<HashSet<Region>>| {
            let regions = regions.lock().unwrap_or_else(PoisonError::into_inner);
            regions.contains(region)
        };
        if !known(&self.owned) {
            let accept_older = self.settings.accept_older_catalog;
            owner::claim(&self.scribe, &vault, region, self.now(), accept_older).await?;
            let mut owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner);
            owned.insert(region.clone());
        }
        Ok(vault)
    }

    /// Asks all regions' vaults anew whose they are.
    pub fn doubt_owners(&self) {
        let mut owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner);
        owned.clear();
    }

    /// What went into all regions' vaults since the start: bytes, and waits for the disk.
    pub fn intake(&self) -> Intake {
        let vaults = self.vaults.lock().unwrap_or_else(PoisonError::into_inner);
        vaults.values().map(Vault::intake).fold(
            Intake::default(),
            |Intake { bytes, syncs }, more| Intake {
                bytes: bytes + more.bytes,
                syncs: syncs + more.syncs,
            },
        )
    }

    /// The regions that have a vault by now.
    pub fn vault_regions(&self) -> Vec<Region> {
        (self.vault_regions)()
    }

    /// The limit that all copies into a region share, when there is one.
    pub fn throttle(&self, region: &Region) -> Option<Arc<Throttle>> {
        let rate = self.settings.cross_region_bytes_per_sec?;
        let mut throttles = self
            .throttles
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Some(
            throttles
                .entry(region.clone())
                .or_insert_with(|| Arc::new(Throttle::new(rate)))
                .clone(),
        )
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
