//! `DescribePendingMaintenanceActions`: none is ever pending. Databases are upgraded by the machine's
//! packages, and no resource waits for a window.
//!
//! Source: API_DescribePendingMaintenanceActions.
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    shapes::{
        Filter, Page,
        tagged::{self, ResourceTags},
    },
};
use service::fault::{Code, Fault};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribePendingMaintenanceActions {
    resource_identifier: Option<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    marker: Option<String>,
    max_records: Option<i64>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct PendingActions {
    pending_maintenance_actions: Vec<()>,
}

impl Output for PendingActions {
    const LAYOUT: Layout = Layout::Page("PendingMaintenanceActions");

    fn label(&self) -> Label {
        Label::Page { next: None }
    }
}

const FILTERS: &[(&str, &str)] = &[
    ("db-cluster-id", "DB Cluster Identifiers"),
    ("db-instance-id", "DB Instance Identifiers"),
];

impl Action for DescribePendingMaintenanceActions {
    const NAME: &'static str = "DescribePendingMaintenanceActions";
    const API: Api = Api::Rds;
    const READS: bool = true;
    type Output = PendingActions;

    async fn run(self, cx: &ActionContext) -> Result<PendingActions, Fault> {
        Page::<String>::read(self.max_records, self.marker.as_deref())?;
        Filter::check(&self.filters, FILTERS)?;
        if let Some(given) = &self.resource_identifier {
            let resource = ResourceTags::parse(given, cx)?;
            tagged::read(cx, resource)
                .await
                .map_err(|fault| match fault.code.status() {
                    404 => Fault::new(Code::ResourceNotFound, fault.message),
                    _ => fault,
                })?;
        }
        Ok(PendingActions {
            pending_maintenance_actions: Vec::new(),
        })
    }
}
