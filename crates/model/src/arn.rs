//! Amazon Resource Names of what Snapferry keeps.
//!
//! Source: "Working with Amazon Resource Names (ARNs) in Amazon RDS", Aurora User Guide.
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{Account, Region};

/// A kind of resource that has ARNs here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An RDS DB cluster.
    Cluster,
    /// An RDS DB cluster snapshot.
    ClusterSnapshot,
    /// An RDS DB instance.
    Instance,
    /// An RDS DB subnet group.
    SubnetGroup,
    /// An RDS DB cluster parameter group.
    ClusterParameterGroup,
    /// An RDS DB parameter group, of instances.
    ParameterGroup,
    /// An RDS event subscription.
    Subscription,
    /// A KMS key.
    Key,
    /// A KMS alias.
    Alias,
    /// A secret of Secrets Manager; its name ends in a hyphen and six drawn characters.
    Secret,
    /// An AWS Backup vault.
    BackupVault,
    /// An AWS Backup plan.
    BackupPlan,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::Cluster,
        Self::ClusterSnapshot,
        Self::Instance,
        Self::SubnetGroup,
        Self::ClusterParameterGroup,
        Self::ParameterGroup,
        Self::Subscription,
        Self::Key,
        Self::Alias,
        Self::Secret,
        Self::BackupVault,
        Self::BackupPlan,
    ];

    /// The service, and what stands before a resource's name.
    fn spelling(self) -> (&'static str, &'static str) {
        match self {
            Self::Cluster => ("rds", "cluster:"),
            Self::ClusterSnapshot => ("rds", "cluster-snapshot:"),
            Self::Instance => ("rds", "db:"),
            Self::SubnetGroup => ("rds", "subgrp:"),
            Self::ClusterParameterGroup => ("rds", "cluster-pg:"),
            Self::ParameterGroup => ("rds", "pg:"),
            Self::Subscription => ("rds", "es:"),
            Self::Key => ("kms", "key/"),
            Self::Alias => ("kms", "alias/"),
            Self::Secret => ("secretsmanager", "secret:"),
            Self::BackupVault => ("backup", "backup-vault:"),
            Self::BackupPlan => ("backup", "backup-plan:"),
        }
    }
}

/// What an ARN says of a resource of a known kind, whole: a name alone is no resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located<'a> {
    /// The region it is in.
    pub region: &'a Region,
    /// The account that owns it.
    pub account: &'a Account,
    /// Its name within its kind, region and account; a key's id.
    pub name: &'a str,
}

/// `arn:<partition>:<service>:<region>:<account>:<resource>`; the resource may hold colons.
///
/// Service and resource are read together or not at all: [`Arn::locate`] and [`Arn::kind`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Arn {
    /// Such as `rds` or `kms`.
    service: String,
    /// The region the resource is in; it names the partition.
    pub region: Region,
    /// The account that owns the resource.
    pub account: Account,
    /// What follows the account, such as `cluster-snapshot:rds:c-2019-06-04-09-16`.
    resource: String,
}

/// Why a text is not an ARN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an ARN of the form arn:partition:service:region:account:resource")]
pub struct ArnError;

impl Arn {
    /// An RDS resource's ARN.
    pub fn rds(region: &Region, account: &Account, kind: &str, name: &str) -> Self {
        Self {
            service: "rds".to_owned(),
            region: region.clone(),
            account: account.clone(),
            resource: format!("{kind}:{name}"),
        }
    }

    /// The ARN of a resource of this kind.
    pub fn of(kind: Kind, region: &Region, account: &Account, name: &str) -> Self {
        let (service, prefix) = kind.spelling();
        Self {
            service: service.to_owned(),
            region: region.clone(),
            account: account.clone(),
            resource: format!("{prefix}{name}"),
        }
    }

    /// A KMS key's (`key/…`) or alias's (`alias/…`) ARN.
    pub fn kms(region: &Region, account: &Account, resource: &str) -> Self {
        Self {
            service: "kms".to_owned(),
            region: region.clone(),
            account: account.clone(),
            resource: resource.to_owned(),
        }
    }

    /// Reads an ARN; its partition must be the one that its region is in.
    ///
    /// # Errors
    /// When a part is missing or malformed.
    pub fn parse(text: &str) -> Result<Self, ArnError> {
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next().ok_or(ArnError);
        if next()? != "arn" {
            return Err(ArnError);
        }
        let partition = next()?;
        let service = next()?;
        let region: Region = next()?.parse().map_err(|_| ArnError)?;
        let account: Account = next()?.parse().map_err(|_| ArnError)?;
        let resource = next()?;
        if partition != region.partition() || resource.is_empty() || service.is_empty() {
            return Err(ArnError);
        }
        Ok(Self {
            service: service.to_owned(),
            region,
            account,
            resource: resource.to_owned(),
        })
    }

    /// Where the resource is and what it is called, if it is of this kind.
    pub fn locate(&self, kind: Kind) -> Option<Located<'_>> {
        let (service, prefix) = kind.spelling();
        let name = self.resource.strip_prefix(prefix)?;
        (self.service == service).then_some(Located {
            region: &self.region,
            account: &self.account,
            name,
        })
    }

    /// The kind of the resource, if it is one that is here.
    pub fn kind(&self) -> Option<Kind> {
        Kind::ALL
            .into_iter()
            .find(|kind| self.locate(*kind).is_some())
    }
}

impl TryFrom<String> for Arn {
    type Error = ArnError;
    fn try_from(text: String) -> Result<Self, ArnError> {
        Self::parse(&text)
    }
}

impl From<Arn> for String {
    fn from(arn: Arn) -> Self {
        arn.to_string()
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "arn:{}:{}:{}:{}:{}",
            self.region.partition(),
            self.service,
            self.region,
            self.account,
            self.resource
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_survive_their_text() {
        let text = "arn:aws:rds:us-east-1:123456789012:cluster-snapshot:rds:c-2019-06-04-09-16";
        let arn = Arn::parse(text).expect("legal");
        assert_eq!(arn.to_string(), text);
        let located = arn.locate(Kind::ClusterSnapshot).expect("a snapshot");
        assert_eq!(located.name, "rds:c-2019-06-04-09-16");
        assert_eq!(located.region.as_str(), "us-east-1");
        assert_eq!(located.account.as_str(), "123456789012");
        assert_eq!(arn.locate(Kind::Cluster), None);
        assert_eq!(arn.kind(), Some(Kind::ClusterSnapshot));
        for foreign in [
            "arn:aws:neptune:us-east-1:123456789012:cluster:x",
            "arn:aws:rds:us-east-1:123456789012:key/x",
            "arn:aws:rds:us-east-1:123456789012:snapshot:x",
        ] {
            assert_eq!(Arn::parse(foreign).expect("legal").kind(), None);
        }
        for wrong in [
            "arn:aws:rds:us-east-1:1:cluster:x",
            "arn:aws-cn:rds:us-east-1:123456789012:cluster:x",
            "arn:aws:rds:us-east-1:123456789012:",
            "arn:aws:rds",
            "x",
        ] {
            assert_eq!(Arn::parse(wrong), Err(ArnError), "{wrong}");
        }
    }
}
