//! `GetKeyPolicy`. A key has one policy, named `default`.
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionContext, Api, Output};
use crate::keys::lookup;
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetKeyPolicy {
    key_id: String,
    #[serde(rename = "PolicyName")]
    _policy_name: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
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

    async fn run(self, cx: &ActionContext) -> Result<KeyPolicy, Fault> {
        let key = lookup::find_own(cx, &self.key_id, "kms:GetKeyPolicy").await?;
        Ok(KeyPolicy {
            policy: key.policy,
            policy_name: "default",
        })
    }
}
