//! `EnableKeyRotation`: new material every year, or however often it is asked.
use model::key::RotationPlan;
use serde::Deserialize;

use crate::action::{Action, ActionContext, Api};
use crate::keys::{checks, lookup};
use service::{
    fault::{Code, Fault},
    keys::kms_fault,
    keys::{self, Keys},
};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct EnableKeyRotation {
    key_id: String,
    rotation_period_in_days: Option<i64>,
}

impl Action for EnableKeyRotation {
    const NAME: &'static str = "EnableKeyRotation";
    const API: Api = Api::Kms;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let given = self.rotation_period_in_days;
        let period_days = match given {
            None => None,
            Some(days) => Some(
                u32::try_from(days)
                    .ok()
                    .filter(|days| (90..=2_560).contains(days))
                    .ok_or_else(|| {
                        Fault::new(
                            Code::KmsValidation,
                            format!(
                                "RotationPeriodInDays is {days}: it must be between 90 and 2560."
                            ),
                        )
                    })?,
            ),
        };
        lookup::change(
            cx,
            &self.key_id,
            "kms:EnableKeyRotation",
            move |key, now| {
                checks::rotates(key)?;
                checks::not_replica(key)?;
                Keys::usable(key).map_err(kms_fault)?;
                // Asked again, it changes the period only when one is given.
                let period_days = match (period_days, key.rotation) {
                    (Some(days), _) => days,
                    (None, Some(_)) => return Ok(()),
                    (None, None) => keys::PERIOD_DAYS,
                };
                key.rotation = Some(RotationPlan {
                    period_days,
                    next_at: keys::next_rotation(now, period_days),
                });
                Ok(())
            },
        )
        .await
        .map(drop)
    }
}
