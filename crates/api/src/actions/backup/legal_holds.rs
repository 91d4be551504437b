//! Legal holds: what nobody and no lifecycle deletes until they are cancelled.
//!
//! Sources: API_CreateLegalHold and its likes.
use std::time::Duration;

use catalog::{CatalogExt, keyed};
use model::{
    BackupVaultName, LegalHold, Timestamp, backup_job::resource_type, legal_hold::Cancelled,
    limits::LEGAL_HOLDS_MAX,
};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    backup::{
        faults::{self, invalid},
        holds::{self, Selected},
        page, points,
        tags::{self, TagMap},
        vaults,
    },
    keys::metadata::seconds,
};
use service::fault::{Code, Fault};

/// What a title and a description have at most.
const CHARS_MAX: usize = 1_000;
/// Vaults and resources that a hold names at most.
const NAMED_MAX: usize = 500;
/// What any number of days is at most.
const DAYS_MAX: i64 = 36_500;

/// Makes one.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateLegalHold {
    title: String,
    description: String,
    idempotency_token: Option<String>,
    recovery_point_selection: Option<Selected>,
    #[serde(default)]
    tags: TagMap,
}

/// A hold that was made.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Hold {
    title: String,
    status: &'static str,
    description: String,
    legal_hold_id: String,
    legal_hold_arn: String,
    creation_date: f64,
}

impl Hold {
    fn of(hold: &LegalHold) -> Self {
        Self {
            title: hold.title.clone(),
            status: match hold.cancelled {
                None => "ACTIVE",
                Some(_) => "CANCELED",
            },
            description: hold.description.clone(),
            legal_hold_id: hold.id.clone(),
            legal_hold_arn: hold.arn(),
            creation_date: seconds(hold.created_at),
        }
    }
}

/// The same, with what it holds.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreatedHold {
    #[serde(flatten)]
    hold: Hold,
    recovery_point_selection: Selected,
}

impl Output for CreatedHold {}

/// A hold in a list.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ShownHold {
    #[serde(flatten)]
    hold: Hold,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancellation_date: Option<f64>,
}

impl ShownHold {
    fn of(hold: &LegalHold) -> Self {
        Self {
            hold: Hold::of(hold),
            cancellation_date: hold.cancelled.as_ref().map(|end| seconds(end.at)),
        }
    }
}

/// All of it.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct WholeHold {
    #[serde(flatten)]
    hold: ShownHold,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retain_record_until: Option<f64>,
    recovery_point_selection: Selected,
}

impl Output for WholeHold {}

impl WholeHold {
    fn of(hold: &LegalHold) -> Self {
        let cancelled = hold.cancelled.as_ref();
        Self {
            hold: ShownHold::of(hold),
            cancel_description: cancelled.map(|end| end.why.clone()),
            retain_record_until: cancelled.and_then(|end| end.retain_until).map(seconds),
            recovery_point_selection: Selected::of(hold),
        }
    }
}

fn text(name: &str, given: &str) -> Result<(), Fault> {
    match given.chars().count() {
        0 => Err(faults::missing(name)),
        1..=CHARS_MAX => Ok(()),
        _ => Err(invalid(
            name,
            format!("{name} has at most {CHARS_MAX} characters."),
        )),
    }
}

impl Action for CreateLegalHold {
    const NAME: &'static str = "CreateLegalHold";
    const API: Api = Api::Backup;
    type Output = CreatedHold;

    async fn run(self, cx: &ActionContext) -> Result<CreatedHold, Fault> {
        text("Title", &self.title)?;
        text("Description", &self.description)?;
        let selected = self.recovery_point_selection.unwrap_or_default();
        let (vaults, resources) = (selected.vaults()?, selected.resources(cx)?);
        if vaults.is_empty() && resources.is_empty() {
            return Err(faults::missing("RecoveryPointSelection"));
        }
        if NAMED_MAX < vaults.len() + resources.len() {
            return Err(invalid(
                "RecoveryPointSelection",
                format!("A legal hold names at most {NAMED_MAX} vaults and resources."),
            ));
        }
        let new = LegalHold {
            region: cx.region.clone(),
            account: cx.caller.account.clone(),
            id: cx.service.entropy.uuid().to_string(),
            title: self.title,
            description: self.description,
            made_between: selected.range()?,
            vaults,
            resources,
            idempotency_token: self.idempotency_token,
            tags: tags::records(&self.tags)?,
            created_at: cx.service.now(),
            cancelled: None,
        };
        let kept = cx.service.catalog.write(move |tx| {
            let (region, account) = (&new.region, &new.account);
            // One that was cancelled holds nothing: its token begins another.
            let all = keyed::list::<LegalHold>(tx, region, &[account.as_str()], usize::MAX)?;
            let all = all.into_iter().map(|stored| stored.value);
            let all: Vec<LegalHold> = all.filter(|hold| hold.cancelled.is_none()).collect();
            let token = new.idempotency_token.as_ref();
            let again = all
                .iter()
                .find(|hold| token.is_some() && hold.idempotency_token.as_ref() == token);
            if let Some(there) = again {
                return match there.asks_as(&new) {
                    true => Ok(there.clone()),
                    false => Err(invalid(
                        "IdempotencyToken",
                        format!(
                            "The IdempotencyToken is that of the legal hold {}, which asked for something else.",
                            there.id
                        ),
                    )),
                };
            }
            if LEGAL_HOLDS_MAX <= all.len() {
                return Err(faults::limit(
                    "LegalHold",
                    format!("An account has at most {LEGAL_HOLDS_MAX} legal holds in a region."),
                ));
            }
            let there = |name: &BackupVaultName| vaults::get(tx, region, account, name);
            if let Some(missing) = new.vaults.iter().map(there).find_map(Result::err) {
                // The action knows no such fault as that of a missing vault.
                return Err(invalid("VaultNames", missing.message));
            }
            Ok(keyed::insert(tx, new.clone())?.value)
        });
        let kept = kept.await?;
        Ok(CreatedHold {
            hold: Hold::of(&kept),
            recovery_point_selection: Selected::of(&kept),
        })
    }
}

