//! `ListKeyPolicies`: a key has one policy, named `default`.
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionContext, Api, Output};
use crate::keys::{checks, lookup};
use service::fault::Fault;

/// The input. There is but one page.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListKeyPolicies {
    key_id: String,
    limit: Option<i64>,
    #[serde(rename = "Marker")]
    _marker: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Policies {
    policy_names: [&'static str; 1],
    truncated: bool,
}

impl Output for Policies {}

impl Action for ListKeyPolicies {
    const NAME: &'static str = "ListKeyPolicies";
    const API: Api = Api::Kms;
    const READS: bool = true;
    type Output = Policies;

    async fn run(self, cx: &ActionContext) -> Result<Policies, Fault> {
        checks::rows(self.limit)?;
        checks::refuse_alias(&self.key_id)?;
        lookup::find_own(cx, &self.key_id, "kms:ListKeyPolicies").await?;
        Ok(Policies {
            policy_names: ["default"],
            truncated: false,
        })
    }
}
