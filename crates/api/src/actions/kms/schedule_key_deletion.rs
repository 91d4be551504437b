//! `ScheduleKeyDeletion`: a key can be used no more, and is gone after a waiting period, which
//! begins for a primary key when its last replica is gone.
use std::time::Duration;

use catalog::keys as rows;
use model::{KeyState, key::MultiRegion};
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionContext, Api, Output};
use crate::keys::{checks, lookup, metadata, pins};
use service::fault::{Code, Fault};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ScheduleKeyDeletion {
    key_id: String,
    pending_window_in_days: Option<i64>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Scheduled {
    key_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_date: Option<f64>,
    key_state: &'static str,
    pending_window_in_days: u32,
}

impl Output for Scheduled {}

impl Action for ScheduleKeyDeletion {
    const NAME: &'static str = "ScheduleKeyDeletion";
    const API: Api = Api::Kms;
    type Output = Scheduled;

    async fn run(self, cx: &ActionContext) -> Result<Scheduled, Fault> {
        let days = self.pending_window_in_days.unwrap_or(30);
        let days = u32::try_from(days)
            .ok()
            .filter(|days| (7..=30).contains(days))
            .ok_or_else(|| {
                Fault::new(
                    Code::KmsValidation,
                    format!("PendingWindowInDays is {days}: it must be between 7 and 30."),
                )
            })?;
        let (kms, caller) = (cx.service.kms.clone(), cx.caller.account.clone());
        let key = lookup::change_within(
            cx,
            &self.key_id,
            "kms:ScheduleKeyDeletion",
            move |tx, key, now| {
                checks::not_pending(key)?;
                pins::not_pinned(&kms, tx, key, &caller)?;
                let has_replicas = key.multi_region == Some(MultiRegion::Primary)
                    && 1 < rows::family(tx, key)?.len();
                if has_replicas {
                    key.state = KeyState::PendingReplicaDeletion;
                    key.pending_window_days = Some(days);
                } else {
                    key.state = KeyState::PendingDeletion;
                    let wait = Duration::from_secs(u64::from(days) * 24 * 3_600);
                    key.deletion_at = Some(now.plus(wait));
                }
                Ok(())
            },
        )
        .await?;
        Ok(Scheduled {
            key_id: key.arn().to_string(),
            deletion_date: key.deletion_at.map(metadata::seconds),
            key_state: key.state.as_str(),
            pending_window_in_days: days,
        })
    }
}
