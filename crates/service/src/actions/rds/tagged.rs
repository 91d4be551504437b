//! Resources that have tags, as the three tag actions find them: by ARN, the caller's own, in
//! the asked region.
use catalog::{CatalogExt, Tx, clusters, snapshots};
use model::{Account, Arn, ClusterName, Region, SnapshotName, Tag};

use crate::{
    action::Cx,
    fault::{Code, Fault},
};

/// Which resource's tags.
#[derive(Debug, Clone)]
pub(crate) struct ResourceTags {
    region: Region,
    account: Account,
    target: Target,
}

#[derive(Debug, Clone)]
enum Target {
    Cluster(ClusterName),
    Snapshot(SnapshotName),
}

impl ResourceTags {
    /// Reads a `ResourceName`.
    pub(crate) fn parse(text: &str, cx: &Cx) -> Result<Self, Fault> {
        let malformed = || {
            let shown: String = text.chars().take(model::limits::ECHO_CHARS_MAX).collect();
            Fault::value(format!("Invalid resource name: {shown}"))
        };
        let arn = Arn::parse(text)
            .ok()
            .filter(|arn| arn.service == "rds")
            .ok_or_else(malformed)?;
        let target = if let Some(name) = arn.name_of("cluster") {
            Target::Cluster(ClusterName::parse(name).map_err(|_| malformed())?)
        } else if let Some(name) = arn.name_of("cluster-snapshot") {
            Target::Snapshot(SnapshotName::parse_existing(name).map_err(|_| malformed())?)
        } else {
            return Err(malformed());
        };
        let resource = Self {
            region: arn.region,
            account: arn.account,
            target,
        };
        if resource.region != cx.region || resource.account != cx.caller.account {
            return Err(resource.not_found());
        }
        Ok(resource)
    }

    fn not_found(&self) -> Fault {
        match &self.target {
            Target::Cluster(name) => Fault::new(
                Code::DbClusterNotFound,
                format!("DBCluster {name} not found."),
            ),
            Target::Snapshot(name) => Fault::new(
                Code::DbClusterSnapshotNotFound,
                format!("DBClusterSnapshot not found: {name}"),
            ),
        }
    }
}

/// The resource's tags.
pub(crate) async fn read(cx: &Cx, resource: ResourceTags) -> Result<Vec<Tag>, Fault> {
    cx.core
        .catalog
        .read(move |tx| {
            let ResourceTags {
                region,
                account,
                target,
            } = &resource;
            let tags = match target {
                Target::Cluster(name) => {
                    clusters::get(tx, region, account, name)?.map(|row| row.value.tags)
                }
                Target::Snapshot(name) => {
                    snapshots::get(tx, region, account, name)?.map(|row| row.value.tags)
                }
            };
            tags.ok_or_else(|| resource.not_found())
        })
        .await
}

/// Changes the resource's tags.
pub(crate) async fn change(
    cx: &Cx,
    resource: ResourceTags,
    change: impl Fn(&mut Vec<Tag>) -> Result<(), Fault> + Send + Sync + 'static,
) -> Result<(), Fault> {
    cx.core
        .catalog
        .write(move |tx| apply(tx, &resource, &change))
        .await?;
    cx.core.mirror.notify_one();
    Ok(())
}

fn apply(
    tx: &mut dyn Tx,
    resource: &ResourceTags,
    change: &dyn Fn(&mut Vec<Tag>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let ResourceTags {
        region,
        account,
        target,
    } = resource;
    match target {
        Target::Cluster(name) => {
            let mut stored =
                clusters::get(tx, region, account, name)?.ok_or_else(|| resource.not_found())?;
            change(&mut stored.value.tags)?;
            clusters::update(tx, stored)?;
        }
        Target::Snapshot(name) => {
            let mut stored =
                snapshots::get(tx, region, account, name)?.ok_or_else(|| resource.not_found())?;
            change(&mut stored.value.tags)?;
            snapshots::update(tx, stored)?;
        }
    }
    Ok(())
}
