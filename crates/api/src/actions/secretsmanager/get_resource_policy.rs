//! `GetResourcePolicy`: no secret has one here.
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Output},
    secrets::lookup,
};
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetResourcePolicy {
    secret_id: String,
}

/// The answer, which leaves out the policy as AWS does where there is none.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ResourcePolicy {
    #[serde(rename = "ARN")]
    arn: String,
    name: String,
}

impl Output for ResourcePolicy {}

impl Action for GetResourcePolicy {
    const NAME: &'static str = "GetResourcePolicy";
    const API: Api = Api::SecretsManager;
    const READS: bool = true;
    type Output = ResourcePolicy;

    async fn run(self, cx: &ActionContext) -> Result<ResourcePolicy, Fault> {
        let found = lookup::find(cx, &self.secret_id, Self::NAME).await?;
        Ok(ResourcePolicy {
            arn: found.arn(),
            name: found.secret.name.clone(),
        })
    }
}
