//! Metrics of each cluster: how old its last good snapshot is, and what it can be restored to.
//!
//! They have names of accounts and clusters in them, and so are text of their own, told to whoever
//! may read names. Beyond a number of clusters that settings bound, only sums are told.
//!
//! Invariant: a scrape waits for no more than [`PATIENCE`] once there is something to tell; what is
//! read after that is told by the next one. Reading many clusters takes a bounded part of the time.
use std::{
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use catalog::{
    CatalogError, CatalogExt,
    counts::COUNT_MAX,
    last_snapshots::{self, Sums},
    restore_testing,
};
use model::{Cluster, RestoreTestingPlan, Timestamp, cluster::Change};
use prometheus_client::{
    encoding::{EncodeLabelSet, prometheus_text},
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{Metrics, PREFIX};
use crate::context::ServiceContext;

/// How long a scrape waits for what the last one's told already.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long the first scrape waits.
const FIRST_PATIENCE: Duration = Duration::from_secs(2);

/// So much of a cluster is not changed by everyday work between two snapshots: half, and of a small one
/// not a few tables.
const MUCH: f64 = 0.5;
const MUCH_BYTES: u64 = 1 << 30;

/// A cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Named {
    account: String,
    region: String,
    cluster: String,
}

/// A restore testing plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPlan {
    account: String,
    region: String,
    plan: String,
}

/// Restore testing plans that are told.
const PLANS_MAX: usize = 1_000;

/// What was read of the clusters, and of plans that restore them for a test.
struct Clusters {
    plans: Vec<RestoreTestingPlan>,
    /// None when there are too many.
    each: Option<Vec<(Cluster, Option<Timestamp>)>>,
    sums: Sums,
}

/// Brings them up to date.
pub(super) async fn refresh(context: &Arc<ServiceContext>) {
    let (is_due, is_known) = context.scraped.begin_each();
    if !is_due {
        return;
    }
    let reader = Arc::clone(context);
    let reading = tokio::spawn(async move {
        let begun = Instant::now();
        let text = match read(&reader).await {
            Ok(clusters) => Some(show(&reader, &clusters)),
            Err(error) => {
                tracing::debug!(%error, "clusters were not read for metrics");
                reader.metrics.catalog_unread.inc();
                None
            }
        };
        reader.scraped.end_each(begun, text);
    });
    let patience = if is_known { PATIENCE } else { FIRST_PATIENCE };
    // What takes longer goes on, and is told by the next scrape.
    drop(tokio::time::timeout(patience, reading).await);
}

async fn read(context: &ServiceContext) -> Result<Clusters, CatalogError> {
    let most = context.settings.metrics_clusters_max;
    let read = move |tx: &mut dyn catalog::Tx| {
        let plans = restore_testing::plans(tx, PLANS_MAX)?;
        let each = last_snapshots::of_clusters(tx, most.saturating_add(1))?;
        if most < each.len() {
            let sums = last_snapshots::sums(tx, COUNT_MAX)?;
            return Ok(Clusters {
                plans,
                each: None,
                sums,
            });
        }
        let without = each.iter().filter(|(_, last)| last.is_none()).count();
        let oldest = each.iter().filter(|(cluster, _)| !cluster.status.rests());
        let sums = Sums {
            without: without as u64,
            oldest: oldest.filter_map(|(_, last)| *last).min(),
        };
        Ok(Clusters {
            plans,
            each: Some(each),
            sums,
        })
    };
    context.catalog.read(read).await
}

/// Whether a change is one to look at.
fn is_much(change: &Change) -> bool {
    MUCH < change.ratio() && MUCH_BYTES <= change.bytes()
}

