//! `CreateAlias`.
use catalog::{CatalogError, CatalogExt, keys as rows};
use model::{Arn, KeyState};
use serde::Deserialize;

use super::shared;
use crate::{
    action::{Action, Api, Cx},
    fault::{Code, Fault},
};

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

    async fn run(self, cx: &Cx) -> Result<(), Fault> {
        kms::check_alias(&self.alias_name).map_err(|error| {
            Fault::new(
                Code::KmsInvalidAliasName,
                format!("Invalid AliasName: {error}."),
            )
        })?;
        let key = shared::find(cx, &self.target_key_id, "kms:CreateAlias").await?;
        if key.account != cx.caller.account {
            return Err(Fault::new(
                Code::KmsNotFound,
                format!("Key '{}' is not in your account.", key.arn()),
            ));
        }
        if key.state == KeyState::PendingDeletion {
            return Err(Fault::new(
                Code::KmsInvalidState,
                format!("{} is pending deletion.", key.arn()),
            ));
        }
        let now = cx.core.now();
        let alias = rows::Alias {
            region: key.region,
            account: key.account,
            name: self.alias_name,
            key_id: key.id,
            created_at: now,
            updated_at: now,
        };
        cx.core
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
