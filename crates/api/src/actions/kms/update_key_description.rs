//! `UpdateKeyDescription`.
use serde::Deserialize;

use crate::action::{Action, ActionContext, Api};
use crate::keys::{checks, lookup};
use service::fault::{Code, Fault};

/// A description's characters at most.
const CHARS_MAX: usize = 8_192;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateKeyDescription {
    key_id: String,
    description: String,
}

impl Action for UpdateKeyDescription {
    const NAME: &'static str = "UpdateKeyDescription";
    const API: Api = Api::Kms;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let description = self.description;
        if CHARS_MAX < description.chars().count() {
            return Err(Fault::new(
                Code::KmsValidation,
                format!("Description has at most {CHARS_MAX} characters."),
            ));
        }
        lookup::change(
            cx,
            &self.key_id,
            "kms:UpdateKeyDescription",
            move |key, _| {
                checks::not_pending(key)?;
                key.description.clone_from(&description);
                Ok(())
            },
        )
        .await
        .map(drop)
    }
}
