//! `CreateDBInstance`: the first names a cluster's writer, each further one is a reader with a server
//! of its own.
//!
//! Source: API_CreateDBInstance. DB instances that are no members of a cluster are not here.
use catalog::{
    CatalogExt, Tx, clusters, instances, jobs,
    parameter_status::{self, ParameterStatus},
};
use model::{
    Cluster, ClusterStatus, Instance, InstanceId, InstanceName, Placement,
    instance::InstanceOptions,
};
use serde::Deserialize;

use super::describe_db_clusters::find;
use crate::{
    action::{Action, ActionContext, Api},
    clusters::instance_rules::{class, is_free, not_available, tier, window},
    shapes::{self, ClusterRef, InstanceOutput, Tag, groups::of_instance},
};
use service::{
    clusters::addresses::{self, PortRequest},
    fault::{Code, Fault},
    jobs::{create_instance::CreateInstance, on_instance},
};

/// Readers of a cluster. Source: "Quotas and constraints for Amazon Aurora".
const READERS_MAX: usize = 15;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateDbInstance {
    #[serde(rename = "DBInstanceIdentifier")]
    id: String,
    #[serde(rename = "DBInstanceClass")]
    class: String,
    engine: String,
    #[serde(rename = "DBClusterIdentifier")]
    cluster: Option<String>,
    engine_version: Option<String>,
    availability_zone: Option<String>,
    promotion_tier: Option<i64>,
    #[serde(default)]
    tags: Vec<Tag>,
    auto_minor_version_upgrade: Option<bool>,
    #[serde(rename = "CACertificateIdentifier")]
    ca_certificate: Option<String>,
    monitoring_interval: Option<u32>,
    monitoring_role_arn: Option<String>,
    preferred_maintenance_window: Option<String>,
    enable_performance_insights: Option<bool>,
    performance_insights_retention_period: Option<u32>,
    publicly_accessible: Option<bool>,
    #[serde(rename = "DBParameterGroupName")]
    parameter_group: Option<String>,
    #[serde(rename = "DBSubnetGroupName")]
    subnet_group: Option<String>,
    copy_tags_to_snapshot: Option<bool>,
    // What a cluster decides for its members.
    #[serde(rename = "DBName")]
    database_name: Option<String>,
    master_username: Option<String>,
    master_user_password: Option<String>,
    manage_master_user_password: Option<bool>,
    port: Option<i64>,
    backup_retention_period: Option<i64>,
    allocated_storage: Option<i64>,
    kms_key_id: Option<String>,
    #[serde(rename = "MultiAZ")]
    multi_az: Option<bool>,
}

impl Action for CreateDbInstance {
    const NAME: &'static str = "CreateDBInstance";
    const API: Api = Api::Rds;
    type Output = InstanceOutput;

    async fn run(self, cx: &ActionContext) -> Result<InstanceOutput, Fault> {
        let name = shapes::instance_name("DBInstanceIdentifier", &self.id)?;
        let wanted = self.cluster(cx)?;
        self.refuse_what_clusters_decide()?;
        let found = find(cx, &wanted).await?;
        self.check(cx, &found.cluster)?;
        let (cluster, group, subnets) = (
            found.cluster.clone(),
            self.group(),
            self.subnet_group.clone(),
        );
        cx.service
            .catalog
            .read(move |tx| of_instance::check(tx, &cluster, group.as_deref(), subnets.as_deref()))
            .await?;
        loop {
            let seen = find(cx, &wanted).await?;
            let unnamed = seen.writer.filter(|writer| writer.name.is_none());
            match unnamed {
                Some(writer) => {
                    let adopted = self.adopt(cx, &wanted, &name, &writer.id).await?;
                    if let Some(output) = adopted {
                        return Ok(output);
                    }
                }
                None => return self.add_reader(cx, &wanted, name).await,
            }
        }
    }
}

impl CreateDbInstance {
    /// Its parameter group: names of groups are stored in lower case.
    fn group(&self) -> Option<String> {
        let given = self.parameter_group.as_ref();
        given.map(|name| name.to_ascii_lowercase())
    }

    fn cluster(&self, cx: &ActionContext) -> Result<ClusterRef, Fault> {
        let given = self.cluster.as_deref().ok_or_else(|| {
            Fault::combination(
                "DBClusterIdentifier is required: DB instances are members of DB clusters here.",
            )
        })?;
        ClusterRef::asked("DBClusterIdentifier", given, cx)
    }

