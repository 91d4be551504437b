//! `CreateDBSubnetGroup`: names of subnets, kept.
//!
//! Source: API_CreateDBSubnetGroup.
use catalog::{CatalogExt, keyed};
use model::{SubnetGroup, SubnetGroupName, limits, subnet_group::DEFAULT};
use serde::Deserialize;

use crate::{
    action::{Action, ActionContext, Api},
    shapes::groups::subnets::{self, SubnetGroupOutput},
    shapes::{self, Tag},
};
use service::fault::{Code, Fault};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateDbSubnetGroup {
    #[serde(rename = "DBSubnetGroupName")]
    name: String,
    #[serde(rename = "DBSubnetGroupDescription")]
    description: String,
    subnet_ids: Vec<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

impl Action for CreateDbSubnetGroup {
    const NAME: &'static str = "CreateDBSubnetGroup";
    const API: Api = Api::Rds;
    type Output = SubnetGroupOutput;

    async fn run(self, cx: &ActionContext) -> Result<SubnetGroupOutput, Fault> {
        let name = shapes::named("DBSubnetGroupName", &self.name, SubnetGroupName::parse)?;
        if name.as_str() == DEFAULT {
            return Err(Fault::value(
                "The DB subnet group name default is reserved: the group is always there.",
            ));
        }
        let group = SubnetGroup {
            region: cx.region.clone(),
            account: cx.caller.account.clone(),
            name,
            description: self.description,
            subnets: subnets::subnets(&cx.region, &self.subnet_ids)?,
            tags: shapes::to_records(&self.tags)?,
        };
        let kept = cx
            .service
            .catalog
            .write(move |tx| {
                let (region, account) = (&group.region, group.account.as_str());
                let all = keyed::list::<SubnetGroup>(tx, region, &[account], usize::MAX)?;
                if all.iter().any(|one| one.value.name == group.name) {
                    return Err(Fault::new(
                        Code::DbSubnetGroupAlreadyExists,
                        format!("The DB subnet group '{}' already exists.", group.name),
                    ));
                }
                if limits::SUBNET_GROUPS_MAX <= all.len() {
                    return Err(Fault::new(
                        Code::DbSubnetGroupQuotaExceeded,
                        format!(
                            "Cannot create more than {} DB subnet groups",
                            limits::SUBNET_GROUPS_MAX
                        ),
                    ));
                }
                Ok(keyed::insert(tx, group.clone())?.value)
            })
            .await?;
        Ok(SubnetGroupOutput::of(&kept))
    }
}
