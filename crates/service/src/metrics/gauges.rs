//! Metrics that are read when somebody asks: what the catalog has, and what other rooms count.
//!
//! Invariant: however many ask, the catalog is read once a second, and waited for no longer than
//! [`PATIENCE`].
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use catalog::{
    CatalogError, CatalogExt, Tx,
    counts::{self, Counts, Standing},
};
use model::{ClusterStatus, Region, Timestamp, ValidationStatus};

use super::{JobEnd, Kind, Metrics, Status, clusters, scraped::Scraped};
use crate::{
    context::ServiceContext,
    verify::{self, Verified},
};

/// How long a scrape waits for the catalog.
const PATIENCE: Duration = Duration::from_secs(2);

/// Brings all that is not counted as it happens up to date.
pub(crate) async fn refresh(context: &Arc<ServiceContext>) {
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
    if let Some(log) = &context.audit {
        let counts = log.counts();
        let (written, omitted) = (&metrics.audit_records, &metrics.audit_omitted);
        written.inner().store(counts.written, Relaxed);
        omitted.inner().store(counts.omitted, Relaxed);
        metrics.audit_failing.set(log.failure().is_some().into());
    }
    let now = context.now();
    let behind = |at: Option<Timestamp>| {
        at.map_or(0, |at| {
            i64::try_from(now.since(at).as_secs()).unwrap_or(i64::MAX)
        })
    };
    let (here, there) = (&context.log_windows, &context.brought_windows);
    metrics.log_behind.set(behind(here.farthest_behind()));
    metrics
        .replication_behind
        .set(behind(there.farthest_behind()));
    clusters::refresh(context).await;
    let mut read_at = context.scraped.sums.lock().await;
    if Scraped::is_fresh(*read_at) {
        return;
    }
    let regions = context.vaults.regions();
    let read = context.catalog.read(move |tx| read(tx, &regions));
    match tokio::time::timeout(PATIENCE, read).await {
        Ok(Ok((counts, verified))) => {
            show(metrics, &counts);
            show_verified(metrics, &verified);
        }
        Ok(Err(_)) => {
            metrics.catalog_unread.inc();
        }
        Err(_) => {
            metrics.catalog_unread.inc();
        }
    }
    *read_at = Some(Instant::now());
}

fn read(
    tx: &mut dyn Tx,
    regions: &[Region],
) -> Result<(Counts, Vec<Option<Verified>>), CatalogError> {
    let counts = counts::read(tx)?;
    let verified = regions.iter().map(|region| verify::last(tx, region));
    let verified = verified.collect::<Result<_, _>>()?;
    Ok((counts, verified))
}

/// What holds for all regions: the oldest verification, and all damage.
fn show_verified(metrics: &Metrics, verified: &[Option<Verified>]) {
    let oldest = verified
        .iter()
        .map(|one| one.as_ref().map_or(0, |one| one.at.seconds()));
    metrics.vault_verified.set(oldest.min().unwrap_or(0));
    let damaged: u64 = verified.iter().flatten().map(|one| one.damaged).sum();
    metrics
        .vault_damage
        .set(i64::try_from(damaged).unwrap_or(i64::MAX));
}

fn show(metrics: &Metrics, counts: &Counts) {
    let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    for status in ValidationStatus::ALL
        .into_iter()
        .filter(|one| one.is_final())
    {
        let status = status.as_str();
        drop(metrics.drills.get_or_create(&Status { status }));
    }
    for kind in crate::jobs::registry::names() {
        // A rate begins at nought, not at the first that ends.
        for state in ["done", "failed", "canceled"] {
            drop(metrics.jobs_ended.get_or_create(&JobEnd { kind, state }));
        }
        drop(metrics.job_seconds.get_or_create(&Kind { kind }));
        drop(metrics.job_retries.get_or_create(&Kind { kind }));
        for (state, gauge) in [
            ("done", &metrics.job_success),
            ("failed", &metrics.job_failure),
        ] {
            let ends = counts.last_ends.iter();
            let mut ends = ends.filter(|(one, ended, _)| one == kind && ended == state);
            let last = ends.next().map_or(0, |(.., at)| at.seconds());
            let gauge = gauge.get_or_create(&Kind { kind });
            // Of what ended long ago the catalog tells no more; it was so all the same.
            gauge.set(last.max(gauge.get()));
        }
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
