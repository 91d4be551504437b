//! `ModifyDBCluster`: what is recorded changes at once; the server by a job, at once or in the
//! maintenance window.
//!
//! Source: API_ModifyDBCluster and "Modifying an Amazon Aurora DB cluster". The name, the port and
//! the version wait for the window unless `ApplyImmediately` says otherwise, or for the next
//! restart; the password never waits.
use catalog::{CatalogExt, Stored, Tx, clusters as rows};
use model::{Cluster, ClusterName, ClusterStatus, Instance};
use serde::Deserialize;

use super::describe_db_clusters::{Found, find};
use crate::{
    action::{Action, ActionContext, Api},
    clusters::{
        change::{members, members_are_available, not_available, standing},
        master_password::{Asked, Change as Password},
        request::{ClusterMembers, cluster_request, known_logs, refuse},
        rules::{engine, engine_mode, next_version, port},
    },
    placement,
    shapes::{self, ClusterOutput, ClusterRef, groups},
};
use service::{
    context::ServiceContext,
    fault::{Code, Fault},
    jobs::change_cluster::{self, Change},
};

/// Kinds of logs that are exported from now on, or no longer.
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct LogExports {
    #[serde(default)]
    enable_log_types: Vec<String>,
    #[serde(default)]
    disable_log_types: Vec<String>,
}

cluster_request! {
    /// The input.
    pub struct ModifyDbCluster {
        #[serde(rename = "DBClusterIdentifier")]
        cluster: String,
        #[serde(rename = "NewDBClusterIdentifier")]
        new_name: Option<String>,
        apply_immediately: Option<bool>,
        port: Option<i64>,
        master_user_password: Option<String>,
        engine_version: Option<String>,
        engine_mode: Option<String>,
        allow_major_version_upgrade: Option<bool>,
        allow_engine_mode_change: Option<bool>,
        #[serde(rename = "DBInstanceParameterGroupName")]
        instance_parameter_group: Option<String>,
        cloudwatch_logs_export_configuration: Option<LogExports>,
        rotate_master_user_password: Option<bool>,
        aws_backup_recovery_point_arn: Option<String>,
    } with each full
}

impl Action for ModifyDbCluster {
    const NAME: &'static str = "ModifyDBCluster";
    const API: Api = Api::Rds;
    type Output = ClusterOutput;

    async fn run(self, cx: &ActionContext) -> Result<ClusterOutput, Fault> {
        let wanted = ClusterRef::asked("DBClusterIdentifier", &self.cluster, cx)?;
        self.check()?;
        let found = find(cx, &wanted).await?;
        let wish = self.wish(cx, &found).await?;
        let (account, region) = (cx.caller.account.clone(), cx.region.clone());
        let context = cx.service.clone();
        let (cluster, members, waiting) = cx
            .service
            .catalog
            .write(move |tx| {
                let stored = wanted.own(tx, &account, &region)?;
                let members = members(tx, &stored.value)?;
                let stored = wish.apply(&context, tx, stored, &members)?;
                let waiting = groups::of_instance::waiting(tx, &members)?;
                Ok::<_, Fault>((stored.value, members, waiting))
            })
            .await?;
        Ok(ClusterOutput::of_all(&cluster, &members).with_waiting(&waiting))
    }
}

/// What is to become of a cluster, as far as it can be judged beforehand.
struct Wish {
    members: ClusterMembers,
    logs: LogExports,
    name: Option<ClusterName>,
    port: Option<u16>,
    version: Option<String>,
    /// None when the version is not spoken of.
    speaks_of_version: bool,
    password: Password,
    /// Whether what else would wait is done at once.
    now: bool,
}

impl ModifyDbCluster {
    fn check(&self) -> Result<(), Fault> {
        refuse(&[
            (
                self.instance_parameter_group.is_some(),
                "DBInstanceParameterGroupName",
                "it goes with an upgrade to another major version, which a restored dump is here",
            ),
            (
                self.aws_backup_recovery_point_arn.is_some(),
                "AwsBackupRecoveryPointArn",
                "there is no AWS Backup",
            ),
        ])?;
        // With one mode there is no change of it to allow.
        let _ = self.allow_engine_mode_change;
        engine_mode(self.engine_mode.as_deref())
    }

