//! Metrics that are read when somebody asks: what the catalog has, and what other rooms count.
//!
//! Invariant: however many ask, the catalog is read once in [`FRESH`], and waited for no longer
//! than [`PATIENCE`].
use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use catalog::{
    CatalogError, CatalogExt,
    counts::{self, Counts, Standing},
};
use model::ClusterStatus;

use super::{JobEnd, Kind, Metrics, Status};
use crate::context::ServiceContext;

/// What was read is good for so long.
const FRESH: Duration = Duration::from_secs(1);
/// How long a scrape waits for the catalog.
const PATIENCE: Duration = Duration::from_secs(2);

/// Brings all that is not counted as it happens up to date.
pub(crate) async fn refresh(context: &ServiceContext) {
    let metrics = &context.metrics;
    let (commits, intake) = (context.catalog.commits(), context.vaults.intake());
    let (damaged, repaired) = context.vaults.damage.counts();
    for (counter, value) in [
        (&metrics.catalog_commits, commits),
        (&metrics.fsyncs, commits + intake.syncs),
        (&metrics.vault_written, intake.bytes),
        (&metrics.vault_damaged, damaged),
        (&metrics.vault_repaired, repaired),
    ] {
        counter.inner().store(value, Relaxed);
    }
    let now = context.now();
    let behind = context.log_windows.farthest_behind();
    let behind = behind.map_or(0, |at| {
        i64::try_from(now.since(at).as_secs()).unwrap_or(i64::MAX)
    });
    metrics.log_behind.set(behind);
    let mut scraped = context.scraped.0.lock().await;
    if scraped.is_some_and(|at| at.elapsed() < FRESH) {
        return;
    }
    let read = context.catalog.read(counts::read);
    match tokio::time::timeout(PATIENCE, read).await {
        Ok(Ok(counts)) => show(metrics, &counts),
        Ok(Err(error)) => {
            let _: CatalogError = error;
            metrics.catalog_unread.inc();
        }
        Err(_) => {
            metrics.catalog_unread.inc();
        }
    }
    *scraped = Some(Instant::now());
}

fn show(metrics: &Metrics, counts: &Counts) {
    let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    for kind in crate::jobs::registry::names() {
        // A rate begins at nought, not at the first that ends.
        for state in ["done", "failed", "canceled"] {
            drop(metrics.jobs_ended.get_or_create(&JobEnd { kind, state }));
        }
        drop(metrics.job_seconds.get_or_create(&Kind { kind }));
        drop(metrics.job_retries.get_or_create(&Kind { kind }));
        for state in Standing::ALL {
            let open = counts.open_jobs.iter();
            let open = open.filter(|(one, standing, _)| one == kind && *standing == state);
            let labels = JobEnd {
                kind,
                state: state.as_str(),
            };
            let count = open.map(|(.., count)| count).sum();
            metrics.jobs_open.get_or_create(&labels).set(gauge(count));
        }
    }
    for status in ClusterStatus::ALL {
        let status = status.as_str();
        let of = counts.clusters.iter().filter(|(one, _)| one == status);
        let count = of.map(|(_, count)| count).sum();
        let labels = Status { status };
        metrics.clusters.get_or_create(&labels).set(gauge(count));
    }
    metrics.record_log_entries.set(gauge(counts.unlogged));
    let age = counts.oldest_unlogged.as_secs();
    metrics.record_log_seconds.set(gauge(age));
    metrics.tombstones.set(gauge(counts.tombstones));
}
