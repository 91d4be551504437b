//! A drill's record and its job's, which are read and written together.
use catalog::{CatalogError, Stored, Tx, keyed};
use model::{
    BackupJob, BackupJobState, Drill, Validation,
    restore_testing::{Deletion, DeletionStatus},
};

use super::super::record;

/// A drill and its restore job, as they are now.
pub(super) struct Pair {
    pub(super) drill: Stored<Drill>,
    /// None: it is forgotten by now.
    pub(super) job: Option<Stored<BackupJob>>,
}

/// Finds both, if the drill is still where it was when it was looked at.
pub(super) fn find(tx: &mut dyn Tx, seen: &Drill) -> Result<Option<Pair>, CatalogError> {
    let key = [seen.account.as_str(), seen.id.as_str()];
    let drill = keyed::get::<Drill>(tx, &seen.region, &key)?;
    let Some(drill) = drill.filter(|stored| stored.value.stage == seen.stage) else {
        return Ok(None);
    };
    let job = keyed::get::<BackupJob>(tx, &seen.region, &key)?;
    Ok(Some(Pair { drill, job }))
}

/// Keeps both, with what the drill was found to be told by the job as well.
pub(super) fn keep(tx: &mut dyn Tx, pair: Pair) -> Result<Drill, CatalogError> {
    let drill = keyed::update(tx, pair.drill)?.value;
    if let Some(mut job) = pair.job {
        if let Some(restore) = &mut job.value.restore
            && job.value.state == BackupJobState::Completed
        {
            restore.validation.clone_from(&drill.validation);
            restore.deletion.clone_from(&drill.deletion);
        }
        record::update(tx, job)?;
    }
    Ok(drill)
}

/// Writes what somebody says of a drill's cluster into it and its job. The caller has seen that it may
/// be said.
///
/// # Errors
/// `Stale` when either was changed since they were read.
pub fn validate(
    tx: &mut dyn Tx,
    mut drill: Stored<Drill>,
    job: Stored<BackupJob>,
    said: Validation,
) -> Result<(), CatalogError> {
    drill.value.validation = Some(said);
    let pair = Pair {
        drill,
        job: Some(job),
    };
    keep(tx, pair).map(drop)
}

/// What became of a drill's cluster.
pub(super) fn deletion(status: DeletionStatus, message: Option<String>) -> Deletion {
    Deletion { status, message }
}
