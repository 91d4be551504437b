//! What comes due for clusters: those that were stopped for too long are started, and what was put
//! off until the maintenance window is done in it.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use catalog::{CatalogError, CatalogExt, Tx, clusters as rows, snapshots};
use model::{Cluster, ClusterStatus, ResourceId, Timestamp, Window};

use super::here;
use crate::{
    background::{Next, Task, TaskError},
    context::ServiceContext,
    events::kinds::{self, OfCluster},
    jobs::change_cluster::{self, Change},
};

const PERIOD: Duration = Duration::from_secs(30);

/// The task: each node sees to the clusters whose files it has.
#[derive(Debug, Default)]
pub(crate) struct ClusterUpkeep;

#[async_trait]
impl Task for ClusterUpkeep {
    fn name(&self) -> String {
        "cluster_upkeep".to_owned()
    }

    fn period(&self, _context: &ServiceContext) -> Duration {
        PERIOD
    }

    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        let mut first = Ok(Next::Period);
        for member in here::due(context, is_due).await? {
            let id = member.instance.cluster;
            let (asked, of) = (context.clone(), id.clone());
            let done = context.catalog.write(move |tx| see_to(&asked, tx, &of));
            if let Err(error) = done.await {
                let failed =
                    TaskError::doing(&format!("what is due for {id} was not done"), &error);
                first = first.and(Err(failed));
            }
        }
        first
    }
}

fn is_due(cluster: &Cluster, now: Timestamp) -> bool {
    match cluster.status {
        ClusterStatus::Stopped => cluster.restarts_at.is_some_and(|at| at <= now),
        ClusterStatus::Available => {
            let window = Window::weekly(&cluster.maintenance_window());
            !cluster.pending.is_empty() && window.is_some_and(|window| window.contains(now))
        }
        _ => false,
    }
}

fn see_to(context: &ServiceContext, tx: &mut dyn Tx, id: &ResourceId) -> Result<(), CatalogError> {
    let Some(stored) = here::still_due(tx, id, is_due)? else {
        return Ok(());
    };
    if stored.value.status == ClusterStatus::Stopped {
        kinds::cluster(tx, &stored.value, OfCluster::StoppedTooLong)?;
        change_cluster::begin(context, tx, stored, ClusterStatus::Starting, Change::Start)?;
        return Ok(());
    }
    let stored = rename(tx, stored)?;
    let cluster = &stored.value;
    let of = (&cluster.region, &cluster.account, &cluster.resource_id);
    // A snapshot that is being taken is not cut off: the window is longer, and comes again.
    if cluster.pending.restarts() && snapshots::count_creating(tx, of.0, of.1, of.2, None)? == 0 {
        let status = change_cluster::status_of(&cluster.pending);
        let change = Change::Alter {
            master_verifier: None,
            restart: true,
            secret: None,
        };
        change_cluster::begin(context, tx, stored, status, change)?;
    }
    Ok(())
}

/// Gives a cluster the name that waits for it. One that is taken by now is forgotten.
fn rename(
    tx: &mut dyn Tx,
    mut stored: catalog::Stored<Cluster>,
) -> Result<catalog::Stored<Cluster>, CatalogError> {
    let Some(name) = stored.value.pending.name.take() else {
        return Ok(stored);
    };
    let cluster = &stored.value;
    if rows::get(tx, &cluster.region, &cluster.account, &name)?.is_some() {
        return rows::update(tx, stored);
    }
    change_cluster::rename(tx, stored, name)
}

#[cfg(test)]
mod tests {
    use catalog::conformance::samples;

    use super::*;

    #[test]
    fn what_is_due_is_due_in_its_time() {
        let at = |text: &str| Timestamp::parse(text).expect("a moment");
        let mut stopped = samples::cluster("c");
        stopped.status = ClusterStatus::Stopped;
        assert!(!is_due(&stopped, at("2026-11-28T12:00:00Z")));
        stopped.restarts_at = Some(at("2026-11-28T12:00:00Z"));
        assert!(!is_due(&stopped, at("2026-11-28T11:59:59Z")));
        assert!(is_due(&stopped, at("2026-11-28T12:00:00Z")));
        stopped.status = ClusterStatus::Starting;
        assert!(!is_due(&stopped, at("2026-11-28T12:00:00Z")), "it is begun");

        let mut pending = samples::cluster("c");
        pending.options.maintenance_window = Some("sat:12:00-sat:12:30".to_owned());
        assert!(
            !is_due(&pending, at("2026-11-28T12:10:00Z")),
            "nothing waits"
        );
        pending.pending.port = Some(5_555);
        assert!(is_due(&pending, at("2026-11-28T12:10:00Z")));
        assert!(!is_due(&pending, at("2026-11-28T12:30:00Z")));
        pending.status = ClusterStatus::Stopped;
        assert!(!is_due(&pending, at("2026-11-28T12:10:00Z")));
    }
}
