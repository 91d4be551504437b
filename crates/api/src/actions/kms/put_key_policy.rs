//! `PutKeyPolicy`: decides which accounts may do what with a key.
use serde::Deserialize;

use crate::action::{Action, ActionContext, Api};
use crate::keys::{checks, lookup, pins};
use service::fault::{Code, Fault};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct PutKeyPolicy {
    key_id: String,
    policy_name: Option<String>,
    policy: String,
    bypass_policy_lockout_safety_check: Option<bool>,
}

impl Action for PutKeyPolicy {
    const NAME: &'static str = "PutKeyPolicy";
    const API: Api = Api::Kms;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        if let Some(name) = self.policy_name.as_ref().filter(|name| *name != "default") {
            return Err(Fault::new(
                Code::KmsNotFound,
                format!(
                    "No policy of the name {}: the only one is default.",
                    model::limits::echo(name)
                ),
            ));
        }
        checks::policy(&self.policy)?;
        let (policy, caller) = (self.policy, cx.caller.account.clone());
        let bypass = self.bypass_policy_lockout_safety_check;
        let kms = cx.service.kms.clone();
        let action = "kms:PutKeyPolicy";
        lookup::change_within(cx, &self.key_id, action, move |tx, key, _| {
            let before = key.clone();
            key.policy.clone_from(&policy);
            checks::not_locked_out(key, &caller, bypass)?;
            pins::still_opens(&kms, tx, (&before, key), None, &caller)
        })
        .await
        .map(drop)
    }
}
