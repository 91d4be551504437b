//! DB subnet groups as RDS answers them. There is no network behind them: a group is kept and answered,
//! and each of its subnets counts as one of a zone of its own.
use std::collections::BTreeSet;

use model::{Account, Region, Subnet, SubnetGroup, SubnetGroupName, limits, subnet_group::DEFAULT};
use serde::Serialize;

use crate::action::{Label, Layout, Output};
use service::fault::{Code, Fault};

/// The network that subnets are said to be in.
pub const VPC: &str = "vpc-00000000000000000";

/// The group that is always there.
pub(crate) fn default(region: &Region, account: &Account) -> SubnetGroup {
    let subnets = region.zones().into_iter().enumerate();
    SubnetGroup {
        region: region.clone(),
        account: account.clone(),
        name: SubnetGroupName::parse(DEFAULT).expect("a name"),
        description: DEFAULT.to_owned(),
        subnets: subnets
            .map(|(number, availability_zone)| Subnet {
                id: format!("subnet-{number:017}"),
                availability_zone,
            })
            .collect(),
        tags: Vec::new(),
    }
}

/// The subnets of a group, of the names that a caller gave.
///
/// # Errors
/// `InvalidSubnet`, `DBSubnetQuotaExceededFault`, `DBSubnetGroupDoesNotCoverEnoughAZs`.
pub(crate) fn subnets(region: &Region, given: &[String]) -> Result<Vec<Subnet>, Fault> {
    let mut seen = BTreeSet::new();
    let ids: Vec<&String> = given.iter().filter(|id| seen.insert(*id)).collect();
    let is_legal = |id: &str| {
        let tail = id.strip_prefix("subnet-");
        tail.is_some_and(|tail| {
            (1..=64).contains(&tail.len())
                && tail.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
    };
    if let Some(wrong) = ids.iter().find(|id| !is_legal(id)) {
        let shown: String = limits::echo(wrong);
        return Err(Fault::new(
            Code::InvalidSubnet,
            format!("The subnet ID '{shown}' does not exist: subnets are named subnet-…."),
        ));
    }
    if limits::SUBNETS_MAX < ids.len() {
        return Err(Fault::new(
            Code::DbSubnetQuotaExceeded,
            format!(
                "A DB subnet group has at most {} subnets.",
                limits::SUBNETS_MAX
            ),
        ));
    }
    let zones = region.zones();
    if ids.len() < 2 {
        let covered = if ids.is_empty() { "none" } else { &zones[0] };
        return Err(Fault::new(
            Code::DbSubnetGroupDoesNotCoverEnoughAzs,
            format!(
                "The DB subnet group doesn't meet Availability Zone (AZ) coverage requirement. \
                 Current AZ coverage: {covered}. Add subnets to cover at least 2 AZs."
            ),
        ));
    }
    let zone = zones.iter().cycle();
    Ok(ids
        .into_iter()
        .zip(zone)
        .map(|(id, zone)| Subnet {
            id: id.clone(),
            availability_zone: zone.clone(),
        })
        .collect())
}

/// A zone of a subnet.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Zone {
    name: String,
}

/// A subnet in an answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename = "Subnet", rename_all = "PascalCase")]
struct SubnetShape {
    subnet_identifier: String,
    subnet_availability_zone: Zone,
    subnet_status: &'static str,
}

/// A subnet group in an answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename = "DBSubnetGroup", rename_all = "PascalCase")]
pub struct DbSubnetGroup {
    #[serde(rename = "DBSubnetGroupName")]
    name: String,
    #[serde(rename = "DBSubnetGroupDescription")]
    description: String,
    vpc_id: &'static str,
    subnet_group_status: &'static str,
    subnets: Vec<SubnetShape>,
    #[serde(rename = "DBSubnetGroupArn")]
    arn: String,
    supported_network_types: Vec<&'static str>,
}

impl DbSubnetGroup {
    /// The owner's view.
    pub fn of(group: &SubnetGroup) -> Self {
        let subnets = group.subnets.iter();
        Self {
            name: group.name.to_string(),
            description: group.description.clone(),
            vpc_id: VPC,
            subnet_group_status: "Complete",
            subnets: subnets
                .map(|subnet| SubnetShape {
                    subnet_identifier: subnet.id.clone(),
                    subnet_availability_zone: Zone {
                        name: subnet.availability_zone.clone(),
                    },
                    subnet_status: "Active",
                })
                .collect(),
            arn: group.arn().to_string(),
            supported_network_types: vec!["IPV4"],
        }
    }
}

/// The answer of the actions that make or change one.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct SubnetGroupOutput {
    #[serde(rename = "DBSubnetGroup")]
    group: DbSubnetGroup,
}

impl SubnetGroupOutput {
    /// The owner's view.
    pub fn of(group: &SubnetGroup) -> Self {
        Self {
            group: DbSubnetGroup::of(group),
        }
    }
}

impl Output for SubnetGroupOutput {
    const LAYOUT: Layout = Layout::Resource("DBSubnetGroup");

    fn label(&self) -> Label {
        Label::Resource {
            id: self.group.name.clone(),
            created_at: None,
        }
    }
}
