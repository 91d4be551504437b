//! `DescribeDBEngineVersions`: what is installed on this machine, by the names that the API has for it.
//!
//! Source: API_DescribeDBEngineVersions.
use engine::Engine;
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    shapes::{Filter, Page, family},
};
use service::{clusters::authority, fault::Fault};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDbEngineVersions {
    engine: Option<String>,
    engine_version: Option<String>,
    #[serde(rename = "DBParameterGroupFamily")]
    family: Option<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_records: Option<i64>,
    marker: Option<String>,
    #[serde(default)]
    default_only: bool,
    #[serde(default)]
    list_supported_character_sets: bool,
    #[serde(default)]
    list_supported_timezones: bool,
    // What RDS has withdrawn; nothing is here that is.
    #[serde(rename = "IncludeAll")]
    _include_all: Option<bool>,
}

/// A version that a cluster can be brought to.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct UpgradeTarget {
    engine: &'static str,
    engine_version: String,
    description: String,
    auto_upgrade: bool,
    is_major_version_upgrade: bool,
    supported_engine_modes: Vec<&'static str>,
}

/// A version of an engine. What only Amazon's fleet has is not supported.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename = "DBEngineVersion", rename_all = "PascalCase")]
pub struct EngineVersion {
    engine: &'static str,
    major_engine_version: String,
    engine_version: String,
    #[serde(rename = "DBParameterGroupFamily")]
    family: String,
    #[serde(rename = "DBEngineDescription")]
    engine_description: String,
    #[serde(rename = "DBEngineVersionDescription")]
    version_description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    supported_character_sets: Option<Vec<()>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supported_timezones: Option<Vec<()>>,
    valid_upgrade_target: Vec<UpgradeTarget>,
    exportable_log_types: Vec<()>,
    supports_log_exports_to_cloudwatch_logs: bool,
    supports_read_replica: bool,
    supported_engine_modes: Vec<&'static str>,
    supported_feature_names: Vec<()>,
    status: &'static str,
    supports_parallel_query: bool,
    supports_global_databases: bool,
    tag_list: Vec<()>,
    supports_babelfish: bool,
    supports_limitless_database: bool,
    supports_certificate_rotation_without_restart: bool,
    #[serde(rename = "SupportedCACertificateIdentifiers")]
    supported_ca_certificate_identifiers: Vec<&'static str>,
    supports_local_write_forwarding: bool,
    supports_integrations: bool,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct EngineVersions {
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
    #[serde(rename = "DBEngineVersions")]
    versions: Vec<EngineVersion>,
}

impl Output for EngineVersions {
    const LAYOUT: Layout = Layout::Page("DBEngineVersions");

    fn label(&self) -> Label {
        Label::Page {
            next: self.marker.clone(),
        }
    }
}

/// Those that API_DescribeDBEngineVersions documents.
const FILTERS: &[(&str, &str)] = &[
    ("db-parameter-group-family", "Parameter Group Families"),
    ("engine", "Engine Names"),
    ("engine-mode", "Engine Modes"),
    ("engine-version", "Engine Versions"),
    ("status", "Statuses"),
];
/// The only mode of clusters.
const MODE: &str = "provisioned";

impl Action for DescribeDbEngineVersions {
    const NAME: &'static str = "DescribeDBEngineVersions";
    const API: Api = Api::Rds;
    const READS: bool = true;
    type Output = EngineVersions;

    async fn run(self, cx: &ActionContext) -> Result<EngineVersions, Fault> {
        let page: Page<(String, usize)> = Page::read(self.max_records, self.marker.as_deref())?;
        Filter::check(&self.filters, FILTERS)?;
        let mut found: Vec<EngineVersion> = Vec::new();
        for engine in cx.service.engines.all() {
            for name in engine.profile().names {
                let all = self.of(&**engine, name);
                found.extend(all.into_iter().filter(|one| self.wants(one)));
            }
        }
        let (versions, marker) = page.cut(found, |one| one.engine.to_owned());
        Ok(EngineVersions { marker, versions })
    }
}

impl DescribeDbEngineVersions {
    /// The versions of one engine, newest first; only the one that new clusters get, if that is asked.
    fn of(&self, engine: &dyn Engine, name: &'static str) -> Vec<EngineVersion> {
        let installed = engine.installed();
        let wanted = match self.default_only {
            true => 1,
            false => installed.len(),
        };
        let versions = installed.iter().take(wanted);
        versions
            .map(|version| self.shape(engine, name, version, &installed))
            .collect()
    }

    fn shape(
        &self,
        engine: &dyn Engine,
        name: &'static str,
        version: &str,
        installed: &[String],
    ) -> EngineVersion {
        let newer = installed
            .iter()
            .take_while(|other| *other != version)
            .filter(|other| engine.series(other) == engine.series(version));
        EngineVersion {
            engine: name,
            major_engine_version: engine.series(version).to_owned(),
            engine_version: version.to_owned(),
            family: family::of(engine, name, version),
            engine_description: title(engine, name),
            version_description: described(engine, name, version),
            supported_character_sets: self.list_supported_character_sets.then(Vec::new),
            supported_timezones: self.list_supported_timezones.then(Vec::new),
            valid_upgrade_target: newer
                .map(|newer| UpgradeTarget {
                    engine: name,
                    engine_version: newer.clone(),
                    description: described(engine, name, newer),
                    auto_upgrade: false,
                    is_major_version_upgrade: false,
                    supported_engine_modes: vec![MODE],
                })
                .collect(),
            exportable_log_types: Vec::new(),
            supports_log_exports_to_cloudwatch_logs: false,
            supports_read_replica: false,
            supported_engine_modes: vec![MODE],
            supported_feature_names: Vec::new(),
            status: "available",
            supports_parallel_query: false,
            supports_global_databases: false,
            tag_list: Vec::new(),
            supports_babelfish: false,
            supports_limitless_database: false,
            supports_certificate_rotation_without_restart: true,
            supported_ca_certificate_identifiers: vec![authority::IDENTIFIER],
            supports_local_write_forwarding: false,
            supports_integrations: false,
        }
    }

    fn wants(&self, one: &EngineVersion) -> bool {
        let is =
            |asked: &Option<String>, what: &str| asked.as_deref().is_none_or(|asked| asked == what);
        let version = self.engine_version.as_deref();
        is(&self.engine, one.engine)
            && version.is_none_or(|asked| one.is_version(asked))
            && is(&self.family, &one.family)
            && self.filters.iter().all(|filter| {
                filter
                    .values
                    .iter()
                    .any(|value| one.fits(&filter.name, value))
            })
    }
}

impl EngineVersion {
    /// A version is asked for whole, or by its series.
    fn is_version(&self, asked: &str) -> bool {
        asked == self.engine_version || asked == self.major_engine_version
    }

    fn fits(&self, filter: &str, value: &str) -> bool {
        match filter {
            "db-parameter-group-family" => value == self.family,
            "engine" => value == self.engine,
            "engine-mode" => value == MODE,
            "engine-version" => self.is_version(value),
            _ => value == self.status,
        }
    }
}

/// As RDS has it: the database's name, behind Aurora's where it is that.
fn title(engine: &dyn Engine, name: &str) -> String {
    let title = engine.profile().title;
    match name.starts_with("aurora") {
        true => format!("Aurora {title}"),
        false => title.to_owned(),
    }
}

fn described(engine: &dyn Engine, name: &str, version: &str) -> String {
    let title = engine.profile().title;
    match name.starts_with("aurora") {
        true => format!("Aurora {title} (Compatible with {title} {version})"),
        false => format!("{title} {version}"),
    }
}
