//! `Sign`: a signature by a pair's private half.
use serde::{Deserialize, Serialize};
use wire::json::Blob;

use crate::action::{Action, ActionContext, Api, Output};
use crate::keys::signing::{self, Asked};
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Sign {
    key_id: String,
    message: Blob,
    message_type: Option<String>,
    signing_algorithm: String,
    #[serde(default)]
    grant_tokens: Vec<String>,
    dry_run: Option<bool>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Signed {
    key_id: String,
    signature: Blob,
    signing_algorithm: &'static str,
}

impl Output for Signed {}

impl Action for Sign {
    const NAME: &'static str = "Sign";
    const API: Api = Api::Kms;
    type Output = Signed;

    async fn run(self, cx: &ActionContext) -> Result<Signed, Fault> {
        let asked = Asked {
            key_id: &self.key_id,
            message: self.message,
            message_type: self.message_type.as_deref(),
            algorithm: &self.signing_algorithm,
            tokens: &self.grant_tokens,
            dry_run: self.dry_run,
        };
        let (key, algorithm, given) = asked.check(cx, "kms:Sign", "Sign").await?;
        let (kms, caller) = (&cx.service.kms, &cx.caller.account);
        let made = kms.sign(caller, &key, algorithm, given).await;
        let made = made.map_err(|error| signing::fault(error, algorithm))?;
        Ok(Signed {
            key_id: key.arn().to_string(),
            signature: Blob(made),
            signing_algorithm: algorithm.as_str(),
        })
    }
}
