//! Resources that were backed up: those that have a recovery point that is whole.
//!
//! Sources: API_DescribeProtectedResource and its likes.
use catalog::{CatalogError, CatalogExt, backup_jobs, recovery_points};
use model::{BackupJobKind, BackupJobState, BackupVaultName, Snapshot, backup_job::resource_type};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    backup::{faults, page, points, vaults},
    keys::metadata::seconds,
    shapes::Page,
};
use service::fault::Fault;

/// A resource, and the last recovery point of it.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Resource {
    resource_arn: String,
    resource_type: &'static str,
    resource_name: String,
    last_backup_time: f64,
    last_backup_vault_arn: String,
    last_recovery_point_arn: String,
}

impl Resource {
    /// By the last recovery point of a resource.
    fn of(last: &Snapshot) -> Option<Self> {
        let point = points::show(last)?;
        Some(Self {
            resource_arn: point.resource_arn,
            resource_type: resource_type(&last.engine),
            resource_name: point.resource_name,
            last_backup_time: point.creation_date,
            last_backup_vault_arn: point.backup_vault_arn,
            last_recovery_point_arn: point.recovery_point_arn,
        })
    }
}

/// Shows one.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeProtectedResource {
    resource_arn: String,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Described {
    #[serde(flatten)]
    resource: Resource,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_restore_execution_time_minutes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_restore_job_creation_date: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_restore_recovery_point_creation_date: Option<f64>,
}

impl Output for Described {}

impl Action for DescribeProtectedResource {
    const NAME: &'static str = "DescribeProtectedResource";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = Described;

    async fn run(self, cx: &ActionContext) -> Result<Described, Fault> {
        let resource = points::resource_arn(&self.resource_arn)?;
        let (account, region) = (cx.caller.account.clone(), cx.region.clone());
        let found = cx.service.catalog.read(move |tx| {
            let owner = (&region, &account);
            let last = recovery_points::newest_whole(tx, owner, &resource)?;
            let last = last.map(|stored| stored.value);
            let restore = match &last {
                Some(_) => {
                    let (kind, state) = (BackupJobKind::Restore, BackupJobState::Completed);
                    backup_jobs::newest_of_resource(tx, owner, kind, &resource, state)?
                }
                None => None,
            };
            Ok::<_, CatalogError>((last, restore.map(|stored| stored.value)))
        });
        let (last, restore) = found.await?;
        let shown = last.as_ref().and_then(Resource::of);
        let resource = shown.ok_or_else(|| {
            let given = &self.resource_arn;
            faults::not_found(
                given,
                format!(
                    "Resource {} cannot be found among those that were backed up.",
                    faults::shown(given)
                ),
            )
        })?;
        let took = restore.as_ref().and_then(|job| {
            let ended = job.ended_at?;
            Some(ended.since(job.created_at).as_secs() / 60)
        });
        let made_at = restore.as_ref().and_then(|job| job.restore.as_ref());
        Ok(Described {
            resource,
            latest_restore_execution_time_minutes: took,
            latest_restore_job_creation_date: restore.as_ref().map(|job| seconds(job.created_at)),
            latest_restore_recovery_point_creation_date: made_at
                .map(|restore| seconds(restore.point_made_at)),
        })
    }
}

/// The answer of both lists.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Resources {
    results: Vec<Resource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Output for Resources {
    const LAYOUT: Layout = Layout::Page("Results");

    fn label(&self) -> Label {
        Label::Page {
            next: self.next_token.clone(),
        }
    }
}

/// Lists all.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListProtectedResources {
    next_token: Option<String>,
    max_results: Option<i64>,
}

impl Action for ListProtectedResources {
    const NAME: &'static str = "ListProtectedResources";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = Resources;

    async fn run(self, cx: &ActionContext) -> Result<Resources, Fault> {
        list(
            cx,
            None,
            page::asked(self.max_results, self.next_token.as_deref())?,
        )
        .await
    }
}

/// Lists those that have a recovery point in a vault.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListProtectedResourcesByBackupVault {
    backup_vault_name: String,
    backup_vault_account_id: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

impl Action for ListProtectedResourcesByBackupVault {
    const NAME: &'static str = "ListProtectedResourcesByBackupVault";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = Resources;

    async fn run(self, cx: &ActionContext) -> Result<Resources, Fault> {
        let owner = self.backup_vault_account_id.as_deref();
        vaults::is_own(cx, &self.backup_vault_name, owner)?;
        let action = "backup:ListProtectedResourcesByBackupVault";
        let vault = vaults::find(cx, &self.backup_vault_name, action).await?;
        let page = page::asked(self.max_results, self.next_token.as_deref())?;
        list(cx, Some(vault.name), page).await
    }
}

async fn list(
    cx: &ActionContext,
    vault: Option<BackupVaultName>,
    page: Page<String>,
) -> Result<Resources, Fault> {
    let (account, region) = (cx.caller.account.clone(), cx.region.clone());
    let (rows, after) = (page.rows, page.after.unwrap_or_default());
    let found = cx.service.catalog.read(move |tx| {
        let owner = (&region, &account);
        // One more than the page tells that there is another.
        recovery_points::protected(tx, owner, vault.as_ref(), &after, rows + 1)
    });
    let found = found.await?;
    let more = rows < found.len();
    let shown = found.iter().take(rows);
    let results: Vec<Resource> = shown.filter_map(|row| Resource::of(&row.value)).collect();
    let last = results.last().filter(|_| more);
    let next_token = last.map(|last| Page::marker(&last.resource_arn));
    Ok(Resources {
        results,
        next_token,
    })
}
