//! `DescribeDBClusterSnapshotCosts`: what snapshots reach in the vault, what no other needs, and what
//! their deletion frees; of each, and of all that have a tag's value in common.
//!
//! Of a snapshot that another account shares only what it reaches is told: what else its owner keeps is
//! its owner's to know.
use std::collections::BTreeMap;

use catalog::{
    CatalogExt,
    snapshots::{self, Selection},
};
use model::{Snapshot, limits::WEIGHED_SNAPSHOTS_MAX};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Output},
    shapes::{ClusterRef, SnapshotRef},
};
use service::{
    analysis::costs::{self, SetWeight, Weight},
    fault::Fault,
};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDbClusterSnapshotCosts {
    /// One snapshot: the caller's by its name, a shared one by its ARN.
    #[serde(rename = "DBClusterSnapshotIdentifier")]
    snapshot: Option<String>,
    /// The caller's snapshots of one cluster. Without either, all of the region.
    #[serde(rename = "DBClusterIdentifier")]
    cluster: Option<String>,
    /// A tag by whose values they are summed up.
    tag_key: Option<String>,
}

/// The answer. All sizes are bytes of the vault.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Costs {
    snapshots: Vec<SnapshotCost>,
    /// By the values of the tag, when one is given.
    sets: Vec<SetCost>,
    /// Of all that were weighed.
    total: SetCost,
}

impl Output for Costs {}

/// What one snapshot costs.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct SnapshotCost {
    #[serde(rename = "DBClusterSnapshotIdentifier")]
    id: String,
    #[serde(rename = "DBClusterSnapshotArn")]
    arn: String,
    status: &'static str,
    /// The cluster's files, before compression. None of a snapshot that has no bytes yet, as all that follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_logical: Option<u64>,
    /// All that it reaches, whatever else reaches it.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_referenced: Option<u64>,
    /// What no other snapshot reaches.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_unique: Option<u64>,
    /// What its deletion alone frees.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_freed: Option<u64>,
    /// Its cluster compares the next snapshot with it: until then its deletion frees nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_base_of_cluster: Option<bool>,
}

/// What several snapshots cost together.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct SetCost {
    /// The tag's value; none of those without the tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    tag_value: Option<String>,
    snapshot_count: usize,
    /// All that they reach, each object once.
    bytes_referenced: u64,
    /// What is freed when all of them are deleted.
    bytes_freed: u64,
}

impl Action for DescribeDbClusterSnapshotCosts {
    const NAME: &'static str = "DescribeDBClusterSnapshotCosts";
    const API: Api = Api::Snapferry;
    const READS: bool = true;
    type Output = Costs;

    async fn run(self, cx: &ActionContext) -> Result<Costs, Fault> {
        let caller = &cx.caller.account;
        let found = self.wanted(cx).await?;
        if let [shared] = found.as_slice()
            && shared.account != *caller
        {
            return Ok(of_another(shared));
        }
        let (values, mut sets) = self.sets(&found);
        sets.push((0..found.len()).collect());
        let counts: Vec<usize> = sets.iter().map(Vec::len).collect();
        let weighed = costs::weigh(&cx.service, caller, &cx.region, found.clone(), sets).await?;
        let rows = found.iter().zip(weighed.snapshots);
        let snapshots = rows.map(|(row, weight)| SnapshotCost::of(row, weight));
        let sums = counts.iter().zip(weighed.sets);
        let mut sets: Vec<SetCost> = values
            .into_iter()
            .chain([None])
            .zip(sums)
            .map(|(value, (count, weight))| SetCost::of(value, *count, weight))
            .collect();
        let total = sets.pop().expect("the last one was added here");
        Ok(Costs {
            snapshots: snapshots.collect(),
            sets,
            total,
        })
    }
}

impl DescribeDbClusterSnapshotCosts {
    async fn wanted(&self, cx: &ActionContext) -> Result<Vec<Snapshot>, Fault> {
        let (caller, region) = (cx.caller.account.clone(), cx.region.clone());
        if let Some(given) = &self.snapshot {
            if self.cluster.is_some() {
                return Err(Fault::combination(
                    "Give a DBClusterSnapshotIdentifier or a DBClusterIdentifier, not both.",
                ));
            }
            let wanted = SnapshotRef::asked("DBClusterSnapshotIdentifier", given, cx)?;
            let missing = wanted.not_found();
            let found = cx.service.catalog.point_read(move |tx| wanted.get(tx));
            let found = found.await?.map(|stored| stored.value);
            let found = found.filter(|one| one.region == region && one.is_open_to(&caller));
            return Ok(vec![found.ok_or(missing)?]);
        }
        let mut selection = Selection {
            owned_by: Some(caller),
            ..Selection::default()
        };
        if let Some(cluster) = &self.cluster {
            match ClusterRef::asked("DBClusterIdentifier", cluster, cx)?.filter(&region) {
                Some(wanted) => selection.clusters = vec![wanted],
                None => return Ok(Vec::new()),
            }
        }
        let read = move |tx: &mut dyn catalog::Tx| {
            snapshots::page(tx, &region, &selection, None, WEIGHED_SNAPSHOTS_MAX + 1)
        };
        let found = cx.service.catalog.read(read).await?;
        Ok(found.into_iter().map(|stored| stored.value).collect())
    }

    /// The values of the tag, and who has each; first those who have none.
    fn sets(&self, found: &[Snapshot]) -> (Vec<Option<String>>, Vec<Vec<usize>>) {
        let mut sets: BTreeMap<Option<String>, Vec<usize>> = BTreeMap::new();
        if let Some(key) = &self.tag_key {
            for (place, snapshot) in found.iter().enumerate() {
                let tag = snapshot.tags.iter().find(|tag| tag.key == *key);
                let value = tag.map(|tag| tag.value.clone());
                sets.entry(value).or_default().push(place);
            }
        }
        sets.into_iter().unzip()
    }
}

/// What is told of another account's snapshot.
fn of_another(shared: &Snapshot) -> Costs {
    let referenced = shared.content.as_ref().map(|content| content.stored_bytes);
    let weight = SetWeight {
        referenced: referenced.unwrap_or(0),
        freed: 0,
    };
    let mut row = SnapshotCost::of(shared, None);
    row.id = shared.arn().to_string();
    row.bytes_referenced = referenced;
    Costs {
        snapshots: vec![row],
        sets: Vec::new(),
        total: SetCost::of(None, 1, weight),
    }
}

impl SnapshotCost {
    fn of(record: &Snapshot, weight: Option<Weight>) -> Self {
        Self {
            id: record.name.to_string(),
            arn: record.arn().to_string(),
            status: record.status.as_str(),
            bytes_logical: record.content.as_ref().map(|one| one.logical_bytes),
            bytes_referenced: weight.map(|weight| weight.referenced),
            bytes_unique: weight.map(|weight| weight.unique),
            bytes_freed: weight.map(|weight| weight.freed),
            is_base_of_cluster: weight.map(|weight| weight.is_base),
        }
    }
}

impl SetCost {
    fn of(tag_value: Option<String>, snapshot_count: usize, weight: SetWeight) -> Self {
        Self {
            tag_value,
            snapshot_count,
            bytes_referenced: weight.referenced,
            bytes_freed: weight.freed,
        }
    }
}
