//! A backup vault: a name under which recovery points are kept, with the key of what is copied into it
//! and the policy of who may do what with it.
use serde::{Deserialize, Serialize};

use crate::{
    arn::{Arn, Kind},
    clock::Timestamp,
    ids::{Account, Region},
    names::BackupVaultName,
    recovery_point::Lifecycle,
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
    /// What keeps its recovery points.
    #[serde(default)]
    pub lock: Option<VaultLock>,
}

/// What keeps a vault's recovery points from being deleted before their lifecycles end, and their
/// lifecycles from being changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultLock {
    /// Days that what comes into the vault is kept at least.
    pub min_days: Option<u32>,
    /// Days that it is kept at most.
    pub max_days: Option<u32>,
    /// From when on nobody changes or removes the lock; none: who may, always can.
    pub lock_date: Option<Timestamp>,
    /// Whether that moment has come. It is written down then, so that no clock undoes it.
    pub is_fixed: bool,
}

impl VaultLock {
    /// Whether nobody changes or removes it any more.
    pub fn is_fixed(&self, now: Timestamp) -> bool {
        self.is_fixed || self.lock_date.is_some_and(|date| date <= now)
    }

    /// Why a recovery point of that lifecycle may not come into the vault, if so.
    pub fn refusal(&self, lifecycle: &Lifecycle) -> Option<String> {
        let days = lifecycle.delete_after_days;
        let kept = || days.map_or("for ever".to_owned(), |days| format!("{days} days"));
        match (self.min_days, self.max_days) {
            (Some(min), _) if days.is_some_and(|days| days < min) => Some(format!(
                "The recovery point would be kept {}, and the vault's lock asks for at least {min} days.",
                kept()
            )),
            (_, Some(max)) if days.is_none_or(|days| max < days) => Some(format!(
                "The recovery point would be kept {}, and the vault's lock asks for at most {max} days.",
                kept()
            )),
            _ => None,
        }
    }
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
            lock: None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_bounds_what_comes_in_and_is_fixed_at_its_date() {
        let lock = |min_days, max_days| VaultLock {
            min_days,
            max_days,
            lock_date: Some(Timestamp(10)),
            is_fixed: false,
        };
        let kept = |days| Lifecycle {
            cold_after_days: None,
            delete_after_days: days,
        };
        for (lock, days, may) in [
            (lock(None, None), None, true),
            (lock(None, None), Some(1), true),
            (lock(Some(7), None), Some(6), false),
            (lock(Some(7), None), Some(7), true),
            (lock(Some(7), None), None, true),
            (lock(None, Some(30)), Some(30), true),
            (lock(None, Some(30)), Some(31), false),
            (lock(None, Some(30)), None, false),
        ] {
            let refused = lock.refusal(&kept(days));
            assert_eq!(refused.is_none(), may, "{lock:?} {days:?} {refused:?}");
        }
        let changeable = lock(None, None);
        assert!(!changeable.is_fixed(Timestamp(9)) && changeable.is_fixed(Timestamp(10)));
        let fixed = VaultLock {
            is_fixed: true,
            ..changeable
        };
        assert!(fixed.is_fixed(Timestamp(0)));
    }
}
