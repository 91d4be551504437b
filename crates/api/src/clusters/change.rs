//! A cluster's server is changed: what must be so before, and the job that does it.
use catalog::{CatalogExt, Tx, clusters, instances, snapshots};
use model::{Cluster, ClusterStatus, Instance, InstanceStatus, SnapshotKind};

use crate::{
    action::ActionContext,
    shapes::{ClusterOutput, ClusterRef, groups::of_instance},
};
use service::{
    fault::{Code, Fault},
    jobs::change_cluster::{self, Change},
};

/// What RDS calls the state of a cluster of which a snapshot is being taken.
const BACKING_UP: &str = "backing-up";

/// A cluster's state as the rules of changes see it: also whether somebody is having a snapshot of it
/// taken. An automated one gives way.
pub(crate) fn standing(tx: &mut dyn Tx, cluster: &Cluster) -> Result<&'static str, Fault> {
    let of = (&cluster.region, &cluster.account, &cluster.resource_id);
    let backing_up = cluster.status == ClusterStatus::Available
        && 0 < snapshots::count_creating(tx, of.0, of.1, of.2, Some(SnapshotKind::Manual))?;
    Ok(match backing_up {
        true => BACKING_UP,
        false => cluster.status.as_str(),
    })
}

/// Refuses to end the servers of a cluster of which an instance is being made, changed or removed.
///
/// # Errors
/// `InvalidDBInstanceState`.
pub(crate) fn members_are_available(members: &[Instance]) -> Result<(), Fault> {
    let busy = members.iter().find(|one| {
        !matches!(
            one.status,
            InstanceStatus::Available | InstanceStatus::Failed
        )
    });
    match busy {
        Some(one) => Err(Fault::new(
            Code::InvalidDbInstanceState,
            format!("Instance {} is not in available state.", one.arn_name()),
        )),
        None => Ok(()),
    }
}

/// A cluster's instances.
pub(crate) fn members(tx: &mut dyn Tx, cluster: &Cluster) -> Result<Vec<Instance>, Fault> {
    let found = instances::of_cluster(tx, &cluster.resource_id)?;
    Ok(found.into_iter().map(|stored| stored.value).collect())
}

/// Changes the server of a cluster that stands as it must.
///
/// # Errors
/// `DBClusterNotFoundFault`; `InvalidDBClusterStateFault`, in RDS's words, when it does not.
pub(crate) async fn change(
    cx: &ActionContext,
    given: &str,
    (from, expected): (ClusterStatus, &'static str),
    to: ClusterStatus,
    change: Change,
) -> Result<ClusterOutput, Fault> {
    let wanted = ClusterRef::asked("DBClusterIdentifier", given, cx)?;
    let (account, region) = (cx.caller.account.clone(), cx.region.clone());
    let context = cx.service.clone();
    let (cluster, members, waiting) = cx
        .service
        .catalog
        .write(move |tx| {
            let stored = wanted.own(tx, &account, &region)?;
            let standing = standing(tx, &stored.value)?;
            if standing != from.as_str() {
                return Err(Fault::new(
                    Code::InvalidDbClusterState,
                    format!(
                        "DbCluster {} is in {standing} state but expected it to be one of {expected}.",
                        stored.value.name
                    ),
                ));
            }
            let members = members(tx, &stored.value)?;
            members_are_available(&members)?;
            let stored = change_cluster::begin(&context, tx, stored, to, change.clone())?;
            let waiting = of_instance::waiting(tx, &members)?;
            Ok((stored.value, members, waiting))
        })
        .await?;
    Ok(ClusterOutput::of_all(&cluster, &members).with_waiting(&waiting))
}

/// What RDS says of a cluster that cannot be modified now.
pub(crate) fn not_available(standing: &str) -> Fault {
    Fault::new(
        Code::InvalidDbClusterState,
        format!("DB cluster is not available for modification with status {standing}"),
    )
}

/// Changes what is recorded of an available cluster, and nothing of its server.
///
/// # Errors
/// `DBClusterNotFoundFault`; `InvalidDBClusterStateFault` when it is not available; what `change`
/// says.
pub(crate) async fn alter_record(
    cx: &ActionContext,
    given: &str,
    change: impl Fn(&mut Cluster) -> Result<(), Fault> + Send + Sync + 'static,
) -> Result<(), Fault> {
    let wanted = ClusterRef::asked("DBClusterIdentifier", given, cx)?;
    let (account, region) = (cx.caller.account.clone(), cx.region.clone());
    cx.service
        .catalog
        .write(move |tx| {
            let mut stored = wanted.own(tx, &account, &region)?;
            if stored.value.status != ClusterStatus::Available {
                return Err(not_available(stored.value.status.as_str()));
            }
            change(&mut stored.value)?;
            clusters::update(tx, stored)?;
            Ok(())
        })
        .await
}
