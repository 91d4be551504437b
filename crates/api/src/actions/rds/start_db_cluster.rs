//! `StartDBCluster`: a stopped cluster's server runs again, at the same address.
//!
//! Source: API_StartDBCluster; the words of the fault are those that AWS was seen to say.
use model::ClusterStatus;
use serde::Deserialize;

use crate::{
    action::{Action, ActionContext, Api},
    clusters::change::change,
    shapes::ClusterOutput,
};
use service::{fault::Fault, jobs::change_cluster::Change};

/// The states that RDS starts a cluster from. The second one is none that clusters have here.
const STARTED_FROM: &str = "stopped,inaccessible-encryption-credentials-recoverable";

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct StartDbCluster {
    #[serde(rename = "DBClusterIdentifier")]
    cluster: String,
}

impl Action for StartDbCluster {
    const NAME: &'static str = "StartDBCluster";
    const API: Api = Api::Rds;
    type Output = ClusterOutput;

    async fn run(self, cx: &ActionContext) -> Result<ClusterOutput, Fault> {
        let from = (ClusterStatus::Stopped, STARTED_FROM);
        change(
            cx,
            &self.cluster,
            from,
            ClusterStatus::Starting,
            Change::Start,
        )
        .await
    }
}
