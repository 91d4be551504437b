//! `DeleteDBClusterSnapshot`: deletes a manual snapshot, and cancels a copy.
//!
//! Source: API_DeleteDBClusterSnapshot. Only the record goes; what nothing reaches any more
//! is swept later, so no other snapshot is hurt.
use catalog::{CatalogExt, jobs, snapshots};
use model::{JobKind, SnapshotKind, SnapshotStatus, job::Subject};
use serde::Deserialize;

use crate::{
    action::{Action, ActionContext, Api},
    shapes::{SnapshotOutput, SnapshotRef},
};
use service::{
    events::kinds,
    fault::{Code, Fault},
    jobs::{JobType, copy_snapshot::CopySnapshot},
};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteDbClusterSnapshot {
    #[serde(rename = "DBClusterSnapshotIdentifier")]
    snapshot: String,
}

impl Action for DeleteDbClusterSnapshot {
    const NAME: &'static str = "DeleteDBClusterSnapshot";
    const API: Api = Api::Rds;
    type Output = SnapshotOutput;

    async fn run(self, cx: &ActionContext) -> Result<SnapshotOutput, Fault> {
        let parameter = "DBClusterSnapshotIdentifier";
        let wanted = SnapshotRef::asked(parameter, &self.snapshot, cx)?;
        let (caller, region) = (cx.caller.account.clone(), cx.region.clone());
        let deleted = cx
            .service
            .catalog
            .write(move |tx| {
                // Only the owner deletes, and only in the snapshot's own region.
                let snapshot = wanted.own(tx, &caller, &region)?.value;
                if snapshot.kind != SnapshotKind::Manual {
                    return Err(Fault::new(
                        Code::InvalidDbClusterSnapshotState,
                        "Only manual snapshots may be deleted.",
                    ));
                }
                match snapshot.status {
                    SnapshotStatus::Creating => {
                        return Err(Fault::new(
                            Code::InvalidDbClusterSnapshotState,
                            format!(
                                "Cannot delete the snapshot because it is being created: {}.",
                                snapshot.name
                            ),
                        ));
                    }
                    SnapshotStatus::Copying => {
                        let subject = Subject::snapshot(&region, &caller, &snapshot.name);
                        let copies = JobKind::of(CopySnapshot::NAME);
                        for job in jobs::of_subject(tx, &subject, &copies)? {
                            jobs::cancel(tx, job.id)?;
                        }
                    }
                    SnapshotStatus::Available | SnapshotStatus::Failed => {}
                }
                if snapshots::delete(tx, &region, &caller, &snapshot.name)? {
                    kinds::snapshot_gone(tx, &snapshot)?;
                }
                Ok(snapshot)
            })
            .await?;
        Ok(SnapshotOutput::of(&deleted))
    }
}
