//! Resources that have tags, as the three tag actions find them: by ARN, the caller's own, in
//! the asked region.
use catalog::{CatalogExt, Tx, clusters, instances, snapshots};
use model::{Account, Arn, Region, Tag};

use crate::{
    action::ActionContext,
    shapes::{ClusterRef, InstanceRef, SnapshotRef},
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
}

impl ResourceTags {
    /// Reads a `ResourceName`. Of another region RDS says that it matches nothing here; another
    /// account's resource does not exist.
    pub(crate) fn parse(text: &str, cx: &ActionContext) -> Result<Self, Fault> {
        let shown: String = text.chars().take(model::limits::ECHO_CHARS_MAX).collect();
        let malformed = || Fault::value(format!("Invalid resource name: {shown}"));
        let arn = Arn::parse(text).map_err(|_| malformed())?;
        let cluster = ClusterRef::of_arn(&arn, text).map(Target::Cluster);
        let target = cluster
            .or_else(|| SnapshotRef::of_arn(&arn, text).map(Target::Snapshot))
            .or_else(|| InstanceRef::of_arn(&arn, text).map(Target::Instance))
            .ok_or_else(malformed)?;
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
    }
    Ok(())
}