/// Shows one.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetLegalHold {
    legal_hold_id: String,
}

impl Action for GetLegalHold {
    const NAME: &'static str = "GetLegalHold";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = WholeHold;

    async fn run(self, cx: &ActionContext) -> Result<WholeHold, Fault> {
        Ok(WholeHold::of(&holds::find(cx, &self.legal_hold_id).await?))
    }
}

/// Lists those that hold and those that did.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListLegalHolds {
    next_token: Option<String>,
    max_results: Option<i64>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Holds {
    legal_holds: Vec<ShownHold>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Output for Holds {
    const LAYOUT: Layout = Layout::Page("LegalHolds");

    fn label(&self) -> Label {
        Label::Page {
            next: self.next_token.clone(),
        }
    }
}

impl Action for ListLegalHolds {
    const NAME: &'static str = "ListLegalHolds";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = Holds;

    async fn run(self, cx: &ActionContext) -> Result<Holds, Fault> {
        let (account, region) = (cx.caller.account.clone(), cx.region.clone());
        let all = cx
            .service
            .catalog
            .read(move |tx| keyed::list::<LegalHold>(tx, &region, &[account.as_str()], usize::MAX));
        let all = all.await?.into_iter().map(|stored| stored.value);
        let token = self.next_token.as_deref();
        let (found, next_token) = page::cut(
            all.collect(),
            self.max_results,
            token,
            |hold: &LegalHold| hold.id.clone(),
        )?;
        Ok(Holds {
            legal_holds: found.iter().map(ShownHold::of).collect(),
            next_token,
        })
    }
}

/// Ends one. Its record is kept for the days that the caller says, else as long as the account.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CancelLegalHold {
    legal_hold_id: String,
    cancel_description: String,
    retain_record_in_days: Option<i64>,
}

impl CancelLegalHold {
    fn retain_until(&self, now: Timestamp) -> Result<Option<Timestamp>, Fault> {
        let Some(days) = self.retain_record_in_days else {
            return Ok(None);
        };
        let days = u64::try_from(days).ok().filter(|_| days <= DAYS_MAX);
        let days = days.ok_or_else(|| {
            invalid(
                "RetainRecordInDays",
                format!("RetainRecordInDays must be between 0 and {DAYS_MAX}."),
            )
        })?;
        Ok(Some(now.plus(Duration::from_secs(days * 24 * 3_600))))
    }
}

impl Action for CancelLegalHold {
    const NAME: &'static str = "CancelLegalHold";
    const API: Api = Api::Backup;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        text("CancelDescription", &self.cancel_description)?;
        let now = cx.service.now();
        let cancelled = Cancelled {
            at: now,
            retain_until: self.retain_until(now)?,
            why: self.cancel_description,
        };
        let changed = holds::change(cx, &self.legal_hold_id, move |hold| {
            if hold.cancelled.is_some() {
                let message = format!("Legal hold {} is cancelled already.", hold.id);
                let fault = Fault::new(Code::BackupInvalidResourceState, message);
                return Err(fault.with("Context", hold.id.clone()));
            }
            hold.cancelled = Some(cancelled.clone());
            Ok(())
        });
        changed.await
    }
}

/// Lists what one holds.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListRecoveryPointsByLegalHold {
    legal_hold_id: String,
    next_token: Option<String>,
    max_results: Option<i64>,
}

/// A recovery point that is held.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct HeldPoint {
    recovery_point_arn: String,
    resource_arn: String,
    resource_type: &'static str,
    backup_vault_name: String,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct HeldPoints {
    recovery_points: Vec<HeldPoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Output for HeldPoints {
    const LAYOUT: Layout = Layout::Page("RecoveryPoints");

    fn label(&self) -> Label {
        Label::Page {
            next: self.next_token.clone(),
        }
    }
}

impl Action for ListRecoveryPointsByLegalHold {
    const NAME: &'static str = "ListRecoveryPointsByLegalHold";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = HeldPoints;

    async fn run(self, cx: &ActionContext) -> Result<HeldPoints, Fault> {
        // The action knows no such fault as that of a missing hold.
        let id = &self.legal_hold_id;
        let hold = match holds::find(cx, id).await {
            Err(fault) if fault.code == Code::SecretNotFound => {
                return Err(invalid(id, fault.message));
            }
            found => found?,
        };
        let page = (self.max_results, self.next_token.as_deref());
        let (found, next_token) =
            points::page(cx, None, page, move |snapshot| hold.keeps(snapshot)).await?;
        let held = found.iter().filter_map(|snapshot| {
            let point = points::show(snapshot)?;
            Some(HeldPoint {
                recovery_point_arn: point.recovery_point_arn,
                resource_arn: point.resource_arn,
                resource_type: resource_type(&snapshot.engine),
                backup_vault_name: point.backup_vault_name,
            })
        });
        Ok(HeldPoints {
            recovery_points: held.collect(),
            next_token,
        })
    }
}
