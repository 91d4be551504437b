//! `ModifyDBSubnetGroup`: other subnets, or another description.
//!
//! Source: API_ModifyDBSubnetGroup.
use catalog::CatalogExt;
use serde::Deserialize;

use crate::{
    action::{Action, ActionContext, Api},
    shapes::groups::{
        keep,
        names::SubnetGroupRef,
        subnets::{self, SubnetGroupOutput},
    },
};
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyDbSubnetGroup {
    #[serde(rename = "DBSubnetGroupName")]
    name: String,
    #[serde(rename = "DBSubnetGroupDescription")]
    description: Option<String>,
    subnet_ids: Vec<String>,
}

impl Action for ModifyDbSubnetGroup {
    const NAME: &'static str = "ModifyDBSubnetGroup";
    const API: Api = Api::Rds;
    type Output = SubnetGroupOutput;

    async fn run(self, cx: &ActionContext) -> Result<SubnetGroupOutput, Fault> {
        let wanted = SubnetGroupRef::asked("DBSubnetGroupName", &self.name, cx)?;
        let subnets = subnets::subnets(&cx.region, &self.subnet_ids)?;
        let (account, region) = (cx.caller.account.clone(), cx.region.clone());
        let kept = cx
            .service
            .catalog
            .write(move |tx| {
                let mut stored = wanted.own(tx, &account, &region)?;
                stored.value.subnets.clone_from(&subnets);
                if let Some(description) = &self.description {
                    stored.value.description.clone_from(description);
                }
                Ok::<_, Fault>(keep(tx, stored)?)
            })
            .await?;
        Ok(SubnetGroupOutput::of(&kept))
    }
}
