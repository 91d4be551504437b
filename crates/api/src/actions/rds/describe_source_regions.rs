//! `DescribeSourceRegions`: the regions that the called one can copy snapshots from.
//!
//! Source: API_DescribeSourceRegions. The called region is not among them, nor is one of another
//! partition; China's regions have none, as copies between regions have no part there.
use model::{Region, limits};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    shapes::{Filter, Page},
};
use service::fault::Fault;

/// The input. RDS documents `Filters` as not supported.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeSourceRegions {
    region_name: Option<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_records: Option<i64>,
    marker: Option<String>,
}

/// One region.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct SourceRegion {
    region_name: String,
    endpoint: String,
    status: &'static str,
    #[serde(rename = "SupportsDBInstanceAutomatedBackupsReplication")]
    replicates_backups: bool,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Regions {
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
    source_regions: Vec<SourceRegion>,
}

impl Output for Regions {
    const LAYOUT: Layout = Layout::Page("SourceRegions");

    fn label(&self) -> Label {
        Label::Page {
            next: self.marker.clone(),
        }
    }
}

impl Action for DescribeSourceRegions {
    const NAME: &'static str = "DescribeSourceRegions";
    const API: Api = Api::Rds;
    const READS: bool = true;
    type Output = Regions;

    async fn run(self, cx: &ActionContext) -> Result<Regions, Fault> {
        let page: Page<String> = Page::read(self.max_records, self.marker.as_deref())?;
        Filter::check(&self.filters, &[])?;
        let asked = self.asked(cx)?;
        let mut found: Vec<Region> = Region::known()
            .chain(cx.service.settings.extra_regions.iter().cloned())
            .filter(|region| *region != cx.region && region.partition() == cx.region.partition())
            .filter(|region| region.partition() != "aws-cn")
            .filter(|region| asked.as_ref().is_none_or(|asked| asked == region))
            .filter(|region| {
                page.after
                    .as_ref()
                    .is_none_or(|after| after.as_str() < region.as_str())
            })
            .collect();
        found.sort();
        found.dedup();
        let marker = (page.rows < found.len())
            .then(|| Page::<String>::marker(&found[page.rows - 1].to_string()));
        found.truncate(page.rows);
        let source_regions = found
            .iter()
            .map(|region| SourceRegion {
                region_name: region.to_string(),
                endpoint: format!("https://rds.{region}.amazonaws.com"),
                status: "available",
                replicates_backups: false,
            })
            .collect();
        Ok(Regions {
            marker,
            source_regions,
        })
    }
}

impl DescribeSourceRegions {
    fn asked(&self, cx: &ActionContext) -> Result<Option<Region>, Fault> {
        let Some(given) = &self.region_name else {
            return Ok(None);
        };
        let known = given
            .parse()
            .ok()
            .filter(|region| cx.service.settings.knows(region));
        known.map(Some).ok_or_else(|| {
            let shown: String = limits::echo(given);
            Fault::value(format!(
                "Invalid RegionName {shown}: it must be the name of a region, such as us-east-1."
            ))
        })
    }
}