/// Sets the sums, and writes what is told of each.
fn show(context: &ServiceContext, clusters: &Clusters) -> String {
    let metrics = &context.metrics;
    let without = i64::try_from(clusters.sums.without).unwrap_or(i64::MAX);
    metrics.clusters_without_snapshot.set(without);
    let oldest = clusters.sums.oldest.map_or(0, Timestamp::seconds);
    metrics.oldest_last_snapshot.set(oldest);
    let told = clusters.each.as_ref().map_or(0, Vec::len);
    let told = i64::try_from(told).unwrap_or(i64::MAX);
    metrics.clusters_told.set(told);

    let bases = clusters.each.iter().flatten();
    let changes = bases.filter_map(|(cluster, _)| cluster.base.as_ref()?.change);
    let much = changes.filter(is_much).count();
    metrics
        .clusters_changed_much
        .set(i64::try_from(much).unwrap_or(i64::MAX));

    let mut registry = Registry::with_prefix(PREFIX);
    let ratio = Family::<Named, Gauge<f64, AtomicU64>>::default();
    registry.register(
        "cluster_last_snapshot_changed_ratio",
        "The share of the cluster's blocks that its last snapshot has otherwise than the one before",
        ratio.clone(),
    );
    let mut family = |name: &str, help: &str| {
        let family = Family::<Named, Gauge>::default();
        registry.register(name, help, family.clone());
        family
    };
    let snapshot = family(
        "cluster_last_snapshot_timestamp_seconds",
        "When the newest whole snapshot of the cluster in its region was taken; 0: there is none",
    );
    let earliest = family(
        "cluster_earliest_restorable_timestamp_seconds",
        "The first moment that the cluster can be restored to by its log",
    );
    let latest = family(
        "cluster_latest_restorable_timestamp_seconds",
        "The last moment that the cluster can be restored to by its log",
    );
    let changed = family(
        "cluster_last_snapshot_changed_bytes",
        "Bytes of these blocks",
    );
    for (cluster, last) in clusters.each.iter().flatten() {
        let named = Named {
            account: cluster.account.to_string(),
            region: cluster.region.to_string(),
            cluster: cluster.name.to_string(),
        };
        // Of one that is stopped no snapshot is taken: the last one does not get too old.
        if last.is_none() || !cluster.status.rests() {
            let last = last.map_or(0, Timestamp::seconds);
            snapshot.get_or_create(&named).set(last);
        }
        if let Some(change) = cluster.base.as_ref().and_then(|base| base.change) {
            ratio.get_or_create(&named).set(change.ratio());
            let bytes = i64::try_from(change.bytes()).unwrap_or(i64::MAX);
            changed.get_or_create(&named).set(bytes);
        }
        if let Some(window) = context.log_windows.of(cluster) {
            earliest
                .get_or_create(&named)
                .set(window.earliest.seconds());
            latest.get_or_create(&named).set(window.latest.seconds());
        }
    }
    show_plans(metrics, &mut registry, &clusters.plans);
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry).expect("a String takes all");
    text
}

/// When a drill of a plan passed last. Until one did its age is the plan's: a plan that never tests
/// anything is as bad as one whose tests fail.
fn show_plans(metrics: &Metrics, registry: &mut Registry, plans: &[RestoreTestingPlan]) {
    let passed = Family::<OfPlan, Gauge>::default();
    registry.register(
        "drill_plan_last_success_timestamp_seconds",
        "When a drill of the restore testing plan passed last; until one did, when the plan was made",
        passed.clone(),
    );
    let last = |plan: &RestoreTestingPlan| plan.last_passed.unwrap_or(plan.created_at).seconds();
    for plan in plans {
        let of = OfPlan {
            account: plan.account.to_string(),
            region: plan.region.to_string(),
            plan: plan.name.clone(),
        };
        passed.get_or_create(&of).set(last(plan));
    }
    let oldest = plans.iter().map(last).min();
    metrics.drill_plans_oldest.set(oldest.unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_of_a_large_cluster_is_much() {
        let change = |before: u64, after: u64, same: u64| Change::between(before, after, same);
        let gib = (1_u64 << 30) / 8192;
        assert!(is_much(&change(4 * gib, 4 * gib, gib)));
        assert!(is_much(&change(4 * gib, gib, gib)), "what is gone counts");
        assert!(!is_much(&change(4 * gib, 4 * gib, 3 * gib)));
        assert!(!is_much(&change(100, 100, 0)), "all of a small one");
        assert!(!is_much(&change(0, 0, 0)));
    }
}
