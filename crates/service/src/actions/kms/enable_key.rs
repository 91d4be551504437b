//! `EnableKey`: a disabled key can be used again.
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
pub struct EnableKey {
    key_id: String,
}

impl Action for EnableKey {
    const NAME: &'static str = "EnableKey";
    const API: Api = Api::Kms;
    type Output = ();

    async fn run(self, cx: &Cx) -> Result<(), Fault> {
        shared::change(cx, &self.key_id, "kms:EnableKey", |key, _| {
            shared::not_pending(key)?;
            key.state = KeyState::Enabled;
            Ok(())
        })
        .await
        .map(drop)
    }
}
