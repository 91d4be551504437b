//! A snapshot out: reads every pack once and scatters its blocks into files.
//!
//! It does not know what the files are for, nor when they count as restored: the caller renames.
use std::{path::Path, sync::Arc};

use model::{Hash, VolumeRef};
use tokio::runtime::Handle;

use super::{job::Job, scatter, tree::Tree};
use crate::{
    error::{ObjectKind, VaultError},
    format::{head::VolumeTag, seal::DataKey},
    observer::Observer,
    store::{listing::VolumeListing, names::Condemned, vault::Vault},
};

/// A snapshot whose files are in place and durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What the engine gave when the snapshot was finished.
    pub engine_document: String,
    /// Bytes of its files.
    pub logical_bytes: u64,
    /// How many files.
    pub files: u64,
}

/// Restores a snapshot into a folder that does not exist yet, or is empty. Blocks: it belongs
/// on a blocking thread of a tokio runtime. After an error, what is in the folder is incomplete.
///
/// Checked on the way: the hash of every object, seals, sizes, and the id of every block. Zero
/// blocks stay holes. Several threads, each with a pack and the next one, so up to 32 MiB; and
/// the plan (see `read::plan`).
///
/// # Errors
/// [`VaultError::Missing`], [`VaultError::Damaged`], [`VaultError::Content`],
/// [`VaultError::WrongKey`], [`VaultError::Sealing`], [`VaultError::BadPath`],
/// [`VaultError::Stopped`], those of file system and store.
pub fn restore(
    vault: &Vault,
    volume: &VolumeRef,
    manifest: Hash,
    data_key: Option<&DataKey>,
    condemned: &Condemned,
    into: &Path,
    observer: &dyn Observer,
) -> Result<Restored, VaultError> {
    let handle = Handle::try_current().map_err(VaultError::NoRuntime)?;
    let listing = handle.block_on(VolumeListing::list(
        vault,
        volume,
        &ObjectKind::ALL,
        condemned,
    ))?;
    let job = Job {
        vault,
        volume: VolumeTag::of(volume),
        listing: Arc::new(listing),
        handle,
        observer,
    };
    let manifest = Arc::new(job.manifest(manifest, data_key)?);
    observer.total(manifest.body.logical_bytes);
    let runs = job.plan(&manifest)?;
    let tree = Tree::make(into, &manifest.body, &runs)?;
    let packs = runs.chunk_by(|a, b| a.pack == b.pack).collect();
    let stored = scatter::scatter(&job, &manifest, packs, scatter::Into::Tree(&tree))?;
    drop(runs);
    tree.finish()?;
    // What was not stored are holes.
    observer.done(manifest.body.logical_bytes.saturating_sub(stored));
    Ok(Restored {
        logical_bytes: manifest.body.logical_bytes,
        files: manifest.body.files.len() as u64,
        engine_document: manifest.body.engine_document.clone(),
    })
}
