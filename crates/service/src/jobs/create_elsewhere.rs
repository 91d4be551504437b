//! The readers that a new cluster has on other nodes: those make them, each by a job of its own.
use std::time::Duration;

use catalog::{CatalogExt, instances, jobs};
use model::{Cluster, InstanceStatus, Placement, Told};
use tokio::time::{Instant, sleep};
use vault::Observer;

use super::{
    JobError, Reason,
    create_instance::{CreateInstance, renew, renew_linked},
    on_instance,
    run::Run,
};

const POLL: Duration = Duration::from_millis(200);
/// How long other nodes may take: they copy all that the writer has.
const WAIT_MAX: Duration = Duration::from_secs(6 * 60 * 60);
/// How long one may take to begin.
const BEGIN_MAX: Duration = Duration::from_secs(120);

/// Has the other nodes make the readers of a new cluster whose writer runs, and waits until those are
/// there, and its commits wait for one of them.
pub(super) async fn make_all(
    run: &Run,
    cluster: &Cluster,
    writer: &Placement,
) -> Result<(), JobError> {
    renew(run, cluster, writer).await?;
    ask(run, cluster, writer).await?;
    run.slot.waiting(all_made(run, cluster)).await?;
    let members = run.members(cluster).await?;
    renew_linked(run, cluster, writer, members).await
}

/// From here on the writer's files stay what they are: others follow them.
async fn ask(run: &Run, cluster: &Cluster, writer: &Placement) -> Result<(), JobError> {
    let (lease, cluster, writer) = (run.lease.clone(), cluster.clone(), writer.clone());
    let context = run.context.clone();
    let asked = run.context.catalog.write(move |tx| {
        jobs::guard(tx, &lease)?;
        let id = &cluster.resource_id;
        let mut stored = instances::writer(tx, id)?.ok_or(JobError::Gone)?;
        if stored.value.placement.is_whole() {
            return Ok(());
        }
        stored.value.placement = writer.clone();
        instances::update(tx, stored)?;
        instances::relink(tx, &cluster)?;
        for reader in instances::of_cluster(tx, id)? {
            if !reader.value.is_writer() {
                let job = on_instance::job::<CreateInstance>(&context, &cluster, &reader.value);
                jobs::insert(tx, &job)?;
            }
        }
        Ok::<_, JobError>(())
    });
    asked.await
}

async fn all_made(run: &Run, cluster: &Cluster) -> Result<(), JobError> {
    let began = Instant::now();
    loop {
        let members = run.members(cluster).await?;
        let is_failed = |one: &&model::Instance| one.status == InstanceStatus::Failed;
        if let Some(failed) = members.iter().find(is_failed) {
            let told = failed.failure.clone().unwrap_or(Told::INTERNAL);
            let log = format!("its instance {} could not be made", failed.arn_name());
            return Err(JobError::Fail(Reason::new(told, log)));
        }
        let mut readers = members.iter().filter(|one| !one.is_writer());
        if readers.clone().all(|one| one.placement.is_whole()) {
            return Ok(());
        }
        let is_begun = readers.all(|one| one.placement.has_address());
        let patience = if is_begun { WAIT_MAX } else { BEGIN_MAX };
        if patience < began.elapsed() {
            let told = Told::new("a node that was to have an instance of it has not made it");
            let reason = Reason::new(told, "another node does not make its instance");
            return Err(JobError::Fail(reason));
        }
        if run.progress.stop_requested() {
            return Err(JobError::Stopping);
        }
        sleep(POLL).await;
    }
}
