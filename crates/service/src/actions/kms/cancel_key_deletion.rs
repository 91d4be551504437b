//! `CancelKeyDeletion`: the key stays, disabled until it is enabled.
use model::KeyState;
use serde::{Deserialize, Serialize};

use super::shared;
use crate::{
    action::{Action, Api, Cx, Output},
    fault::{Code, Fault},
};

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

    async fn run(self, cx: &Cx) -> Result<Canceled, Fault> {
        let key = shared::change(cx, &self.key_id, "kms:CancelKeyDeletion", |key, _| {
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
