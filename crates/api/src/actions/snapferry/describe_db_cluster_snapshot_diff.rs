//! `DescribeDBClusterSnapshotDiff`: what changed between two snapshots of one lineage, by database,
//! relation and fork, from their block lists alone.
//!
//! Who may copy a snapshot may compare it: the caller must see both, and be able to use the keys of
//! those that are encrypted.
use catalog::CatalogExt;
use model::{Snapshot, SnapshotStatus, limits::BLOCK_BYTES};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Output},
    shapes::SnapshotRef,
};
use service::{
    analysis::diff::{self, Blocks, Changes, Opened},
    fault::Fault,
    keys::RdsUse,
};

/// Relations that are told unless another number is asked for, and at most.
const RELATIONS: usize = 100;
const RELATIONS_MAX: usize = 10_000;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub struct DescribeDbClusterSnapshotDiff {
    /// The snapshot that is compared with: a name, or an ARN.
    #[serde(rename = "BaseDBClusterSnapshotIdentifier")]
    base: String,
    /// The snapshot of which it is told what changed, in the same region.
    #[serde(rename = "DBClusterSnapshotIdentifier")]
    snapshot: String,
    /// How many relations are told at most, those that changed most [default: 100].
    #[serde(rename = "MaxRecords")]
    max_records: Option<i64>,
}

/// The answer. All numbers count blocks.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Diff {
    #[serde(rename = "BaseDBClusterSnapshotArn")]
    base: String,
    #[serde(rename = "DBClusterSnapshotArn")]
    snapshot: String,
    /// Bytes of a block.
    block_bytes: usize,
    total: BlockCounts,
    /// Unchanged ones too.
    databases: Vec<DatabaseDiff>,
    /// Those in which something changed, what changed most first.
    relations: Vec<RelationDiff>,
    /// How many more there are.
    relations_left_out: usize,
    /// Files that are no relation's.
    other: BlockCounts,
}

impl Output for Diff {}

/// Blocks of 8 KiB.
#[derive(Debug, Clone, Copy, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct BlockCounts {
    /// In the base.
    before: u64,
    /// In the snapshot.
    after: u64,
    /// In both, with other content.
    changed: u64,
    /// Only in the snapshot.
    added: u64,
    /// Only in the base.
    removed: u64,
}

impl BlockCounts {
    fn of(blocks: Blocks) -> Self {
        Self {
            before: blocks.before,
            after: blocks.after,
            changed: blocks.changed,
            added: blocks.added,
            removed: blocks.removed,
        }
    }
}

/// A database.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct DatabaseDiff {
    /// As its files name it.
    database: String,
    /// What it is called, where that is something else and the snapshot tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    database_name: Option<String>,
    blocks: BlockCounts,
}

/// A fork of a table or an index.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct RelationDiff {
    database: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    database_name: Option<String>,
    /// As its files name it.
    relation: String,
    fork: &'static str,
    blocks: BlockCounts,
}

impl Action for DescribeDbClusterSnapshotDiff {
    const NAME: &'static str = "DescribeDBClusterSnapshotDiff";
    const API: Api = Api::Snapferry;
    const READS: bool = true;
    type Output = Diff;

    async fn run(self, cx: &ActionContext) -> Result<Diff, Fault> {
        let relations_max = relations_max(self.max_records)?;
        let base = find(cx, "BaseDBClusterSnapshotIdentifier", &self.base).await?;
        let snapshot = find(cx, "DBClusterSnapshotIdentifier", &self.snapshot).await?;
        let sides = (open(cx, &base).await?, open(cx, &snapshot).await?);
        let (caller, engine) = (&cx.caller.account, &snapshot.engine);
        let compared =
            diff::compare(&cx.service, caller, &cx.region, engine, sides.0, sides.1).await?;
        let changes = compared.ok_or_else(|| {
            Fault::combination(format!(
                "The snapshots {} and {} cannot be compared: they have no snapshot in common that they \
                 come from. Snapshots of one cluster can be, and copies of them.",
                base.name, snapshot.name
            ))
        })?;
        Ok(Diff::of(&base, &snapshot, changes, relations_max))
    }
}

fn relations_max(asked: Option<i64>) -> Result<usize, Fault> {
    let Some(asked) = asked else {
        return Ok(RELATIONS);
    };
    let read = usize::try_from(asked).ok();
    read.filter(|asked| (1..=RELATIONS_MAX).contains(asked))
        .ok_or_else(|| {
            Fault::value(format!(
                "Invalid value {asked} for MaxRecords. Must be between 1 and {RELATIONS_MAX}"
            ))
        })
}

/// A snapshot of the called region; what the caller may not see does not exist.
async fn find(cx: &ActionContext, parameter: &str, given: &str) -> Result<Snapshot, Fault> {
    let wanted = SnapshotRef::asked(parameter, given, cx)?;
    let missing = wanted.not_found();
    let found = cx.service.catalog.point_read(move |tx| wanted.get(tx));
    let found = found.await?.map(|stored| stored.value);
    found
        .filter(|one| one.region == cx.region && one.is_open_to(&cx.caller.account))
        .ok_or(missing)
}

async fn open(cx: &ActionContext, snapshot: &Snapshot) -> Result<Opened, Fault> {
    let whole = snapshot.status == SnapshotStatus::Available;
    let content = snapshot.content.clone().filter(|_| whole);
    let content = content.ok_or_else(|| Fault::not_available("compare", snapshot))?;
    let keys = RdsUse::new(&*cx.service.keys, &cx.caller.account, &cx.region);
    let data_key = match &content.wrapped_key {
        Some(wrapped) => Some(keys.unwrap_source(wrapped).await?),
        None => None,
    };
    Ok(Opened { content, data_key })
}

impl Diff {
    fn of(base: &Snapshot, snapshot: &Snapshot, changes: Changes, relations_max: usize) -> Self {
        let name_of = |database: &str| changes.database_names.get(database).cloned();
        let databases = changes.databases.iter().map(|(database, blocks)| {
            let (database, database_name) = (database.clone(), name_of(database));
            let blocks = BlockCounts::of(*blocks);
            DatabaseDiff {
                database,
                database_name,
                blocks,
            }
        });
        let told = changes.relations.iter().take(relations_max);
        let relations = told.map(|(part, blocks)| RelationDiff {
            database: part.database.clone(),
            database_name: name_of(&part.database),
            relation: part.relation.clone(),
            fork: part.fork,
            blocks: BlockCounts::of(*blocks),
        });
        Self {
            base: base.arn().to_string(),
            snapshot: snapshot.arn().to_string(),
            block_bytes: BLOCK_BYTES,
            total: BlockCounts::of(changes.total),
            databases: databases.collect(),
            relations: relations.collect(),
            relations_left_out: changes.relations.len().saturating_sub(relations_max),
            other: BlockCounts::of(changes.other),
        }
    }
}
