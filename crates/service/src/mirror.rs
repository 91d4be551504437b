//! The vault's mirror of the records, from which a lost catalog is rebuilt.
//!
//! A record's change puts a letter into the outbox in its own transaction; the mirror writes
//! letters to `records/<account>/<snapshot>/<version>` and `grants/…`, sealed by the master key and bound to
//! their path, and then forgets them. How far it is behind is a metric.
use std::{sync::Arc, time::Duration};

use catalog::{CatalogError, CatalogExt, Stored, Tx, outbox};
use model::{Grant, Snapshot};
use serde::Serialize;

use crate::{core::Core, fault::chain};

/// Letters written between two looks at the outbox.
const BATCH: usize = 256;
/// How long to wait after a failure, and between looks when nothing signals.
const PAUSE: Duration = Duration::from_secs(5);

/// What a letter says.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Letter<'a> {
    Snapshot(&'a Snapshot),
    SnapshotDeleted(&'a uuid::Uuid),
    Grant(&'a Grant),
    GrantDeleted(&'a str),
}

fn push(
    tx: &mut dyn Tx,
    snapshot: &Snapshot,
    version: u64,
    letter: &Letter<'_>,
) -> Result<(), CatalogError> {
    let path = format!(
        "records/{}/{}/{version:020}",
        snapshot.account,
        path_name(snapshot)
    );
    let body = serde_json::to_vec(letter).expect("records serialize");
    outbox::push(tx, &snapshot.region, &path, &body)
}

/// A snapshot's name as a path's part: automated names have a colon.
fn path_name(snapshot: &Snapshot) -> String {
    snapshot.name.as_str().replace(':', "=")
}

/// Mirrors a snapshot's record as it now is.
///
/// # Errors
/// The catalog's.
pub fn snapshot(tx: &mut dyn Tx, stored: &Stored<Snapshot>) -> Result<(), CatalogError> {
    push(
        tx,
        &stored.value,
        stored.version,
        &Letter::Snapshot(&stored.value),
    )
}

/// Mirrors a snapshot's deletion.
///
/// # Errors
/// The catalog's.
pub fn snapshot_deleted(
    tx: &mut dyn Tx,
    snapshot: &Snapshot,
    version: u64,
) -> Result<(), CatalogError> {
    push(
        tx,
        snapshot,
        version,
        &Letter::SnapshotDeleted(&snapshot.uid),
    )
}

/// Mirrors a grant beside its key's records, or its end.
///
/// # Errors
/// The catalog's.
pub fn grant(tx: &mut dyn Tx, grant: &Grant, version: u64, is: Is) -> Result<(), CatalogError> {
    let letter = match is {
        Is::There => Letter::Grant(grant),
        Is::Gone => Letter::GrantDeleted(&grant.id),
    };
    let key = &grant.key;
    let id = key.resource.strip_prefix("key/").unwrap_or_default();
    let path = format!("grants/{}/{id}/{}/{version:020}", key.account, grant.id);
    let body = serde_json::to_vec(&letter).expect("records serialize");
    outbox::push(tx, &key.region, &path, &body)
}

/// Whether a record is there or was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Is {
    There,
    Gone,
}

/// Writes letters until the process is to end.
pub async fn run(core: Arc<Core>) {
    loop {
        let more = match flush(&core).await {
            Ok(more) => more,
            Err(error) => {
                tracing::warn!(cause = error, "the mirror of the records is behind");
                tokio::select! {
                    () = core.stopped() => return,
                    () = tokio::time::sleep(PAUSE) => {}
                }
                true
            }
        };
        if core.is_stopping() {
            return;
        }
        if !more {
            tokio::select! {
                () = core.stopped() => return,
                () = core.mirror.notified() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }
}

/// Writes one batch of letters; answers whether there may be more.
async fn flush(core: &Core) -> Result<bool, String> {
    let letters = core
        .catalog
        .read(|tx| outbox::take(tx, BATCH))
        .await
        .map_err(|error: CatalogError| chain(&error))?;
    let more = letters.len() == BATCH;
    if letters.is_empty() {
        return Ok(false);
    }
    let mut written = Vec::with_capacity(letters.len());
    for letter in letters {
        let vault = core.vault(&letter.region).map_err(|error| chain(&error))?;
        let sealed = core.kms.seal_record(&letter.path, &letter.body);
        match vault::records::put_record(&vault, &letter.path, sealed.into()).await {
            // Written by a process that died before it could say so: a path has one letter.
            Err(vault::VaultError::Conflict { .. }) => {}
            other => other.map_err(|error| chain(&error))?,
        }
        written.push(letter.seq);
    }
    core.catalog
        .write(move |tx| outbox::done(tx, &written))
        .await
        .map_err(|error: CatalogError| chain(&error))?;
    Ok(more)
}
