//! The names users give, compared and kept in lower case but where one says otherwise.
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// The prefix of automated snapshots' names.
pub const AUTOMATED_PREFIX: &str = "rds:";
/// The prefix of the names of AWS Backup's snapshots.
pub const BACKUP_PREFIX: &str = "awsbackup:";

/// What is wrong with a name. The caller knows which parameter it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty or only spaces.
    #[error("the name is blank")]
    Blank,
    /// The first character is not a letter.
    #[error("the name does not begin with a letter")]
    BadStart,
    /// Another character than letters, digits and hyphens; a trailing or double hyphen; too long.
    #[error("the name has characters or a length that names cannot have")]
    Malformed,
}

/// Checks RDS's identifier grammar: a letter, then letters, digits and single hyphens, no
/// trailing hyphen, at most `max` characters. Source: the parameter texts of the RDS API model.
fn check(text: &str, max: usize) -> Result<String, NameError> {
    if text.trim().is_empty() {
        return Err(NameError::Blank);
    }
    if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(NameError::BadStart);
    }
    let legal = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !text.ends_with('-')
        && !text.contains("--")
        && text.len() <= max;
    if legal {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(NameError::Malformed)
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The name in lower case.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A DBClusterIdentifier, 1 to 63 characters.
    ClusterName
);
name!(
    /// A DBClusterSnapshotIdentifier: a manual one by the grammar, `rds:…` for automated ones, or
    /// `awsbackup:…` for those of AWS Backup.
    SnapshotName
);

name!(
    /// A DBInstanceIdentifier, 1 to 63 characters.
    InstanceName
);

impl InstanceName {
    /// Reads a name that a new instance may have.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check(text, 63).map(Self)
    }
}

name!(
    /// A DBSubnetGroupName, 1 to 255 characters.
    SubnetGroupName
);
name!(
    /// A DBClusterParameterGroupName, 1 to 255 characters.
    ClusterParameterGroupName
);
name!(
    /// A DBParameterGroupName, 1 to 255 characters.
    ParameterGroupName
);
name!(
    /// An event subscription's name, 1 to 255 characters, as its maker spelled it.
    SubscriptionName
);

name!(
    /// A backup vault's name, 2 to 50 characters, as its maker spelled it.
    BackupVaultName
);

/// The longest name of what stands around clusters, characters.
const LONG_NAME_MAX: usize = 255;

/// The names that Amazon's own parameter groups begin with.
pub const DEFAULT_PREFIX: &str = "default.";

/// Reads the name of a parameter group that may exist: a user's, or `default.<family>`.
fn check_parameter_group(text: &str) -> Result<String, NameError> {
    let lower = text.to_ascii_lowercase();
    match lower.strip_prefix(DEFAULT_PREFIX) {
        Some(family) => check(family, LONG_NAME_MAX).map(|_| lower),
        None => check(text, LONG_NAME_MAX),
    }
}

impl ClusterParameterGroupName {
    /// Reads a name that a new group may have.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check(text, LONG_NAME_MAX).map(Self)
    }

    /// Reads the name of a group that may exist.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse_existing(text: &str) -> Result<Self, NameError> {
        check_parameter_group(text).map(Self)
    }
}

impl ParameterGroupName {
    /// Reads a name that a new group may have.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check(text, LONG_NAME_MAX).map(Self)
    }

    /// Reads the name of a group that may exist.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse_existing(text: &str) -> Result<Self, NameError> {
        check_parameter_group(text).map(Self)
    }
}

impl SubnetGroupName {
    /// Reads a name: a letter, then letters, digits, periods, underscores, spaces and hyphens
    /// (API_CreateDBSubnetGroup).
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"._- ".contains(&b);
        check_with(text, legal).map(|()| Self(text.to_ascii_lowercase()))
    }
}

impl SubscriptionName {
    /// Reads a name: a letter, then letters, digits and hyphens. Its case is kept.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        check_with(text, legal).map(|()| Self(text.to_owned()))
    }
}

