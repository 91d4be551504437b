//! The groups that a cluster has: whether they are there, and for its version.
use catalog::Tx;
use model::Cluster;

use super::names::{ClusterParameterGroupRef, SubnetGroupRef};
use service::fault::{Code, Fault};

/// Refuses the groups of a cluster that are not there, or not for its version.
pub(crate) fn check(tx: &mut dyn Tx, cluster: &Cluster) -> Result<(), Fault> {
    let (region, account) = (&cluster.region, &cluster.account);
    if let Some(given) = &cluster.options.subnet_group {
        let parameter = "DBSubnetGroupName";
        SubnetGroupRef::read(parameter, given, account, region)?.own(tx, account, region)?;
    }
    let Some(given) = &cluster.options.parameter_group else {
        return Ok(());
    };
    let parameter = "DBClusterParameterGroupName";
    let wanted = ClusterParameterGroupRef::read(parameter, given, account, region)?;
    let group = wanted.get(tx)?.ok_or_else(|| {
        Fault::new(
            Code::DbClusterParameterGroupNotFound,
            format!("DBClusterParameterGroup not found: {given}"),
        )
    })?;
    let family = &group.value.family;
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
