//! What an account has set for AWS Backup. What it says for all regions stands in the record of each.
use std::collections::BTreeMap;

use catalog::CatalogExt;
use model::{BackupSettings, Region};

use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Output},
    backup::faults::{invalid, missing, refused, shown},
    keys::metadata::seconds,
    shapes::groups::keep,
};
use service::{backup_jobs::settings, events, fault::Fault};

/// The types of resources that are backed up here.
const TYPES: [&str; 2] = ["Aurora", "RDS"];

async fn read(cx: &ActionContext) -> Result<BackupSettings, Fault> {
    let (account, region) = (cx.caller.account.clone(), cx.region.clone());
    let found = cx
        .service
        .catalog
        .read(move |tx| settings::get(tx, &region, &account));
    Ok(found.await?.value)
}

async fn write(
    cx: &ActionContext,
    regions: Vec<Region>,
    change: impl Fn(&mut BackupSettings) -> Result<(), Fault> + Send + Sync + 'static,
) -> Result<(), Fault> {
    let account = cx.caller.account.clone();
    let changed = cx.service.catalog.write(move |tx| {
        for region in &regions {
            let mut stored = settings::get(tx, region, &account)?;
            let before = stored.value.opt_in.clone();
            change(&mut stored.value)?;
            let kept = keep(tx, stored)?;
            if kept.opt_in != before {
                events::backup::region_settings(tx, &kept)?;
            }
        }
        Ok::<_, Fault>(())
    });
    changed.await
}

/// Which types of resources plans back up that select them by tags alone.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub struct DescribeRegionSettings {}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RegionSettings {
    resource_type_opt_in_preference: BTreeMap<String, bool>,
    resource_type_management_preference: BTreeMap<String, bool>,
}

impl Output for RegionSettings {}

impl Action for DescribeRegionSettings {
    const NAME: &'static str = "DescribeRegionSettings";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = RegionSettings;

    async fn run(self, cx: &ActionContext) -> Result<RegionSettings, Fault> {
        let mut settings = read(cx).await?;
        for name in TYPES {
            settings.opt_in.entry(name.to_owned()).or_insert(true);
        }
        Ok(RegionSettings {
            resource_type_opt_in_preference: settings.opt_in,
            resource_type_management_preference: settings.management,
        })
    }
}

/// Says which types of resources such plans back up. Types that are not here are kept as they were given.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateRegionSettings {
    resource_type_opt_in_preference: Option<BTreeMap<String, bool>>,
    resource_type_management_preference: Option<BTreeMap<String, bool>>,
}

/// What a resource type's name has at most (the model), and how many of them are kept.
const TYPE_CHARS_MAX: usize = 50;
const TYPES_MAX: usize = 100;

/// Refuses more types than are kept, counting those that earlier requests named.
fn bounded(name: &str, kept: &BTreeMap<String, bool>) -> Result<(), Fault> {
    match kept.len() {
        0..=TYPES_MAX => Ok(()),
        more => Err(invalid(
            name,
            format!(
                "{name} would name {more} types of resources with those that it names already: it has at \
                 most {TYPES_MAX}."
            ),
        )),
    }
}

impl Action for UpdateRegionSettings {
    const NAME: &'static str = "UpdateRegionSettings";
    const API: Api = Api::Backup;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let (opt_in, management) = (
            self.resource_type_opt_in_preference.unwrap_or_default(),
            self.resource_type_management_preference.unwrap_or_default(),
        );
        let legal = |name: &str| {
            let is_legal = |c: char| c.is_ascii_alphanumeric() || " -_.".contains(c);
            (1..=TYPE_CHARS_MAX).contains(&name.len()) && name.chars().all(is_legal)
        };
        let names = || opt_in.keys().chain(management.keys());
        if let Some(name) = names().find(|name| !legal(name)) {
            let message = format!("{} is no type of resources.", shown(name));
            return Err(invalid(name, message));
        }
        write(cx, vec![cx.region.clone()], move |settings| {
            settings.opt_in.extend(opt_in.clone());
            settings.management.extend(management.clone());
            bounded("ResourceTypeOptInPreference", &settings.opt_in)?;
            bounded("ResourceTypeManagementPreference", &settings.management)
        })
        .await
    }
}

/// Whether copies may go to other accounts.
const CROSS_ACCOUNT: &str = "isCrossAccountBackupEnabled";
/// What there is nothing of here, so that it is always off.
const OFF: [&str; 2] = ["isMpaEnabled", "isDelegatedAdministratorEnabled"];

/// What holds for an account in all regions.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub struct DescribeGlobalSettings {}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GlobalSettings {
    global_settings: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_time: Option<f64>,
}

impl Output for GlobalSettings {}

impl Action for DescribeGlobalSettings {
    const NAME: &'static str = "DescribeGlobalSettings";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = GlobalSettings;

    async fn run(self, cx: &ActionContext) -> Result<GlobalSettings, Fault> {
        let settings = read(cx).await?;
        Ok(GlobalSettings {
            global_settings: BTreeMap::from([(CROSS_ACCOUNT, settings.cross_account.to_string())]),
            last_update_time: settings.cross_account_at.map(seconds),
        })
    }
}

/// Says whether copies of the account's recovery points may go to other accounts.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateGlobalSettings {
    global_settings: Option<BTreeMap<String, String>>,
}

impl Action for UpdateGlobalSettings {
    const NAME: &'static str = "UpdateGlobalSettings";
    const API: Api = Api::Backup;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let given = self.global_settings.unwrap_or_default();
        if given.is_empty() {
            return Err(missing("GlobalSettings"));
        }
        let mut cross_account = None;
        for (name, value) in &given {
            let value: bool = value.parse().map_err(|_| {
                let message = format!("{} is {}: it is true or false.", shown(name), shown(value));
                invalid(name, message)
            })?;
            match name.as_str() {
                CROSS_ACCOUNT => cross_account = Some(value),
                off if OFF.contains(&off) && !value => {}
                off if OFF.contains(&off) => {
                    let message = format!("{off} cannot be true: there are no organizations here.");
                    return Err(refused(off, message));
                }
                other => {
                    let message = format!("{} is no global setting.", shown(other));
                    return Err(invalid(other, message));
                }
            }
        }
        let Some(cross_account) = cross_account else {
            return Ok(());
        };
        let now = cx.service.now();
        write(cx, cx.service.vaults.regions(), move |settings| {
            settings.cross_account = cross_account;
            settings.cross_account_at = Some(now);
            Ok(())
        })
        .await
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
