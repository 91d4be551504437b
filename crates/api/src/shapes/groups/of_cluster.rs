//! The groups that a cluster has: whether they are there, and for its version.
use catalog::{CatalogError, Stored, Tx};
use model::{Cluster, ClusterParameterGroupName, SubnetGroupName};

use crate::shapes::ResourceName;
use service::fault::{Code, Fault};

/// Refuses the groups of a cluster that are not there, or not for its version. Both are named, by no ARN.
pub(crate) fn check(tx: &mut dyn Tx, cluster: &Cluster) -> Result<(), Fault> {
    if let Some(given) = &cluster.options.subnet_group
        && find::<SubnetGroupName>(tx, cluster, given)?.is_none()
    {
        return Err(SubnetGroupName::missing(given));
    }
    let Some(given) = &cluster.options.parameter_group else {
        return Ok(());
    };
    let group = find::<ClusterParameterGroupName>(tx, cluster, given)?.ok_or_else(|| {
        Fault::new(
            Code::DbClusterParameterGroupNotFound,
            format!("DBClusterParameterGroup not found: {given}"),
        )
    })?;
    fits(cluster, given, &group.value.family)
}

/// Refuses a parameter group of another engine or series than a cluster's.
pub(super) fn fits(cluster: &Cluster, given: &str, family: &str) -> Result<(), Fault> {
    let is_of_version = |series: &str| {
        let rest = cluster.engine_version.strip_prefix(series);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    match family
        .strip_prefix(&cluster.engine)
        .is_some_and(is_of_version)
    {
        true => Ok(()),
        false => Err(Fault::combination(format!(
            "The Parameter Group {given} with DBParameterGroupFamily {family} can't be used for this cluster: it runs {} {}.",
            cluster.engine, cluster.engine_version
        ))),
    }
}

/// A group of the cluster's own account and region.
pub(super) fn find<N: ResourceName>(
    tx: &mut dyn Tx,
    cluster: &Cluster,
    given: &str,
) -> Result<Option<Stored<N::Record>>, CatalogError> {
    match N::existing(given) {
        Ok(name) => name.get(tx, &cluster.region, &cluster.account),
        Err(_) => Ok(None),
    }
}
