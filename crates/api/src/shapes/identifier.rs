//! Identifiers as callers spell them: names, ARNs, and what to say when they are neither.
use catalog::{CatalogError, Stored, Tx, clusters, instances, snapshots, snapshots::NameFilter};
use model::{
    Account, Arn, ArnKind, Cluster, ClusterName, Instance, InstanceName, NameError, Region,
    Snapshot, SnapshotName, limits::echo,
};

use crate::action::ActionContext;
use service::fault::{Code, Fault};

fn name_fault(parameter: &str, value: &str, error: NameError) -> Fault {
    match error {
        NameError::Blank => Fault::value(format!(
            "The parameter {parameter} must be provided and must not be blank."
        )),
        // Two spaces, as RDS has them.
        NameError::BadStart if parameter.contains("Snapshot") => {
            Fault::value(format!("Invalid snapshot identifier:  {}", echo(value)))
        }
        NameError::BadStart | NameError::Malformed => Fault::value(format!(
            "The parameter {parameter} is not a valid identifier. Identifiers must begin with a letter; \
             must contain only ASCII letters, digits, and hyphens; and must not end with a hyphen or \
             contain two consecutive hyphens."
        )),
    }
}

/// Reads a name by a rule of its own.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn named<N>(
    parameter: &str,
    value: &str,
    read: impl FnOnce(&str) -> Result<N, NameError>,
) -> Result<N, Fault> {
    read(value).map_err(|error| name_fault(parameter, value, error))
}

/// Reads a name for a new cluster.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn cluster_name(parameter: &str, value: &str) -> Result<ClusterName, Fault> {
    ClusterName::parse(value).map_err(|error| name_fault(parameter, value, error))
}

/// Reads a name for a new instance.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn instance_name(parameter: &str, value: &str) -> Result<InstanceName, Fault> {
    InstanceName::parse(value).map_err(|error| name_fault(parameter, value, error))
}

/// Reads a name for a new manual snapshot.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn manual_snapshot(parameter: &str, value: &str) -> Result<SnapshotName, Fault> {
    SnapshotName::parse_manual(value).map_err(|error| name_fault(parameter, value, error))
}

/// Reads a name for a final snapshot.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn final_snapshot(parameter: &str, value: &str) -> Result<SnapshotName, Fault> {
    SnapshotName::parse_final(value).map_err(|error| name_fault(parameter, value, error))
}

/// A name of one kind of resource, and how such resources are found.
pub trait ResourceName: Sized {
    /// The kind, as ARNs spell it.
    const KIND: ArnKind;
    /// What the catalog keeps of it.
    type Record;

    /// Reads the name of a resource that may exist.
    ///
    /// # Errors
    /// The rule that the text breaks.
    fn existing(text: &str) -> Result<Self, NameError>;

    /// The name in lower case.
    fn text(&self) -> &str;

    /// Finds the record.
    ///
    /// # Errors
    /// The database's.
    fn get(
        &self,
        tx: &mut dyn Tx,
        region: &Region,
        account: &Account,
    ) -> Result<Option<Stored<Self::Record>>, CatalogError>;

    /// What RDS says of one that is not there.
    fn missing(given: &str) -> Fault;
}

impl ResourceName for ClusterName {
    const KIND: ArnKind = ArnKind::Cluster;
    type Record = Cluster;

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
    ) -> Result<Option<Stored<Cluster>>, CatalogError> {
        clusters::get(tx, region, account, self)
    }

    fn missing(given: &str) -> Fault {
        Fault::new(
            Code::DbClusterNotFound,
            format!("DBCluster {given} not found."),
        )
    }
}

impl ResourceName for InstanceName {
    const KIND: ArnKind = ArnKind::Instance;
    type Record = Instance;

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
    ) -> Result<Option<Stored<Instance>>, CatalogError> {
        instances::named(tx, region, account, self)
    }

    fn missing(given: &str) -> Fault {
        Fault::new(
            Code::DbInstanceNotFound,
            format!("DBInstance {given} not found."),
        )
    }
}

impl ResourceName for SnapshotName {
    const KIND: ArnKind = ArnKind::ClusterSnapshot;
    type Record = Snapshot;

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
    ) -> Result<Option<Stored<Snapshot>>, CatalogError> {
        snapshots::get(tx, region, account, self)
    }

    fn missing(given: &str) -> Fault {
        Fault::new(
            Code::DbClusterSnapshotNotFound,
            format!("DBClusterSnapshot not found: {given}"),
        )
    }
}

/// Which resource a caller means: always with its region and account. The name alone cannot be
/// had, so that no part of an ARN is dropped on the way to the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ref<N> {
    region: Region,
    account: Account,
    name: N,
    by_arn: bool,
    given: String,
}

