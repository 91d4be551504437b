//! `DescribeDBClusterSnapshotAttributes`: whom a snapshot is shared with. Its owner's to know.
use catalog::{CatalogExt, Stored, Tx, snapshots};
use model::{Account, Region, Snapshot};
use serde::Deserialize;

use crate::{
    action::{Action, Api, Cx},
    fault::{Code, Fault},
    shapes::{self, AttributesOutput, SnapshotRef},
};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub struct DescribeDbClusterSnapshotAttributes {
    #[serde(rename = "DBClusterSnapshotIdentifier")]
    snapshot: String,
}

impl Action for DescribeDbClusterSnapshotAttributes {
    const NAME: &'static str = "DescribeDBClusterSnapshotAttributes";
    const API: Api = Api::Rds;
    const READS: bool = true;
    type Output = AttributesOutput;

    async fn run(self, cx: &Cx) -> Result<AttributesOutput, Fault> {
        let wanted = shapes::snapshot_ref(
            "DBClusterSnapshotIdentifier",
            &self.snapshot,
            &cx.caller.account,
            &cx.region,
        )?;
        let (caller, region) = (cx.caller.account.clone(), cx.region.clone());
        let found = cx
            .core
            .catalog
            .read(move |tx| own(tx, &wanted, &caller, &region))
            .await?;
        Ok(AttributesOutput::of(&found.value))
    }
}

/// The caller's own snapshot in the asked region; any other does not exist.
pub(super) fn own(
    tx: &mut dyn Tx,
    wanted: &SnapshotRef,
    caller: &Account,
    region: &Region,
) -> Result<Stored<Snapshot>, Fault> {
    let mine = wanted.account == *caller && wanted.region == *region;
    let found = if mine {
        snapshots::get(tx, region, caller, &wanted.name)?
    } else {
        None
    };
    found.ok_or_else(|| {
        Fault::new(
            Code::DbClusterSnapshotNotFound,
            format!("DBClusterSnapshot not found: {}", wanted.given),
        )
    })
}
