//! `RotateKeyOnDemand`: new material now. What older material wrapped still opens.
use model::KeyManager;
use serde::{Deserialize, Serialize};

use super::shared;
use crate::{
    action::{Action, Api, Cx, Output},
    fault::Fault,
    keys::{self, Keys, Reason},
};

/// The input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RotateKeyOnDemand {
    key_id: String,
}

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Rotated {
    key_id: String,
}

impl Output for Rotated {}

impl Action for RotateKeyOnDemand {
    const NAME: &'static str = "RotateKeyOnDemand";
    const API: Api = Api::Kms;
    type Output = Rotated;

    async fn run(self, cx: &Cx) -> Result<Rotated, Fault> {
        shared::refuse_alias(&self.key_id)?;
        let key = shared::find_own(cx, &self.key_id, "kms:RotateKeyOnDemand").await?;
        if key.manager == KeyManager::Aws {
            return Err(shared::managed(&key, "kms:RotateKeyOnDemand"));
        }
        Keys::usable(&key)?;
        let rotated = keys::rotate(&cx.core, &key.arn(), Reason::Asked).await?;
        Ok(Rotated {
            key_id: rotated.arn().to_string(),
        })
    }
}
