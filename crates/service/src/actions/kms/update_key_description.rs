//! `UpdateKeyDescription`.
use serde::Deserialize;

use super::shared;
use crate::{
    action::{Action, Api, Cx},
    fault::{Code, Fault},
};

/// A description's characters at most.
const CHARS_MAX: usize = 8_192;

/// The input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateKeyDescription {
    key_id: String,
    description: String,
}

impl Action for UpdateKeyDescription {
    const NAME: &'static str = "UpdateKeyDescription";
    const API: Api = Api::Kms;
    type Output = ();

    async fn run(self, cx: &Cx) -> Result<(), Fault> {
        let description = self.description;
        if CHARS_MAX < description.chars().count() {
            return Err(Fault::new(
                Code::KmsValidation,
                format!("Description has at most {CHARS_MAX} characters."),
            ));
        }
        shared::change(
            cx,
            &self.key_id,
            "kms:UpdateKeyDescription",
            move |key, _| {
                shared::not_pending(key)?;
                key.description.clone_from(&description);
                Ok(())
            },
        )
        .await
        .map(drop)
    }
}
