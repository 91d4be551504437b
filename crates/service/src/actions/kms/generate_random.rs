//! `GenerateRandom`: bytes from the operating system's generator.
use serde::{Deserialize, Serialize};
use wire::json::Blob;

use super::crypto::{Extras, random_count};
use crate::{
    action::{Action, Api, Cx, Output},
    fault::Fault,
};

/// The input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GenerateRandom {
    number_of_bytes: Option<i64>,
    custom_key_store_id: Option<String>,
    recipient: Option<serde::de::IgnoredAny>,
}

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Random {
    plaintext: Blob,
}

impl Output for Random {}

impl Action for GenerateRandom {
    const NAME: &'static str = "GenerateRandom";
    const API: Api = Api::Kms;
    type Output = Random;

    async fn run(self, cx: &Cx) -> Result<Random, Fault> {
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
