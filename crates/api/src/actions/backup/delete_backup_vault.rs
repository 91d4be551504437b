//! `DeleteBackupVault`.
use catalog::{CatalogExt, keyed, recovery_points};
use model::backup_vault::DEFAULT;
use serde::Deserialize;

use crate::{
    action::{Action, ActionContext, Api},
    backup::{faults, vaults},
};
use service::{
    events::{self, backup::Change},
    fault::Fault,
};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteBackupVault {
    backup_vault_name: String,
}

impl Action for DeleteBackupVault {
    const NAME: &'static str = "DeleteBackupVault";
    const API: Api = Api::Backup;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let name = vaults::name(&self.backup_vault_name)?;
        if name.as_str() == DEFAULT {
            return Err(faults::refused(
                DEFAULT,
                "The Default backup vault cannot be deleted.",
            ));
        }
        let (account, region) = (cx.caller.account.clone(), cx.region.clone());
        cx.service
            .catalog
            .write(move |tx| {
                let vault = vaults::get(tx, &region, &account, &name)?.value;
                vaults::not_denied(&vault, "backup:DeleteBackupVault")?;
                if recovery_points::count(tx, (&region, &account), &name)? != 0 {
                    return Err(faults::refused(
                        name.as_str(),
                        format!(
                            "Backup vault {name} cannot be deleted because it contains recovery points."
                        ),
                    ));
                }
                keyed::delete(tx, &vault)?;
                events::backup::vault(tx, &vault, Change::Deleted)?;
                Ok(())
            })
            .await
    }
}
