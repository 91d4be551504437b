//! Backup vaults: found by name, kept from what their policies deny, and shown.
//!
//! A vault's policy cannot allow its own account more than that may anyway; what it denies is
//! refused. Its owner can always read and change the policy itself, as with a key's.
use catalog::{CatalogError, CatalogExt, Stored, Tx, keyed};
use kms::policy::{Decision, Policy};
use model::{
    Account, Arn, ArnKind, BackupVault, BackupVaultName, Region, Tag, backup_vault::DEFAULT,
};
use serde::Serialize;

use super::faults::{self, invalid, not_found, shown};
use crate::{
    action::ActionContext,
    keys::metadata::seconds,
    shapes::groups::{Named, always, keep},
};
use service::{
    backup_jobs::vaults::decide,
    fault::{Code, Fault},
    link::http::RemoteRegion,
};

impl Named for BackupVault {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn tags(&mut self) -> &mut Vec<Tag> {
        &mut self.tags
    }
}

/// Reads a vault's name.
///
/// # Errors
/// `InvalidParameterValueException`.
pub(crate) fn name(given: &str) -> Result<BackupVaultName, Fault> {
    BackupVaultName::parse(given).map_err(|_| {
        let name = shown(given);
        invalid(
            given,
            format!(
                "Invalid backup vault name {name}: it has 2 to 50 letters, digits, hyphens and underscores."
            ),
        )
    })
}

/// What is said of a vault that is not there.
pub(crate) fn missing(name: &str) -> Fault {
    not_found(
        name,
        format!("Backup vault {} cannot be found.", shown(name)),
    )
}

/// A caller's vault, whatever its policy says. The default one is always there.
pub(crate) fn get(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    name: &BackupVaultName,
) -> Result<Stored<BackupVault>, Fault> {
    let kept = keyed::get(tx, region, &[account.as_str(), name.as_str()])?;
    let default =
        || (name.as_str() == DEFAULT).then(|| always(BackupVault::default_of(region, account)));
    kept.or_else(default).ok_or_else(|| missing(name.as_str()))
}

/// Refuses what a vault's policy denies its own account.
///
/// # Errors
/// `AccessDeniedException`.
pub(crate) fn not_denied(vault: &BackupVault, action: &'static str) -> Result<(), Fault> {
    let arn = vault.arn();
    let decided = decide(vault, &vault.account, action);
    let decided = decided.map_err(|error| Fault::internal(&error))?;
    match decided {
        Decision::Deny => Err(Fault::new(
            Code::KmsAccessDenied,
            format!(
                "User: arn:aws:iam::{}:root is not authorized to perform: {action} on resource: {arn} \
                 with an explicit deny in a resource-based policy",
                vault.account
            ),
        )),
        Decision::Allow | Decision::Silent => Ok(()),
    }
}

/// The caller's vault of that name, for an action that its policy does not deny.
///
/// # Errors
/// As [`name`], [`missing`] and [`not_denied`].
pub(crate) async fn find(
    cx: &ActionContext,
    given: &str,
    action: &'static str,
) -> Result<BackupVault, Fault> {
    let vault = find_whatever_its_policy(cx, given).await?;
    not_denied(&vault, action)?;
    Ok(vault)
}

/// The same, for what its owner can always do.
pub(crate) async fn find_whatever_its_policy(
    cx: &ActionContext,
    given: &str,
) -> Result<BackupVault, Fault> {
    let (account, region, name) = (cx.caller.account.clone(), cx.region.clone(), name(given)?);
    let found = cx
        .service
        .catalog
        .read(move |tx| get(tx, &region, &account, &name));
    Ok(found.await?.value)
}

/// Refuses a vault of another account: none is shown to others.
///
/// # Errors
/// `ResourceNotFoundException`.
pub(crate) fn is_own(cx: &ActionContext, given: &str, owner: Option<&str>) -> Result<(), Fault> {
    match owner.is_some_and(|owner| owner != cx.caller.account.as_str()) {
        true => Err(missing(given)),
        false => Ok(()),
    }
}

/// Changes the caller's vault of that name.
pub(crate) async fn change(
    cx: &ActionContext,
    given: &str,
    change: impl Fn(&mut BackupVault) -> Result<(), Fault> + Send + Sync + 'static,
) -> Result<BackupVault, Fault> {
    change_and(cx, given, change, |_, _| Ok(())).await
}

/// The same, with what follows from it.
pub(crate) async fn change_and(
    cx: &ActionContext,
    given: &str,
    change: impl Fn(&mut BackupVault) -> Result<(), Fault> + Send + Sync + 'static,
    then: fn(&mut dyn Tx, &BackupVault) -> Result<(), CatalogError>,
) -> Result<BackupVault, Fault> {
    let (account, region, name) = (cx.caller.account.clone(), cx.region.clone(), name(given)?);
    cx.service
        .catalog
        .write(move |tx| {
            let mut stored = get(tx, &region, &account, &name)?;
            change(&mut stored.value)?;
            let kept = keep(tx, stored)?;
            then(tx, &kept)?;
            Ok::<_, Fault>(kept)
        })
        .await
}

