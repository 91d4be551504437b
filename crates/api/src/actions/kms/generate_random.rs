//! `GenerateRandom`: bytes from the operating system's generator.
use serde::{Deserialize, Serialize};
use wire::json::Blob;

use crate::action::{Action, ActionContext, Api, Output};
use crate::keys::crypto::{Extras, random_count};
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GenerateRandom {
    number_of_bytes: Option<i64>,
    custom_key_store_id: Option<String>,
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    recipient: Option<serde::de::IgnoredAny>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Random {
    plaintext: Blob,
}

impl Output for Random {}

impl Action for GenerateRandom {
    const NAME: &'static str = "GenerateRandom";
    const API: Api = Api::Kms;
    type Output = Random;

    async fn run(self, cx: &ActionContext) -> Result<Random, Fault> {
        Extras {
            recipient: self.recipient.is_some() || self.custom_key_store_id.is_some(),
            ..Extras::default()
        }
        .check(cx)
        .await?;
        let count = random_count(self.number_of_bytes.unwrap_or(0))?;
        Ok(Random {
            plaintext: Blob(kms::random_bytes(count).to_vec()),
        })
    }
}
