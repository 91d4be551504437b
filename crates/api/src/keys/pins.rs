//! Keys that kept recovery points need: nobody takes those away.
//!
//! AWS KMS knows nothing of vaults and lets them be; a locked backup whose key is gone is lost all the
//! same. So this is ours.
use catalog::{CatalogError, Tx, grants};
use kms::{Decision, grant as rules};
use model::{Account, Key, key::EncryptionContext, limits};

use service::{
    fault::{Code, Fault},
    keys::{KeyUser, Keys, snapshot_context},
    pins::{self, KeyPin},
};

fn refused(pin: &KeyPin, caller: &Account) -> Fault {
    let why = match pin.point.account == *caller {
        true => &pin.why,
        false => &pin.told_others,
    };
    Fault::new(Code::KmsInvalidState, format!("{why}."))
}

/// Refuses what makes a key unusable that kept recovery points need, if those can be opened by it.
///
/// # Errors
/// `KMSInvalidStateException`.
pub(crate) fn not_pinned(
    kms: &Keys,
    tx: &mut dyn Tx,
    key: &Key,
    caller: &Account,
) -> Result<(), Fault> {
    for pin in pins::of_key(tx, &key.arn())? {
        if opens(kms, tx, key, None, &pin)? {
            return Err(refused(&pin, caller));
        }
    }
    Ok(())
}

/// Refuses a policy, or the end of a grant, under which kept recovery points could not be read any
/// more by whom they belong to, and can be now. `without` is the grant that ends.
///
/// # Errors
/// `KMSInvalidStateException`.
pub(crate) fn still_opens(
    kms: &Keys,
    tx: &mut dyn Tx,
    (before, after): (&Key, &Key),
    without: Option<&str>,
    caller: &Account,
) -> Result<(), Fault> {
    for pin in pins::of_key(tx, &before.arn())? {
        if opens(kms, tx, before, None, &pin)? && !opens(kms, tx, after, without, &pin)? {
            return Err(refused(&pin, caller));
        }
    }
    Ok(())
}

fn opens(
    kms: &Keys,
    tx: &mut dyn Tx,
    key: &Key,
    without: Option<&str>,
    pin: &KeyPin,
) -> Result<bool, CatalogError> {
    const ACTION: &str = "kms:Decrypt";
    let (account, point) = (&pin.point.account, &pin.point);
    let context = match &point.content {
        Some(content) => snapshot_context(account, &point.uid, &content.volume),
        None => EncryptionContext::new(),
    };
    let user = KeyUser::rds(account, &point.region);
    match kms.policy_says(&user, key, ACTION, &context) {
        Decision::Allow => Ok(true),
        Decision::Deny => Ok(false),
        Decision::Silent => granted(tx, key, account, without, |grant| {
            rules::permits(grant, account, ACTION, &context)
        }),
    }
}

fn granted(
    tx: &mut dyn Tx,
    key: &Key,
    account: &Account,
    without: Option<&str>,
    permits: impl Fn(&model::Grant) -> bool,
) -> Result<bool, CatalogError> {
    let all = grants::to(tx, &key.arn(), account, limits::GRANTS_MAX)?;
    let mut left = all.iter().map(|stored| &stored.value);
    Ok(left.any(|grant| without != Some(grant.id.as_str()) && permits(grant)))
}
