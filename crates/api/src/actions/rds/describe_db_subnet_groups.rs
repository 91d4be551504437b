//! `DescribeDBSubnetGroups`.
//!
//! Source: API_DescribeDBSubnetGroups, which documents `Filters` as not supported.
use catalog::CatalogExt;
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    shapes::groups::{
        self,
        names::SubnetGroupRef,
        subnets::{self, DbSubnetGroup},
    },
    shapes::{Filter, Page},
};
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDbSubnetGroups {
    #[serde(rename = "DBSubnetGroupName")]
    name: Option<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_records: Option<i64>,
    marker: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SubnetGroups {
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
    #[serde(rename = "DBSubnetGroups")]
    groups: Vec<DbSubnetGroup>,
}

impl Output for SubnetGroups {
    const LAYOUT: Layout = Layout::Page("DBSubnetGroups");

    fn label(&self) -> Label {
        Label::Page {
            next: self.marker.clone(),
        }
    }
}

impl Action for DescribeDbSubnetGroups {
    const NAME: &'static str = "DescribeDBSubnetGroups";
    const API: Api = Api::Rds;
    const READS: bool = true;
    type Output = SubnetGroups;

    async fn run(self, cx: &ActionContext) -> Result<SubnetGroups, Fault> {
        let page: Page<(String, usize)> = Page::read(self.max_records, self.marker.as_deref())?;
        Filter::check(&self.filters, &[])?;
        let (account, region) = (cx.caller.account.clone(), cx.region.clone());
        let found = match &self.name {
            Some(name) => {
                let wanted = SubnetGroupRef::asked("DBSubnetGroupName", name, cx)?;
                let read = move |tx: &mut dyn catalog::Tx| wanted.own(tx, &account, &region);
                vec![cx.service.catalog.read(read).await?.value]
            }
            None => {
                let default = subnets::default(&region, &account);
                groups::all(cx, Vec::new(), vec![default]).await?
            }
        };
        let (found, marker) = page.cut(found, |group| group.name.to_string());
        Ok(SubnetGroups {
            marker,
            groups: found.iter().map(DbSubnetGroup::of).collect(),
        })
    }
}
