//! `DescribeBackupVault`.
use catalog::{CatalogExt, recovery_points};
use serde::Deserialize;

use crate::{
    action::{Action, ActionContext, Api, Output},
    backup::vaults::{self, ShownVault},
};
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeBackupVault {
    backup_vault_name: String,
    backup_vault_account_id: Option<String>,
}

impl Output for ShownVault {}

impl Action for DescribeBackupVault {
    const NAME: &'static str = "DescribeBackupVault";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = ShownVault;

    async fn run(self, cx: &ActionContext) -> Result<ShownVault, Fault> {
        let name = &self.backup_vault_name;
        vaults::is_own(cx, name, self.backup_vault_account_id.as_deref())?;
        let vault = vaults::find(cx, name, "backup:DescribeBackupVault").await?;
        let held = vault.clone();
        let points = cx
            .service
            .catalog
            .read(move |tx| recovery_points::count(tx, (&held.region, &held.account), &held.name));
        Ok(ShownVault::of(&vault, points.await?))
    }
}
