//! `CreateKey`. The key's material is in the vault's record log before this answers.
use model::{
    KeyManager,
    key_spec::{KeySpec, KeyUsage},
};
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionContext, Api, Output};
use crate::keys::{
    checks,
    metadata::KeyMetadata,
    tags::{self, KmsTag},
};
use service::{
    fault::{Code, Fault},
    keys::{NewKey, kms_fault},
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

    async fn run(self, cx: &ActionContext) -> Result<Created, Fault> {
        if let Some(given) = self.origin.as_ref().filter(|given| *given != "AWS_KMS") {
            return Err(unsupported("Origin", given, "AWS_KMS"));
        }
        let (spec, usage) = self.kind()?;
        if let Some(policy) = &self.policy {
            checks::policy(policy)?;
        }
        let new = NewKey {
            account: cx.caller.account.clone(),
            region: cx.region.clone(),
            manager: KeyManager::Customer,
            description: self.description.unwrap_or_default(),
            policy: self.policy,
            tags: tags::tags(&self.tags)?,
            multi_region: self.multi_region == Some(true),
            spec,
            usage,
        };
        let key = cx.service.kms.create(new, None).await.map_err(kms_fault)?;
        Ok(Created {
            key_metadata: KeyMetadata::of(&key, std::slice::from_ref(&key)),
        })
    }
}

impl CreateKey {
    /// What material the key is to have, and what it is for: both are said of any key but a
    /// symmetric one.
    fn kind(&self) -> Result<(KeySpec, KeyUsage), Fault> {
        let wrong = |message: String| Fault::new(Code::KmsValidation, message);
        let word = match (&self.key_spec, &self.customer_master_key_spec) {
            (Some(_), Some(_)) => {
                return Err(wrong(
                    "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. \
                     CustomerMasterKeySpec is deprecated."
                        .to_owned(),
                ));
            }
            (one, other) => one.as_ref().or(other.as_ref()),
        };
        let Some(word) = word else {
            let spec = KeySpec::SymmetricDefault;
            return self.usage_of(spec).map(|usage| (spec, usage));
        };
        let known: Vec<&str> = KeySpec::ALL.iter().map(|one| one.as_str()).collect();
        let spec = KeySpec::parse(word);
        let spec = spec.ok_or_else(|| unsupported("KeySpec", word, &known.join(", ")))?;
        self.usage_of(spec).map(|usage| (spec, usage))
    }

    fn usage_of(&self, spec: KeySpec) -> Result<KeyUsage, Fault> {
        let wrong = |message: String| Err(Fault::new(Code::KmsValidation, message));
        let Some(word) = &self.key_usage else {
            if spec == KeySpec::SymmetricDefault {
                return Ok(KeyUsage::EncryptDecrypt);
            }
            return wrong(
                "You must specify a KeyUsage value for all KMS keys except for symmetric \
                 encryption keys."
                    .to_owned(),
            );
        };
        if word == "KEY_AGREEMENT" {
            return Err(unsupported("KeyUsage", word, "those of the spec"));
        }
        let usage = KeyUsage::parse(word);
        match usage.filter(|usage| spec.usages().contains(usage)) {
            Some(usage) => Ok(usage),
            None => wrong(format!(
                "KeyUsage {} is not compatible with KeySpec {}",
                model::limits::echo(word),
                spec.as_str()
            )),
        }
    }
}

fn unsupported(member: &str, given: &str, only: &str) -> Fault {
    let given = model::limits::echo(given);
    Fault::new(
        Code::KmsUnsupported,
        format!("{member} {given} is not supported here: only {only}."),
    )
}
