//! A vault's access policy. Its owner can always read, change and delete it.
//!
//! Sources: API_PutBackupVaultAccessPolicy and its likes.
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Output},
    backup::{faults, vaults},
};
use service::fault::Fault;

/// Writes one.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct PutBackupVaultAccessPolicy {
    backup_vault_name: String,
    policy: Option<String>,
}

impl Action for PutBackupVaultAccessPolicy {
    const NAME: &'static str = "PutBackupVaultAccessPolicy";
    const API: Api = Api::Backup;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let policy = self.policy.ok_or_else(|| faults::missing("Policy"))?;
        vaults::policy(&policy)?;
        let changed = vaults::change(cx, &self.backup_vault_name, move |vault| {
            vault.policy = Some(policy.clone());
            Ok(())
        });
        changed.await.map(drop)
    }
}

/// Reads it.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetBackupVaultAccessPolicy {
    backup_vault_name: String,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AccessPolicy {
    backup_vault_name: String,
    backup_vault_arn: String,
    policy: String,
}

impl Output for AccessPolicy {}

impl Action for GetBackupVaultAccessPolicy {
    const NAME: &'static str = "GetBackupVaultAccessPolicy";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = AccessPolicy;

    async fn run(self, cx: &ActionContext) -> Result<AccessPolicy, Fault> {
        let name = &self.backup_vault_name;
        let vault = vaults::find_whatever_its_policy(cx, name).await?;
        let (backup_vault_name, backup_vault_arn) =
            (vault.name.to_string(), vault.arn().to_string());
        let policy = vault.policy.ok_or_else(|| {
            let message = format!("Backup vault {backup_vault_name} has no access policy.");
            faults::not_found(name, message)
        })?;
        Ok(AccessPolicy {
            backup_vault_name,
            backup_vault_arn,
            policy,
        })
    }
}

/// Deletes it; one that is not there is as good as deleted.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteBackupVaultAccessPolicy {
    backup_vault_name: String,
}

impl Action for DeleteBackupVaultAccessPolicy {
    const NAME: &'static str = "DeleteBackupVaultAccessPolicy";
    const API: Api = Api::Backup;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let changed = vaults::change(cx, &self.backup_vault_name, |vault| {
            vault.policy = None;
            Ok(())
        });
        changed.await.map(drop)
    }
}
