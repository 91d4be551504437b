//! Rebuilds a lost catalog out of the vaults' record logs and the master key.
//!
//! It does not know where the catalog and the vaults are, nor who waits for the report.
//!
//! The vaults are only read until the records are in place; then the new catalog signs each one
//! as its own. A rebuild that dies on the way leaves the note of `catalog::rebuild_state`, which keeps
//! servers out and lets the next one begin anew.
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use catalog::{
    Catalog, CatalogError, CatalogExt, outbox,
    rebuild_state::{self, Begun},
    recorded,
};
use futures_util::{StreamExt, stream};
use model::{Cluster, Hash, Placement, Region, Timestamp, VolumeRef};
use vault::{Vault, VaultError};

use super::{
    batch::{Line, Seal},
    checkpoint::RecordLogWriter,
    owner::{self, OwnerError},
    read::Ledger,
    repair,
    report::{Files, Report},
};
use crate::Mode;

/// Volumes listed at once.
const AT_ONCE: usize = 8;
/// Snapshots of one manifest that are looked for.
const OF_MANIFEST_MAX: usize = 1_000;
/// Hears how far it is: the stage, what is done, and what there is to do.
pub type Progress<'a> = &'a (dyn Fn(Stage, u64, u64) + Sync);

/// What a rebuild fills, and what it asks.
pub struct RebuildContext<'a> {
    /// The catalog to fill, what opens the record log, and what draws names.
    pub record_log: &'a RecordLogWriter,
    /// Every region's vault.
    pub vaults: &'a [(Region, Vault)],
    /// Whether the servers to be check signatures.
    pub mode: Mode,
    /// Where a cluster's files are.
    pub files: &'a (dyn Fn(&Cluster, Option<&Placement>) -> Files + Sync),
    /// The present moment.
    pub now: Timestamp,
    /// Hears how far it is.
    pub progress: Progress<'a>,
}

impl std::fmt::Debug for RebuildContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RebuildContext").finish_non_exhaustive()
    }
}

/// What a rebuild is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reads the record log; counted in bytes.
    Reading,
    /// Writes records; counted in records.
    Keeping,
    /// Looks for snapshots' manifests; counted in volumes.
    Checking,
}

/// Why a catalog was not rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The vaults have no record log.
    #[error("the vaults have no record log: there is nothing to rebuild a catalog from")]
    Nothing,
    /// None of it opens.
    #[error("nothing of the vaults' record log opens: {0}")]
    Unreadable(String),
    /// A vault is of another deployment.
    #[error("the vaults of {region} and {other} belong to different catalogs")]
    Strangers {
        /// A vault's region.
        region: Region,
        /// Another vault's.
        other: Region,
    },
    /// There are records already.
    #[error("the catalog holds records already")]
    Filled,
    /// The deployment was of the other mode.
    #[error("the records are of servers that {} signatures", if *.closed { "check" } else { "do not check" })]
    OtherMode {
        /// Whether those servers checked signatures.
        closed: bool,
    },
    /// Whose vault it is cannot be told.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// A vault fails.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The catalog fails.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// A record log that was looked through, from which a catalog can be filled.
#[derive(Debug)]
pub struct Found {
    ledger: Ledger,
    predecessor: Option<String>,
}

/// Looks through the record logs of all vaults, and changes nothing.
///
/// # Errors
/// [`RebuildError`], when it is not one deployment's, or another master key's, or nothing.
pub async fn look(
    seal: &Seal,
    vaults: &[(Region, Vault)],
    progress: Progress<'_>,
) -> Result<Found, RebuildError> {
    let predecessor = predecessor(seal, vaults).await?;
    let reading = |done, total| progress(Stage::Reading, done, total);
    let ledger = Ledger::open(seal, vaults, &reading).await?;
    if ledger.records() == 0 {
        return Err(match ledger.findings.damaged.first() {
            Some(first) => RebuildError::Unreadable(first.clone()),
            None => RebuildError::Nothing,
        });
    }
    Ok(Found {
        ledger,
        predecessor,
    })
}

/// Fills an empty catalog with what was found, and makes it the vaults' owner.
///
/// # Errors
/// [`RebuildError`]. With `Filled` nothing was changed; else the same call begins anew.
pub async fn fill(ground: &RebuildContext<'_>, found: Found) -> Result<Report, RebuildError> {
    let RebuildContext {
        record_log, vaults, ..
    } = ground;
    let floor = found.ledger.findings.version;
    let begun = record_log
        .catalog
        .write(move |tx| {
            let begun = rebuild_state::begin(tx)?;
            if begun != Begun::Filled {
                catalog::meta::raise_version(tx, floor)?;
            }
            Ok::<_, CatalogError>(begun)
        })
        .await?;
    if begun == Begun::Filled {
        return Err(RebuildError::Filled);
    }
    let mut report = Report {
        again: begun == Begun::Again,
        ..Report::default()
    };
    keep_all(ground, found.ledger, &mut report).await?;
    repair::snapshots(&*record_log.catalog, &mut report).await?;
    for (region, _) in *vaults {
        repair::clusters(&*record_log.catalog, region, ground.files, &mut report).await?;
    }
    look_for_manifests(ground, &mut report).await?;
    finish(ground, found.predecessor).await?;
    Ok(report)
}