    /// In RDS's words.
    fn refuse_what_clusters_decide(&self) -> Result<(), Fault> {
        let given = [
            (self.database_name.is_some(), "database name"),
            (self.master_username.is_some(), "master user name"),
            (self.master_user_password.is_some(), "master user password"),
            (
                self.manage_master_user_password == Some(true),
                "master user password",
            ),
            (self.port.is_some(), "port"),
            (
                self.backup_retention_period.is_some(),
                "backup retention period",
            ),
            (self.allocated_storage.is_some(), "allocated storage"),
            (self.kms_key_id.is_some(), "KMS key"),
        ];
        if let Some((_, what)) = given.iter().find(|(given, _)| *given) {
            return Err(Fault::combination(format!(
                "The requested DB Instance will be a member of a DB Cluster. Set {what} for the DB Cluster."
            )));
        }
        if self.multi_az == Some(true) {
            return Err(Fault::combination(
                "MultiAZ can't be set for a member of a DB cluster: add a reader to the cluster instead.",
            ));
        }
        Ok(())
    }

    fn check(&self, cx: &ActionContext, cluster: &Cluster) -> Result<(), Fault> {
        class(&self.class)?;
        if self.engine != cluster.engine {
            return Err(Fault::combination(format!(
                "The engine name requested for your DB Instance ({}) doesn't match the engine name of your DB Cluster ({}).",
                model::limits::echo(&self.engine),
                cluster.engine
            )));
        }
        if let Some(version) = &self.engine_version {
            let fits = cluster.engine_version == *version
                || cluster.engine_version.starts_with(&format!("{version}."));
            if !fits {
                return Err(Fault::combination(format!(
                    "The engine version that you requested for your DB instance ({}) does not match the engine version of your DB cluster ({}).",
                    model::limits::echo(version),
                    cluster.engine_version
                )));
            }
        }
        if cluster.is_multi_az() {
            return Err(Fault::combination(
                "Instances of a Multi-AZ DB cluster are made with it: none can be added to it.",
            ));
        }
        if let Some(zone) = &self.availability_zone {
            crate::clusters::rules::zones(&cx.region, std::slice::from_ref(zone))?;
        }
        tier(self.promotion_tier)?;
        shapes::to_records(&self.tags)?;
        Ok(())
    }

    /// Writes what was asked for into an instance.
    fn fill(
        &self,
        cx: &ActionContext,
        name: &InstanceName,
        one: &mut Instance,
    ) -> Result<(), Fault> {
        one.name = Some(name.clone());
        one.class = Some(self.class.clone());
        one.promotion_tier = tier(self.promotion_tier)?;
        one.created_at = Some(cx.service.now());
        one.tags = shapes::to_records(&self.tags)?;
        one.options = InstanceOptions {
            auto_minor_version_upgrade: self.auto_minor_version_upgrade,
            ca_certificate: self.ca_certificate.clone(),
            monitoring_interval: self.monitoring_interval,
            monitoring_role: self.monitoring_role_arn.clone(),
            maintenance_window: window(self.preferred_maintenance_window.as_deref())?,
            performance_insights: self.enable_performance_insights,
            performance_insights_days: self.performance_insights_retention_period,
            publicly_accessible: self.publicly_accessible,
            parameter_group: self.group(),
            copy_tags_to_snapshot: self.copy_tags_to_snapshot,
        };
        if let Some(zone) = &self.availability_zone {
            one.availability_zone = Some(zone.clone());
        }
        Ok(())
    }

    /// Gives the writer that a cluster was made with a name. None when it has got one meanwhile.
    async fn adopt(
        &self,
        cx: &ActionContext,
        wanted: &ClusterRef,
        name: &InstanceName,
        writer: &InstanceId,
    ) -> Result<Option<InstanceOutput>, Fault> {
        let mut asked = Instance {
            ..find(cx, wanted)
                .await?
                .writer
                .ok_or_else(|| wanted.not_found())?
        };
        self.fill(cx, name, &mut asked)?;
        let (wanted, name, id) = (wanted.clone(), name.clone(), writer.clone());
        let (caller, region) = (cx.caller.account.clone(), cx.region.clone());
        cx.service
            .catalog
            .write(move |tx| {
                let cluster = ready(tx, &wanted, &caller, &region)?;
                is_free(tx, &cluster, &name)?;
                let stored = instances::of_id(tx, &cluster.resource_id, &id)?;
                let Some(mut stored) = stored.filter(|one| one.value.name.is_none()) else {
                    return Ok(None);
                };
                let kept = &mut stored.value;
                kept.name.clone_from(&asked.name);
                kept.class.clone_from(&asked.class);
                kept.promotion_tier = asked.promotion_tier;
                kept.created_at = asked.created_at;
                kept.tags.clone_from(&asked.tags);
                kept.options = asked.options.clone();
                kept.availability_zone.clone_from(&asked.availability_zone);
                let group = kept.options.parameter_group.clone();
                let stored = instances::update(tx, stored)?;
                // Again, so that it is there as long as it is used.
                of_instance::check(tx, &cluster, group.as_deref(), None)?;
                if group.is_some() {
                    parameter_status::note(tx, &stored.value.id, ParameterStatus::Applying)?;
                }
                service::events::kinds::instance(
                    tx,
                    &stored.value,
                    service::events::kinds::OfInstance::Created,
                )?;
                let status = of_instance::status(tx, &stored.value)?;
                let output = InstanceOutput::of(&cluster, &stored.value, status);
                Ok::<_, Fault>(Some(output))
            })
            .await
            .inspect(|_| cx.service.parameters.notify_one())
    }

