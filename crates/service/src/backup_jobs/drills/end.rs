//! How drills end: what is said of them, and to whom.
use std::sync::Arc;

use catalog::{CatalogError, CatalogExt, Tx};
use model::{
    BackupJobState, Drill, Timestamp, Validation, ValidationStatus,
    restore_testing::{Check, Deletion, Stage},
};

use super::{
    pair::{Pair, find, keep},
    passed,
};
use crate::{
    context::ServiceContext,
    events::kinds,
    metrics::Status,
    receipts::{self, ReceiptKey},
};

/// What signs receipts; a service that was not started has none.
pub(super) type Signer = Option<Arc<ReceiptKey>>;

pub(super) fn signer(context: &ServiceContext) -> Signer {
    context.receipt_key.get().cloned()
}

/// Writes into a drill that one thing is not as it should be.
pub(super) fn failed(drill: &mut Drill, check: &str, why: &str, now: Timestamp) {
    drill.checked_at = Some(now);
    drill.checks.push(Check {
        name: check.to_owned(),
        passed: false,
        found: why.to_owned(),
        asked: None,
    });
    drill.validation = Some(Validation {
        status: ValidationStatus::Failed,
        message: Some(why.to_owned()),
    });
}

/// What the checks found, in one sentence.
pub(super) fn summary(drill: &Drill) -> String {
    let found: Vec<&str> = drill.checks.iter().map(|one| one.found.as_str()).collect();
    format!("It was restored and read: {}.", found.join("; "))
}

/// Ends a drill that could not begin.
pub(super) async fn fail(
    context: &ServiceContext,
    drill: &Drill,
    why: String,
) -> Result<(), CatalogError> {
    let (seen, signer) = (drill.clone(), signer(context));
    let over = context.catalog.write(move |tx| {
        let Some(mut pair) = find(tx, &seen)? else {
            return Ok(None);
        };
        let now = tx.now();
        if let Some(job) = &mut pair.job {
            job.value.state = BackupJobState::Failed;
            job.value.ended_at = Some(now);
            job.value.message = Some(why.clone());
        }
        failed(&mut pair.drill.value, "restores", &why, now);
        over(tx, pair, now, &signer).map(Some)
    });
    tell(context, over.await?);
    Ok(())
}

/// Ends a drill with what became of its cluster.
pub(super) async fn deleted(
    context: &ServiceContext,
    drill: &Drill,
    deletion: Deletion,
) -> Result<(), CatalogError> {
    let (seen, signer) = (drill.clone(), signer(context));
    let ended = context.catalog.write(move |tx| {
        let Some(mut pair) = find(tx, &seen)? else {
            return Ok(None);
        };
        pair.drill.value.deletion = Some(deletion.clone());
        let now = tx.now();
        over(tx, pair, now, &signer).map(Some)
    });
    tell(context, ended.await?);
    Ok(())
}

/// Keeps a drill as one that is over: from here on it is a receipt.
pub(super) fn over(
    tx: &mut dyn Tx,
    mut pair: Pair,
    now: Timestamp,
    signer: &Signer,
) -> Result<Drill, CatalogError> {
    pair.drill.value.stage = Stage::Over;
    pair.drill.value.ended_at = Some(now);
    if let Some(key) = signer {
        receipts::issue(tx, key, &mut pair.drill.value)?;
    }
    let drill = keep(tx, pair)?;
    passed::note(tx, &drill)?;
    kinds::restore_tested(tx, &drill)?;
    Ok(drill)
}

/// Counts a drill that is over, and logs it.
pub(super) fn tell(context: &ServiceContext, drill: Option<Drill>) {
    let Some(drill) = drill else { return };
    let status = drill.outcome().unwrap_or(ValidationStatus::TimedOut);
    let metrics = &context.metrics;
    let label = Status {
        status: status.as_str(),
    };
    metrics.drills.get_or_create(&label).inc();
    let said = drill.validation.as_ref();
    let why = said.and_then(|said| said.message.as_deref()).unwrap_or("");
    let (arn, point) = (drill.arn(), &drill.point);
    match status {
        ValidationStatus::Successful => {
            let now = drill.ended_at.map_or(0, Timestamp::seconds);
            metrics.drill_success.set(now);
            tracing::info!(drill = arn, %point, why, "a recovery point was restored for a test");
        }
        _ => {
            tracing::warn!(drill = arn, %point, why, "a recovery point did not pass its restore test")
        }
    }
}
