//! `DisableKey`: a key cannot be used until it is enabled.
use model::KeyState;
use serde::Deserialize;

use crate::action::{Action, ActionContext, Api};
use crate::keys::{checks, lookup, pins};
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DisableKey {
    key_id: String,
}

impl Action for DisableKey {
    const NAME: &'static str = "DisableKey";
    const API: Api = Api::Kms;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let (kms, caller) = (cx.service.kms.clone(), cx.caller.account.clone());
        lookup::change_within(cx, &self.key_id, "kms:DisableKey", move |tx, key, _| {
            checks::not_pending(key)?;
            pins::not_pinned(&kms, tx, key, &caller)?;
            key.state = KeyState::Disabled;
            Ok(())
        })
        .await
        .map(drop)
    }
}
