//! `DescribeKey`, by any of the four key identifiers and in every state.
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionContext, Api, Output};
use crate::keys::{lookup, metadata::KeyMetadata};
use service::fault::Fault;
use service::keys::kms_fault;

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

    async fn run(self, cx: &ActionContext) -> Result<Described, Fault> {
        let key = lookup::find(cx, &self.key_id, "kms:DescribeKey").await?;
        let family = cx.service.kms.family(&key).await.map_err(kms_fault)?;
        Ok(Described {
            key_metadata: KeyMetadata::of(&key, &family),
        })
    }
}
