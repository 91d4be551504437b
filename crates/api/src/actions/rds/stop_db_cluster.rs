//! `StopDBCluster`: its server ends, its files stay. After seven days it is started by itself.
//!
//! Source: API_StopDBCluster and "Stopping and starting an Amazon Aurora DB cluster".
use model::ClusterStatus;
use serde::Deserialize;

use crate::{
    action::{Action, ActionContext, Api},
    clusters::change::change,
    shapes::ClusterOutput,
};
use service::{fault::Fault, jobs::change_cluster::Change};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct StopDbCluster {
    #[serde(rename = "DBClusterIdentifier")]
    cluster: String,
}

impl Action for StopDbCluster {
    const NAME: &'static str = "StopDBCluster";
    const API: Api = Api::Rds;
    type Output = ClusterOutput;

    async fn run(self, cx: &ActionContext) -> Result<ClusterOutput, Fault> {
        let from = (ClusterStatus::Available, "available");
        change(
            cx,
            &self.cluster,
            from,
            ClusterStatus::Stopping,
            Change::Stop,
        )
        .await
    }
}
