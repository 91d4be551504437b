//! Backup vaults, as jobs need them.
use catalog::{CatalogError, Tx, keyed};
use kms::policy::{Conditions, Decision, Policy, PolicyError, Request};
use model::{Account, BackupJob, BackupVault, BackupVaultName, Region, backup_vault::DEFAULT};

/// Finds a vault; the default one is always there.
///
/// # Errors
/// The catalog's.
pub fn get(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    name: &BackupVaultName,
) -> Result<Option<BackupVault>, CatalogError> {
    let kept = keyed::get::<BackupVault>(tx, region, &[account.as_str(), name.as_str()])?;
    let default = || (name.as_str() == DEFAULT).then(|| BackupVault::default_of(region, account));
    Ok(kept.map(|stored| stored.value).or_else(default))
}

/// Why a vault's lock does not take a job's recovery point, if so.
pub fn lock_refusal(vault: &BackupVault, job: &BackupJob) -> Option<String> {
    let refusal = vault.lock.as_ref()?.refusal(&job.lifecycle)?;
    Some(format!("{refusal} The vault is {}.", vault.arn()))
}

/// Why a job's vault does not take its recovery point, if so: it is gone, or its lock says so.
///
/// # Errors
/// The catalog's.
pub(super) fn refusal(tx: &mut dyn Tx, job: &BackupJob) -> Result<Option<String>, CatalogError> {
    let (region, account) = job.goes_to();
    Ok(match get(tx, region, account, &job.vault)? {
        None => Some(format!("Backup vault {} cannot be found.", job.vault)),
        Some(vault) => lock_refusal(&vault, job),
    })
}

/// What a vault's policy says of an account's doing.
///
/// # Errors
/// When the policy does not read.
pub fn decide(
    vault: &BackupVault,
    account: &Account,
    action: &str,
) -> Result<Decision, PolicyError> {
    let Some(text) = &vault.policy else {
        return Ok(Decision::Silent);
    };
    let policy = Policy::parse(text)?;
    Ok(policy.decide(&Request {
        principal_account: account,
        action,
        key_arn: &vault.arn(),
        conditions: &Conditions::default(),
    }))
}
