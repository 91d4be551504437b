//! `DisableKey`: a key cannot be used until it is enabled.
use model::KeyState;
use serde::Deserialize;

use super::shared;
use crate::{
    action::{Action, Api, Cx},
    fault::Fault,
};

/// The input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DisableKey {
    key_id: String,
}

impl Action for DisableKey {
    const NAME: &'static str = "DisableKey";
    const API: Api = Api::Kms;
    type Output = ();

    async fn run(self, cx: &Cx) -> Result<(), Fault> {
        shared::change(cx, &self.key_id, "kms:DisableKey", |key, _| {
            shared::not_pending(key)?;
            key.state = KeyState::Disabled;
            Ok(())
        })
        .await
        .map(drop)
    }
}