/// The name of the caller's vault that an ARN names, in the asked region.
///
/// # Errors
/// `InvalidParameterValueException` for what is no vault's ARN, `ResourceNotFoundException` for one
/// of elsewhere.
pub(crate) fn of_arn(cx: &ActionContext, given: &str) -> Result<String, Fault> {
    let arn = Arn::parse(given).ok();
    let located = arn
        .as_ref()
        .and_then(|arn| arn.locate(ArnKind::BackupVault));
    let located = located.ok_or_else(|| {
        let message = format!("{} is not the ARN of a backup vault.", shown(given));
        invalid(given, message)
    })?;
    if *located.account != cx.caller.account || *located.region != cx.region {
        return Err(missing(given));
    }
    Ok(located.name.to_owned())
}

/// Reads the ARN of a vault that copies go to: of a region of this deployment, and of any account.
/// That one of the caller's own is there is checked.
///
/// # Errors
/// `InvalidParameterValueException`, `InvalidRequestException`, `ResourceNotFoundException`.
pub(crate) async fn destination(
    cx: &ActionContext,
    given: &str,
) -> Result<(Arn, BackupVaultName), Fault> {
    let arn = Arn::parse(given).ok();
    let named = arn.and_then(|arn| {
        let located = arn.locate(ArnKind::BackupVault)?;
        let name = BackupVaultName::parse(located.name).ok()?;
        Some((arn, name))
    });
    let (arn, name) = named.ok_or_else(|| {
        let message = format!("{} is not the ARN of a backup vault.", shown(given));
        invalid(given, message)
    })?;
    if !cx.service.settings.knows(&arn.region) || arn.region.partition() != cx.region.partition() {
        return Err(missing(given));
    }
    if RemoteRegion::of(&cx.service, &cx.region, &arn.region).is_some() {
        return Err(faults::refused(
            given,
            format!(
                "The region {} is another deployment's, into which nothing is copied from here: copy the \
                 snapshot there, with CopyDBClusterSnapshot.",
                arn.region
            ),
        ));
    }
    if arn.account == cx.caller.account {
        let (wanted, named) = (arn.clone(), name.clone());
        let found = cx
            .service
            .catalog
            .read(move |tx| get(tx, &wanted.region, &wanted.account, &named));
        found.await?;
    }
    Ok((arn, name))
}

/// Changes a vault's tags.
pub(crate) async fn retag(
    cx: &ActionContext,
    arn: &str,
    action: &'static str,
    change_tags: impl Fn(&mut Vec<Tag>) -> Result<(), Fault> + Send + Sync + 'static,
) -> Result<(), Fault> {
    let name = of_arn(cx, arn)?;
    let changed = change(cx, &name, move |vault| {
        not_denied(vault, action)?;
        change_tags(&mut vault.tags)
    });
    changed.await.map(drop)
}

/// Reads an access policy.
///
/// # Errors
/// `InvalidParameterValueException`.
pub(crate) fn policy(text: &str) -> Result<(), Fault> {
    let read = Policy::parse(text);
    read.map(drop).map_err(|error| {
        let message = format!("The access policy cannot be used: {error}.");
        faults::invalid("Policy", message)
    })
}

/// A vault in an answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ShownVault {
    backup_vault_name: String,
    backup_vault_arn: String,
    vault_type: &'static str,
    vault_state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_key_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    creation_date: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    creator_request_id: Option<String>,
    number_of_recovery_points: u64,
    locked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_retention_days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_retention_days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lock_date: Option<f64>,
}

/// The one type of vault that is here.
pub(crate) const VAULT_TYPE: &str = "BACKUP_VAULT";

impl ShownVault {
    /// Its owner's view.
    pub(crate) fn of(vault: &BackupVault, recovery_points: u64) -> Self {
        let lock = vault.lock.as_ref();
        Self {
            backup_vault_name: vault.name.to_string(),
            backup_vault_arn: vault.arn().to_string(),
            vault_type: VAULT_TYPE,
            vault_state: "AVAILABLE",
            encryption_key_arn: vault.kms_key.as_ref().map(Arn::to_string),
            creation_date: vault.created_at.map(seconds),
            creator_request_id: vault.creator_request_id.clone(),
            number_of_recovery_points: recovery_points,
            locked: vault.lock.is_some(),
            min_retention_days: lock.and_then(|lock| lock.min_days),
            max_retention_days: lock.and_then(|lock| lock.max_days),
            lock_date: lock.and_then(|lock| lock.lock_date).map(seconds),
        }
    }
}
