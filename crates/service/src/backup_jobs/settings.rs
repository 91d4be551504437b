//! What an account has set for AWS Backup.
use catalog::{CatalogError, Stored, Tx, keyed};
use model::{Account, BackupSettings, Region};

/// An account's settings in a region; what was never said is there all the same, with version 0. What
/// holds for all regions is what was said last in any: a region that is new has no record of its own.
///
/// # Errors
/// The catalog's.
pub fn get(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
) -> Result<Stored<BackupSettings>, CatalogError> {
    let all = keyed::of_account::<BackupSettings>(tx, account)?;
    let last = all
        .iter()
        .map(|stored| &stored.value)
        .max_by_key(|one| one.cross_account_at)
        .map(|one| (one.cross_account, one.cross_account_at));
    let mut own = all
        .into_iter()
        .find(|stored| stored.value.region == *region)
        .unwrap_or_else(|| Stored {
            version: 0,
            value: BackupSettings::of(region, account),
        });
    if let Some((cross_account, at)) = last {
        own.value.cross_account = cross_account;
        own.value.cross_account_at = at;
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    use catalog::{CatalogExt, conformance::samples};
    use model::Timestamp;

    use super::*;
    use crate::sweep::checker::fixture::Fixture;

    #[test]
    fn what_holds_for_all_regions_holds_for_a_new_one() {
        let fixture = Fixture::new();
        let told = fixture.catalog.write(|tx| {
            let (account, here) = (samples::account(1), samples::region());
            for (region, cross_account, at) in [
                (here.clone(), false, Some(Timestamp(9))),
                (
                    "eu-west-3".parse().expect("a region"),
                    true,
                    Some(Timestamp(5)),
                ),
            ] {
                let mut said = BackupSettings::of(&region, &account);
                (said.cross_account, said.cross_account_at) = (cross_account, at);
                keyed::insert(tx, said)?;
            }
            let new = get(tx, &samples::other_region(), &account)?;
            let other = get(tx, &here, &samples::account(2))?;
            Ok::<_, CatalogError>((new, other.value.cross_account))
        });
        let (new, other) = fixture.runtime.block_on(told).expect("it answers");
        assert_eq!(new.version, 0);
        assert!(!new.value.cross_account && other);
        assert_eq!(new.value.cross_account_at, Some(Timestamp(9)));
    }
}
