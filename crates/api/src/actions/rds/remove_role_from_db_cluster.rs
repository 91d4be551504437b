//! `RemoveRoleFromDBCluster`.
//!
//! Source: API_RemoveRoleFromDBCluster.
use model::ClusterRole;
use serde::Deserialize;

use crate::{
    action::{Action, ActionContext, Api},
    clusters::change::alter_record,
};
use service::fault::{Code, Fault};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RemoveRoleFromDbCluster {
    #[serde(rename = "DBClusterIdentifier")]
    cluster: String,
    role_arn: String,
    feature_name: Option<String>,
}

impl Action for RemoveRoleFromDbCluster {
    const NAME: &'static str = "RemoveRoleFromDBCluster";
    const API: Api = Api::Rds;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let role = ClusterRole {
            arn: self.role_arn,
            feature: self.feature_name,
        };
        alter_record(cx, &self.cluster, move |cluster| {
            let roles = &mut cluster.options.roles;
            let before = roles.len();
            roles.retain(|one| *one != role);
            if roles.len() == before {
                return Err(Fault::new(
                    Code::DbClusterRoleNotFound,
                    format!(
                        "Role ARN {} cannot be found for DB Cluster: {}",
                        model::limits::echo(&role.arn),
                        cluster.name
                    ),
                ));
            }
            Ok(())
        })
        .await
    }
}
