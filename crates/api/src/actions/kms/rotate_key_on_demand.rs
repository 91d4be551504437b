//! `RotateKeyOnDemand`: new material now. What older material wrapped still opens.
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionContext, Api, Output};
use crate::keys::{checks, lookup};
use service::{
    fault::Fault,
    keys::kms_fault,
    keys::{Keys, Reason},
};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RotateKeyOnDemand {
    key_id: String,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Rotated {
    key_id: String,
}

impl Output for Rotated {}

impl Action for RotateKeyOnDemand {
    const NAME: &'static str = "RotateKeyOnDemand";
    const API: Api = Api::Kms;
    type Output = Rotated;

    async fn run(self, cx: &ActionContext) -> Result<Rotated, Fault> {
        let key = lookup::find_changeable(cx, &self.key_id, "kms:RotateKeyOnDemand").await?;
        checks::rotates(&key)?;
        checks::not_replica(&key)?;
        Keys::usable(&key).map_err(kms_fault)?;
        let rotated = cx.service.kms.rotate(&key.arn(), Reason::Asked).await?;
        Ok(Rotated {
            key_id: rotated.arn().to_string(),
        })
    }
}
