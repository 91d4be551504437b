//! `DescribeKey`, by any of the four key identifiers and in every state.
use serde::{Deserialize, Serialize};

use super::shared::{self, KeyMetadata};
use crate::{
    action::{Action, Api, Cx, Output},
    fault::Fault,
};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeKey {
    key_id: String,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Described {
    key_metadata: KeyMetadata,
}

impl Output for Described {}

impl Action for DescribeKey {
    const NAME: &'static str = "DescribeKey";
    const API: Api = Api::Kms;
    const READS: bool = true;
    type Output = Described;

    async fn run(self, cx: &Cx) -> Result<Described, Fault> {
        let key = shared::find(cx, &self.key_id, "kms:DescribeKey").await?;
        let family = cx.core.kms.family(&key).await?;
        Ok(Described {
            key_metadata: KeyMetadata::of(&key, &family),
        })
    }
}
