//! `ScheduleKeyDeletion`: a key can be used no more, and is gone after a waiting period.
use std::time::Duration;

use model::KeyState;
use serde::{Deserialize, Serialize};

use super::shared;
use crate::{
    action::{Action, Api, Cx, Output},
    fault::{Code, Fault},
};

/// The input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ScheduleKeyDeletion {
    key_id: String,
    pending_window_in_days: Option<i64>,
}

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Scheduled {
    key_id: String,
    deletion_date: f64,
    key_state: &'static str,
    pending_window_in_days: u64,
}

impl Output for Scheduled {}

impl Action for ScheduleKeyDeletion {
    const NAME: &'static str = "ScheduleKeyDeletion";
    const API: Api = Api::Kms;
    type Output = Scheduled;

    async fn run(self, cx: &Cx) -> Result<Scheduled, Fault> {
        let days = self.pending_window_in_days.unwrap_or(30);
        let days = u64::try_from(days)
            .ok()
            .filter(|days| (7..=30).contains(days))
            .ok_or_else(|| {
                Fault::new(
                    Code::KmsValidation,
                    format!("PendingWindowInDays is {days}: it must be between 7 and 30."),
                )
            })?;
        let key = shared::change(
            cx,
            &self.key_id,
            "kms:ScheduleKeyDeletion",
            move |key, now| {
                shared::not_pending(key)?;
                key.state = KeyState::PendingDeletion;
                key.deletion_at = Some(now.plus(Duration::from_secs(days * 24 * 3_600)));
                Ok(())
            },
        )
        .await?;
        Ok(Scheduled {
            key_id: key.arn().to_string(),
            deletion_date: key.deletion_at.map_or(0.0, shared::seconds),
            key_state: key.state.as_str(),
            pending_window_in_days: days,
        })
    }
}
