//! `Lifecycle`: when a recovery point goes.
use model::{Timestamp, recovery_point};
use serde::{Deserialize, Serialize};

use super::faults::{invalid, refused};
use crate::keys::metadata::seconds;
use service::fault::Fault;

/// What has to lie between cold storage and deletion, days.
const COLD_DAYS_MIN: u32 = 90;

/// As callers give it and as it is answered.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Lifecycle {
    #[serde(skip_serializing_if = "Option::is_none")]
    move_to_cold_storage_after_days: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delete_after_days: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opt_in_to_archive_for_supported_resources: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delete_after_event: Option<String>,
}

impl Lifecycle {
    /// Of a record; none where nothing was said.
    pub(crate) fn of(kept: &recovery_point::Lifecycle) -> Option<Self> {
        let is_empty = *kept == recovery_point::Lifecycle::default();
        (!is_empty).then(|| Self {
            move_to_cold_storage_after_days: kept.cold_after_days.map(i64::from),
            delete_after_days: kept.delete_after_days.map(i64::from),
            opt_in_to_archive_for_supported_resources: None,
            delete_after_event: None,
        })
    }

    /// Reads what a caller gave. -1 is never.
    ///
    /// # Errors
    /// `InvalidParameterValueException`, `InvalidRequestException`.
    pub(crate) fn read(given: Option<&Self>) -> Result<recovery_point::Lifecycle, Fault> {
        let Some(given) = given else {
            return Ok(recovery_point::Lifecycle::default());
        };
        if given.delete_after_event.is_some() {
            return Err(invalid(
                "DeleteAfterEvent",
                "DeleteAfterEvent is not valid as an input.",
            ));
        }
        if given.opt_in_to_archive_for_supported_resources == Some(true) {
            return Err(refused(
                "OptInToArchiveForSupportedResources",
                "There is no archive storage for snapshots of DB clusters.",
            ));
        }
        let days = |name: &str, given: Option<i64>| match given {
            None | Some(-1) => Ok(None),
            Some(days) => match u32::try_from(days) {
                Ok(days) if (1..=36_500).contains(&days) => Ok(Some(days)),
                _ => Err(invalid(
                    name,
                    format!("{name} is {days}: it is 1 to 36500 days, or -1 for never."),
                )),
            },
        };
        let kept = recovery_point::Lifecycle {
            cold_after_days: days(
                "MoveToColdStorageAfterDays",
                given.move_to_cold_storage_after_days,
            )?,
            delete_after_days: days("DeleteAfterDays", given.delete_after_days)?,
        };
        match (kept.cold_after_days, kept.delete_after_days) {
            (Some(cold), Some(delete)) if delete < cold + COLD_DAYS_MIN => Err(invalid(
                "DeleteAfterDays",
                format!(
                    "DeleteAfterDays cannot be less than {COLD_DAYS_MIN} days apart from MoveToColdStorageAfterDays."
                ),
            )),
            _ => Ok(kept),
        }
    }
}

/// The dates that follow from a lifecycle.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CalculatedLifecycle {
    #[serde(skip_serializing_if = "Option::is_none")]
    delete_at: Option<f64>,
}

impl CalculatedLifecycle {
    /// None where nothing ever happens.
    pub(crate) fn of(delete_at: Option<Timestamp>) -> Option<Self> {
        delete_at.map(|at| Self {
            delete_at: Some(seconds(at)),
        })
    }
}
