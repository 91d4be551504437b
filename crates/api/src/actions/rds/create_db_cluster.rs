//! `CreateDBCluster`: a cluster whose database runs from its creation.
//!
//! Source: API_CreateDBCluster. Parameters that speak of what is not here (VPCs, IAM
//! authentication, insights) are accepted and have no effect.
use std::sync::Arc;

use engine::Engine;
use model::{Cluster, ClusterStatus, Timestamp, VolumeId, VolumeRef, job::Subject};
use serde::Deserialize;

use crate::shapes::engine_names::{
    database_name as database_name_of, master_password, master_username,
};
use crate::{
    action::{Action, ActionContext, Api},
    placement,
    shapes::{self, ClusterOutput, Tag},
};
use service::{
    clusters::addresses::PortRequest,
    fault::{Code, Fault},
    jobs::{
        create_cluster::{self, CreateCluster},
        new_job,
    },
    keys::RdsUse,
};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateDbCluster {
    #[serde(rename = "DBClusterIdentifier")]
    id: String,
    engine: String,
    engine_version: Option<String>,
    engine_mode: Option<String>,
    master_username: Option<String>,
    master_user_password: Option<String>,
    manage_master_user_password: Option<bool>,
    database_name: Option<String>,
    port: Option<i64>,
    backup_retention_period: Option<i64>,
    preferred_backup_window: Option<String>,
    storage_encrypted: Option<bool>,
    kms_key_id: Option<String>,
    copy_tags_to_snapshot: Option<bool>,
    #[serde(default)]
    tags: Vec<Tag>,
    deletion_protection: Option<bool>,
    #[serde(default)]
    availability_zones: Vec<String>,
    allocated_storage: Option<u32>,
    storage_type: Option<String>,
    iops: Option<u32>,
    #[serde(rename = "DBClusterInstanceClass")]
    instance_class: Option<String>,
}

impl Action for CreateDbCluster {
    const NAME: &'static str = "CreateDBCluster";
    const API: Api = Api::Rds;
    type Output = ClusterOutput;

    async fn run(self, cx: &ActionContext) -> Result<ClusterOutput, Fault> {
        let name = shapes::cluster_name("DBClusterIdentifier", &self.id)?;
        let engine_version = engine_version(
            cx,
            &self.engine,
            self.engine_version.as_deref(),
            self.engine_mode.as_deref(),
        )?;
        let engine = engine(cx, &self.engine)?;
        let profile = engine.profile();
        let master_username = master_username(profile, self.master_username.as_deref())?;
        let verifier = self.master_verifier(&**engine)?;
        let database_name = self.database_name.as_deref();
        let database_name = database_name.map(|name| database_name_of(profile, name));
        let database_name = database_name.transpose()?;
        let wanted = PortRequest {
            asked: port(self.port)?,
            like: None,
        };
        let now = cx.service.now();
        let mut cluster = Cluster {
            region: cx.region.clone(),
            account: cx.caller.account.clone(),
            name,
            resource_id: model::ResourceId::draw(&*cx.service.entropy),
            status: ClusterStatus::Creating,
            created_at: now,
            engine: self.engine.clone(),
            engine_version,
            master_username,
            database_name,
            storage_encrypted: false,
            kms_key: None,
            volume: new_volume(cx),
            base: None,
            copy_tags_to_snapshot: self.copy_tags_to_snapshot.unwrap_or(false),
            deletion_protection: self.deletion_protection.unwrap_or(false),
            backup_retention_days: backup_retention(self.backup_retention_period)?,
            preferred_backup_window: backup_window(self.preferred_backup_window.as_deref(), now)?,
            availability_zones: zones(cx, &self.availability_zones)?,
            engine_mode: "provisioned".to_owned(),
            storage_type: self.storage_type.clone(),
            allocated_storage_gib: self.allocated_storage.unwrap_or(1),
            iops: self.iops,
            instance_class: self.instance_class.clone(),
            tags: shapes::to_records(&self.tags)?,
            failure: None,
            percent_progress: None,
        };
        self.seal(cx, &mut cluster).await?;
        placement::check_host(cx, &cluster.account).await?;
        let body = create_cluster::Body {
            cluster: cluster.resource_id.clone(),
            master_verifier: verifier,
        };
        let subject = Subject::cluster(&cx.region, &cx.caller.account, &cluster.name);
        let job = new_job::<CreateCluster>(&cx.service, subject, &body);
        let (kept, writer) = placement::insert(cx, cluster, wanted, job).await?;
        Ok(ClusterOutput::of(&kept, Some(&writer)))
    }
}

impl CreateDbCluster {
    /// The master password as the server keeps it; the plain one goes no further than here.
    fn master_verifier(&self, engine: &dyn Engine) -> Result<String, Fault> {
        if self.manage_master_user_password == Some(true) {
            return Err(Fault::combination(
                "ManageMasterUserPassword is not supported: give MasterUserPassword.",
            ));
        }
        let given = self.master_user_password.as_deref();
        let password = master_password(engine.profile(), given)?;
        Ok(engine.verifier(password))
    }

