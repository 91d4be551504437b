//! Reads a record log as a whole: the newest state of every record, over the vaults of all regions.
//!
//! It does not know what becomes of the records.
//!
//! The record log is read twice, so that not all of it has to be in memory: once for which line of
//! each record is the newest, and once for those lines.
use std::collections::HashMap;

use futures_util::{StreamExt, stream};
use model::{Region, Timestamp};
use vault::{Vault, VaultError, records::list_records};

use super::{
    batch::{BatchError, FOLDER, KEYS_FOLDER, Line, Named, Seal},
    checkpoint::End,
};

/// Batches read at once.
const AT_ONCE: usize = 8;

/// An object with lines.
#[derive(Debug)]
struct Source {
    region: Region,
    vault: Vault,
    path: String,
    size: u64,
    /// A key that was logged before its commit: no checkpoint makes it void.
    early: bool,
}

/// A record log that has been looked through.
#[derive(Debug)]
pub struct Ledger {
    sources: Vec<Source>,
    newest: HashMap<String, (u64, u64, bool)>,
    floors: Floors,
    /// What was found on the way.
    pub findings: Findings,
}

/// What is to be told about a record log.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Findings {
    /// Objects that were read.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records that were deleted, as far as marks of that are there.
    pub deleted: u64,
    /// When the newest batch was written.
    pub newest: Option<Timestamp>,
    /// The highest version that it knows.
    pub version: u64,
    /// Objects that do not read, and checkpoints that lost batches: a sentence each.
    pub damaged: Vec<String>,
}

/// Below which positions lines are void: by region, and for records of no region.
#[derive(Debug, Default)]
struct Floors {
    regions: HashMap<Region, u64>,
    global: u64,
}

impl Floors {
    fn is_void(&self, source: &Source, line: &Line) -> bool {
        let floor = match catalog::recorded::is_global(&line.path) {
            true => self.global,
            false => self.regions.get(&source.region).copied().unwrap_or(0),
        };
        !source.early && line.as_of < floor
    }
}

