//! A backup vault: a name under which recovery points are kept, with the key of what is copied into it
//! and the policy of who may do what with it.
use serde::{Deserialize, Serialize};

use crate::{
    arn::{Arn, Kind},
    clock::Timestamp,
    ids::{Account, Region},
    names::BackupVaultName,
    tag::Tag,
};

/// The vault that every account has in every region.
pub const DEFAULT: &str = "Default";

/// A backup vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupVault {
    /// Its region.
    pub region: Region,
    /// Its owner.
    pub account: Account,
    /// Its name, unique in region and account.
    pub name: BackupVaultName,
    /// When it was created; none of the default vault, which was always there.
    pub created_at: Option<Timestamp>,
    /// The key of what is copied into it; none: the account's default key in the region.
    pub kms_key: Option<Arn>,
    /// What its maker called the request, by which the same one is told from another.
    pub creator_request_id: Option<String>,
    /// Who may do what with it, as its owner wrote it.
    pub policy: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

impl BackupVault {
    /// The default vault of an account in a region, as it is before anything of it was changed.
    ///
    /// # Panics
    /// Never: its name is one.
    pub fn default_of(region: &Region, account: &Account) -> Self {
        Self {
            region: region.clone(),
            account: account.clone(),
            name: BackupVaultName::parse(DEFAULT).expect("a name"),
            created_at: None,
            kms_key: None,
            creator_request_id: None,
            policy: None,
            tags: Vec::new(),
        }
    }

    /// `arn:…:backup-vault:<name>`.
    pub fn arn(&self) -> Arn {
        Arn::of(
            Kind::BackupVault,
            &self.region,
            &self.account,
            self.name.as_str(),
        )
    }
}
