//! `DeleteDBSubnetGroup`: of a group of the caller's own.
//!
//! Source: API_DeleteDBSubnetGroup.
use catalog::{CatalogExt, keyed};
use model::subnet_group::DEFAULT;
use serde::Deserialize;

use crate::{
    action::{Action, ActionContext, Api},
    shapes::groups::names::SubnetGroupRef,
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
                keyed::delete(tx, &group)?;
                Ok(())
            })
            .await
    }
}
