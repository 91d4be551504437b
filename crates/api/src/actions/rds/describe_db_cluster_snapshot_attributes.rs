//! `DescribeDBClusterSnapshotAttributes`: whom a snapshot is shared with. Its owner's to know.
use catalog::CatalogExt;
use serde::Deserialize;

use crate::{
    action::{Action, ActionContext, Api},
    shapes::{AttributesOutput, SnapshotRef},
};
use service::fault::Fault;

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

    async fn run(self, cx: &ActionContext) -> Result<AttributesOutput, Fault> {
        let wanted = SnapshotRef::asked("DBClusterSnapshotIdentifier", &self.snapshot, cx)?;
        let (caller, region) = (cx.caller.account.clone(), cx.region.clone());
        let found = cx
            .service
            .catalog
            .read(move |tx| wanted.own(tx, &caller, &region))
            .await?;
        Ok(AttributesOutput::of(&found.value))
    }
}
