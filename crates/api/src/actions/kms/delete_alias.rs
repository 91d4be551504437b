//! `DeleteAlias`: the key stays.
use catalog::{CatalogExt, keys as rows};
use model::Arn;
use serde::Deserialize;

use crate::action::{Action, ActionContext, Api};
use crate::keys::{checks, lookup};
use service::fault::{Code, Fault};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteAlias {
    alias_name: String,
}

impl Action for DeleteAlias {
    const NAME: &'static str = "DeleteAlias";
    const API: Api = Api::Kms;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        checks::alias_name(&self.alias_name)?;
        let key = lookup::find_own(cx, &self.alias_name, "kms:DeleteAlias").await?;
        let name = self.alias_name;
        cx.service
            .catalog
            .write(move |tx| {
                let (region, account) = (&key.region, &key.account);
                let now = rows::get_alias(tx, region, account, &name)?;
                let there = now.is_some_and(|alias| alias.key_id == key.id)
                    && rows::delete_alias(tx, region, account, &name)?;
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
