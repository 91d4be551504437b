//! What an account has set for AWS Backup.
use catalog::{CatalogError, Stored, Tx, keyed};
use model::{Account, BackupSettings, Region};

/// An account's settings in a region; what was never said is there all the same, with version 0.
///
/// # Errors
/// The catalog's.
pub fn get(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
) -> Result<Stored<BackupSettings>, CatalogError> {
    let found = keyed::get(tx, region, &[account.as_str()])?;
    Ok(found.unwrap_or_else(|| Stored {
        version: 0,
        value: BackupSettings::of(region, account),
    }))
}
