//! Recovery points: shown, listed, given another lifecycle, deleted.
use catalog::{CatalogExt, Tx, snapshots};
use model::{Snapshot, SnapshotStatus, backup_job::resource_type};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    backup::{
        faults,
        filters::{between, is, moment},
        lifecycle::{CalculatedLifecycle, Lifecycle},
        points::{self, ShownPoint, show},
        vaults,
    },
};
use service::{
    fault::{Code, Fault},
    pins::{self, Pin},
    recovery_points,
};

/// Shows one.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeRecoveryPoint {
    backup_vault_name: String,
    recovery_point_arn: String,
    backup_vault_account_id: Option<String>,
}

impl Output for ShownPoint {}

impl Action for DescribeRecoveryPoint {
    const NAME: &'static str = "DescribeRecoveryPoint";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = ShownPoint;

    async fn run(self, cx: &ActionContext) -> Result<ShownPoint, Fault> {
        let given = self.recovery_point_arn;
        vaults::is_own(
            cx,
            &self.backup_vault_name,
            self.backup_vault_account_id.as_deref(),
        )?;
        let action = "backup:DescribeRecoveryPoint";
        let vault = vaults::find(cx, &self.backup_vault_name, action).await?;
        let wanted = points::wanted(cx, &given)?;
        let found = cx.service.catalog.read(move |tx| {
            let stored = points::get(tx, &wanted, &vault.name, &given)?;
            Ok::<_, Fault>(show(&stored.value))
        });
        found.await?.ok_or_else(|| points::missing(""))
    }
}

/// Lists those of a vault.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListRecoveryPointsByBackupVault {
    backup_vault_name: String,
    backup_vault_account_id: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
    by_resource_arn: Option<String>,
    by_resource_type: Option<String>,
    by_backup_plan_id: Option<String>,
    by_created_before: Option<String>,
    by_created_after: Option<String>,
    by_parent_recovery_point_arn: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Points {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    recovery_points: Vec<ShownPoint>,
}

impl Output for Points {
    const LAYOUT: Layout = Layout::Page("RecoveryPoints");

    fn label(&self) -> Label {
        Label::Page {
            next: self.next_token.clone(),
        }
    }
}

impl Action for ListRecoveryPointsByBackupVault {
    const NAME: &'static str = "ListRecoveryPointsByBackupVault";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = Points;

    async fn run(self, cx: &ActionContext) -> Result<Points, Fault> {
        vaults::is_own(
            cx,
            &self.backup_vault_name,
            self.backup_vault_account_id.as_deref(),
        )?;
        let action = "backup:ListRecoveryPointsByBackupVault";
        let vault = vaults::find(cx, &self.backup_vault_name, action).await?;
        let after = moment("ByCreatedAfter", self.by_created_after.as_deref())?;
        let before = moment("ByCreatedBefore", self.by_created_before.as_deref())?;
        let page = (self.max_results, self.next_token.clone());
        let passes = move |snapshot: &Snapshot| {
            let resource = snapshot
                .recovery_point
                .as_ref()
                .map(|point| point.resource.to_string());
            is(self.by_resource_arn.as_ref(), &resource.unwrap_or_default())
                && is(self.by_resource_type.as_ref(), resource_type(&snapshot.engine))
                && is_of_plan(snapshot, self.by_backup_plan_id.as_deref())
                // None is of a composite.
                && self.by_parent_recovery_point_arn.is_none()
                && between(Some(snapshot.recorded_at), after, before)
        };
        let asked = (page.0, page.1.as_deref());
        let (found, next_token) = points::page(cx, Some(vault.name), asked, passes).await?;
        Ok(Points {
            recovery_points: found.iter().filter_map(show).collect(),
            next_token,
        })
    }
}

/// Whether a recovery point follows the plan that is asked for, where one is.
fn is_of_plan(snapshot: &Snapshot, asked: Option<&str>) -> bool {
    let point = snapshot.recovery_point.as_ref();
    let rule = point.and_then(|point| point.rule.as_ref());
    asked.is_none_or(|asked| rule.is_some_and(|rule| rule.plan == asked))
}