impl Ledger {
    /// Looks through the record logs of all regions. `done` hears of the bytes of each object.
    ///
    /// # Errors
    /// The vaults'. What does not read is a finding.
    pub async fn open(
        seal: &Seal,
        vaults: &[(Region, Vault)],
        done: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Self, VaultError> {
        let mut ledger = Self {
            sources: Vec::new(),
            newest: HashMap::new(),
            floors: Floors::default(),
            findings: Findings::default(),
        };
        for (region, vault) in vaults {
            ledger.list(seal, region, vault).await?;
        }
        let total = ledger.sources.iter().map(|source| source.size).sum();
        let sources = &ledger.sources;
        let (newest, findings, floors) = (&mut ledger.newest, &mut ledger.findings, &ledger.floors);
        let mut reads = stream::iter(sources)
            .map(|source| async move { (source, seal.lines(&source.vault, &source.path).await) })
            .buffered(AT_ONCE);
        let mut bytes = 0;
        while let Some((source, read)) = reads.next().await {
            bytes += source.size;
            done(bytes, total);
            findings.objects += 1;
            for line in readable(read, findings)? {
                findings.version = findings.version.max(line.version).max(line.as_of);
                if floors.is_void(source, &line) {
                    continue;
                }
                let rank = newest.entry(line.path.clone()).or_insert(line.rank());
                *rank = (*rank).max(line.rank());
            }
        }
        findings.bytes = bytes;
        findings.deleted = newest.values().filter(|(_, _, gone)| *gone).count() as u64;
        drop(reads);
        Ok(ledger)
    }

    async fn list(
        &mut self,
        seal: &Seal,
        region: &Region,
        vault: &Vault,
    ) -> Result<(), VaultError> {
        let listed = list_records(vault, FOLDER).await?;
        let is_there = |path: &String| {
            listed
                .binary_search_by(|entry| entry.path.as_str().cmp(path))
                .is_ok()
        };
        let findings = &mut self.findings;
        for entry in &listed {
            match Named::parse(&entry.path) {
                Some(Named::Batch(position)) => {
                    findings.version = findings.version.max(position);
                    findings.newest = findings.newest.max(Some(entry.modified));
                    self.sources.push(Source {
                        region: region.clone(),
                        vault: vault.clone(),
                        path: entry.path.clone(),
                        size: entry.size,
                        early: false,
                    });
                }
                Some(Named::Checkpoint(position)) => {
                    findings.version = findings.version.max(position);
                    let end: Result<End, BatchError> =
                        seal.document(vault, &entry.path, "a checkpoint").await;
                    let end = match end {
                        Ok(end) => end,
                        Err(BatchError::Vault(error)) => return Err(error),
                        Err(error) => {
                            findings.damaged.push(sentence(&error));
                            continue;
                        }
                    };
                    if let Some(lost) = end.batches.iter().find(|batch| !is_there(batch)) {
                        findings
                            .damaged
                            .push(format!("the checkpoint {} has lost {lost}", entry.path));
                        continue;
                    }
                    let floor = self.floors.regions.entry(region.clone()).or_default();
                    *floor = (*floor).max(position);
                    if end.global {
                        self.floors.global = self.floors.global.max(position);
                    }
                }
                Some(Named::Owner(_)) | None => {}
            }
        }
        for entry in list_records(vault, KEYS_FOLDER).await? {
            self.sources.push(Source {
                region: region.clone(),
                vault: vault.clone(),
                path: entry.path,
                size: entry.size,
                early: true,
            });
        }
        Ok(())
    }

    /// Hands on the newest line of every record that was not deleted, once each, a batch's at a
    /// time.
    ///
    /// # Errors
    /// The vaults', and what `each` answers.
    pub async fn replay<E, F>(
        mut self,
        seal: &Seal,
        mut each: impl FnMut(Vec<Line>) -> F,
    ) -> Result<Findings, E>
    where
        E: From<VaultError>,
        F: Future<Output = Result<(), E>>,
    {
        let sources = std::mem::take(&mut self.sources);
        let mut reads = stream::iter(&sources)
            .map(|source| async move { (source, seal.lines(&source.vault, &source.path).await) })
            .buffered(AT_ONCE);
        while let Some((source, read)) = reads.next().await {
            // What does not read was told at the first look.
            let mut untold = Findings::default();
            let mut lines = Vec::new();
            for line in readable(read, &mut untold)? {
                if self.floors.is_void(source, &line)
                    || line.record.is_none()
                    || self.newest.get(&line.path) != Some(&line.rank())
                {
                    continue;
                }
                // The same line may lie in another batch too.
                self.newest.remove(&line.path);
                lines.push(line);
            }
            if !lines.is_empty() {
                each(lines).await?;
            }
        }
        Ok(self.findings)
    }

    /// How many records there are.
    pub fn records(&self) -> u64 {
        let live = self.newest.values().filter(|(_, _, gone)| !*gone);
        live.count() as u64
    }
}

/// The lines of an object; one that does not read is a finding.
fn readable(
    read: Result<Vec<Line>, BatchError>,
    findings: &mut Findings,
) -> Result<Vec<Line>, VaultError> {
    match read {
        Ok(lines) => Ok(lines),
        Err(BatchError::Vault(error)) => Err(error),
        Err(error) => {
            findings.damaged.push(sentence(&error));
            Ok(Vec::new())
        }
    }
}

fn sentence(error: &BatchError) -> String {
    crate::fault::chain(error)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use catalog::{
        Catalog, CatalogError, CatalogExt, SqliteCatalog, Tx, access_keys, accounts, keys, meta,
        outbox,
        recorded::{self, Recorded},
    };
    use kms::MasterKey;
    use model::{Account, Clock, SystemClock, SystemEntropy};

    use super::*;
    use crate::record_log::{
        batch::Packer,
        checkpoint::{self, RecordLogWriter},
        owner::{self, OwnerError},
    };

    struct Room {
        folder: tempfile::TempDir,
        record_log: RecordLogWriter,
        vault: Vault,
        region: Region,
    }

    fn open(path: &std::path::Path) -> Arc<dyn Catalog> {
        Arc::new(SqliteCatalog::open(path, Arc::new(SystemClock)).expect("a catalog"))
    }

    impl Room {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let record_log = RecordLogWriter {
                catalog: open(&folder.path().join("catalog")),
                seal: Seal::new(Arc::new(MasterKey::generate())),
                entropy: Arc::new(SystemEntropy),
            };
            let vault = Vault::local_folder(&folder.path().join("vault")).expect("a vault");
            Self {
                folder,
                record_log,
                vault,
                region: "us-east-1".parse().expect("a region"),
            }
        }

        async fn write<F>(&self, work: F)
        where
            F: Fn(&mut dyn Tx) -> Result<(), CatalogError> + Send + Sync + 'static,
        {
            self.record_log.catalog.write(work).await.expect("kept");
        }

        /// What the record log's task does, for records of no region.
        async fn flush(&self) -> Vec<String> {
            let batch = self.record_log.catalog.read(crate::record_log::look).await;
            let batch: crate::record_log::Batch = batch.map_err(|e: CatalogError| e).expect("read");
            let record_log = &self.record_log;
            let mut packer = Packer::new(
                &record_log.seal,
                &self.vault,
                &*record_log.entropy,
                batch.position,
            );
            for line in batch.lines.values().flatten() {
                packer.add(line).await.expect("added");
            }
            let seqs: Vec<i64> = batch.entries.iter().map(|entry| entry.seq).collect();
            self.write(move |tx| outbox::done(tx, &seqs)).await;
            packer.finish().await.expect("written")
        }

        async fn checkpoint(&self) -> bool {
            let now = SystemClock.now();
            checkpoint::when_due(&self.record_log, &self.vault, &self.region, true, now)
                .await
                .expect("made")
        }

        async fn records(&self) -> (Vec<String>, Findings) {
            let vaults = [(self.region.clone(), self.vault.clone())];
            let ledger = Ledger::open(&self.record_log.seal, &vaults, &|_, _| ()).await;
            let ledger = ledger.expect("read");
            let count = ledger.records();
            let found = std::sync::Mutex::new(Vec::new());
            let findings = ledger
                .replay(&self.record_log.seal, |lines| {
                    let mut found = found.lock().expect("whole");
                    found.extend(lines.into_iter().map(|line| line.path));
                    async { Ok::<_, VaultError>(()) }
                })
                .await
                .expect("read again");
            let mut found = found.into_inner().expect("whole");
            found.sort();
            assert_eq!(found.len() as u64, count);
            (found, findings)
        }

        async fn batches(&self) -> Vec<String> {
            let listed = list_records(&self.vault, FOLDER).await.expect("listed");
            let batch = |path: &String| matches!(Named::parse(path), Some(Named::Batch(_)));
            listed
                .into_iter()
                .map(|one| one.path)
                .filter(batch)
                .collect()
        }
    }

