//! What is set for AWS Backup, which is the same for all accounts here.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionContext, Api, Output};
use service::fault::Fault;

/// The types of resources that are backed up here.
const TYPES: [&str; 2] = ["Aurora", "RDS"];

/// Which types of resources are backed up: all that are here, and nobody has to opt in.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub struct DescribeRegionSettings {}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RegionSettings {
    resource_type_opt_in_preference: BTreeMap<&'static str, bool>,
    resource_type_management_preference: BTreeMap<&'static str, bool>,
}

impl Output for RegionSettings {}

impl Action for DescribeRegionSettings {
    const NAME: &'static str = "DescribeRegionSettings";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = RegionSettings;

    async fn run(self, _: &ActionContext) -> Result<RegionSettings, Fault> {
        Ok(RegionSettings {
            resource_type_opt_in_preference: TYPES.into_iter().map(|name| (name, true)).collect(),
            // Their backups are snapshots of RDS.
            resource_type_management_preference: BTreeMap::new(),
        })
    }
}

/// What holds for all regions: copies do not leave their account.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub struct DescribeGlobalSettings {}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GlobalSettings {
    global_settings: BTreeMap<&'static str, &'static str>,
}

impl Output for GlobalSettings {}

impl Action for DescribeGlobalSettings {
    const NAME: &'static str = "DescribeGlobalSettings";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = GlobalSettings;

    async fn run(self, _: &ActionContext) -> Result<GlobalSettings, Fault> {
        Ok(GlobalSettings {
            global_settings: BTreeMap::from([("isCrossAccountBackupEnabled", "true")]),
        })
    }
}

/// The types of resources that can be backed up.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub struct GetSupportedResourceTypes {}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SupportedTypes {
    resource_types: Vec<&'static str>,
}

impl Output for SupportedTypes {}

impl Action for GetSupportedResourceTypes {
    const NAME: &'static str = "GetSupportedResourceTypes";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = SupportedTypes;

    async fn run(self, _: &ActionContext) -> Result<SupportedTypes, Fault> {
        Ok(SupportedTypes {
            resource_types: TYPES.to_vec(),
        })
    }
}
