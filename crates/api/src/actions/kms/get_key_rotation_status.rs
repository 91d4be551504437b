//! `GetKeyRotationStatus`: whether a key gets new material by itself, and when.
use model::KeyState;
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionContext, Api, Output};
use crate::keys::{checks, lookup, metadata};
use service::fault::Fault;
use service::keys::kms_fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetKeyRotationStatus {
    key_id: String,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RotationStatus {
    key_rotation_enabled: bool,
    key_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation_period_in_days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_rotation_date: Option<f64>,
}

impl Output for RotationStatus {}

impl Action for GetKeyRotationStatus {
    const NAME: &'static str = "GetKeyRotationStatus";
    const API: Api = Api::Kms;
    const READS: bool = true;
    type Output = RotationStatus;

    async fn run(self, cx: &ActionContext) -> Result<RotationStatus, Fault> {
        checks::refuse_alias(&self.key_id)?;
        let key = lookup::find(cx, &self.key_id, "kms:GetKeyRotationStatus").await?;
        checks::rotates(&key)?;
        // Of a multi-Region key the primary has the plan, which all share.
        let family = cx.service.kms.family(&key).await.map_err(kms_fault)?;
        let plan = family.iter().find_map(|one| one.rotation);
        let plan = plan.filter(|_| !key.state.is_pending());
        Ok(RotationStatus {
            key_rotation_enabled: plan.is_some(),
            key_id: key.arn().to_string(),
            rotation_period_in_days: plan.map(|plan| plan.period_days),
            next_rotation_date: plan
                .filter(|_| key.state == KeyState::Enabled)
                .map(|plan| metadata::seconds(plan.next_at)),
        })
    }
}
