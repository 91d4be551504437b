//! Asks for each cluster's automated snapshot as it comes due.
//!
//! Which day's it is stands in the cluster's record, which is written in the transaction that asks:
//! so however many processes look, and whenever one dies, there is one a day.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use catalog::{CatalogError, CatalogExt, Tx, automated, clusters as rows, instances, jobs};
use model::{
    Cluster, ClusterStatus, ErrorKind, Job, ResourceId, Snapshot, SnapshotKind, SnapshotName,
    SnapshotStatus, Timestamp, Told, job::Subject, restore_testing::is_tested,
};

use super::{
    ends,
    records::{self, Asked},
};
use crate::{
    background::{Next, Task, TaskError},
    context::ServiceContext,
    events::kinds::{self, OfCluster},
    fault::Fault,
};

const PERIOD: Duration = Duration::from_secs(30);
/// While others wait for their turn.
const TURN: Duration = Duration::from_secs(2);
/// Automated snapshots that a node takes at once: what people ask for has the other slots.
const AT_ONCE: usize = 2;

/// The task: each node sees to the clusters whose files it has.
#[derive(Debug, Default)]
pub(crate) struct AutomatedBackups {
    more: bool,
}

#[async_trait]
impl Task for AutomatedBackups {
    fn name(&self) -> String {
        "automated_backups".to_owned()
    }

    fn period(&self, _context: &ServiceContext) -> Duration {
        match self.more {
            true => TURN,
            false => PERIOD,
        }
    }

    async fn woken(&self, context: &ServiceContext) {
        context.backups.notified().await;
    }

    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        let node = context.settings.node.clone();
        let due = context.catalog.read(move |tx| due_on(tx, &node)).await?;
        let room = AT_ONCE.saturating_sub(due.under_way);
        self.more = room < due.clusters.len();
        let mut first = Ok(Next::Period);
        for id in due.clusters.into_iter().take(room) {
            if let Err(error) = ask(context, &id).await {
                let told = format!("no automated snapshot of {id} was asked for");
                first = first.and(Err(TaskError::doing(&told, &error)));
            }
        }
        first
    }
}

/// What is to be done on a node.
struct Due {
    clusters: Vec<ResourceId>,
    /// Automated snapshots that are being taken.
    under_way: usize,
}

fn due_on(tx: &mut dyn Tx, node: &str) -> Result<Due, CatalogError> {
    let now = tx.now();
    let members = instances::on_node(tx, node)?.into_iter();
    let mut due: Vec<Cluster> = members
        .filter(|member| member.instance.is_writer() && is_due(&member.cluster, now))
        .map(|member| member.cluster)
        .collect();
    // Those that were never taken come first, then whose last one is the oldest.
    due.sort_by_key(|cluster| cluster.backups.asked_at);
    let is_automated =
        |job: &Job| matches!(&job.subject, Subject::Snapshot(of) if of.name.is_automated());
    let under_way = match due.is_empty() {
        true => 0,
        false => jobs::bound_to(tx, node)?
            .iter()
            .filter(|job| is_automated(job))
            .count(),
    };
    Ok(Due {
        clusters: due.into_iter().map(|cluster| cluster.resource_id).collect(),
        under_way,
    })
}

fn is_due(cluster: &Cluster, now: Timestamp) -> bool {
    cluster.status == ClusterStatus::Available
        // What is restored for a test is thrown away.
        && !is_tested(cluster.name.as_str(), &cluster.tags)
        && cluster.backups.is_due(cluster.backup_window(), now)
}

/// Why none was asked for.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Fault(Fault),
}

async fn ask(context: &Arc<ServiceContext>, id: &ResourceId) -> Result<(), AskError> {
    let wanted = id.clone();
    let found = context.catalog.read(move |tx| {
        let cluster = rows::get_by_resource_id(tx, &wanted)?;
        Ok::<_, CatalogError>(cluster.zip(instances::writer(tx, &wanted)?))
    });
    let Some((stored, writer)) = found.await? else {
        return Ok(());
    };
    let (cluster, place) = (stored.value, writer.value.placement);
    let asked = Asked {
        name: SnapshotName::automated(&cluster.name, context.now()),
        kind: SnapshotKind::Automated,
        tags: Vec::new(),
    };
    match records::prepare(context, &cluster, Some(place.port), asked).await {
        Ok((snapshot, body)) => {
            let job = records::job(context, &cluster, Some(place.node), &snapshot, &body);
            begin(context, id, snapshot, job).await
        }
        // What its owner has to see to is told, and tried again later; the rest at the next turn.
        Err(fault) if fault.code.kind() == ErrorKind::Refuse => refused(context, id, fault).await,
        Err(fault) => Err(AskError::Fault(fault)),
    }
}

/// Writes down that it was asked for, if it still is due, and adds its job.
async fn begin(
    context: &ServiceContext,
    id: &ResourceId,
    snapshot: Snapshot,
    job: Job,
) -> Result<(), AskError> {
    let id = id.clone();
    let begun = context.catalog.write(move |tx| {
        let now = tx.now();
        let found = rows::get_by_resource_id(tx, &id)?;
        let Some(mut stored) = found.filter(|stored| is_due(&stored.value, now)) else {
            return Ok(());
        };
        let cluster = &mut stored.value;
        let of = (&cluster.region, &cluster.account, &cluster.resource_id);
        for earlier in automated::of_cluster(tx, of)? {
            match earlier.value.status {
                // An older clock asked for it.
                SnapshotStatus::Creating => return Ok(()),
                SnapshotStatus::Failed => ends::delete(tx, &earlier.value)?,
                SnapshotStatus::Copying | SnapshotStatus::Available => {}
            }
        }
        cluster.backups.asked(now);
        rows::update(tx, stored)?;
        records::insert(tx, snapshot.clone())?;
        jobs::insert(tx, &job)
    });
    match begun.await {
        // The minute's name is a former cluster's of the same name: the next minute has another.
        Err(CatalogError::Conflict { .. }) => Ok(()),
        other => Ok(other?),
    }
}

async fn refused(context: &ServiceContext, id: &ResourceId, fault: Fault) -> Result<(), AskError> {
    let (id, told) = (id.clone(), Told::answered(fault.message));
    let noted = context.catalog.write(move |tx| {
        let Some(mut stored) = rows::get_by_resource_id(tx, &id)? else {
            return Ok(());
        };
        let now = tx.now();
        stored.value.backups.failed(now);
        let stored = rows::update(tx, stored)?;
        kinds::cluster(tx, &stored.value, OfCluster::BackupFailed(&told))
    });
    Ok(noted.await?)
}