    fn account(number: u64) -> Account {
        format!("{:012}", number).parse().expect("twelve digits")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_newest_state_counts_and_the_record_log_stays_small() {
        let room = Room::new();
        assert!(room.checkpoint().await, "the first one is always due");
        for number in 0..200 {
            // Each of a few accounts comes and goes; the last ones stay.
            room.write(move |tx| {
                accounts::ensure(tx, &account(number), "")?;
                if 2 <= number {
                    accounts::delete(tx, &account(number - 2))?;
                }
                Ok(())
            })
            .await;
            room.flush().await;
            room.checkpoint().await;
        }
        let (found, findings) = room.records().await;
        let names = [198, 199].map(|number| format!("accounts/{}", account(number)));
        assert_eq!(found, names);
        assert!(findings.damaged.is_empty(), "{findings:?}");
        assert!(
            room.batches().await.len() <= 70,
            "{}",
            room.batches().await.len()
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_late_batch_of_a_frozen_process_raises_nobody() {
        let room = Room::new();
        room.write(|tx| accounts::ensure(tx, &account(1), "").map(drop))
            .await;
        // Two processes read the same letters; one of them is frozen before it writes.
        let late = room.record_log.catalog.read(crate::record_log::look).await;
        let late: crate::record_log::Batch = late.map_err(|e: CatalogError| e).expect("read");
        room.flush().await;
        room.write(|tx| accounts::delete(tx, &account(1)).map(drop))
            .await;
        room.flush().await;
        assert!(room.checkpoint().await);
        let record_log = &room.record_log;
        let mut packer = Packer::new(
            &record_log.seal,
            &room.vault,
            &*record_log.entropy,
            late.position,
        );
        for line in late.lines.values().flatten() {
            packer.add(line).await.expect("added");
        }
        packer.finish().await.expect("written");
        assert_eq!(room.records().await.0, Vec::<String>::new());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn damage_is_told_and_the_rest_is_read() {
        let room = Room::new();
        room.write(|tx| accounts::ensure(tx, &account(1), "").map(drop))
            .await;
        let first = room.flush().await;
        room.write(|tx| accounts::ensure(tx, &account(2), "").map(drop))
            .await;
        room.flush().await;
        let path = room.folder.path().join("vault").join(&first[0]);
        let mut bytes = std::fs::read(&path).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).expect("written");
        let (found, findings) = room.records().await;
        assert_eq!(found, [format!("accounts/{}", account(2))]);
        assert_eq!(findings.damaged.len(), 1, "{findings:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_kind_of_record_goes_there_and_back() {
        let room = Room::new();
        let region = room.region.clone();
        room.write(move |tx| {
            accounts::ensure(tx, &account(1), "one")?;
            let now = tx.now();
            meta::set(tx, meta::ADMINISTRATOR, "AKIA1")?;
            access_keys::insert(
                tx,
                &access_keys::AccessKey {
                    id: "AKIA1".to_owned(),
                    account: account(1),
                    sealed_secret: vec![0, 255],
                    status: access_keys::AccessKeyStatus::Inactive,
                    created_at: now,
                },
            )?;
            keys::insert_alias(
                tx,
                &keys::Alias {
                    region: region.clone(),
                    account: account(1),
                    name: "alias/a/b".to_owned(),
                    key_id: "k".to_owned(),
                    created_at: now,
                    updated_at: now,
                },
            )
        })
        .await;
        room.flush().await;
        // Also by a checkpoint alone.
        for _ in 0..2 {
            let (found, _) = room.records().await;
            assert_eq!(found.len(), 4, "{found:?}");
            let read: Result<Vec<Option<Recorded>>, CatalogError> = room
                .record_log
                .catalog
                .read(move |tx| found.iter().map(|path| recorded::find(tx, path)).collect())
                .await;
            assert!(read.expect("read").iter().all(Option::is_some));
            room.checkpoint().await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_vault_has_one_catalog() {
        let room = Room::new();
        let now = SystemClock.now();
        let claim = async |record_log: &RecordLogWriter| {
            owner::claim(record_log, &room.vault, &room.region, now, false).await
        };
        for _ in 0..2 {
            claim(&room.record_log).await.expect("nobody's, then ours");
        }
        let with = |catalog| RecordLogWriter {
            catalog,
            ..room.record_log.clone()
        };
        let other = with(open(&room.folder.path().join("other")));
        let refused = claim(&other).await;
        assert!(
            matches!(refused, Err(OwnerError::Another { .. })),
            "{refused:?}"
        );
        let stranger = RecordLogWriter {
            seal: Seal::new(Arc::new(MasterKey::generate())),
            ..other.clone()
        };
        let refused = claim(&stranger).await;
        assert!(
            matches!(refused, Err(OwnerError::OtherKey { .. })),
            "{refused:?}"
        );

        // A copy of it, as by `catalog copy`, takes over; then the source is refused.
        let successor: Arc<dyn Catalog> = open(&room.folder.path().join("successor"));
        catalog::copy::copy(&room.record_log.catalog, &*successor)
            .await
            .expect("copied");
        owner::succeed(&*successor, &SystemEntropy)
            .await
            .expect("kept");
        let successor = with(successor);
        claim(&successor).await.expect("its predecessor's");
        let refused = claim(&room.record_log).await;
        assert!(
            matches!(refused, Err(OwnerError::Another { .. })),
            "{refused:?}"
        );

        // A catalog that is behind the record log is refused, its own mark or not.
        let position = successor.catalog.read(meta::version).await.expect("read") + 3;
        let path = Named::Batch(position).path(&SystemEntropy);
        room.record_log
            .seal
            .put(&room.vault, &path, b"")
            .await
            .expect("written");
        let refused = claim(&successor).await;
        assert!(
            matches!(refused, Err(OwnerError::Newer { .. })),
            "{refused:?}"
        );
        owner::claim(&successor, &room.vault, &room.region, now, true)
            .await
            .expect("it was told to go on");
        claim(&successor).await.expect("and goes on");
    }
}
