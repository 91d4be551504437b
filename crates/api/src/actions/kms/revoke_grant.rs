//! `RevokeGrant`: those who manage a key end a grant on it.
use serde::Deserialize;

use crate::action::{Action, ActionContext, Api};
use crate::keys::{checks, crypto::unless_dry, grants, lookup};
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RevokeGrant {
    key_id: String,
    grant_id: String,
    dry_run: Option<bool>,
}

impl Action for RevokeGrant {
    const NAME: &'static str = "RevokeGrant";
    const API: Api = Api::Kms;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        checks::refuse_alias(&self.key_id)?;
        let key = lookup::find(cx, &self.key_id, "kms:RevokeGrant").await?;
        let grant = grants::get(cx, &key.arn(), &self.grant_id).await?;
        unless_dry(self.dry_run)?;
        grants::end(cx, grant).await
    }
}
