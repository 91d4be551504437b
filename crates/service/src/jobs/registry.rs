//! Every kind of job. Adding one is its file and its line in `ALL`.
use catalog::{CatalogError, Tx};
use futures_util::future::{BoxFuture, FutureExt};
use model::{Job, JobKind, Told, job::Subject};

use super::{
    JobError,
    change_cluster::ChangeCluster,
    copy_snapshot::CopySnapshot,
    create_cluster::CreateCluster,
    create_instance::CreateInstance,
    create_snapshot::CreateSnapshot,
    delete_cluster::DeleteCluster,
    delete_instance::DeleteInstance,
    examine_restore::ExamineRestore,
    failover_cluster::FailoverCluster,
    reboot_instance::RebootInstance,
    restore_cluster::RestoreCluster,
    run::{JobType, Run},
    verify_vault::VerifyVault,
};

/// A kind of job, as the runner sees it.
struct Row {
    kind: JobKind,
    name: &'static str,
    works_on: &'static str,
    is_narrow: bool,
    run: for<'a> fn(&'a Run) -> BoxFuture<'a, Result<(), JobError>>,
    give_up: fn(&mut dyn Tx, &Job, &Told) -> Result<(), CatalogError>,
    show: fn(&mut dyn Tx, &Job, u8) -> Result<(), CatalogError>,
}

const fn row<J: JobType>() -> Row {
    Row {
        kind: JobKind::of(J::NAME),
        name: J::NAME,
        works_on: J::WORKS_ON,
        is_narrow: J::IS_NARROW,
        run: |run| J::run(run).boxed(),
        give_up: J::give_up,
        show: J::show,
    }
}

static ALL: &[Row] = &[
    row::<CreateCluster>(),
    row::<CreateSnapshot>(),
    row::<CopySnapshot>(),
    row::<RestoreCluster>(),
    row::<DeleteCluster>(),
    row::<CreateInstance>(),
    row::<RebootInstance>(),
    row::<DeleteInstance>(),
    row::<FailoverCluster>(),
    row::<ChangeCluster>(),
    row::<VerifyVault>(),
    row::<ExamineRestore>(),
];

fn find(job: &Job) -> Option<&'static Row> {
    ALL.iter().find(|row| row.kind == job.kind)
}

/// The words of all kinds.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|row| row.name)
}

/// The kinds that this release can run.
pub(crate) fn kinds() -> Vec<JobKind> {
    ALL.iter().map(|row| row.kind.clone()).collect()
}

/// The kinds that have fewer slots than others.
pub(crate) fn narrow() -> Vec<JobKind> {
    let narrow = ALL.iter().filter(|row| row.is_narrow);
    narrow.map(|row| row.kind.clone()).collect()
}

/// The word of a job's kind, for metrics.
pub(crate) fn name_of(job: &Job) -> &'static str {
    find(job).map_or("unknown", |row| row.name)
}

/// Runs a job to its commit.
///
/// # Errors
/// Why it did not get there; `Fail` when its row does not say what it is to do.
pub async fn run(run: &Run) -> Result<(), JobError> {
    let job = &run.job;
    let Some(row) = find(job) else {
        let kind = job.kind.as_str();
        return Err(JobError::fail(format!(
            "this release knows no jobs of the kind {kind}"
        )));
    };
    if let Subject::Unreadable(text) = &job.subject {
        return Err(JobError::fail(format!(
            "what the job works on does not read: {text}"
        )));
    }
    if job.subject.sort() != row.works_on {
        return Err(JobError::fail(format!(
            "the job works on a {}, not on the {} {}",
            row.works_on,
            job.subject.sort(),
            job.subject.name()
        )));
    }
    (row.run)(run).await
}

/// Writes into the job's record that it failed, in the transaction that ends the job.
///
/// # Errors
/// The catalog's.
pub fn give_up(tx: &mut dyn Tx, job: &Job, reason: &Told) -> Result<(), CatalogError> {
    find(job).map_or(Ok(()), |row| (row.give_up)(tx, job, reason))
}

/// Writes into the job's record how far it is.
///
/// # Errors
/// The catalog's.
pub(crate) fn show(tx: &mut dyn Tx, job: &Job, percent: u8) -> Result<(), CatalogError> {
    find(job).map_or(Ok(()), |row| (row.show)(tx, job, percent))
}
