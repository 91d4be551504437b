//! What a restore for a test is told, and what somebody found it to be.
//!
//! Sources: API_GetRestoreTestingInferredMetadata, API_PutRestoreValidationResult.
use catalog::{CatalogExt, keyed};
use model::{
    BackupJob, BackupJobKind, Drill, Validation, ValidationStatus, restore_testing::Stage,
};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Output},
    backup::{
        faults::{invalid, refused, shown},
        jobs, points,
        restore::{self, Metadata},
        vaults,
    },
};
use service::{backup_jobs::drills, fault::Fault};

/// What a message has at most.
const CHARS_MAX: usize = 1_024;

/// What a restore of a recovery point for a test is told, but for the cluster's name.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetRestoreTestingInferredMetadata {
    backup_vault_account_id: Option<String>,
    backup_vault_name: String,
    recovery_point_arn: String,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Inferred {
    inferred_metadata: Metadata,
}

impl Output for Inferred {}

impl Action for GetRestoreTestingInferredMetadata {
    const NAME: &'static str = "GetRestoreTestingInferredMetadata";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = Inferred;

    async fn run(self, cx: &ActionContext) -> Result<Inferred, Fault> {
        let given = self.recovery_point_arn;
        let owner = self.backup_vault_account_id.as_deref();
        vaults::is_own(cx, &self.backup_vault_name, owner)?;
        let action = "backup:GetRestoreTestingInferredMetadata";
        let vault = vaults::find(cx, &self.backup_vault_name, action).await?;
        let wanted = points::wanted(cx, &given)?;
        let found = cx
            .service
            .catalog
            .read(move |tx| points::get(tx, &wanted, &vault.name, &given));
        Ok(Inferred {
            inferred_metadata: restore::inferred(&found.await?.value),
        })
    }
}

/// Says what a restore for a test was found to be, within its validation window.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct PutRestoreValidationResult {
    restore_job_id: String,
    validation_status: String,
    validation_status_message: Option<String>,
}

impl Action for PutRestoreValidationResult {
    const NAME: &'static str = "PutRestoreValidationResult";
    const API: Api = Api::Backup;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let word = &self.validation_status;
        let status = ValidationStatus::ALL
            .into_iter()
            .find(|one| one.as_str() == word);
        let status = status.ok_or_else(|| {
            let message = format!(
                "ValidationStatus is {}: it is VALIDATING, SUCCESSFUL, FAILED or TIMED_OUT.",
                shown(word)
            );
            invalid("ValidationStatus", message)
        })?;
        let message = self.validation_status_message;
        let chars = message.as_ref().map_or(0, |text| text.chars().count());
        if CHARS_MAX < chars {
            let message = format!("ValidationStatusMessage has at most {CHARS_MAX} characters.");
            return Err(invalid("ValidationStatusMessage", message));
        }
        let said = Validation { status, message };
        let id = self.restore_job_id;
        let (account, region, now) = (
            cx.caller.account.clone(),
            cx.region.clone(),
            cx.service.now(),
        );
        let written = cx.service.catalog.write(move |tx| {
            let key = [account.as_str(), id.as_str()];
            let job = keyed::get::<BackupJob>(tx, &region, &key)?;
            let job = job.filter(|stored| stored.value.kind == BackupJobKind::Restore);
            let job = job.ok_or_else(|| jobs::missing(BackupJobKind::Restore, &id))?;
            let no = |why: &str| refused(&id, format!("Restore job {} {why}", shown(&id)));
            let Some(drill) = keyed::get::<Drill>(tx, &region, &key)? else {
                return Err(no("is of no restore testing plan."));
            };
            may_be_said(&drill.value, now).map_err(no)?;
            Ok(drills::validate(tx, drill, job, said.clone())?)
        });
        written.await
    }
}

/// Whether something may be said of a drill now; else why not.
fn may_be_said(drill: &Drill, now: model::Timestamp) -> Result<(), &'static str> {
    if drill.outcome().is_some() {
        return Err("has a final validation result already.");
    }
    match drill.stage {
        Stage::Waiting | Stage::Restoring => Err("is not COMPLETED."),
        Stage::Checking => Err("is being read by its own checks: say it again in a moment."),
        Stage::Held if drill.held_until().is_some_and(|until| now < until) => Ok(()),
        Stage::Held | Stage::Deleting | Stage::Over => Err("has no validation window any more."),
    }
}
