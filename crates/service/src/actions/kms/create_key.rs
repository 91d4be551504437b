//! `CreateKey`: a symmetric key. Its material is in the vault's mirror before this answers.
use model::KeyManager;
use serde::{Deserialize, Serialize};

use super::shared::{self, KeyMetadata, KmsTag};
use crate::{
    action::{Action, Api, Cx, Output},
    fault::{Code, Fault},
    keys::{self, NewKey},
};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateKey {
    policy: Option<String>,
    description: Option<String>,
    key_usage: Option<String>,
    key_spec: Option<String>,
    customer_master_key_spec: Option<String>,
    origin: Option<String>,
    multi_region: Option<bool>,
    #[serde(default)]
    tags: Vec<KmsTag>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Created {
    key_metadata: KeyMetadata,
}

impl Output for Created {}

impl Action for CreateKey {
    const NAME: &'static str = "CreateKey";
    const API: Api = Api::Kms;
    type Output = Created;

    async fn run(self, cx: &Cx) -> Result<Created, Fault> {
        for (member, given, only) in [
            ("KeyUsage", &self.key_usage, "ENCRYPT_DECRYPT"),
            ("KeySpec", &self.key_spec, "SYMMETRIC_DEFAULT"),
            (
                "CustomerMasterKeySpec",
                &self.customer_master_key_spec,
                "SYMMETRIC_DEFAULT",
            ),
            ("Origin", &self.origin, "AWS_KMS"),
        ] {
            if let Some(given) = given.as_ref().filter(|given| *given != only) {
                let given = shared::cut(given);
                return Err(Fault::new(
                    Code::KmsUnsupported,
                    format!("{member} {given} is not supported here: only {only}."),
                ));
            }
        }
        if let Some(policy) = &self.policy {
            shared::policy(policy)?;
        }
        let new = NewKey {
            account: cx.caller.account.clone(),
            region: cx.region.clone(),
            manager: KeyManager::Customer,
            description: self.description.unwrap_or_default(),
            policy: self.policy,
            tags: shared::tags(&self.tags)?,
            multi_region: self.multi_region == Some(true),
        };
        let key = keys::create(&cx.core, new, None).await?;
        Ok(Created {
            key_metadata: KeyMetadata::of(&key, std::slice::from_ref(&key)),
        })
    }
}
