//! `AddRoleToDBCluster`: a role is recorded, and answered among the cluster's. Nothing here acts by
//! it.
//!
//! Source: API_AddRoleToDBCluster. A role is associated once for each feature.
use model::{ClusterRole, limits::CLUSTER_ROLES_MAX};
use serde::Deserialize;

use crate::{
    action::{Action, ActionContext, Api},
    clusters::change::alter_record,
};
use service::fault::{Code, Fault};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AddRoleToDbCluster {
    #[serde(rename = "DBClusterIdentifier")]
    cluster: String,
    role_arn: String,
    feature_name: Option<String>,
}

impl Action for AddRoleToDbCluster {
    const NAME: &'static str = "AddRoleToDBCluster";
    const API: Api = Api::Rds;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let role = ClusterRole {
            arn: role_arn(&self.role_arn)?,
            feature: self.feature_name,
        };
        alter_record(cx, &self.cluster, move |cluster| {
            let name = &cluster.name;
            let roles = &mut cluster.options.roles;
            if roles.contains(&role) {
                return Err(Fault::new(
                    Code::DbClusterRoleAlreadyExists,
                    format!(
                        "Role ARN {} is already associated with DB Cluster: {name}",
                        role.arn
                    ),
                ));
            }
            if CLUSTER_ROLES_MAX <= roles.len() {
                return Err(Fault::new(
                    Code::DbClusterRoleQuotaExceeded,
                    format!("DB cluster {name} has {CLUSTER_ROLES_MAX} roles already"),
                ));
            }
            roles.push(role.clone());
            Ok(())
        })
        .await
    }
}

/// The ARN of an IAM role, as it was given.
fn role_arn(given: &str) -> Result<String, Fault> {
    let parts: Vec<&str> = given.splitn(6, ':').collect();
    match parts[..] {
        ["arn", partition, "iam", "", account, name]
            if partition.starts_with("aws")
                && account.len() == 12
                && account.bytes().all(|b| b.is_ascii_digit())
                && name
                    .strip_prefix("role/")
                    .is_some_and(|name| !name.is_empty())
                && given.len() <= 2_048 =>
        {
            Ok(given.to_owned())
        }
        _ => Err(Fault::value(format!(
            "Invalid role ARN: {}. It has the form arn:aws:iam::123456789012:role/name.",
            model::limits::echo(given)
        ))),
    }
}