/// The catalog that has the vaults now. A vault that was out of reach when its catalog moved still
/// bears the mark of an earlier one, which the others have had as well.
async fn predecessor(
    seal: &Seal,
    vaults: &[(Region, Vault)],
) -> Result<Option<String>, RebuildError> {
    let mut lineages = Vec::new();
    for (region, vault) in vaults {
        let lineage = owner::lineage(seal, vault, region).await?;
        if !lineage.is_empty() {
            lineages.push((region, lineage));
        }
    }
    // The longest has seen the most moves, so it knows all the others' owners.
    lineages.sort_by_key(|(_, lineage)| std::cmp::Reverse(lineage.len()));
    let Some((region, longest)) = lineages.first() else {
        return Ok(None);
    };
    for (other, lineage) in &lineages {
        if lineage.last().is_some_and(|owner| !longest.contains(owner)) {
            return Err(RebuildError::Strangers {
                region: (*region).clone(),
                other: (*other).clone(),
            });
        }
    }
    Ok(longest.last().cloned())
}

/// Puts every record in place.
async fn keep_all(
    ground: &RebuildContext<'_>,
    ledger: Ledger,
    report: &mut Report,
) -> Result<(), RebuildError> {
    let record_log = ground.record_log;
    let (total, mut kept) = (ledger.records(), 0);
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    report.findings = ledger
        .replay(&record_log.seal, |lines| {
            kept += lines.len() as u64;
            for record in lines.iter().filter_map(|line| line.record.as_ref()) {
                *counts.entry(record.kind().name).or_default() += 1;
            }
            (ground.progress)(Stage::Keeping, kept, total);
            keep(Arc::clone(&record_log.catalog), lines)
        })
        .await?;
    report.records = counts;
    let mode = record_log
        .catalog
        .write(|tx| {
            rebuild_state::prune(tx)?;
            rebuild_state::skip_uids(tx)?;
            catalog::keys::settle_primaries(tx)?;
            // The record log has all of this already; what is changed from here on, it has not.
            outbox::clear(tx)?;
            catalog::meta::get(tx, catalog::meta::MODE)
        })
        .await?;
    match mode.as_deref() {
        Some("closed") if ground.mode == Mode::Dev => Err(RebuildError::OtherMode { closed: true }),
        Some("dev") if ground.mode == Mode::Closed => {
            Err(RebuildError::OtherMode { closed: false })
        }
        _ => Ok(()),
    }
}

async fn keep(catalog: Arc<dyn Catalog>, lines: Vec<Line>) -> Result<(), RebuildError> {
    catalog
        .write(move |tx| {
            for record in lines.iter().filter_map(|line| line.record.as_ref()) {
                recorded::put_back(tx, record)?;
            }
            Ok::<_, CatalogError>(())
        })
        .await?;
    Ok(())
}

/// Names the snapshots whose manifest is gone, and counts manifests that no record needs.
async fn look_for_manifests(
    ground: &RebuildContext<'_>,
    report: &mut Report,
) -> Result<(), RebuildError> {
    let mut all: BTreeSet<(usize, VolumeRef)> = BTreeSet::new();
    for (index, (region, vault)) in ground.vaults.iter().enumerate() {
        let of = region.clone();
        let known = ground
            .record_log
            .catalog
            .read(move |tx| rebuild_state::volumes(tx, &of));
        let known: Vec<VolumeRef> = known.await?;
        let there = vault::volumes(vault).await?;
        all.extend(known.into_iter().chain(there).map(|volume| (index, volume)));
    }
    let (total, mut done) = (all.len() as u64, 0);
    let mut lists = stream::iter(all)
        .map(|(index, volume)| async move {
            let (region, vault) = &ground.vaults[index];
            let there = vault::manifests(vault, &volume).await;
            (region, volume, there)
        })
        .buffered(AT_ONCE);
    while let Some((region, volume, there)) = lists.next().await {
        compare(ground, region, &volume, &there?, report).await?;
        done += 1;
        (ground.progress)(Stage::Checking, done, total);
    }
    Ok(())
}

async fn compare(
    ground: &RebuildContext<'_>,
    region: &Region,
    volume: &VolumeRef,
    there: &HashSet<Hash>,
    report: &mut Report,
) -> Result<(), RebuildError> {
    let catalog = &ground.record_log.catalog;
    let (at, of) = (region.clone(), volume.clone());
    let roots = catalog.read(move |tx| catalog::snapshots::roots(tx, &at, &of));
    let roots: Result<Vec<Hash>, CatalogError> = roots.await;
    let roots: HashSet<Hash> = roots?.into_iter().collect();
    report.nobodys += there.difference(&roots).count() as u64;
    for manifest in roots.difference(there).copied() {
        // None are found where only a cluster's next snapshot would be compared with it.
        let (at, of) = (region.clone(), volume.clone());
        let found = catalog
            .read(move |tx| rebuild_state::of_manifest(tx, &at, &of, manifest, OF_MANIFEST_MAX));
        let found: Result<_, CatalogError> = found.await;
        for stored in found? {
            report.missing.add(stored.value.arn().to_string());
        }
    }
    Ok(())
}

/// Gives the catalog its id, signs the vaults, and takes the note away.
async fn finish(
    ground: &RebuildContext<'_>,
    predecessor: Option<String>,
) -> Result<(), RebuildError> {
    let record_log = ground.record_log;
    let id = record_log.entropy.uuid().to_string();
    let own = id.clone();
    let named = record_log
        .catalog
        .write(move |tx| owner::name(tx, &own, predecessor.as_deref()));
    let named: Result<(), CatalogError> = named.await;
    named?;
    for (_, vault) in ground.vaults {
        owner::take_over(record_log, vault, &id, ground.now).await?;
    }
    let ended: Result<(), CatalogError> = record_log.catalog.write(rebuild_state::end).await;
    Ok(ended?)
}
