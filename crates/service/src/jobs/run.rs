//! One try at a job, and what the kinds of jobs share.
//!
//! It does not know which kinds there are.
use std::{path::Path, sync::Arc};

use catalog::{
    CatalogError, CatalogExt, Tx,
    jobs::{self, Checkpoint, Lease},
};
use engine::Home;
use model::{
    Cluster, Entropy, Instance, Job, JobId, JobKind, Placement, ResourceId, Snapshot, SnapshotName,
    SnapshotStatus, Timestamp, Told,
    job::{Named, Progress, Subject},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    clusters::files,
    context::ServiceContext,
    events::kinds,
    jobs::{JobError, progress::JobProgress, slots::JobSlot},
    recovery_points,
};

/// One try at a job.
#[derive(Debug, Clone)]
pub struct Run {
    /// The rooms.
    pub context: Arc<ServiceContext>,
    /// The row, as it was claimed.
    pub job: Job,
    /// The proof of the claim.
    pub lease: Lease,
    /// How far it is, and whether it is to stop.
    pub progress: Arc<JobProgress>,
    /// Its slot: what waits for a database's server puts it down.
    pub slot: Arc<JobSlot>,
}

/// A kind of job: its word, its document, and what it does.
pub trait JobType: 'static {
    /// The word in rows, logs, metrics and listings.
    const NAME: &'static str;
    /// The sort of its subject ([`Subject::sort`]).
    const WORKS_ON: &'static str;
    /// Whether it has fewer slots than others: a slow one must not keep them from theirs.
    const IS_NARROW: bool = false;
    /// Whether its document stays when it has ended.
    const KEEPS_BODY: bool = false;
    /// What its row holds for it.
    type Body: Serialize;

    /// Runs it to its commit.
    ///
    /// # Errors
    /// Why it did not get there.
    fn run(run: &Run) -> impl Future<Output = Result<(), JobError>> + Send;

    /// Writes into its record that it failed, in the transaction that ends it. (By default the row
    /// itself says it.)
    ///
    /// # Errors
    /// The catalog's.
    fn give_up(_tx: &mut dyn Tx, _job: &Job, _reason: &Told) -> Result<(), CatalogError> {
        Ok(())
    }

    /// Writes into its record how far it is, in percent. (By default nowhere.)
    ///
    /// # Errors
    /// The catalog's.
    fn show(_tx: &mut dyn Tx, _job: &Job, _percent: u8) -> Result<(), CatalogError> {
        Ok(())
    }
}

/// A new job's row.
pub fn new_job<J: JobType>(context: &ServiceContext, subject: Subject, body: &J::Body) -> Job {
    job_at::<J>(&*context.entropy, context.now(), subject, body)
}

/// The same beside a server.
pub fn job_at<J: JobType>(
    entropy: &dyn Entropy,
    now: Timestamp,
    subject: Subject,
    body: &J::Body,
) -> Job {
    let body = serde_json::to_string(body).expect("a job's document serializes");
    let (id, kind) = (JobId::draw(entropy), JobKind::of(J::NAME));
    Job {
        keeps_body: J::KEEPS_BODY,
        ..Job::new(id, kind, subject, body, now)
    }
}

impl Run {
    /// The job's own document.
    ///
    /// # Errors
    /// `Fail` when it does not read.
    pub fn body<B: DeserializeOwned>(&self) -> Result<B, JobError> {
        body(&self.job)
            .map_err(|error| JobError::fail(format!("the job's document does not read: {error}")))
    }

    /// The snapshot that it makes.
    ///
    /// # Errors
    /// `Fail` when it works on something else.
    pub fn snapshot(&self) -> Result<&Named<SnapshotName>, JobError> {
        match &self.job.subject {
            Subject::Snapshot(of) => Ok(of),
            other => Err(JobError::fail(format!(
                "the job works on the {} {}, not on a snapshot",
                other.sort(),
                other.name()
            ))),
        }
    }

    /// Records how far it is.
    ///
    /// # Errors
    /// `Lost`, or the catalog's.
    pub async fn checkpoint(&self, step: Checkpoint) -> Result<(), CatalogError> {
        let lease = self.lease.clone();
        let step = Checkpoint {
            progress: Some(self.progress.progress()),
            ..step
        };
        self.context
            .catalog
            .write(move |tx| jobs::checkpoint(tx, &lease, &step))
            .await
    }

    /// The cluster of that resource id, as it is now.
    ///
    /// # Errors
    /// `Gone`.
    pub async fn cluster(&self, id: &ResourceId) -> Result<Cluster, JobError> {
        let id = id.clone();
        let found = self
            .context
            .catalog
            .read(move |tx| catalog::clusters::get_by_resource_id(tx, &id))
            .await?;
        found.map(|stored| stored.value).ok_or(JobError::Gone)
    }