    async fn seal(&self, cx: &ActionContext, cluster: &mut Cluster) -> Result<(), Fault> {
        let user = RdsUse::new(&*cx.service.keys, &cx.caller.account, &cx.region);
        let key = match (self.storage_encrypted, &self.kms_key_id) {
            (Some(false), Some(_)) => {
                return Err(Fault::combination(
                    "You can't specify KmsKeyId when StorageEncrypted is false: leave one of them out.",
                ));
            }
            (_, Some(given)) => user.target(given).await?,
            (Some(true), None) => user.default_key().await?,
            (None | Some(false), None) => return Ok(()),
        };
        cluster.storage_encrypted = true;
        cluster.kms_key = Some(key.arn());
        Ok(())
    }
}

/// A new lineage that begins with this request.
pub(super) fn new_volume(cx: &ActionContext) -> VolumeRef {
    VolumeRef {
        origin: cx.region.clone(),
        account: cx.caller.account.clone(),
        id: VolumeId::draw(&*cx.service.entropy),
    }
}

/// What runs an engine's clusters.
pub(super) fn engine<'a>(cx: &'a ActionContext, name: &str) -> Result<&'a Arc<dyn Engine>, Fault> {
    let engines = &cx.service.engines;
    engines.named(name).map_err(|_| {
        Fault::value(format!(
            "Invalid DB engine: {}. The engines here are {}.",
            name.chars()
                .take(model::limits::ECHO_CHARS_MAX)
                .collect::<String>(),
            engines.names().join(" and ")
        ))
    })
}

/// The installed version that serves an engine: exact, the newest of a series, or the newest.
pub(super) fn engine_version(
    cx: &ActionContext,
    engine: &str,
    asked: Option<&str>,
    mode: Option<&str>,
) -> Result<String, Fault> {
    let found = self::engine(cx, engine)?;
    if let Some(mode) = mode.filter(|mode| *mode != "provisioned") {
        return Err(Fault::value(format!(
            "Invalid EngineMode: {mode}. The only mode here is provisioned."
        )));
    }
    let installed = found.installed();
    let fits = |version: &&String| match asked {
        None => true,
        Some(asked) => *version == asked || found.series(version) == asked,
    };
    installed.iter().find(fits).cloned().ok_or_else(|| {
        Fault::combination(format!(
            "Cannot find version {} for {engine}. Installed here: {}.",
            asked.unwrap_or("of any kind"),
            if installed.is_empty() {
                "none".to_owned()
            } else {
                installed.join(", ")
            }
        ))
    })
}

/// The port a caller asks for, if any.
pub(super) fn port(given: Option<i64>) -> Result<Option<u16>, Fault> {
    given
        .map(|port| {
            u16::try_from(port)
                .ok()
                .filter(|port| 1_150 <= *port)
                .ok_or_else(|| {
                    Fault::value(format!(
                        "Invalid value {port} for Port. Must be between 1150 and 65535"
                    ))
                })
        })
        .transpose()
}

/// Days that automated snapshots are kept.
pub(super) fn backup_retention(given: Option<i64>) -> Result<u32, Fault> {
    let days = given.unwrap_or(1);
    u32::try_from(days)
        .ok()
        .filter(|days| (1..=35).contains(days))
        .ok_or_else(|| {
            Fault::value(format!(
                "Invalid value {days} for BackupRetentionPeriod. Must be between 1 and 35"
            ))
        })
}

/// `hh24:mi-hh24:mi`, at least 30 minutes; drawn from the moment of creation when not given.
pub(super) fn backup_window(given: Option<&str>, now: Timestamp) -> Result<String, Fault> {
    let Some(window) = given else {
        let start = now.0.rem_euclid(24 * 60);
        let clock = |minute: i64| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
        return Ok(format!("{}-{}", clock(start), clock(start + 30)));
    };
    let minutes = |text: &str| {
        let (hours, minutes) = text.split_once(':')?;
        let digits = hours.len() == 2 && minutes.len() == 2;
        let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
        (digits && hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
    };
    let length = window
        .split_once('-')
        .and_then(|(start, end)| Some((minutes(end)? + 24 * 60 - minutes(start)?) % (24 * 60)));
    match length {
        Some(30..) => Ok(window.to_owned()),
        _ => Err(Fault::value(
            "PreferredBackupWindow must have the format hh24:mi-hh24:mi, in UTC, and last at least 30 minutes.",
        )),
    }
}

/// The zones a caller names, all of the asked region; or its first three.
pub(super) fn zones(cx: &ActionContext, given: &[String]) -> Result<Vec<String>, Fault> {
    if given.is_empty() {
        return Ok(shapes::zones_of(&cx.region));
    }
    let known = |zone: &String| {
        let letter = zone.strip_prefix(cx.region.as_str());
        letter.is_some_and(|letter| letter.len() == 1 && letter.as_bytes()[0].is_ascii_lowercase())
    };
    match given.iter().find(|zone| !known(zone)) {
        None => Ok(given.to_vec()),
        Some(zone) => Err(Fault::new(
            Code::InvalidParameterValue,
            format!(
                "Invalid availability zone {zone}: it is not one of {}.",
                cx.region
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_at_least_half_an_hour() {
        let read = |text| backup_window(Some(text), Timestamp(0));
        for good in ["01:00-01:30", "23:45-00:15", "00:00-23:59"] {
            assert_eq!(read(good).as_deref(), Ok(good));
        }
        for bad in [
            "01:00-01:29",
            "1:00-02:00",
            "24:00-25:00",
            "x",
            "",
            "01:00-01:00",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let drawn = backup_window(None, Timestamp(1_439)).expect("drawn");
        assert_eq!(drawn, "23:59-00:29");
        assert!(read(&drawn).is_ok());
    }
}
