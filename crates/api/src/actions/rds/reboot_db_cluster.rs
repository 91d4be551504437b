//! `RebootDBCluster`: a cluster's server is started anew, with what is pending.
//!
//! Source: API_RebootDBCluster. RDS has it for Multi-AZ clusters, and reboots the instances of
//! others; here it is for both.
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
pub struct RebootDbCluster {
    #[serde(rename = "DBClusterIdentifier")]
    cluster: String,
}

impl Action for RebootDbCluster {
    const NAME: &'static str = "RebootDBCluster";
    const API: Api = Api::Rds;
    type Output = ClusterOutput;

    async fn run(self, cx: &ActionContext) -> Result<ClusterOutput, Fault> {
        let from = (ClusterStatus::Available, "available");
        let anew = Change::Alter {
            master_verifier: None,
            restart: true,
            secret: None,
        };
        change(cx, &self.cluster, from, ClusterStatus::Rebooting, anew).await
    }
}