impl BackupVaultName {
    /// Reads a name: letters, digits, hyphens and underscores (API_CreateBackupVault). Its case is
    /// kept.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        match (2..=50).contains(&text.len()) && text.bytes().all(legal) {
            true => Ok(Self(text.to_owned())),
            false => Err(NameError::Malformed),
        }
    }
}

fn check_with(text: &str, legal: impl Fn(u8) -> bool) -> Result<(), NameError> {
    if text.trim().is_empty() {
        return Err(NameError::Blank);
    }
    if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(NameError::BadStart);
    }
    match text.len() <= LONG_NAME_MAX && text.bytes().all(legal) {
        true => Ok(()),
        false => Err(NameError::Malformed),
    }
}

impl ClusterName {
    /// Reads a name that a new cluster may have.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check(text, 63).map(Self)
    }
}

impl SnapshotName {
    /// Reads a name that a new manual snapshot may have.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse_manual(text: &str) -> Result<Self, NameError> {
        check(text, 63).map(Self)
    }

    /// Reads a final snapshot's name, which may have up to 255 characters (DeleteDBCluster's page).
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse_final(text: &str) -> Result<Self, NameError> {
        check(text, 255).map(Self)
    }

    /// The name of a cluster's automated snapshot of a minute: `rds:<cluster>-YYYY-MM-DD-HH-MM`.
    pub fn automated(cluster: &ClusterName, minute: Timestamp) -> Self {
        let stamp = minute.to_dashes();
        Self(format!("{AUTOMATED_PREFIX}{cluster}-{stamp}"))
    }

    /// Whether it is an automated snapshot's.
    pub fn is_automated(&self) -> bool {
        self.0.starts_with(AUTOMATED_PREFIX)
    }

    /// The name of the snapshot that a job of AWS Backup makes: `awsbackup:job-<id>`.
    pub fn of_backup(word: &str, id: &uuid::Uuid) -> Self {
        Self(format!("{BACKUP_PREFIX}{word}-{id}"))
    }

    /// Reads the name of a snapshot that may exist: manual, or one with the prefix of others.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse_existing(text: &str) -> Result<Self, NameError> {
        let lower = text.to_ascii_lowercase();
        let prefixes = [AUTOMATED_PREFIX, BACKUP_PREFIX];
        match prefixes
            .iter()
            .find_map(|prefix| lower.strip_prefix(prefix))
        {
            Some(rest) => check(rest, 250).map(|_| Self(lower)),
            None => check(text, 255).map(Self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_grammar() {
        assert_eq!(
            SnapshotName::parse_manual("My-Snap1")
                .expect("legal")
                .as_str(),
            "my-snap1"
        );
        for (text, fault) in [
            ("", NameError::Blank),
            (" ", NameError::Blank),
            ("1a", NameError::BadStart),
            ("-a", NameError::BadStart),
            ("a--b", NameError::Malformed),
            ("a-", NameError::Malformed),
            ("a_b", NameError::Malformed),
            ("rds:a", NameError::Malformed),
            ("awsbackup:job-1", NameError::Malformed),
            ("é", NameError::BadStart),
        ] {
            assert_eq!(SnapshotName::parse_manual(text), Err(fault), "{text}");
        }
        assert!(SnapshotName::parse_manual(&"a".repeat(63)).is_ok());
        assert_eq!(
            SnapshotName::parse_manual(&"a".repeat(64)),
            Err(NameError::Malformed)
        );
        assert_eq!(
            SnapshotName::parse_existing("RDS:c-2019-06-04-09-16")
                .expect("legal")
                .as_str(),
            "rds:c-2019-06-04-09-16"
        );
        let moment = Timestamp::parse("2019-06-04T09:16:59Z").expect("a moment");
        let cluster = ClusterName::parse("C").expect("legal");
        let automated = SnapshotName::automated(&cluster, moment);
        assert_eq!(automated.as_str(), "rds:c-2019-06-04-09-16");
        assert!(automated.is_automated());
        assert_eq!(
            SnapshotName::parse_existing(automated.as_str()),
            Ok(automated)
        );
    }
}
