//! `DescribeDrills`: the caller's restore tests in the region, and what each found.
use catalog::{CatalogExt, keyed, restore_testing};
use model::{Drill, SignedReceipt, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    shapes::Page,
};
use service::fault::{Code, Fault};

/// Rows that are read at once.
const BATCH: usize = 200;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDrills {
    /// Only that one: the id of its restore job.
    drill_identifier: Option<String>,
    /// Only those of the restore testing plan of that name.
    restore_testing_plan_name: Option<String>,
    max_records: Option<i64>,
    marker: Option<String>,
}

/// The answer: the newest first.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Drills {
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
    drills: Vec<ShownDrill>,
}

impl Output for Drills {
    const LAYOUT: Layout = Layout::Page("Drills");

    fn label(&self) -> Label {
        Label::Page {
            next: self.marker.clone(),
        }
    }
}

/// A restore test; once it is over, its receipt.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase", rename = "Drill")]
struct ShownDrill {
    /// The id of its restore job.
    drill_identifier: String,
    /// `waiting`, `restoring`, `checking`, `held`, `deleting`, or `over`.
    status: &'static str,
    /// `SUCCESSFUL`, `FAILED` or `TIMED_OUT`; none while nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome_message: Option<String>,
    restore_testing_plan_name: String,
    restore_testing_selection_name: String,
    source_resource_arn: String,
    resource_type: String,
    recovery_point_arn: String,
    backup_vault_name: String,
    /// When the recovery point was made.
    recovery_point_create_time: String,
    /// The manifest that was restored, which names all bytes that were.
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<String>,
    restored_bytes: u64,
    #[serde(rename = "DBClusterArn")]
    cluster: String,
    /// When the plan was due.
    planned_time: String,
    /// When the restore began.
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    /// When the cluster took connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    restore_time: Option<String>,
    /// How long the restore took.
    #[serde(skip_serializing_if = "Option::is_none")]
    restore_seconds: Option<f64>,
    /// When all checks had been made.
    #[serde(skip_serializing_if = "Option::is_none")]
    check_time: Option<String>,
    checks: Vec<DrillCheck>,
    /// What became of the cluster: `DELETING`, `SUCCESSFUL` or `FAILED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_status: Option<&'static str>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_status_message: Option<String>,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
    /// What was signed of it once it was over; none of what was over before receipts were signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<Receipt>,
}

/// A signed receipt.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Receipt {
    /// Its number in the account's chain in the region, from 1.
    number: u64,
    /// SHA-256 over what is signed: the next receipt has it.
    sha256: String,
    /// SHA-256 over the public key's SubjectPublicKeyInfo.
    key_identifier: String,
    /// What is signed and the signature: a DSSE envelope (Dead Simple Signing Envelope), JSON.
    envelope: String,
}

impl From<SignedReceipt> for Receipt {
    fn from(signed: SignedReceipt) -> Self {
        Self {
            number: signed.number,
            sha256: signed.sha256,
            key_identifier: signed.key,
            envelope: signed.envelope,
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct DrillCheck {
    /// `connects`, `relations`, `indexes`, `rows`, `restores` of what could not be, or the name of one that the overrides ask for.
    name: String,
    passed: bool,
    /// What was found.
    found: String,
    /// What was asked, of a check that the selection's overrides ask for.
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<String>,
}

impl ShownDrill {
    fn of(drill: Drill) -> Self {
        let time = |at: Option<Timestamp>| at.map(Timestamp::to_rfc3339_micros);
        let took = drill.restore_time();
        let outcome = drill.outcome().map(model::ValidationStatus::as_str);
        let deletion = drill.deletion;
        Self {
            status: drill.stage.as_str(),
            outcome,
            outcome_message: drill.validation.and_then(|said| said.message),
            restore_testing_plan_name: drill.plan,
            restore_testing_selection_name: drill.selection,
            source_resource_arn: drill.resource.to_string(),
            resource_type: drill.resource_type,
            recovery_point_arn: drill.point.to_string(),
            backup_vault_name: drill.vault.to_string(),
            recovery_point_create_time: drill.point_made_at.to_rfc3339_micros(),
            manifest: drill.manifest,
            restored_bytes: drill.bytes,
            cluster: drill.cluster.to_string(),
            planned_time: drill.planned_at.to_rfc3339_micros(),
            start_time: time(drill.started_at),
            restore_time: time(drill.restored_at),
            restore_seconds: took.map(|took| took.as_secs_f64()),
            check_time: time(drill.checked_at),
            checks: drill
                .checks
                .into_iter()
                .map(|check| DrillCheck {
                    name: check.name,
                    passed: check.passed,
                    found: check.found,
                    asked: check.asked,
                })
                .collect(),
            deletion_status: deletion.as_ref().map(|one| one.status.as_str()),
            deletion_status_message: deletion.and_then(|one| one.message),
            end_time: time(drill.ended_at),
            receipt: drill.receipt.map(Receipt::from),
            drill_identifier: drill.id,
        }
    }
}

impl Action for DescribeDrills {
    const NAME: &'static str = "DescribeDrills";
    const API: Api = Api::Snapferry;
    const READS: bool = true;
    type Output = Drills;

    async fn run(self, cx: &ActionContext) -> Result<Drills, Fault> {
        let page: Page<restore_testing::After> =
            Page::read(self.max_records, self.marker.as_deref())?;
        if let Some(id) = self.drill_identifier {
            return one(cx, id).await;
        }
        let (region, account) = (cx.region.clone(), cx.caller.account.clone());
        let (rows_max, plan) = (page.rows, self.restore_testing_plan_name);
        let read = cx.service.catalog.read(move |tx| {
            let (mut found, mut after) = (Vec::new(), page.after.clone());
            // One more than the page tells that there is another.
            while found.len() <= rows_max {
                let owner = (&region, &account);
                let rows = restore_testing::newest(tx, owner, after.as_ref(), BATCH)?;
                let Some(last) = rows.last() else { break };
                after = Some((last.value.planned_at, last.value.id.clone()));
                let rows = rows.into_iter().map(|row| row.value);
                found.extend(rows.filter(|one| plan.as_ref().is_none_or(|name| one.plan == *name)));
            }
            Ok::<_, catalog::CatalogError>(found)
        });
        let mut found = read.await?;
        let more = rows_max < found.len();
        found.truncate(rows_max);
        let last = found.last().filter(|_| more);
        let marker = last.map(|last| {
            Page::<restore_testing::After>::marker(&(last.planned_at, last.id.clone()))
        });
        Ok(Drills {
            marker,
            drills: found.into_iter().map(ShownDrill::of).collect(),
        })
    }
}

/// The caller's of that id.
async fn one(cx: &ActionContext, id: String) -> Result<Drills, Fault> {
    let (region, account, wanted) = (cx.region.clone(), cx.caller.account.clone(), id.clone());
    let found = cx
        .service
        .catalog
        .read(move |tx| keyed::get::<Drill>(tx, &region, &[account.as_str(), wanted.as_str()]));
    let found = found.await?.ok_or_else(|| {
        let message = format!("Drill {} cannot be found.", model::limits::echo(&id));
        Fault::new(Code::SecretNotFound, message)
    })?;
    Ok(Drills {
        marker: None,
        drills: vec![ShownDrill::of(found.value)],
    })
}
