//! `ListRecoveryPointsByResource`.
use catalog::{
    CatalogExt,
    recovery_points::{self, After},
};
use model::Snapshot;
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    backup::{
        page,
        points::{self, ShownPoint, show},
    },
    shapes::Page,
};
use service::fault::Fault;

/// The input. The resource may be gone by now.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListRecoveryPointsByResource {
    resource_arn: String,
    next_token: Option<String>,
    max_results: Option<i64>,
    #[serde(rename = "ManagedByAWSBackupOnly")]
    _managed_only: Option<bool>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct PointsOfResource {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    recovery_points: Vec<PointOfResource>,
}

/// A recovery point in a list of a resource's.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct PointOfResource {
    recovery_point_arn: String,
    creation_date: f64,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_key_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backup_size_bytes: Option<u64>,
    backup_vault_name: String,
    is_parent: bool,
    resource_name: String,
    vault_type: &'static str,
}

impl PointOfResource {
    fn of(point: ShownPoint) -> Self {
        Self {
            recovery_point_arn: point.recovery_point_arn,
            creation_date: point.creation_date,
            status: point.status,
            status_message: point.status_message,
            encryption_key_arn: point.encryption_key_arn,
            backup_size_bytes: point.backup_size_in_bytes,
            backup_vault_name: point.backup_vault_name,
            is_parent: point.is_parent,
            resource_name: point.resource_name,
            vault_type: point.vault_type,
        }
    }
}

impl Output for PointsOfResource {
    const LAYOUT: Layout = Layout::Page("RecoveryPoints");

    fn label(&self) -> Label {
        Label::Page {
            next: self.next_token.clone(),
        }
    }
}

impl Action for ListRecoveryPointsByResource {
    const NAME: &'static str = "ListRecoveryPointsByResource";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = PointsOfResource;

    async fn run(self, cx: &ActionContext) -> Result<PointsOfResource, Fault> {
        let resource = points::resource_arn(&self.resource_arn)?;
        let page: Page<After> = page::asked(self.max_results, self.next_token.as_deref())?;
        let (account, region) = (cx.caller.account.clone(), cx.region.clone());
        let rows = page.rows;
        let found = cx.service.catalog.read(move |tx| {
            let owner = (&region, &account);
            // One more than the page tells that there is another.
            recovery_points::of_resource(tx, owner, &resource, page.after.as_ref(), rows + 1)
        });
        let found = found.await?.into_iter().map(|row| row.value);
        let mut found: Vec<Snapshot> = found.collect();
        let more = rows < found.len();
        found.truncate(rows);
        let last = found.last().filter(|_| more);
        let next_token = last.map(|one| Page::marker(&(one.recorded_at, one.name.to_string())));
        let shown = found.iter().filter_map(show);
        Ok(PointsOfResource {
            recovery_points: shown.map(PointOfResource::of).collect(),
            next_token,
        })
    }
}
