//! Names of what is around clusters, as callers spell them, and what each stands for.
use catalog::{CatalogError, Stored, Tx, keyed};
use model::{
    Account, ArnKind, ClusterParameterGroupName, GroupScope, NameError, ParameterGroup,
    ParameterGroupName, Region, SubnetGroup, SubnetGroupName, Subscription, SubscriptionName, Tag,
};

use super::{Named, always, parameters, subnets};
use crate::shapes::{Ref, ResourceName};
use service::fault::{Code, Fault};

/// Which DB subnet group a caller means.
pub type SubnetGroupRef = Ref<SubnetGroupName>;
/// Which cluster parameter group a caller means.
pub type ClusterParameterGroupRef = Ref<ClusterParameterGroupName>;
/// Which parameter group of instances a caller means.
pub type ParameterGroupRef = Ref<ParameterGroupName>;
/// Which event subscription a caller means.
pub type SubscriptionRef = Ref<SubscriptionName>;

macro_rules! named {
    ($($record:ident: $name:expr;)*) => {$(
        impl Named for $record {
            fn name(&self) -> &str {
                let name: fn(&Self) -> &str = $name;
                name(self)
            }

            fn tags(&mut self) -> &mut Vec<Tag> {
                &mut self.tags
            }
        }
    )*};
}

named! {
    SubnetGroup: |group| group.name.as_str();
    ParameterGroup: |group| &group.name;
    Subscription: |subscription| subscription.name.as_str();
}

impl ResourceName for SubnetGroupName {
    const KIND: ArnKind = ArnKind::SubnetGroup;
    type Record = SubnetGroup;

    fn existing(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }

    fn text(&self) -> &str {
        self.as_str()
    }

    fn get(
        &self,
        tx: &mut dyn Tx,
        region: &Region,
        account: &Account,
    ) -> Result<Option<Stored<SubnetGroup>>, CatalogError> {
        let kept = keyed::get(tx, region, &[account.as_str(), self.as_str()])?;
        let default = || {
            (self.as_str() == model::subnet_group::DEFAULT)
                .then(|| always(subnets::default(region, account)))
        };
        Ok(kept.or_else(default))
    }

    fn missing(given: &str) -> Fault {
        Fault::new(
            Code::DbSubnetGroupNotFound,
            format!("DB subnet group '{given}' does not exist."),
        )
    }
}

impl ResourceName for ClusterParameterGroupName {
    const KIND: ArnKind = ArnKind::ClusterParameterGroup;
    type Record = ParameterGroup;

    fn existing(text: &str) -> Result<Self, NameError> {
        Self::parse_existing(text)
    }

    fn text(&self) -> &str {
        self.as_str()
    }

    fn get(
        &self,
        tx: &mut dyn Tx,
        region: &Region,
        account: &Account,
    ) -> Result<Option<Stored<ParameterGroup>>, CatalogError> {
        parameters::get(tx, region, account, GroupScope::Cluster, self.as_str())
    }

    fn missing(given: &str) -> Fault {
        Fault::new(
            Code::DbParameterGroupNotFound,
            format!("DBClusterParameterGroup not found: {given}"),
        )
    }
}

impl ResourceName for ParameterGroupName {
    const KIND: ArnKind = ArnKind::ParameterGroup;
    type Record = ParameterGroup;

    fn existing(text: &str) -> Result<Self, NameError> {
        Self::parse_existing(text)
    }

    fn text(&self) -> &str {
        self.as_str()
    }

    fn get(
        &self,
        tx: &mut dyn Tx,
        region: &Region,
        account: &Account,
    ) -> Result<Option<Stored<ParameterGroup>>, CatalogError> {
        parameters::get(tx, region, account, GroupScope::Instance, self.as_str())
    }

    fn missing(given: &str) -> Fault {
        Fault::new(
            Code::DbParameterGroupNotFound,
            format!("DBParameterGroup not found: {given}"),
        )
    }
}

impl ResourceName for SubscriptionName {
    const KIND: ArnKind = ArnKind::Subscription;
    type Record = Subscription;

    fn existing(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }

    fn text(&self) -> &str {
        self.as_str()
    }

    fn get(
        &self,
        tx: &mut dyn Tx,
        region: &Region,
        account: &Account,
    ) -> Result<Option<Stored<Subscription>>, CatalogError> {
        keyed::get(tx, region, &[account.as_str(), self.as_str()])
    }

    fn missing(given: &str) -> Fault {
        Fault::new(
            Code::SubscriptionNotFound,
            format!("Event subscription {given} does not exist."),
        )
    }
}
