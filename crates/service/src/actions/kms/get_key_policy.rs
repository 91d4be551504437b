//! `GetKeyPolicy`. A key has one policy, named `default`.
use serde::{Deserialize, Serialize};

use super::shared;
use crate::{
    action::{Action, Api, Cx, Output},
    fault::Fault,
};

/// The input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetKeyPolicy {
    key_id: String,
    #[serde(rename = "PolicyName")]
    _policy_name: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyPolicy {
    policy: String,
    policy_name: &'static str,
}

impl Output for KeyPolicy {}

impl Action for GetKeyPolicy {
    const NAME: &'static str = "GetKeyPolicy";
    const API: Api = Api::Kms;
    const READS: bool = true;
    type Output = KeyPolicy;

    async fn run(self, cx: &Cx) -> Result<KeyPolicy, Fault> {
        let key = shared::find_own(cx, &self.key_id, "kms:GetKeyPolicy").await?;
        Ok(KeyPolicy {
            policy: key.policy,
            policy_name: "default",
        })
    }
}