    async fn wish(mut self, cx: &ActionContext, found: &Found) -> Result<Wish, Fault> {
        let members = self.members();
        // What is wrong with any of it is told before anything is done.
        members.clone().apply(&mut found.cluster.clone())?;
        let kind = found.cluster.engine.as_str();
        let engine = &**engine(cx, kind)?;
        let now = self.apply_immediately.unwrap_or(false);
        let name = self.new_name.as_deref();
        let name = name.map(|name| shapes::cluster_name("NewDBClusterIdentifier", name));
        let port = self.port.map(port).transpose()?;
        if let (Some(port), Some(writer)) = (port, &found.writer) {
            placement::check_port(cx, &found.cluster, writer, port, now).await?;
        }
        let allow_major = self.allow_major_version_upgrade.unwrap_or(false);
        let asked = self.engine_version.as_deref();
        let version = asked.map(|asked| next_version(engine, &found.cluster, asked, allow_major));
        let (speaks_of_version, version) = (version.is_some(), version.transpose()?.flatten());
        may_move(found, port, version.as_deref())?;
        let password = Asked::of(&members, self.master_user_password.take())?;
        let rotate = self.rotate_master_user_password;
        let password = Password::of(cx, engine, &found.cluster, &password, rotate, now).await?;
        let logs = self
            .cloudwatch_logs_export_configuration
            .unwrap_or_default();
        Ok(Wish {
            members,
            logs: LogExports {
                enable_log_types: known_logs(kind, logs.enable_log_types)?,
                disable_log_types: known_logs(kind, logs.disable_log_types)?,
            },
            name: name.transpose()?,
            port,
            speaks_of_version,
            version,
            password,
            now,
        })
    }
}

/// Refuses what the servers of several nodes would have to change together.
fn may_move(found: &Found, port: Option<u16>, version: Option<&str>) -> Result<(), Fault> {
    let writer = found.writer.as_ref();
    let is_other = |port: u16| writer.is_none_or(|writer| writer.placement.port != port);
    let moves = port.is_some_and(is_other) || version.is_some();
    match found.cluster.spread.is_some() && moves {
        true => Err(Fault::combination(format!(
            "The instances of DB cluster {} are on several nodes, where Port and EngineVersion stay what they are. \
             Restore a snapshot of it with others.",
            found.cluster.name
        ))),
        false => Ok(()),
    }
}

impl Wish {
    /// Whether it is more than what is recorded.
    fn needs_server(&self) -> bool {
        self.port.is_some() || self.version.is_some() || self.password.master_verifier().is_some()
    }

    fn apply(
        &self,
        context: &ServiceContext,
        tx: &mut dyn Tx,
        mut stored: Stored<Cluster>,
        members: &[Instance],
    ) -> Result<Stored<Cluster>, Fault> {
        let status = stored.value.status;
        // One that could not be made can still be freed of its protection.
        let may = status == ClusterStatus::Available
            || status == ClusterStatus::Failed && !self.needs_server();
        if !may {
            return Err(not_available(status.as_str()));
        }
        self.members.clone().apply(&mut stored.value)?;
        groups::of_cluster::check(tx, &stored.value)?;
        let writer = members.iter().find(|one| one.is_writer());
        self.note(tx, &mut stored.value, writer)?;
        let secret = self.password.note(&mut stored.value, tx.now())?;
        let name = self.now.then(|| stored.value.pending.name.take()).flatten();
        let stored = match name {
            Some(name) => change_cluster::rename(tx, stored, name)?,
            None => rows::update(tx, stored)?,
        };
        let restart = self.now && stored.value.pending.restarts();
        if !restart && self.password.master_verifier().is_none() {
            return Ok(stored);
        }
        let status = match restart {
            true => {
                members_are_available(members)?;
                let standing = standing(tx, &stored.value)?;
                if standing != ClusterStatus::Available.as_str() {
                    return Err(not_available(standing));
                }
                change_cluster::status_of(&stored.value.pending)
            }
            false => ClusterStatus::ResettingMasterCredentials,
        };
        let change = Change::Alter {
            master_verifier: self.password.master_verifier().cloned(),
            restart,
            secret,
        };
        Ok(change_cluster::begin(context, tx, stored, status, change)?)
    }

    /// Writes down what waits; what is asked to be as it is waits no longer.
    fn note(
        &self,
        tx: &mut dyn Tx,
        cluster: &mut Cluster,
        writer: Option<&Instance>,
    ) -> Result<(), Fault> {
        let exports = &mut cluster.options.log_exports;
        exports.extend(self.logs.enable_log_types.iter().cloned());
        exports.sort_unstable();
        exports.dedup();
        exports.retain(|kind| !self.logs.disable_log_types.contains(kind));
        if let Some(name) = &self.name {
            let is_other = *name != cluster.name;
            if is_other && rows::get(tx, &cluster.region, &cluster.account, name)?.is_some() {
                return Err(Fault::new(
                    Code::DbClusterAlreadyExists,
                    "DB Cluster already exists",
                ));
            }
            cluster.pending.name = is_other.then(|| name.clone());
        }
        if let Some(port) = self.port {
            let is_other = writer.is_some_and(|writer| writer.placement.port != port);
            cluster.pending.port = is_other.then_some(port);
        }
        if self.speaks_of_version {
            cluster.pending.engine_version.clone_from(&self.version);
        }
        Ok(())
    }
}
