//! `CancelKeyDeletion`: the key stays, disabled until it is enabled.
use model::KeyState;
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionContext, Api, Output};
use crate::keys::lookup;
use service::fault::{Code, Fault};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CancelKeyDeletion {
    key_id: String,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Canceled {
    key_id: String,
}

impl Output for Canceled {}

impl Action for CancelKeyDeletion {
    const NAME: &'static str = "CancelKeyDeletion";
    const API: Api = Api::Kms;
    type Output = Canceled;

    async fn run(self, cx: &ActionContext) -> Result<Canceled, Fault> {
        let key = lookup::change(cx, &self.key_id, "kms:CancelKeyDeletion", |key, _| {
            if !key.state.is_pending() {
                return Err(Fault::new(
                    Code::KmsInvalidState,
                    format!("{} is not pending deletion.", key.arn()),
                ));
            }
            key.state = KeyState::Disabled;
            key.deletion_at = None;
            key.pending_window_days = None;
            Ok(())
        })
        .await?;
        Ok(Canceled {
            key_id: key.arn().to_string(),
        })
    }
}
