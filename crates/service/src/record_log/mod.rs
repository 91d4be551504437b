//! The vault's record log, from which a lost catalog is rebuilt.
//!
//! It does not know who changes records: the catalog's tables push a letter that names what was
//! changed, in the change's own transaction. The record log gathers entries for a moment, reads what
//! the records now are, writes that as a batch (`batch`), and then forgets the letters. A region's
//! records go into its own vault, those of no region into the default region's. How far it is
//! behind are two metrics, `record_log_lag_entries` and `record_log_lag_seconds`.
//!
//! A record's state may lie in several batches, when a process died before it could say what it had
//! written; the newer one counts. What piles up is written anew now and then (`checkpoint`).
pub mod batch;
pub mod checkpoint;
pub mod owner;
pub mod read;
pub mod rebuild;
mod repair;
pub mod report;
pub mod rotate_master_key;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use catalog::{
    CatalogError, CatalogExt, Tx, meta,
    outbox::{self, OutboxEntry},
    recorded,
};
use model::Region;

use crate::record_log::batch::{Line, Packer};
use crate::{
    background::{Next, Task, TaskError},
    context::ServiceContext,
    fault::chain,
};

/// Letters between two looks at the outbox.
const BATCH: usize = 1_024;
/// How long letters are gathered: a batch costs three syncs, however many letters are in it.
const GATHER: Duration = Duration::from_millis(100);
/// How long to wait after a failure, and between looks when nothing signals.
const PAUSE: Duration = Duration::from_secs(5);

/// Writes letters as they come.
#[derive(Debug, Default)]
pub(crate) struct RecordLog {
    /// There were more letters than one batch takes.
    more: bool,
}

#[async_trait]
impl Task for RecordLog {
    fn name(&self) -> String {
        "record_log".to_owned()
    }

    fn period(&self, _context: &ServiceContext) -> Duration {
        PAUSE
    }

    async fn woken(&self, context: &ServiceContext) {
        context.records_changed.notified().await;
    }

    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        if !self.more {
            tokio::select! {
                // What is left is written at the very end.
                () = context.stopped() => return Ok(Next::Period),
                () = tokio::time::sleep(GATHER) => {}
            }
        }
        let flushed = flush(context).await;
        // After a failure they have been gathered for long enough.
        self.more = *flushed.as_ref().unwrap_or(&true);
        match flushed {
            Ok(true) => Ok(Next::Now),
            Ok(false) => Ok(Next::Changed),
            Err(error) => Err(TaskError::Failed(format!(
                "the record log is behind: {error}"
            ))),
        }
    }
}

/// Writes what is left once nothing else is done any more.
pub async fn settle(context: &ServiceContext) {
    loop {
        match flush(context).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(cause = error, "the record log is behind");
                return;
            }
        }
    }
}

/// What is to be written of one look at the outbox.
struct Batch {
    entries: Vec<OutboxEntry>,
    position: u64,
    lines: BTreeMap<Option<Region>, Vec<Line>>,
}

/// Writes one batch of letters; answers whether there may be more.
async fn flush(context: &ServiceContext) -> Result<bool, String> {
    let batch = context
        .catalog
        .read(look)
        .await
        .map_err(|error: CatalogError| chain(&error))?;
    let more = batch.entries.len() == BATCH;
    if batch.entries.is_empty() {
        return Ok(false);
    }
    // What the vault logs must be known to the catalog that comes back from a crash.
    let durable = context.catalog.write(meta::durable_version).await;
    let durable = durable.map_err(|error: CatalogError| chain(&error))?;
    if durable < batch.position {
        return Err(format!(
            "the catalog's database forgot {} changes while they were read",
            batch.position - durable
        ));
    }
    for (region, lines) in &batch.lines {
        let region = region.as_ref().unwrap_or(&context.settings.default_region);
        let vault = context
            .vaults
            .owned(region)
            .await
            .map_err(|error| chain(&error))?;
        let record_log = &context.vaults.record_log;
        let mut packer = Packer::new(
            &record_log.seal,
            &vault,
            &*record_log.entropy,
            batch.position,
        );
        for line in lines {
            packer.add(line).await.map_err(|error| chain(&error))?;
        }
        packer.finish().await.map_err(|error| chain(&error))?;
    }
    let written: Vec<i64> = batch.entries.iter().map(|entry| entry.seq).collect();
    context
        .catalog
        .write(move |tx| outbox::done(tx, &written))
        .await
        .map_err(|error: CatalogError| chain(&error))?;
    Ok(more)
}

/// Reads letters, and what the records that they name now are. The position is read last, so
/// that it is not below what was seen.
fn look(tx: &mut dyn Tx) -> Result<Batch, CatalogError> {
    let entries = outbox::take(tx, BATCH)?;
    let mut newest: BTreeMap<(Option<Region>, String), u64> = BTreeMap::new();
    for entry in &entries {
        let key = (entry.region.clone(), entry.path.clone());
        let version = newest.entry(key).or_default();
        *version = (*version).max(entry.version);
    }
    let mut lines: BTreeMap<Option<Region>, Vec<Line>> = BTreeMap::new();
    for ((region, path), version) in newest {
        let record = recorded::find(tx, &path)?;
        lines.entry(region).or_default().push(Line {
            path,
            version,
            as_of: 0,
            record,
        });
    }
    let position = meta::version(tx)?;
    for line in lines.values_mut().flatten() {
        line.as_of = position;
    }
    Ok(Batch {
        entries,
        position,
        lines,
    })
}
