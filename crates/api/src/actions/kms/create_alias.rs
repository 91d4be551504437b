//! `CreateAlias`.
use catalog::{CatalogError, CatalogExt, keys as rows};
use model::Arn;
use serde::Deserialize;

use crate::action::{Action, ActionContext, Api};
use crate::keys::{checks, lookup};
use service::fault::{Code, Fault};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateAlias {
    alias_name: String,
    target_key_id: String,
}

impl Action for CreateAlias {
    const NAME: &'static str = "CreateAlias";
    const API: Api = Api::Kms;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        checks::alias_name(&self.alias_name)?;
        let key = lookup::find_own(cx, &self.target_key_id, "kms:CreateAlias").await?;
        checks::not_pending(&key)?;
        let now = cx.service.now();
        let alias = rows::Alias {
            region: key.region,
            account: key.account,
            name: self.alias_name,
            key_id: key.id,
            created_at: now,
            updated_at: now,
        };
        cx.service
            .catalog
            .write(move |tx| match rows::insert_alias(tx, &alias) {
                Err(CatalogError::Conflict { .. }) => Err(Fault::new(
                    Code::KmsAlreadyExists,
                    format!(
                        "An alias with the name {} already exists",
                        Arn::kms(&alias.region, &alias.account, &alias.name)
                    ),
                )),
                other => Ok(other?),
            })
            .await
    }
}