    /// A cluster's instances, the writer first.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn members(&self, cluster: &Cluster) -> Result<Vec<Instance>, JobError> {
        let id = cluster.resource_id.clone();
        let found = self
            .context
            .catalog
            .read(move |tx| catalog::instances::of_cluster(tx, &id))
            .await?;
        Ok(found.into_iter().map(|stored| stored.value).collect())
    }

    /// The place of a cluster's writer, if it has one.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn writer_place(&self, cluster: &Cluster) -> Result<Option<Placement>, JobError> {
        let id = cluster.resource_id.clone();
        let found = self
            .context
            .catalog
            .read(move |tx| catalog::instances::writer(tx, &id))
            .await?;
        Ok(found.map(|stored| stored.value.placement))
    }

    /// The place of a cluster's writer, with this try's own attempt folder.
    ///
    /// # Errors
    /// `Fail` when it has none.
    pub async fn fresh_place(&self, cluster: &Cluster) -> Result<Placement, JobError> {
        let place = self.writer_place(cluster).await?;
        let place = place.ok_or_else(|| JobError::fail("the cluster has no place"))?;
        Ok(Placement {
            attempt: place.attempt_of(self.lease.fence),
            ..place
        })
    }

    /// The place of a cluster's writer that has a whole attempt.
    ///
    /// # Errors
    /// `Fail` when it has none.
    pub async fn placed(&self, cluster: &Cluster) -> Result<Placement, JobError> {
        let place = self.writer_place(cluster).await?;
        place
            .filter(Placement::is_whole)
            .ok_or_else(|| JobError::fail(format!("the cluster {} was never whole", cluster.name)))
    }

    /// Makes the folders above a home.
    ///
    /// # Errors
    /// `Retry`, with what the file system says.
    pub async fn make_way(&self, home: &Home) -> Result<(), JobError> {
        files::make_way(&self.context, home).await.map_err(|error| {
            JobError::retry(format!(
                "the folders above {} cannot be made: {error}",
                home.dir.display()
            ))
        })
    }

    /// Removes what other tries left of an instance: their servers and their folders.
    ///
    /// # Errors
    /// The engine's.
    pub async fn clear_other_attempts(
        &self,
        cluster: &Cluster,
        keep: &Placement,
    ) -> Result<(), JobError> {
        let folder = files::folder(&self.context, cluster);
        for attempt in attempts(&folder).await? {
            if keep.has_attempt(&attempt) && attempt != keep.attempt {
                let old = files::home(
                    &self.context,
                    cluster,
                    &Placement {
                        attempt,
                        ..keep.clone()
                    },
                );
                let engine = self.context.engine_of(cluster)?;
                self.slot.waiting(engine.remove(&old)).await?;
            }
        }
        Ok(())
    }
}

/// A job's own document.
pub(crate) fn body<B: DeserializeOwned>(job: &Job) -> Result<B, serde_json::Error> {
    serde_json::from_str(&job.body)
}

/// The attempt folders of a cluster.
pub(super) async fn attempts(folder: &Path) -> Result<Vec<String>, JobError> {
    files::attempts(folder)
        .await
        .map_err(|error| JobError::retry(format!("{} cannot be read: {error}", folder.display())))
}

/// Finds the snapshot that a job works on, unless it was deleted or replaced meanwhile.
pub(crate) fn snapshot_of(
    tx: &mut dyn Tx,
    of: &Named<SnapshotName>,
    uid: &uuid::Uuid,
) -> Result<Option<catalog::Stored<Snapshot>>, CatalogError> {
    let found = catalog::snapshots::get(tx, &of.region, &of.account, &of.name)?;
    Ok(found.filter(|stored| {
        stored.value.uid == *uid
            && matches!(
                stored.value.status,
                SnapshotStatus::Creating | SnapshotStatus::Copying
            )
    }))
}

/// Ends a job whose work is done, with what it moved in all.
pub(super) fn done(tx: &mut dyn Tx, lease: &Lease, moved: Progress) -> Result<(), CatalogError> {
    let last = jobs::Checkpoint {
        progress: Some(moved),
        ..Default::default()
    };
    jobs::checkpoint(tx, lease, &last)?;
    jobs::finish(tx, lease, &jobs::End::Done)
}

/// Makes a job's snapshot available, in the transaction that ends the job; `left_out` are things
/// among the database's files that it does not have.
pub(crate) fn complete_snapshot(
    tx: &mut dyn Tx,
    of: &Named<SnapshotName>,
    uid: &uuid::Uuid,
    content: &model::Content,
    left_out: &[String],
    in_log: Option<model::InLog>,
) -> Result<(), JobError> {
    let mut stored = snapshot_of(tx, of, uid)?.ok_or(JobError::Gone)?;
    let snapshot = &mut stored.value;
    snapshot.status = SnapshotStatus::Available;
    snapshot.percent_progress = 100;
    snapshot.content = Some(content.clone());
    // A copy's stands in its record already, where it has one.
    snapshot.in_log = in_log.or(snapshot.in_log);
    recovery_points::settle(tx, snapshot)?;
    let stored = catalog::snapshots::update(tx, stored)?;
    kinds::snapshot_is(tx, &stored.value)?;
    if !left_out.is_empty() {
        kinds::snapshot_left_out(tx, &stored.value, left_out)?;
    }
    Ok(())
}
