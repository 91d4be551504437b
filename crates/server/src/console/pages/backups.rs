//! The last good snapshots of clusters, here and in other regions.
//!
//! The API lists snapshots by name, not by age. Of automated ones a cluster has about one for each day
//! that they are kept; of manual ones there may be any number, so only some are looked at, and it is
//! told when there are more.
use std::collections::HashMap;

use api::Api;
use model::Region;
use serde_json::{Value, json};

use crate::console::{
    refusal::Refusal,
    shapes::{Cluster, Snapshot, Snapshots, SourceRegions},
    visit::Visit,
};

/// Pages of a list of snapshots that are looked at.
const LOOKS_MAX: usize = 3;
/// The same where all of an account's are asked for.
const LOOKS_AT_ALL_MAX: usize = 20;

/// The last good snapshots, by the clusters' names for life.
#[derive(Debug)]
pub(super) struct Newest {
    of: HashMap<String, Snapshot>,
    /// Whether all there are were looked at.
    pub(super) all: bool,
}

impl Newest {
    fn among(snapshots: Vec<Snapshot>, all: bool) -> Self {
        let mut of: HashMap<String, Snapshot> = HashMap::new();
        for snapshot in snapshots.into_iter().filter(Snapshot::is_good) {
            let id = &snapshot.db_cluster_resource_id;
            if (of.get(id)).is_none_or(|known| known.taken_at() < snapshot.taken_at()) {
                of.insert(id.clone(), snapshot);
            }
        }
        Self { of, all }
    }

    /// A cluster's.
    pub(super) fn of(&self, cluster: &Cluster) -> Option<&Snapshot> {
        self.of.get(&cluster.db_cluster_resource_id)
    }
}

/// Those of a cluster in its own region.
///
/// # Errors
/// The API's.
pub(super) async fn of_cluster(visit: &Visit<'_>, cluster: &Cluster) -> Result<Newest, Refusal> {
    let (found, all) = all_of(visit, &cluster.db_cluster_resource_id).await?;
    Ok(Newest::among(found, all))
}

/// The copies of clusters' snapshots in another region.
///
/// # Errors
/// The API's.
pub(super) async fn elsewhere(
    visit: &Visit<'_>,
    region: &Region,
    clusters: &[Cluster],
) -> Result<Newest, Refusal> {
    let names: Vec<&str> = clusters.iter().map(|cluster| cluster.id.as_str()).collect();
    let (found, all) = look(visit, region, named(&names)).await?;
    Ok(Newest::among(found, all))
}

/// The snapshots of a cluster, by its name for life; false when there are more than were looked at.
async fn all_of(visit: &Visit<'_>, cluster: &str) -> Result<(Vec<Snapshot>, bool), Refusal> {
    let (mut found, mut all) = (Vec::new(), true);
    for kind in ["automated", "manual"] {
        let asked = json!({ "DbClusterResourceId": cluster, "SnapshotType": kind });
        let (more, whole) = look(visit, &visit.region, asked).await?;
        found.extend(more);
        all &= whole;
    }
    Ok((found, all))
}

/// What hangs together with a snapshot.
pub(super) struct Family {
    /// Copies of it, with their regions.
    pub(super) copies: Vec<(Region, Snapshot)>,
    /// Other snapshots of its cluster in its region that can be restored.
    pub(super) others_good: usize,
    /// Whether all there are were looked at.
    pub(super) all: bool,
}

/// The copies of a snapshot here and elsewhere, and how many others its cluster has.
///
/// # Errors
/// The API's.
pub(super) async fn family(visit: &Visit<'_>, snapshot: &Snapshot) -> Result<Family, Refusal> {
    let (here, mut all) = all_of(visit, &snapshot.db_cluster_resource_id).await?;
    let is_copy = |other: &Snapshot| other.source_arn.as_ref() == Some(&snapshot.arn);
    let others = here.iter().filter(|other| other.arn != snapshot.arn);
    let others_good = others.filter(|other| other.is_good()).count();
    let in_region = |region: &Region, found: Vec<Snapshot>| {
        let copies = found.into_iter().filter(is_copy);
        copies
            .map(|copy| (region.clone(), copy))
            .collect::<Vec<_>>()
    };
    let mut copies = in_region(&visit.region, here);
    for region in other_regions(visit).await? {
        let asked = named(&[&snapshot.cluster]);
        let (found, whole) = look(visit, &region, asked).await?;
        copies.extend(in_region(&region, found));
        all &= whole;
    }
    Ok(Family {
        copies,
        others_good,
        all,
    })
}

/// The account's snapshots in the region; false when there are more than were looked at.
///
/// # Errors
/// The API's.
pub(super) async fn everything(visit: &Visit<'_>) -> Result<(Vec<Snapshot>, bool), Refusal> {
    look_at(visit, &visit.region, json!({}), LOOKS_AT_ALL_MAX).await
}

/// What asks for the snapshots of clusters of these names.
fn named(clusters: &[&str]) -> Value {
    json!({ "Filters": [{ "Name": "db-cluster-id", "Values": clusters }] })
}

async fn look(
    visit: &Visit<'_>,
    region: &Region,
    asked: Value,
) -> Result<(Vec<Snapshot>, bool), Refusal> {
    look_at(visit, region, asked, LOOKS_MAX).await
}

async fn look_at(
    visit: &Visit<'_>,
    region: &Region,
    mut asked: Value,
    looks: usize,
) -> Result<(Vec<Snapshot>, bool), Refusal> {
    let mut found = Vec::new();
    for _ in 0..looks {
        let action = "DescribeDBClusterSnapshots";
        let page: Snapshots = visit
            .ask_in(region, Api::Rds, action, asked.clone())
            .await?;
        found.extend(page.snapshots);
        match page.marker {
            Some(marker) => asked["Marker"] = json!(marker),
            None => return Ok((found, true)),
        }
    }
    Ok((found, false))
}

/// The regions that copies can lie in and that this deployment can be asked about.
///
/// # Errors
/// The API's.
pub(super) async fn other_regions(visit: &Visit<'_>) -> Result<Vec<Region>, Refusal> {
    let peers = &visit.backend.service.context().settings.peers;
    let asked = json!({});
    let found: SourceRegions = visit.ask(Api::Rds, "DescribeSourceRegions", asked).await?;
    let names = found
        .source_regions
        .iter()
        .map(|region| region.region_name.parse());
    Ok(names
        .filter_map(Result::ok)
        .filter(|region: &Region| !peers.contains_key(region))
        .collect())
}
