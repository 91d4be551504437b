//! `DescribeGlobalClusters`: there are none, since a cluster is in one region.
//!
//! Source: API_DescribeGlobalClusters. Tools ask it about each cluster, and take no other answer.
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    shapes::{Filter, Page},
};
use service::fault::{Code, Fault};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeGlobalClusters {
    global_cluster_identifier: Option<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_records: Option<i64>,
    marker: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GlobalClusters {
    global_clusters: Vec<()>,
}

impl Output for GlobalClusters {
    const LAYOUT: Layout = Layout::Page("GlobalClusters");

    fn label(&self) -> Label {
        Label::Page { next: None }
    }
}

/// The one that is documented, and the one that tools send.
const FILTERS: &[(&str, &str)] = &[
    ("db-cluster-id", "DB Cluster Identifiers"),
    ("region", "Regions"),
];

impl Action for DescribeGlobalClusters {
    const NAME: &'static str = "DescribeGlobalClusters";
    const API: Api = Api::Rds;
    const READS: bool = true;
    type Output = GlobalClusters;

    async fn run(self, _cx: &ActionContext) -> Result<GlobalClusters, Fault> {
        Page::<String>::read(self.max_records, self.marker.as_deref())?;
        Filter::check(&self.filters, FILTERS)?;
        match self.global_cluster_identifier {
            Some(id) => Err(Fault::new(
                Code::GlobalClusterNotFound,
                format!("Global cluster {} not found.", model::limits::echo(&id)),
            )),
            None => Ok(GlobalClusters {
                global_clusters: Vec::new(),
            }),
        }
    }
}
