//! `FailoverDBCluster`: a reader takes the writes of a cluster. Its endpoint stays what it is.
//!
//! Source: API_FailoverDBCluster.
use catalog::{CatalogExt, Tx, clusters, instances, jobs};
use model::{Account, Cluster, ClusterStatus, Handover, Instance, InstanceStatus, Region};
use serde::Deserialize;

use super::{delete_db_instance::can_be_followed, describe_db_clusters::find};
use crate::{
    action::{Action, ActionContext, Api},
    clusters::instance_rules::{not_available, wrong_state},
    shapes::{ClusterOutput, ClusterRef, InstanceRef, groups::of_instance},
};
use service::{
    clusters::handover,
    fault::{Code, Fault},
    jobs::failover_cluster::{self, Body},
};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct FailoverDbCluster {
    #[serde(rename = "DBClusterIdentifier")]
    cluster: String,
    #[serde(rename = "TargetDBInstanceIdentifier")]
    target: Option<String>,
}

impl Action for FailoverDbCluster {
    const NAME: &'static str = "FailoverDBCluster";
    const API: Api = Api::Rds;
    type Output = ClusterOutput;

    async fn run(self, cx: &ActionContext) -> Result<ClusterOutput, Fault> {
        let wanted = ClusterRef::asked("DBClusterIdentifier", &self.cluster, cx)?;
        let target = self.target.as_deref();
        let target = target
            .map(|given| InstanceRef::asked("TargetDBInstanceIdentifier", given, cx))
            .transpose()?;
        let found = find(cx, &wanted).await?;
        let writer = found.writer.ok_or_else(|| not_available(&found.cluster))?;
        let (account, region) = (cx.caller.account.clone(), cx.region.clone());
        let context = cx.service.clone();
        let cluster = found.cluster;
        let asked = cluster.clone();
        let target = context
            .catalog
            .read(move |tx| decide(tx, &asked, target.as_ref(), &account, &region))
            .await?;
        let body = Body {
            cluster: cluster.resource_id.clone(),
            from: writer.id.clone(),
            target,
        };
        let mut job = failover_cluster::job(&context, &cluster, &body);
        job.node = Some(writer.placement.node.clone());
        let (moved, members, waiting) = context
            .catalog
            .write(move |tx| {
                let stored = clusters::get_by_resource_id(tx, &body.cluster)?;
                let mut stored = stored.ok_or_else(|| wanted.not_found())?;
                let still = instances::writer(tx, &body.cluster)?;
                let same = still.is_some_and(|still| still.value.id == body.from);
                if stored.value.status != ClusterStatus::Available || !same {
                    return Err(not_available(&stored.value));
                }
                let stored = match stored.value.spread {
                    Some(_) => hand_over(tx, &wanted, &stored.value, &body)?,
                    None => {
                        stored.value.status = ClusterStatus::FailingOver;
                        jobs::insert(tx, &job)?;
                        clusters::update(tx, stored)?
                    }
                };
                let members = instances::of_cluster(tx, &body.cluster)?;
                let members: Vec<Instance> = members.into_iter().map(|one| one.value).collect();
                let waiting = of_instance::waiting(tx, &members)?;
                Ok((stored.value, members, waiting))
            })
            .await?;
        let output = ClusterOutput::of(&moved, Some(&writer)).with_members(&members);
        Ok(output.with_waiting(&waiting))
    }
}

/// Begins the handover of a cluster whose instances are on several nodes.
fn hand_over(
    tx: &mut dyn Tx,
    wanted: &ClusterRef,
    cluster: &Cluster,
    body: &Body,
) -> Result<catalog::Stored<Cluster>, Fault> {
    let asked = |handover| Handover {
        target: body.target.clone(),
        ..handover
    };
    if let Some(obstacle) = handover::begin(tx, &body.cluster, asked, &body.from)? {
        return Err(Fault::new(
            Code::InvalidDbClusterState,
            format!(
                "DB cluster {} can't fail over now: {obstacle}.",
                cluster.name
            ),
        ));
    }
    let stored = clusters::get_by_resource_id(tx, &body.cluster)?;
    stored.ok_or_else(|| wanted.not_found())
}

/// Which reader is meant; none when any will do.
fn decide(
    tx: &mut dyn Tx,
    cluster: &Cluster,
    target: Option<&InstanceRef>,
    account: &Account,
    region: &Region,
) -> Result<Option<model::InstanceId>, Fault> {
    if cluster.status != ClusterStatus::Available {
        return Err(not_available(cluster));
    }
    let members = instances::of_cluster(tx, &cluster.resource_id)?;
    let Some(target) = target else {
        can_be_followed(cluster, &members)?;
        return Ok(None);
    };
    let found = target.own(tx, account, region)?.value;
    if found.cluster != cluster.resource_id {
        return Err(target.not_found());
    }
    if found.is_writer() {
        return Err(Fault::new(
            Code::InvalidDbInstanceState,
            format!(
                "{} is the writer of DB cluster {} already.",
                found.arn_name(),
                cluster.name
            ),
        ));
    }
    if found.status != InstanceStatus::Available || !found.placement.is_whole() {
        return Err(wrong_state(&found));
    }
    Ok(Some(found.id))
}
