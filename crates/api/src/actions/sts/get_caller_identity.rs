//! `GetCallerIdentity`: which account a request acts for, and by which role. Needs no permission.
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionContext, Api, Output};
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub struct GetCallerIdentity {}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Identity {
    user_id: String,
    account: String,
    arn: String,
}

impl Output for Identity {}

impl Action for GetCallerIdentity {
    const NAME: &'static str = "GetCallerIdentity";
    const API: Api = Api::Sts;
    const READS: bool = true;
    type Output = Identity;

    async fn run(self, cx: &ActionContext) -> Result<Identity, Fault> {
        let account = cx.caller.account.to_string();
        let role = cx.caller.role();
        Ok(Identity {
            user_id: role.map_or(account.clone(), |role| role.user_id()),
            arn: cx.caller.arn(cx.region.partition()),
            account,
        })
    }
}
