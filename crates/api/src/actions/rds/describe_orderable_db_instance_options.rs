//! `DescribeOrderableDBInstanceOptions`: the classes that scripts commonly name, for each version that is
//! installed. A class is a name here: it is kept and answered, and bounds nothing.
//!
//! Source: API_DescribeOrderableDBInstanceOptions.
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    clusters::rules::engine,
    shapes::{Filter, Page},
};
use service::fault::Fault;

/// The classes that are listed; others are taken, too.
const CLASSES: &[&str] = &[
    "db.m5d.large",
    "db.m6gd.large",
    "db.r5.large",
    "db.r6g.large",
    "db.r6g.xlarge",
    "db.r6gd.large",
    "db.r6i.large",
    "db.r7g.large",
    "db.t3.medium",
    "db.t4g.medium",
];

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeOrderableDbInstanceOptions {
    engine: String,
    engine_version: Option<String>,
    #[serde(rename = "DBInstanceClass")]
    class: Option<String>,
    license_model: Option<String>,
    availability_zone_group: Option<String>,
    vpc: Option<bool>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_records: Option<i64>,
    marker: Option<String>,
}

/// A zone in an option.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
#[serde(rename = "AvailabilityZone", rename_all = "PascalCase")]
struct Zone {
    name: String,
}

/// A class that an engine's instances can have.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename = "OrderableDBInstanceOption", rename_all = "PascalCase")]
struct OrderableOption {
    engine: String,
    engine_version: String,
    #[serde(rename = "DBInstanceClass")]
    class: &'static str,
    license_model: &'static str,
    availability_zone_group: String,
    availability_zones: Vec<Zone>,
    #[serde(rename = "MultiAZCapable")]
    multi_az_capable: bool,
    read_replica_capable: bool,
    vpc: bool,
    supports_storage_encryption: bool,
    storage_type: &'static str,
    supports_iops: bool,
    supports_storage_throughput: bool,
    supports_enhanced_monitoring: bool,
    #[serde(rename = "SupportsIAMDatabaseAuthentication")]
    supports_iam_database_authentication: bool,
    supports_performance_insights: bool,
    available_processor_features: Vec<()>,
    supported_engine_modes: Vec<&'static str>,
    supports_storage_autoscaling: bool,
    supports_kerberos_authentication: bool,
    outpost_capable: bool,
    supported_activity_stream_modes: Vec<()>,
    supports_global_databases: bool,
    supported_network_types: Vec<&'static str>,
    supports_clusters: bool,
    supports_dedicated_log_volume: bool,
    supports_http_endpoint: bool,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Options {
    #[serde(rename = "OrderableDBInstanceOptions")]
    options: Vec<OrderableOption>,
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
}

impl Output for Options {
    const LAYOUT: Layout = Layout::Page("OrderableDBInstanceOptions");

    fn label(&self) -> Label {
        Label::Page {
            next: self.marker.clone(),
        }
    }
}

impl Action for DescribeOrderableDbInstanceOptions {
    const NAME: &'static str = "DescribeOrderableDBInstanceOptions";
    const API: Api = Api::Rds;
    const READS: bool = true;
    type Output = Options;

    async fn run(self, cx: &ActionContext) -> Result<Options, Fault> {
        let page: Page<(String, usize)> = Page::read(self.max_records, self.marker.as_deref())?;
        Filter::check(&self.filters, &[])?;
        let engine = engine(cx, &self.engine)?;
        let group = cx.region.to_string();
        let versions = engine.installed();
        let asked = self.engine_version.as_deref();
        let of_version = |version: &&String| {
            asked.is_none_or(|asked| *version == asked || engine.series(version) == asked)
        };
        let license = engine.profile().license_model;
        let here = self.vpc != Some(false)
            && self
                .license_model
                .as_deref()
                .is_none_or(|model| model == license)
            && self
                .availability_zone_group
                .as_deref()
                .is_none_or(|asked| asked == group);
        let found: Vec<OrderableOption> = versions
            .iter()
            .filter(of_version)
            .flat_map(|version| CLASSES.iter().map(move |class| (version, *class)))
            .filter(|(_, class)| here && self.class.as_deref().is_none_or(|asked| asked == *class))
            .map(|(version, class)| OrderableOption {
                license_model: license,
                ..self.shape(cx, version, class)
            })
            .collect();
        let (options, marker) =
            page.cut(found, |one| format!("{} {}", one.engine_version, one.class));
        Ok(Options { options, marker })
    }
}

impl DescribeOrderableDbInstanceOptions {
    fn shape(&self, cx: &ActionContext, version: &str, class: &'static str) -> OrderableOption {
        let is_aurora = self.engine.starts_with("aurora");
        OrderableOption {
            engine: self.engine.clone(),
            engine_version: version.to_owned(),
            class,
            license_model: "",
            availability_zone_group: cx.region.to_string(),
            availability_zones: cx
                .region
                .zones()
                .into_iter()
                .map(|name| Zone { name })
                .collect(),
            multi_az_capable: !is_aurora,
            read_replica_capable: is_aurora,
            vpc: true,
            supports_storage_encryption: true,
            storage_type: match is_aurora {
                true => "aurora",
                false => "io1",
            },
            supports_iops: !is_aurora,
            supports_storage_throughput: false,
            supports_enhanced_monitoring: false,
            supports_iam_database_authentication: false,
            supports_performance_insights: false,
            available_processor_features: Vec::new(),
            supported_engine_modes: vec!["provisioned"],
            supports_storage_autoscaling: false,
            supports_kerberos_authentication: false,
            outpost_capable: false,
            supported_activity_stream_modes: Vec::new(),
            supports_global_databases: false,
            supported_network_types: vec!["IPV4"],
            supports_clusters: true,
            supports_dedicated_log_volume: false,
            supports_http_endpoint: false,
        }
    }
}
