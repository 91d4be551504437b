//! A vault's lock: what keeps its recovery points for as long as their lifecycles say.
//!
//! Sources: API_PutBackupVaultLockConfiguration, API_DeleteBackupVaultLockConfiguration.
use std::time::Duration;

use model::{BackupVault, Timestamp, VaultLock};
use serde::Deserialize;

use crate::{
    action::{Action, ActionContext, Api},
    backup::{
        faults::{invalid, refused},
        vaults,
    },
};
use service::{
    events::{self, backup::Change},
    fault::Fault,
};

/// How long a lock that will be fixed can be changed at least, days.
const CHANGEABLE_DAYS_MIN: u32 = 3;
/// What any number of days is at most.
const DAYS_MAX: u32 = 36_500;

/// Locks a vault, or changes its lock while that can be changed.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct PutBackupVaultLockConfiguration {
    backup_vault_name: String,
    min_retention_days: Option<i64>,
    max_retention_days: Option<i64>,
    changeable_for_days: Option<i64>,
}

fn days(name: &str, given: Option<i64>, min: u32) -> Result<Option<u32>, Fault> {
    let Some(given) = given else { return Ok(None) };
    let days = u32::try_from(given).ok();
    match days.filter(|days| (min..=DAYS_MAX).contains(days)) {
        Some(days) => Ok(Some(days)),
        None => Err(invalid(
            name,
            format!("{name} is {given}: it must be between {min} and {DAYS_MAX}."),
        )),
    }
}

/// Refuses to change a lock that is fixed.
fn changeable(vault: &BackupVault, now: Timestamp) -> Result<(), Fault> {
    let fixed = vault.lock.as_ref().filter(|lock| lock.is_fixed(now));
    match fixed {
        None => Ok(()),
        Some(lock) => Err(refused(
            vault.name.as_str(),
            format!(
                "The lock of the backup vault {} can be neither changed nor removed: it is fixed since {}.",
                vault.name,
                lock.lock_date
                    .map(|date| date.to_string())
                    .unwrap_or_default()
            ),
        )),
    }
}

/// Changes a vault's lock, and tells of it.
async fn change(
    cx: &ActionContext,
    given: &str,
    change: impl Fn(&mut BackupVault) -> Result<(), Fault> + Send + Sync + 'static,
) -> Result<(), Fault> {
    let changed = vaults::change_and(cx, given, change, |tx, vault| {
        events::backup::vault(tx, vault, Change::Modified)
    });
    changed.await.map(drop)
}

impl Action for PutBackupVaultLockConfiguration {
    const NAME: &'static str = "PutBackupVaultLockConfiguration";
    const API: Api = Api::Backup;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let min_days = days("MinRetentionDays", self.min_retention_days, 1)?;
        let max_days = days("MaxRetentionDays", self.max_retention_days, 1)?;
        let changeable_for = days(
            "ChangeableForDays",
            self.changeable_for_days,
            CHANGEABLE_DAYS_MIN,
        )?;
        if let (Some(min), Some(max)) = (min_days, max_days)
            && max < min
        {
            return Err(invalid(
                "MaxRetentionDays",
                format!("MaxRetentionDays is {max}, which is less than MinRetentionDays, {min}."),
            ));
        }
        let now = cx.service.now();
        let day = Duration::from_secs(24 * 3_600);
        let lock = VaultLock {
            min_days,
            max_days,
            lock_date: changeable_for.map(|days| now.plus(day * days)),
            is_fixed: false,
        };
        let changed = change(cx, &self.backup_vault_name, move |vault| {
            vaults::not_denied(vault, "backup:PutBackupVaultLockConfiguration")?;
            changeable(vault, now)?;
            vault.lock = Some(lock.clone());
            Ok(())
        });
        changed.await
    }
}

/// Removes a lock that can be changed; one that is not there is as good as removed.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteBackupVaultLockConfiguration {
    backup_vault_name: String,
}

impl Action for DeleteBackupVaultLockConfiguration {
    const NAME: &'static str = "DeleteBackupVaultLockConfiguration";
    const API: Api = Api::Backup;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let now = cx.service.now();
        let changed = change(cx, &self.backup_vault_name, move |vault| {
            vaults::not_denied(vault, "backup:DeleteBackupVaultLockConfiguration")?;
            changeable(vault, now)?;
            vault.lock = None;
            Ok(())
        });
        changed.await
    }
}
