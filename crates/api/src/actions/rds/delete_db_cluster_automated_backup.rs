//! `DeleteDBClusterAutomatedBackup`: deletes what a deleted cluster left behind, before it expires.
//!
//! Source: API_DeleteDBClusterAutomatedBackup.
use catalog::CatalogExt;
use serde::{Deserialize, Serialize};

use super::describe_db_cluster_automated_backups::{Found, all, missing};
use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    shapes::DbClusterAutomatedBackup,
};
use service::{
    backups::retained,
    fault::{Code, Fault},
};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteDbClusterAutomatedBackup {
    db_cluster_resource_id: String,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Deleted {
    #[serde(rename = "DBClusterAutomatedBackup")]
    backup: DbClusterAutomatedBackup,
    #[serde(skip)]
    id: String,
}

impl Output for Deleted {
    const LAYOUT: Layout = Layout::Resource("DBClusterAutomatedBackup");

    fn label(&self) -> Label {
        Label::Resource {
            id: self.id.clone(),
            created_at: None,
        }
    }
}

impl Action for DeleteDbClusterAutomatedBackup {
    const NAME: &'static str = "DeleteDBClusterAutomatedBackup";
    const API: Api = Api::Rds;
    type Output = Deleted;

    async fn run(self, cx: &ActionContext) -> Result<Deleted, Fault> {
        let (region, account) = (cx.region.clone(), cx.caller.account.clone());
        let limit = cx.service.settings.clusters_max + 1;
        let given = self.db_cluster_resource_id.clone();
        let backup = cx
            .service
            .catalog
            .write(move |tx| {
                let found = all(tx, &region, &account, limit)?;
                let found = found.into_iter().find(|one| one.is_of(&given));
                match found.ok_or_else(|| missing(&given))? {
                    Found::Active(..) => Err(Fault::new(
                        Code::InvalidDbClusterAutomatedBackupState,
                        "Automated backups of a DB cluster that exists cannot be deleted: delete the cluster first.",
                    )),
                    Found::Retained(backup) if backup.is_brought() => Err(Fault::new(
                        Code::InvalidDbClusterAutomatedBackupState,
                        "Automated backups that are brought from another region cannot be deleted: end their replication first.",
                    )),
                    Found::Retained(backup) => {
                        retained::delete(tx, &backup)?;
                        Ok(DbClusterAutomatedBackup::retained(&backup))
                    }
                }
            })
            .await?;
        Ok(Deleted {
            backup,
            id: self.db_cluster_resource_id,
        })
    }
}
