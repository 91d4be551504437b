//! The vault's mirror of the records, from which a lost catalog is rebuilt.
//!
//! A record's change puts a letter into the outbox in its own transaction, under the path
//! `records/<account>/<snapshot>/<version>` or `grants/…`. The mirror gathers letters for a moment and writes
//! them as bags, `records/<first letter>.<uuid>`, sealed by the master key and bound to their
//! path, and then forgets them. How far it is behind is a metric.
//!
//! A bag is JSON lines, a letter each. A letter may lie in several bags, when a process died
//! before it could say what it had written; its path tells that it is the same.
use std::{collections::HashMap, sync::Arc, time::Duration};

use catalog::{
    CatalogError, CatalogExt, Stored, Tx,
    outbox::{self, Letter},
};
use model::{Grant, Region, Snapshot};
use serde::Serialize;

use crate::{core::Core, fault::chain};

/// Letters between two looks at the outbox.
const BATCH: usize = 1_024;
/// A bag is closed once it has this many bytes, before sealing: half of what a record may have,
/// so that the letter that fills it still fits.
const BAG_BYTES: usize = vault::records::RECORD_BYTES_MAX / 2;
/// How long letters are gathered: a bag costs three syncs, however many letters are in it.
const GATHER: Duration = Duration::from_millis(100);
/// How long to wait after a failure, and between looks when nothing signals.
const PAUSE: Duration = Duration::from_secs(5);

/// What a letter says.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Text<'a> {
    Snapshot(&'a Snapshot),
    SnapshotDeleted(&'a uuid::Uuid),
    Grant(&'a Grant),
    GrantDeleted(&'a str),
}

fn push(
    tx: &mut dyn Tx,
    snapshot: &Snapshot,
    version: u64,
    letter: &Text<'_>,
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
        &Text::Snapshot(&stored.value),
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
    push(tx, snapshot, version, &Text::SnapshotDeleted(&snapshot.uid))
}

/// Mirrors a grant beside its key's records, or its end.
///
/// # Errors
/// The catalog's.
pub fn grant(tx: &mut dyn Tx, grant: &Grant, version: u64, is: Is) -> Result<(), CatalogError> {
    let text = match is {
        Is::There => Text::Grant(grant),
        Is::Gone => Text::GrantDeleted(&grant.id),
    };
    let key = &grant.key;
    let id = key.resource.strip_prefix("key/").unwrap_or_default();
    let path = format!("grants/{}/{id}/{}/{version:020}", key.account, grant.id);
    let body = serde_json::to_vec(&text).expect("records serialize");
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
            tokio::select! {
                () = core.stopped() => return,
                () = tokio::time::sleep(GATHER) => {}
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
    let written: Vec<i64> = letters.iter().map(|letter| letter.seq).collect();
    for bag in bags(letters) {
        let vault = core.vault(&bag.region).map_err(|error| chain(&error))?;
        let path = format!("records/{:020}.{}", bag.first, core.entropy.uuid());
        let sealed = core.kms.seal_record(&path, &bag.lines);
        vault::records::put_record(&vault, &path, sealed.into())
            .await
            .map_err(|error| chain(&error))?;
    }
    core.catalog
        .write(move |tx| outbox::done(tx, &written))
        .await
        .map_err(|error: CatalogError| chain(&error))?;
    Ok(more)
}

/// Letters to one region's vault.
#[derive(Debug, PartialEq, Eq)]
struct Bag {
    region: Region,
    first: i64,
    lines: Vec<u8>,
}

/// Lays letters into bags, in their order within each region.
fn bags(letters: Vec<Letter>) -> Vec<Bag> {
    let mut open: HashMap<Region, Bag> = HashMap::new();
    let mut full = Vec::new();
    for letter in letters {
        let bag = open.entry(letter.region.clone()).or_insert_with(|| Bag {
            region: letter.region.clone(),
            first: letter.seq,
            lines: Vec::new(),
        });
        let path = serde_json::to_string(&letter.path).expect("a text serializes");
        bag.lines.extend_from_slice(b"{\"path\":");
        bag.lines.extend_from_slice(path.as_bytes());
        bag.lines.extend_from_slice(b",\"letter\":");
        bag.lines.extend_from_slice(&letter.body);
        bag.lines.extend_from_slice(b"}\n");
        if BAG_BYTES <= bag.lines.len() {
            full.extend(open.remove(&letter.region));
        }
    }
    full.extend(open.into_values());
    full
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(seq: i64, region: &str, body: String) -> Letter {
        Letter {
            seq,
            region: region.parse().unwrap(),
            path: format!("records/000000000000/s-{seq}/{seq:020}"),
            body: body.into_bytes(),
        }
    }

    #[test]
    fn bags_hold_every_letter_of_their_region_once() {
        let long = format!("{{\"text\":\"{}\"}}", "x".repeat(BAG_BYTES / 3));
        let regions = ["us-east-1", "eu-west-1"];
        let letters: Vec<Letter> = (0..10)
            .map(|seq| letter(seq, regions[seq as usize % 3 % 2], long.clone()))
            .collect();
        let made = bags(letters.clone());
        assert!(2 < made.len());
        let mut found = Vec::new();
        for bag in &made {
            assert!(bag.lines.len() < vault::records::RECORD_BYTES_MAX);
            for line in bag.lines.split(|byte| *byte == b'\n') {
                if line.is_empty() {
                    continue;
                }
                let line: serde_json::Value = serde_json::from_slice(line).unwrap();
                assert_eq!(line["letter"].to_string(), long);
                found.push((
                    line["path"].as_str().unwrap().to_owned(),
                    bag.region.clone(),
                ));
            }
        }
        let sent = letters.into_iter().map(|one| (one.path, one.region));
        let mut sent: Vec<_> = sent.collect();
        found.sort();
        sent.sort();
        assert_eq!(found, sent);
    }
}
