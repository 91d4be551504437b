//! `ListBackupVaults`.
use catalog::{CatalogError, CatalogExt, keyed, recovery_points};
use model::{BackupVault, backup_vault::DEFAULT};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    backup::{
        faults, page,
        vaults::{ShownVault, VAULT_TYPE},
    },
};
use service::fault::Fault;

/// The types that the model has.
const TYPES: &[&str] = &[
    VAULT_TYPE,
    "LOGICALLY_AIR_GAPPED_BACKUP_VAULT",
    "RESTORE_ACCESS_BACKUP_VAULT",
];

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListBackupVaults {
    by_vault_type: Option<String>,
    by_shared: Option<bool>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Vaults {
    backup_vault_list: Vec<ShownVault>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Output for Vaults {
    const LAYOUT: Layout = Layout::Page("BackupVaultList");

    fn label(&self) -> Label {
        Label::Page {
            next: self.next_token.clone(),
        }
    }
}

impl Action for ListBackupVaults {
    const NAME: &'static str = "ListBackupVaults";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = Vaults;

    async fn run(self, cx: &ActionContext) -> Result<Vaults, Fault> {
        let wanted = self.by_vault_type.as_deref().unwrap_or(VAULT_TYPE);
        if !TYPES.contains(&wanted) {
            return Err(faults::invalid(
                "ByVaultType",
                format!("ByVaultType is none of {}.", TYPES.join(", ")),
            ));
        }
        // No vault is shared, and all are of one type.
        let none = self.by_shared == Some(true) || wanted != VAULT_TYPE;
        let all = if none { Vec::new() } else { all(cx).await? };
        let token = self.next_token.as_deref();
        let (found, next_token) =
            page::cut(all, self.max_results, token, |vault| vault.name.to_string())?;
        let (account, region) = (cx.caller.account.clone(), cx.region.clone());
        let counts = cx
            .service
            .catalog
            .read(move |tx| recovery_points::counts(tx, &region, &account));
        let counts = counts.await?;
        let count =
            |vault: &BackupVault| counts.get(vault.name.as_str()).copied().unwrap_or_default();
        Ok(Vaults {
            backup_vault_list: found
                .iter()
                .map(|one| ShownVault::of(one, count(one)))
                .collect(),
            next_token,
        })
    }
}

/// The caller's vaults of the region, by name.
async fn all(cx: &ActionContext) -> Result<Vec<BackupVault>, Fault> {
    let (account, region) = (cx.caller.account.clone(), cx.region.clone());
    let default = BackupVault::default_of(&region, &account);
    let found = cx.service.catalog.read(move |tx| {
        let rows = keyed::list::<BackupVault>(tx, &region, &[account.as_str()], usize::MAX)?;
        Ok::<_, CatalogError>(rows)
    });
    let mut all: Vec<BackupVault> = found.await?.into_iter().map(|row| row.value).collect();
    if all.iter().all(|vault| vault.name.as_str() != DEFAULT) {
        all.push(default);
        all.sort_by(|one, other| one.name.cmp(&other.name));
    }
    Ok(all)
}