    async fn add_reader(
        &self,
        cx: &ActionContext,
        wanted: &ClusterRef,
        name: InstanceName,
    ) -> Result<InstanceOutput, Fault> {
        let found = find(cx, wanted).await?;
        let (cluster, writer) = (
            found.cluster,
            found.writer.ok_or_else(|| wanted.not_found())?,
        );
        may_have_readers(cx, &cluster)?;
        let id = InstanceId::draw(&*cx.service.entropy);
        let mut reader = Instance::reader(&cluster, id, writer.placement.clone());
        self.fill(cx, &name, &mut reader)?;
        if self.availability_zone.is_none() {
            reader.availability_zone = next_zone(&cluster, found.members.len());
        }
        let (caller, region) = (cx.caller.account.clone(), cx.region.clone());
        let (asked, name_of) = (wanted.clone(), name.clone());
        // Beforehand, too: an address is looked for and held only for what can be had.
        cx.service
            .catalog
            .read(move |tx| {
                let cluster = ready(tx, &asked, &caller, &region)?;
                is_free(tx, &cluster, &name_of)
            })
            .await?;
        let place = address(cx, &cluster, &reader, &writer.placement).await?;
        (reader.placement.host, reader.placement.port) = (place.host.clone(), place.port);
        let let_go = |_: &Fault| {
            if place.has_address() {
                addresses::release(&cx.service, &cluster, &place);
            }
        };
        let job = on_instance::job::<CreateInstance>(&cx.service, &cluster, &reader);
        let (caller, region, wanted) =
            (cx.caller.account.clone(), cx.region.clone(), wanted.clone());
        cx.service
            .catalog
            .write(move |tx| {
                let cluster = ready(tx, &wanted, &caller, &region)?;
                is_free(tx, &cluster, &name)?;
                let members = instances::of_cluster(tx, &cluster.resource_id)?;
                if READERS_MAX < members.len() {
                    return Err(Fault::new(
                        Code::InstanceQuotaExceeded,
                        format!("A DB cluster has at most {READERS_MAX} readers."),
                    ));
                }
                let group = reader.options.parameter_group.as_deref();
                of_instance::check(tx, &cluster, group, None)?;
                let stored = instances::insert(tx, reader.clone())?;
                if group.is_some() || cluster.options.parameter_group.is_some() {
                    parameter_status::note(tx, &stored.value.id, ParameterStatus::Applying)?;
                }
                instances::relink(tx, &cluster)?;
                jobs::insert(tx, &job)?;
                let status = of_instance::status(tx, &stored.value)?;
                Ok::<_, Fault>(InstanceOutput::of(&cluster, &stored.value, status))
            })
            .await
            .inspect_err(let_go)
    }
}

/// An address for a reader, which is held. Readers share their writer's machine, so that of another node's
/// is found by its job.
async fn address(
    cx: &ActionContext,
    cluster: &Cluster,
    reader: &Instance,
    writer: &Placement,
) -> Result<Placement, Fault> {
    if writer.node != cx.service.settings.node {
        return Ok(Placement {
            host: String::new(),
            port: 0,
            ..reader.placement.clone()
        });
    }
    let like = PortRequest {
        like: Some(writer.port),
        ..PortRequest::default()
    };
    addresses::choose(&cx.service, cluster, &reader.placement.member, like).await
}

/// Refuses a reader where the engine has none.
fn may_have_readers(cx: &ActionContext, cluster: &Cluster) -> Result<(), Fault> {
    let engine = cx.service.engine_of(cluster);
    let engine = engine.map_err(|error| Fault::internal(&error))?;
    if !engine.profile().replicates {
        return Err(Fault::combination(format!(
            "Clusters of the engine {} have one instance here.",
            cluster.engine
        )));
    }
    Ok(())
}

/// The zones take turns.
fn next_zone(cluster: &Cluster, members: usize) -> Option<String> {
    let zones = &cluster.availability_zones;
    (!zones.is_empty()).then(|| zones[members % zones.len()].clone())
}

/// The caller's cluster, if instances can be made in it now.
fn ready(
    tx: &mut dyn Tx,
    wanted: &ClusterRef,
    caller: &model::Account,
    region: &model::Region,
) -> Result<Cluster, Fault> {
    let cluster = wanted.own(tx, caller, region)?.value;
    let still = clusters::get_by_resource_id(tx, &cluster.resource_id)?;
    match still.is_some() && cluster.status == ClusterStatus::Available {
        true => Ok(cluster),
        false => Err(not_available(&cluster)),
    }
}
