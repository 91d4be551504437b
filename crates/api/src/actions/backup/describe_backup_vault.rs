//! `DescribeBackupVault`.
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
        // No vault is shown to another account.
        let owner = self.backup_vault_account_id.as_deref();
        if owner.is_some_and(|owner| owner != cx.caller.account.as_str()) {
            return Err(vaults::missing(name));
        }
        let vault = vaults::find(cx, name, "backup:DescribeBackupVault").await?;
        Ok(ShownVault::of(&vault, 0))
    }
}