/// Which cluster a caller means.
pub type ClusterRef = Ref<ClusterName>;
/// Which instance a caller means.
pub type InstanceRef = Ref<InstanceName>;
/// Which snapshot a caller means; a foreign one is only found by its ARN.
pub type SnapshotRef = Ref<SnapshotName>;

impl<N: ResourceName> Ref<N> {
    /// Reads a name (the caller's own, in the called region) or an ARN of this kind.
    ///
    /// # Errors
    /// `InvalidParameterValue` for what is neither.
    pub fn read(
        parameter: &str,
        value: &str,
        caller: &Account,
        region: &Region,
    ) -> Result<Self, Fault> {
        let fault = |error| name_fault(parameter, value, error);
        if !value.to_ascii_lowercase().starts_with("arn:") {
            return Ok(Self {
                region: region.clone(),
                account: caller.clone(),
                name: N::existing(value).map_err(fault)?,
                by_arn: false,
                given: echo(value),
            });
        }
        let arn = Arn::parse(value).map_err(|_| fault(NameError::Malformed))?;
        Self::of_arn(&arn, value).ok_or_else(|| fault(NameError::Malformed))
    }

    /// As [`Ref::read`], for the caller of an action.
    ///
    /// # Errors
    /// As [`Ref::read`].
    pub fn asked(parameter: &str, value: &str, cx: &ActionContext) -> Result<Self, Fault> {
        Self::read(parameter, value, &cx.caller.account, &cx.region)
    }

    /// The resource of an ARN, if it is of this kind; `given` is how the caller spelled it.
    pub fn of_arn(arn: &Arn, given: &str) -> Option<Self> {
        let located = arn.locate(N::KIND)?;
        Some(Self {
            region: located.region.clone(),
            account: located.account.clone(),
            name: N::existing(located.name).ok()?,
            by_arn: true,
            given: echo(given),
        })
    }

    /// The region it is in.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// The account that owns it.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Its ARN; the name in lower case.
    pub fn arn(&self) -> Arn {
        Arn::of(N::KIND, &self.region, &self.account, self.name.text())
    }

    /// What RDS says when it is not there, or not for the caller.
    pub fn not_found(&self) -> Fault {
        N::missing(&self.given)
    }

    /// The record, whosever it is: who may see it is for the caller of this to say.
    ///
    /// # Errors
    /// The database's.
    pub fn get(&self, tx: &mut dyn Tx) -> Result<Option<Stored<N::Record>>, CatalogError> {
        self.name.get(tx, &self.region, &self.account)
    }

    /// The caller's own record in the called region; any other does not exist.
    ///
    /// # Errors
    /// The kind's not-found fault.
    pub fn own(
        &self,
        tx: &mut dyn Tx,
        caller: &Account,
        region: &Region,
    ) -> Result<Stored<N::Record>, Fault> {
        let mine = self.account == *caller && self.region == *region;
        let found = if mine { self.get(tx)? } else { None };
        found.ok_or_else(|| self.not_found())
    }

    /// As a filter over rows of `region`: a bare name is of any owner that is in scope, an ARN
    /// of the account it names. None when nothing in that region is meant.
    pub fn filter(&self, region: &Region) -> Option<NameFilter> {
        (self.region == *region).then(|| NameFilter {
            owner: self.by_arn.then(|| self.account.clone()),
            name: self.name.text().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_named_by_name_or_arn() {
        let (caller, region): (Account, Region) = (
            "123456789012".parse().expect("digits"),
            "us-west-2".parse().expect("a region"),
        );
        let read = |value| SnapshotRef::read("P", value, &caller, &region);
        assert_eq!(read("S1").expect("a name").name.as_str(), "s1");
        let foreign =
            read("arn:aws:rds:us-east-1:210987654321:cluster-snapshot:rds:C-2019-06-04-09-16")
                .expect("an ARN");
        assert_eq!(foreign.name.as_str(), "rds:c-2019-06-04-09-16");
        assert_eq!(foreign.region.as_str(), "us-east-1");
        assert!(foreign.by_arn);
        for wrong in [
            "",
            "a:b",
            "arn:aws:rds:us-east-1:210987654321:snapshot:x",
            "arn:aws:kms:us-east-1:210987654321:cluster-snapshot:x",
            "arn:aws:rds:us-east-1:2:cluster-snapshot:x",
            "arn:aws-cn:rds:us-east-1:210987654321:cluster-snapshot:x",
            "arn:aws:rds:us-east-1:210987654321:cluster:x",
            "ARN:aws:rds:us-east-1:210987654321:cluster-snapshot:x",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
