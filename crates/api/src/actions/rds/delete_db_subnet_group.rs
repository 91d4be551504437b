//! `DeleteDBSubnetGroup`: of a group that no cluster has.
//!
//! Source: API_DeleteDBSubnetGroup.
use catalog::{CatalogExt, keyed};
use model::subnet_group::DEFAULT;
use serde::Deserialize;

use crate::{
    action::{Action, ActionContext, Api},
    shapes::groups::{clusters_with, names::SubnetGroupRef},
};
use service::fault::{Code, Fault};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub struct DeleteDbSubnetGroup {
    #[serde(rename = "DBSubnetGroupName")]
    name: String,
}

impl Action for DeleteDbSubnetGroup {
    const NAME: &'static str = "DeleteDBSubnetGroup";
    const API: Api = Api::Rds;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let wanted = SubnetGroupRef::asked("DBSubnetGroupName", &self.name, cx)?;
        let (account, region) = (cx.caller.account.clone(), cx.region.clone());
        cx.service
            .catalog
            .write(move |tx| {
                let group = wanted.own(tx, &account, &region)?.value;
                let refused = |why: String| Fault::new(Code::InvalidDbSubnetGroupState, why);
                if group.name.as_str() == DEFAULT {
                    return Err(refused(
                        "Cannot delete the subnet group 'default': it is always there.".to_owned(),
                    ));
                }
                let uses = |cluster: &model::Cluster| {
                    cluster.options.subnet_group.as_deref() == Some(group.name.as_str())
                };
                if let Some(cluster) = clusters_with(tx, &region, &account, uses)?.first() {
                    return Err(refused(format!(
                        "Cannot delete the subnet group '{}' because at least one database cluster: {} is still using it.",
                        group.name, cluster.name
                    )));
                }
                keyed::delete(tx, &group)?;
                Ok(())
            })
            .await
    }
}
