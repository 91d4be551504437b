//! `EnableKey`: a disabled key can be used again.
use model::KeyState;
use serde::Deserialize;

use crate::action::{Action, ActionContext, Api};
use crate::keys::{checks, lookup};
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct EnableKey {
    key_id: String,
}

impl Action for EnableKey {
    const NAME: &'static str = "EnableKey";
    const API: Api = Api::Kms;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        lookup::change(cx, &self.key_id, "kms:EnableKey", |key, _| {
            checks::not_pending(key)?;
            key.state = KeyState::Enabled;
            Ok(())
        })
        .await
        .map(drop)
    }
}
