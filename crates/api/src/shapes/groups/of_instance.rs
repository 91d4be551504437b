//! The groups that an instance is given, and how its server stands to what they set.
use catalog::{CatalogError, Tx, parameter_status};
use model::{Cluster, Instance, ParameterGroupName, SubnetGroupName};

use super::of_cluster::{find, fits};
use crate::shapes::ResourceName;
use service::fault::Fault;

/// Refuses groups that are not the account's, or not for the cluster's version.
///
/// # Errors
/// `DBParameterGroupNotFound`, `DBSubnetGroupNotFoundFault`, `InvalidParameterCombination`.
pub(crate) fn check(
    tx: &mut dyn Tx,
    cluster: &Cluster,
    parameter_group: Option<&str>,
    subnet_group: Option<&str>,
) -> Result<(), Fault> {
    if let Some(given) = subnet_group
        && find::<SubnetGroupName>(tx, cluster, given)?.is_none()
    {
        return Err(SubnetGroupName::missing(given));
    }
    let Some(given) = parameter_group else {
        return Ok(());
    };
    let group = find::<ParameterGroupName>(tx, cluster, given)?;
    let group = group.ok_or_else(|| ParameterGroupName::missing(given))?;
    fits(cluster, given, &group.value.family)
}

/// How an instance's server stands to its parameters, in RDS's word.
///
/// # Errors
/// The database's.
pub(crate) fn status(tx: &mut dyn Tx, instance: &Instance) -> Result<&'static str, CatalogError> {
    Ok(parameter_status::of(tx, &instance.id)?.as_str())
}

/// The names of the members whose servers do not have all parameters, each with RDS's word.
///
/// # Errors
/// The database's.
pub(crate) fn waiting(
    tx: &mut dyn Tx,
    members: &[Instance],
) -> Result<Vec<(String, &'static str)>, CatalogError> {
    let mut waiting = Vec::new();
    for member in members {
        let status = parameter_status::of(tx, &member.id)?;
        if let Some(name) = &member.name
            && status != parameter_status::ParameterStatus::InSync
        {
            waiting.push((name.to_string(), status.as_str()));
        }
    }
    Ok(waiting)
}
