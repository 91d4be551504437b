//! `UpdateAlias`: lets an alias stand for another key.
use catalog::{CatalogExt, keys as rows};
use model::Arn;
use serde::Deserialize;

use crate::action::{Action, ActionContext, Api};
use crate::keys::{checks, lookup};
use service::fault::{Code, Fault};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateAlias {
    alias_name: String,
    target_key_id: String,
}

impl Action for UpdateAlias {
    const NAME: &'static str = "UpdateAlias";
    const API: Api = Api::Kms;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        checks::alias_name(&self.alias_name)?;
        // Both the key that the alias stands for and the one it is to stand for have a say.
        let old = lookup::find_own(cx, &self.alias_name, "kms:UpdateAlias").await?;
        checks::refuse_alias(&self.target_key_id)?;
        let key = lookup::find_own(cx, &self.target_key_id, "kms:UpdateAlias").await?;
        checks::not_pending(&key)?;
        let name = self.alias_name;
        cx.service
            .catalog
            .write(move |tx| {
                let (region, account) = (&key.region, &key.account);
                let now = rows::get_alias(tx, region, account, &name)?;
                let there = now.is_some_and(|alias| alias.key_id == old.id)
                    && rows::update_alias(tx, region, account, &name, &key.id)?;
                if there {
                    return Ok(());
                }
                Err(Fault::new(
                    Code::KmsNotFound,
                    format!("Alias {} is not found.", Arn::kms(region, account, &name)),
                ))
            })
            .await
    }
}
