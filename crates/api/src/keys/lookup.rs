//! Finds the key that a caller names, and changes it.
//!
//! Source: the AWS KMS API reference.
use catalog::{CatalogExt, Stored, Tx, keys as rows};
use model::{Key, KeyManager, Timestamp, key::EncryptionContext};

use super::checks::{managed, refuse_alias};
use crate::action::ActionContext;
use service::{
    fault::{Code, Fault},
    keys::kms_fault,
    keys::{AwsService, KeyError, KeyUser},
};

/// The key that a caller names in the asked region, if its policy lets the caller do `action`.
pub(crate) async fn find(
    cx: &ActionContext,
    key_id: &str,
    action: &'static str,
) -> Result<Key, Fault> {
    find_with(cx, key_id, action, &EncryptionContext::new()).await
}

/// The same, for a use with an encryption context. KMS makes a predefined alias's key when it is
/// first asked for.
pub(crate) async fn find_with(
    cx: &ActionContext,
    key_id: &str,
    action: &'static str,
    context: &EncryptionContext,
) -> Result<Key, Fault> {
    let user = KeyUser::direct(&cx.caller.account);
    if let Some(service) = AwsService::of_default_key(key_id, &user.account, &cx.region) {
        cx.service
            .kms
            .own_default_key(service, &user.account, &cx.region)
            .await
            .map_err(kms_fault)?;
    }
    let kms = &cx.service.kms;
    let key = kms
        .find_for(&user, key_id, &cx.region, action, context)
        .await
        .map_err(kms_fault)?;
    if key.region != cx.region {
        let arn = key.arn();
        return Err(Fault::new(
            Code::KmsNotFound,
            format!("Invalid arn {}", arn.region),
        ));
    }
    Ok(key)
}

/// The caller's own key: what KMS lets nobody do from another account, whatever the policy says.
pub(crate) async fn find_own(
    cx: &ActionContext,
    key_id: &str,
    action: &'static str,
) -> Result<Key, Fault> {
    let key = find(cx, key_id, action).await?;
    if key.account != cx.caller.account {
        return Err(kms_fault(KeyError::Denied {
            account: cx.caller.account.clone(),
            action,
            key: model::limits::echo(key_id),
        }));
    }
    Ok(key)
}

/// The caller's own key, by its id or ARN, for what is not done with a service's key.
pub(crate) async fn find_changeable(
    cx: &ActionContext,
    key_id: &str,
    action: &'static str,
) -> Result<Key, Fault> {
    refuse_alias(key_id)?;
    let key = find_own(cx, key_id, action).await?;
    if key.manager == KeyManager::Aws {
        return Err(managed(&key, action));
    }
    Ok(key)
}

/// Finds, checks and changes a customer's own key; aliases do not serve, as with KMS.
pub(crate) async fn change(
    cx: &ActionContext,
    key_id: &str,
    action: &'static str,
    change: impl Fn(&mut Key, Timestamp) -> Result<(), Fault> + Send + Sync + 'static,
) -> Result<Key, Fault> {
    change_within(cx, key_id, action, move |_, key, now| change(key, now)).await
}

/// The same, for a change that depends on other records.
pub(crate) async fn change_within(
    cx: &ActionContext,
    key_id: &str,
    action: &'static str,
    change: impl Fn(&mut dyn Tx, &mut Key, Timestamp) -> Result<(), Fault> + Send + Sync + 'static,
) -> Result<Key, Fault> {
    let key = find_changeable(cx, key_id, action).await?;
    let (arn, now) = (key.arn(), cx.service.now());
    let stored: Stored<Key> = cx
        .service
        .catalog
        .write(move |tx| {
            let mut stored = rows::get_by_arn(tx, &arn)?.ok_or_else(|| {
                Fault::new(Code::KmsNotFound, format!("Key '{arn}' does not exist"))
            })?;
            change(tx, &mut stored.value, now)?;
            rows::update(tx, stored).map_err(Fault::from)
        })
        .await?;
    Ok(stored.value)
}
