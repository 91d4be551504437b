//! Legal holds: what they select, and found by their ids.
use catalog::{CatalogExt, keyed};
use model::{ArnKind, BackupVaultName, LegalHold, Tag, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    faults::{invalid, not_found, shown},
    points, vaults,
};
use crate::{action::ActionContext, keys::metadata::seconds};
use service::fault::Fault;

/// `RecoveryPointSelection`, as callers give it and as it is answered.
#[derive(Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Selected {
    #[serde(skip_serializing_if = "Option::is_none")]
    vault_names: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_identifiers: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    date_range: Option<DateRange>,
}

/// From when to when, in seconds, both included.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct DateRange {
    from_date: f64,
    to_date: f64,
}

impl Selected {
    /// Of a hold.
    pub(crate) fn of(hold: &LegalHold) -> Self {
        let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
        Self {
            vault_names: some(hold.vaults.iter().map(ToString::to_string).collect()),
            resource_identifiers: some(hold.resources.clone()),
            date_range: hold.made_between.map(|(from, to)| DateRange {
                from_date: seconds(from),
                to_date: seconds(to),
            }),
        }
    }

    /// The names of vaults.
    ///
    /// # Errors
    /// `InvalidParameterValueException`.
    pub(crate) fn vaults(&self) -> Result<Vec<BackupVaultName>, Fault> {
        let names = self.vault_names.iter().flatten();
        names.map(|name| vaults::name(name)).collect()
    }

    /// The ARNs of resources, of recovery points and of vaults, as they are compared. One that no
    /// recovery point of the caller's in this region could ever have would hold nothing: it is refused.
    ///
    /// # Errors
    /// `InvalidParameterValueException`.
    pub(crate) fn resources(&self, cx: &ActionContext) -> Result<Vec<String>, Fault> {
        let arns = self.resource_identifiers.iter().flatten();
        arns.map(|given| resource(cx, given)).collect()
    }

    /// From when to when what it holds was made.
    ///
    /// # Errors
    /// `InvalidParameterValueException`.
    pub(crate) fn range(&self) -> Result<Option<(Timestamp, Timestamp)>, Fault> {
        let Some(range) = self.date_range else {
            return Ok(None);
        };
        if range.to_date < range.from_date {
            return Err(invalid("DateRange", "DateRange ends before it begins."));
        }
        Ok(Some((micros(range.from_date), micros(range.to_date))))
    }
}

/// Names of clusters and of their snapshots are of lower case, however they are asked for; those of
/// vaults are as they are.
fn resource(cx: &ActionContext, given: &str) -> Result<String, Fault> {
    let arn = points::resource_arn(given)?;
    let refused = |why: &str| invalid(given, format!("{} {why}", shown(given)));
    let (region, account) = (&cx.region, &cx.caller.account);
    if arn.region != *region || arn.account != *account {
        return Err(refused(&format!(
            "is not of the account {account} in {region}: a legal hold there would keep nothing."
        )));
    }
    match arn.kind() {
        Some(ArnKind::Cluster | ArnKind::ClusterSnapshot) => {
            let lower = arn.to_string().to_lowercase();
            Ok(points::resource_arn(&lower)?.to_string())
        }
        Some(ArnKind::BackupVault) => Ok(arn.to_string()),
        _ => Err(refused(
            "is neither a DB cluster, nor a recovery point, nor a backup vault.",
        )),
    }
}

/// A moment of a body. What is out of all bounds saturates.
#[allow(clippy::cast_possible_truncation)]
fn micros(seconds: f64) -> Timestamp {
    Timestamp((seconds * 1e6).round() as i64)
}

fn missing(id: &str) -> Fault {
    not_found(id, format!("Legal hold {} cannot be found.", shown(id)))
}

/// The caller's hold of that id.
///
/// # Errors
/// `ResourceNotFoundException`.
pub(crate) async fn find(cx: &ActionContext, id: &str) -> Result<LegalHold, Fault> {
    let (account, region, wanted) = (cx.caller.account.clone(), cx.region.clone(), id.to_owned());
    let found = cx
        .service
        .catalog
        .read(move |tx| keyed::get::<LegalHold>(tx, &region, &[account.as_str(), wanted.as_str()]));
    let found = found.await?;
    found.map(|stored| stored.value).ok_or_else(|| missing(id))
}

/// Changes the caller's hold of that id.
///
/// # Errors
/// As [`find`].
pub(crate) async fn change(
    cx: &ActionContext,
    id: &str,
    change: impl Fn(&mut LegalHold) -> Result<(), Fault> + Send + Sync + 'static,
) -> Result<(), Fault> {
    let (account, region, wanted) = (cx.caller.account.clone(), cx.region.clone(), id.to_owned());
    let changed = cx.service.catalog.write(move |tx| {
        let key = [account.as_str(), wanted.as_str()];
        let found = keyed::get::<LegalHold>(tx, &region, &key)?;
        let mut stored = found.ok_or_else(|| missing(&wanted))?;
        change(&mut stored.value)?;
        keyed::update(tx, stored)?;
        Ok::<_, Fault>(())
    });
    changed.await
}

/// The id of the caller's hold that an ARN names, in the asked region; none: it names no such one.
pub(crate) fn of_arn(cx: &ActionContext, given: &str) -> Option<String> {
    let arns = LegalHold::arns(&cx.region, &cx.caller.account);
    given.strip_prefix(&arns).map(str::to_owned)
}

/// Changes a hold's tags.
pub(crate) async fn retag(
    cx: &ActionContext,
    id: &str,
    retag: impl Fn(&mut Vec<Tag>) -> Result<(), Fault> + Send + Sync + 'static,
) -> Result<(), Fault> {
    change(cx, id, move |hold| retag(&mut hold.tags)).await
}
