//! The vaults of all regions: opened at their first use, and only written to once they are known
//! to be this catalog's.
//!
//! It does not know what is kept there.
use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use model::{Clock, Region};
use vault::{Intake, Throttle, Vault, VaultError};

use crate::record_log::{
    checkpoint::RecordLogWriter,
    owner::{self, OwnerError},
};

/// Opens one region's vault.
pub type OpenVault = Box<dyn Fn(&Region) -> Result<Vault, VaultError> + Send + Sync>;

/// Tells the regions that have a vault by now.
pub type ListRegions = Box<dyn Fn() -> Vec<Region> + Send + Sync>;

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

/// The vaults of all regions.
pub struct Vaults {
    /// Writes the record log.
    pub record_log: RecordLogWriter,
    /// What was damaged in them.
    pub damage: DamageSeen,
    clock: Arc<dyn Clock>,
    open: OpenVault,
    regions: ListRegions,
    bytes_per_sec: Option<u64>,
    accept_older: bool,
    opened: Mutex<HashMap<Region, Vault>>,
    owned: Mutex<HashSet<Region>>,
    throttles: Mutex<HashMap<Region, Arc<Throttle>>>,
}

impl fmt::Debug for Vaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vaults").finish_non_exhaustive()
    }
}

impl Vaults {
    /// `bytes_per_sec` bounds what copies bring into one region; with `accept_older` a vault
    /// whose record log knows more than the catalog is taken.
    pub(crate) fn new(
        record_log: RecordLogWriter,
        clock: Arc<dyn Clock>,
        open: OpenVault,
        regions: ListRegions,
        bytes_per_sec: Option<u64>,
        accept_older: bool,
    ) -> Self {
        Self {
            record_log,
            damage: DamageSeen::default(),
            clock,
            open,
            regions,
            bytes_per_sec,
            accept_older,
            opened: Mutex::default(),
            owned: Mutex::default(),
            throttles: Mutex::default(),
        }
    }

    /// One region's vault, opened at its first use.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn get(&self, region: &Region) -> Result<Vault, VaultError> {
        let mut vaults = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(vault) = vaults.get(region) {
            return Ok(vault.clone());
        }
        let vault = (self.open)(region)?;
        vaults.insert(region.clone(), vault.clone());
        Ok(vault)
    }

    /// One region's vault, once it is known to be this catalog's.
    ///
    /// # Errors
    /// When it is another's, or cannot be asked.
    pub async fn owned(&self, region: &Region) -> Result<Vault, OwnerError> {
        let vault = self.get(region)?;
        let known = |regions: &Mutex<HashSet<Region>>| {
            let regions = regions.lock().unwrap_or_else(PoisonError::into_inner);
            regions.contains(region)
        };
        if !known(&self.owned) {
            owner::claim(
                &self.record_log,
                &vault,
                region,
                self.clock.now(),
                self.accept_older,
            )
            .await?;
            let mut owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner);
            owned.insert(region.clone());
        }
        Ok(vault)
    }

    /// The same, also of a vault that was this catalog's when it was asked last.
    ///
    /// # Errors
    /// When it is another's, or cannot be asked.
    pub async fn confirmed(&self, region: &Region) -> Result<Vault, OwnerError> {
        self.doubt_owner(region);
        self.owned(region).await
    }

    fn doubt_owner(&self, region: &Region) {
        let mut owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner);
        owned.remove(region);
    }

    /// What went into all regions' vaults since the start: bytes, and waits for the disk.
    pub fn intake(&self) -> Intake {
        let vaults = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        vaults.values().map(Vault::intake).fold(
            Intake::default(),
            |Intake { bytes, syncs }, more| Intake {
                bytes: bytes + more.bytes,
                syncs: syncs + more.syncs,
            },
        )
    }

    /// The regions that have a vault by now.
    pub fn regions(&self) -> Vec<Region> {
        (self.regions)()
    }

    /// The limit that all copies into a region share, when there is one.
    pub fn throttle(&self, region: &Region) -> Option<Arc<Throttle>> {
        let rate = self.bytes_per_sec?;
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
}