/// Deletes one.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteRecoveryPoint {
    backup_vault_name: String,
    recovery_point_arn: String,
}

impl Action for DeleteRecoveryPoint {
    const NAME: &'static str = "DeleteRecoveryPoint";
    const API: Api = Api::Backup;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let action = "backup:DeleteRecoveryPoint";
        change(
            cx,
            &self.backup_vault_name,
            self.recovery_point_arn,
            action,
            |tx, stored| {
                let point = stored.value;
                if let Some(pin) = pins::of_point(tx, &point)? {
                    return Err(kept(&point, &pin));
                }
                recovery_points::forget(tx, &point)?;
                Ok(point)
            },
        )
        .await
        .map(drop)
    }
}

/// Gives one another lifecycle.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateRecoveryPointLifecycle {
    backup_vault_name: String,
    recovery_point_arn: String,
    lifecycle: Option<Lifecycle>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Updated {
    backup_vault_arn: String,
    recovery_point_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifecycle: Option<Lifecycle>,
    #[serde(skip_serializing_if = "Option::is_none")]
    calculated_lifecycle: Option<CalculatedLifecycle>,
}

impl Output for Updated {}

impl Action for UpdateRecoveryPointLifecycle {
    const NAME: &'static str = "UpdateRecoveryPointLifecycle";
    const API: Api = Api::Backup;
    type Output = Updated;

    async fn run(self, cx: &ActionContext) -> Result<Updated, Fault> {
        let lifecycle = Lifecycle::read(self.lifecycle.as_ref())?;
        let action = "backup:UpdateRecoveryPointLifecycle";
        let changed = change(
            cx,
            &self.backup_vault_name,
            self.recovery_point_arn,
            action,
            move |tx, mut stored| {
                // A hold that keeps it, too, ends some day.
                if let Some(pin) = pins::lock_of_point(tx, &stored.value)? {
                    return Err(kept(&stored.value, &pin));
                }
                if let Some(point) = &mut stored.value.recovery_point {
                    point.lifecycle = lifecycle.clone();
                    // What it says of its end is looked at anew.
                    point.kept = None;
                }
                Ok(snapshots::update(tx, stored)?.value)
            },
        );
        let shown = show(&changed.await?).ok_or_else(|| points::missing(""))?;
        Ok(Updated {
            backup_vault_arn: shown.backup_vault_arn,
            recovery_point_arn: shown.recovery_point_arn,
            lifecycle: shown.lifecycle,
            calculated_lifecycle: shown.calculated_lifecycle,
        })
    }
}

/// What is said of a recovery point that is to stay as it is.
fn kept(point: &Snapshot, pin: &Pin) -> Fault {
    let arn = point.arn().to_string();
    let message = format!("Recovery point {arn} can be neither deleted nor changed: {pin}.");
    faults::refused(&arn, message)
}

/// Does something with a recovery point that is not being made.
async fn change(
    cx: &ActionContext,
    vault: &str,
    given: String,
    action: &'static str,
    change: impl Fn(&mut dyn Tx, catalog::Stored<Snapshot>) -> Result<Snapshot, Fault>
    + Send
    + Sync
    + 'static,
) -> Result<Snapshot, Fault> {
    let vault = vaults::find(cx, vault, action).await?;
    let wanted = points::wanted(cx, &given)?;
    let changed = cx.service.catalog.write(move |tx| {
        let stored = points::get(tx, &wanted, &vault.name, &given)?;
        match stored.value.status {
            SnapshotStatus::Creating | SnapshotStatus::Copying => Err(Fault::new(
                Code::BackupInvalidResourceState,
                format!("Recovery point {} is being created.", faults::shown(&given)),
            )
            .with("Context", faults::shown(&given))),
            SnapshotStatus::Available | SnapshotStatus::Failed => change(tx, stored),
        }
    });
    changed.await
}
