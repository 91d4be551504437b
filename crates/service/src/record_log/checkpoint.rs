//! Checkpoints: the record log of a region written anew from the catalog, and what is older removed.
//!
//! It does not know how letters are written meanwhile: their batches are newer, and stay.
//!
//! Invariant: a checkpoint's position is drawn before its states are read, and its end is
//! written last. So with its end in place every batch of a lower position says nothing that it does
//! not know better, marks of deletions included; a process that died on the way leaves batches that
//! are true as well; and a batch that a frozen process writes late has a lower position.
use std::{sync::Arc, time::Duration};

use catalog::{
    Catalog, CatalogError, CatalogExt, meta,
    recorded::{self, RECORDS},
};
use model::{Entropy, Region, Timestamp};
use serde::{Deserialize, Serialize};
use vault::{
    Vault, VaultError,
    records::{RecordEntry, delete_record, list_records},
};

use super::batch::{BatchError, FOLDER, KEYS_FOLDER, Line, Named, Packer, Seal};

/// Records read by one transaction.
const PAGE: usize = 500;
/// Batches beside the checkpoint's, and bytes, before the next one; and at twice its own.
const BAGS_MIN: usize = 64;
const BYTES_MIN: u64 = 256 << 10;
/// Keys that were logged before their commit have long been committed after this.
const EARLY: Duration = Duration::from_secs(24 * 3_600);

/// What writes the record log.
#[derive(Debug, Clone)]
pub struct RecordLogWriter {
    /// What exists.
    pub catalog: Arc<dyn Catalog>,
    /// Seals what is written.
    pub seal: Seal,
    /// Draws names.
    pub entropy: Arc<dyn Entropy>,
}

/// The end of a checkpoint.
#[derive(Debug, Serialize, Deserialize)]
pub struct End {
    /// Batches of lower positions are void.
    pub position: u64,
    /// Whether it also has the records of no region.
    pub global: bool,
    /// Its batches.
    pub batches: Vec<String>,
}

/// Why a checkpoint was not made.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The catalog fails.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The vault fails.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// What is there does not read.
    #[error(transparent)]
    Batch(#[from] BatchError),
}

/// Makes a checkpoint of a region when its record log has outgrown the last one; answers whether it
/// did. `global` when the records of no region are logged there.
///
/// # Errors
/// [`CheckpointError`].
pub async fn when_due(
    record_log: &RecordLogWriter,
    vault: &Vault,
    region: &Region,
    global: bool,
    now: Timestamp,
) -> Result<bool, CheckpointError> {
    let there = list_records(vault, FOLDER).await?;
    if !is_due(record_log, vault, &there, global).await? {
        return Ok(false);
    }
    let batches = write(record_log, vault, region, global).await?;
    // All that was listed was written before the position was drawn.
    let old = there
        .iter()
        .filter(|entry| !matches!(Named::parse(&entry.path), Some(Named::Owner(_))));
    for entry in old {
        delete_record(vault, &entry.path).await?;
    }
    let before = now.minus(EARLY);
    for entry in list_records(vault, KEYS_FOLDER).await? {
        if entry.modified < before {
            delete_record(vault, &entry.path).await?;
        }
    }
    tracing::info!(%region, batches, removed = there.len(), "the record log was written anew");
    Ok(true)
}

async fn is_due(
    record_log: &RecordLogWriter,
    vault: &Vault,
    there: &[RecordEntry],
    global: bool,
) -> Result<bool, CheckpointError> {
    let newest = there
        .iter()
        .filter_map(|entry| match Named::parse(&entry.path) {
            Some(Named::Checkpoint(position)) => Some((position, &entry.path)),
            _ => None,
        })
        .max();
    let Some((_, path)) = newest else {
        return Ok(true);
    };
    let end: End = record_log
        .seal
        .document(vault, path, "a checkpoint")
        .await?;
    if global && !end.global {
        return Ok(true);
    }
    let (mut own, mut others) = ((0, 0), (0, 0));
    for entry in there {
        if !matches!(Named::parse(&entry.path), Some(Named::Batch(_))) {
            continue;
        }
        let (batches, bytes) = match end.batches.binary_search(&entry.path) {
            Ok(_) => &mut own,
            Err(_) => &mut others,
        };
        (*batches, *bytes) = (*batches + 1, *bytes + entry.size);
    }
    Ok(BAGS_MIN + 2 * own.0 < others.0 || BYTES_MIN + 2 * own.1 < others.1)
}

/// Writes all records of a region; answers how many batches they are.
pub(crate) async fn write(
    record_log: &RecordLogWriter,
    vault: &Vault,
    region: &Region,
    global: bool,
) -> Result<usize, CheckpointError> {
    let position = record_log.catalog.write(meta::durable_version).await?;
    let mut packer = Packer::new(&record_log.seal, vault, &*record_log.entropy, position);
    for kind in RECORDS {
        let of = kind.is_regional().then(|| region.clone());
        if of.is_none() && !global {
            continue;
        }
        let mut after = None;
        loop {
            let (of, from) = (of.clone(), after.clone());
            let page = record_log
                .catalog
                .read(move |tx| recorded::page(tx, kind, of.as_ref(), from.as_ref(), PAGE))
                .await?;
            let full = page.len() == PAGE;
            for one in page {
                let line = Line {
                    path: one.path,
                    version: one.version,
                    as_of: position,
                    record: Some(one.record),
                };
                packer.add(&line).await?;
                after = line.record;
            }
            if !full {
                break;
            }
        }
    }
    let mut batches = packer.finish().await?;
    batches.sort();
    let count = batches.len();
    let end = End {
        position,
        global,
        batches,
    };
    let path = Named::Checkpoint(position).path(&*record_log.entropy);
    let text = serde_json::to_vec(&end).expect("names serialize");
    record_log.seal.put(vault, &path, &text).await?;
    Ok(count)
}
