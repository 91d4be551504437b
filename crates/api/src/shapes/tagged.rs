//! Resources that have tags, as the three tag actions find them: by ARN, the caller's own, in
//! the asked region.
use catalog::{CatalogExt, Tx, clusters, instances, snapshots};
use model::{Account, Arn, ArnKind, Region, Tag};

use crate::{
    action::ActionContext,
    shapes::groups::{
        self,
        names::{ClusterParameterGroupRef, ParameterGroupRef, SubnetGroupRef, SubscriptionRef},
    },
    shapes::{ClusterRef, InstanceRef, Ref, ResourceName, SnapshotRef},
};
use service::fault::Fault;

/// Which resource's tags: the caller's own, in the called region.
#[derive(Debug, Clone)]
pub(crate) struct ResourceTags {
    caller: Account,
    region: Region,
    target: Target,
}

#[derive(Debug, Clone)]
enum Target {
    Cluster(ClusterRef),
    Snapshot(SnapshotRef),
    Instance(InstanceRef),
    SubnetGroup(SubnetGroupRef),
    ClusterParameterGroup(ClusterParameterGroupRef),
    ParameterGroup(ParameterGroupRef),
    Subscription(SubscriptionRef),
}

impl Target {
    fn of(arn: &Arn, given: &str) -> Option<Self> {
        Some(match arn.kind()? {
            ArnKind::Cluster => Self::Cluster(ClusterRef::of_arn(arn, given)?),
            ArnKind::ClusterSnapshot => Self::Snapshot(SnapshotRef::of_arn(arn, given)?),
            ArnKind::Instance => Self::Instance(InstanceRef::of_arn(arn, given)?),
            ArnKind::SubnetGroup => Self::SubnetGroup(SubnetGroupRef::of_arn(arn, given)?),
            ArnKind::ClusterParameterGroup => {
                Self::ClusterParameterGroup(ClusterParameterGroupRef::of_arn(arn, given)?)
            }
            ArnKind::ParameterGroup => Self::ParameterGroup(ParameterGroupRef::of_arn(arn, given)?),
            ArnKind::Subscription => Self::Subscription(SubscriptionRef::of_arn(arn, given)?),
            // Other APIs' resources have other tag actions.
            ArnKind::Key
            | ArnKind::Alias
            | ArnKind::Secret
            | ArnKind::BackupVault
            | ArnKind::BackupPlan => return None,
        })
    }
}

impl ResourceTags {
    /// Reads a `ResourceName`. Of another region RDS says that it matches nothing here; another
    /// account's resource does not exist.
    pub(crate) fn parse(text: &str, cx: &ActionContext) -> Result<Self, Fault> {
        let shown: String = model::limits::echo(text);
        let malformed = || Fault::value(format!("Invalid resource name: {shown}"));
        let arn = Arn::parse(text).map_err(|_| malformed())?;
        let target = Target::of(&arn, text).ok_or_else(malformed)?;
        if arn.region != cx.region {
            return Err(Fault::value(
                "The specified resource name does not match an RDS resource in this region.",
            ));
        }
        Ok(Self {
            caller: cx.caller.account.clone(),
            region: cx.region.clone(),
            target,
        })
    }
}

/// The resource's tags.
pub(crate) async fn read(cx: &ActionContext, resource: ResourceTags) -> Result<Vec<Tag>, Fault> {
    cx.service
        .catalog
        .read(move |tx| {
            let (caller, region) = (&resource.caller, &resource.region);
            Ok(match &resource.target {
                Target::Cluster(wanted) => wanted.own(tx, caller, region)?.value.tags,
                Target::Snapshot(wanted) => wanted.own(tx, caller, region)?.value.tags,
                Target::Instance(wanted) => wanted.own(tx, caller, region)?.value.tags,
                Target::SubnetGroup(wanted) => wanted.own(tx, caller, region)?.value.tags,
                Target::ClusterParameterGroup(wanted) => wanted.own(tx, caller, region)?.value.tags,
                Target::ParameterGroup(wanted) => wanted.own(tx, caller, region)?.value.tags,
                Target::Subscription(wanted) => wanted.own(tx, caller, region)?.value.tags,
            })
        })
        .await
}

/// Changes the resource's tags.
pub(crate) async fn change(
    cx: &ActionContext,
    resource: ResourceTags,
    change: impl Fn(&mut Vec<Tag>) -> Result<(), Fault> + Send + Sync + 'static,
) -> Result<(), Fault> {
    cx.service
        .catalog
        .write(move |tx| apply(tx, &resource, &change))
        .await?;
    Ok(())
}

fn apply(
    tx: &mut dyn Tx,
    resource: &ResourceTags,
    change: &dyn Fn(&mut Vec<Tag>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let (caller, region) = (&resource.caller, &resource.region);
    match &resource.target {
        Target::Cluster(wanted) => {
            let mut stored = wanted.own(tx, caller, region)?;
            change(&mut stored.value.tags)?;
            clusters::update(tx, stored)?;
        }
        Target::Snapshot(wanted) => {
            let mut stored = wanted.own(tx, caller, region)?;
            change(&mut stored.value.tags)?;
            snapshots::update(tx, stored)?;
        }
        Target::Instance(wanted) => {
            let mut stored = wanted.own(tx, caller, region)?;
            change(&mut stored.value.tags)?;
            instances::update(tx, stored)?;
        }
        Target::SubnetGroup(wanted) => retag(tx, wanted, resource, change)?,
        Target::ClusterParameterGroup(wanted) => retag(tx, wanted, resource, change)?,
        Target::ParameterGroup(wanted) => retag(tx, wanted, resource, change)?,
        Target::Subscription(wanted) => retag(tx, wanted, resource, change)?,
    }
    Ok(())
}

fn retag<N: ResourceName>(
    tx: &mut dyn Tx,
    wanted: &Ref<N>,
    resource: &ResourceTags,
    change: &dyn Fn(&mut Vec<Tag>) -> Result<(), Fault>,
) -> Result<(), Fault>
where
    N::Record: groups::Named,
{
    let mut stored = wanted.own(tx, &resource.caller, &resource.region)?;
    change(groups::Named::tags(&mut stored.value))?;
    groups::keep(tx, stored)?;
    Ok(())
}
