//! A DB subnet group: subnets by their names. There is no network behind them here.
use serde::{Deserialize, Serialize};

use crate::{
    arn::{Arn, Kind},
    ids::{Account, Region},
    names::SubnetGroupName,
    tag::Tag,
};

/// The group that every account has in every region.
pub const DEFAULT: &str = "default";

/// A subnet of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// As the caller named it, such as `subnet-0a1b2c`.
    pub id: String,
    /// The zone that it counts as.
    pub availability_zone: String,
}

/// A DB subnet group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetGroup {
    /// Its region.
    pub region: Region,
    /// Its owner.
    pub account: Account,
    /// Its name, unique in region and account.
    pub name: SubnetGroupName,
    /// The owner's words.
    pub description: String,
    /// Its subnets, in the order in which they were given.
    pub subnets: Vec<Subnet>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

impl SubnetGroup {
    /// `arn:…:subgrp:<name>`.
    pub fn arn(&self) -> Arn {
        Arn::of(
            Kind::SubnetGroup,
            &self.region,
            &self.account,
            self.name.as_str(),
        )
    }
}
