//! `CreateDBCluster`: a cluster whose database runs from its creation.
//!
//! Source: API_CreateDBCluster. What becomes of each parameter says docs/reference/contract.toml.
use model::{Cluster, job::Subject};

use crate::{
    action::{Action, ActionContext, Api},
    clusters::{
        master_password::Asked,
        record::{New, new_cluster},
        request::{cluster_request, refuse},
        rules::{engine, engine_version, port},
    },
    placement,
    shapes::{
        self, ClusterOutput, Tag,
        engine_names::{database_name as database_name_of, master_username},
    },
};
use service::{
    clusters::addresses::PortRequest,
    fault::Fault,
    jobs::{
        create_cluster::{self, CreateCluster},
        new_job,
    },
    keys::RdsUse,
};

cluster_request! {
    /// The input.
    pub struct CreateDbCluster {
        #[serde(rename = "DBClusterIdentifier")]
        id: String,
        engine: String,
        engine_version: Option<String>,
        engine_mode: Option<String>,
        master_username: Option<String>,
        master_user_password: Option<String>,
        database_name: Option<String>,
        port: Option<i64>,
        storage_encrypted: Option<bool>,
        kms_key_id: Option<String>,
        #[serde(default)]
        tags: Vec<Tag>,
        #[serde(default)]
        availability_zones: Vec<String>,
        character_set_name: Option<String>,
        cluster_scalability_type: Option<String>,
        global_cluster_identifier: Option<String>,
        replication_source_identifier: Option<String>,
        #[serde(rename = "DBSystemId")]
        db_system_id: Option<String>,
        with_express_configuration: Option<bool>,
    } with each new full
}

impl Action for CreateDbCluster {
    const NAME: &'static str = "CreateDBCluster";
    const API: Api = Api::Rds;
    type Output = ClusterOutput;

    async fn run(mut self, cx: &ActionContext) -> Result<ClusterOutput, Fault> {
        let name = shapes::cluster_name("DBClusterIdentifier", &self.id)?;
        let (asked, mode) = (self.engine_version.as_deref(), self.engine_mode.as_deref());
        let engine_version = engine_version(cx, &self.engine, asked, mode)?;
        let engine = engine(cx, &self.engine)?;
        let members = self.members();
        self.check()?;
        members.check()?;
        let profile = engine.profile();
        let master_username = master_username(profile, self.master_username.as_deref())?;
        let password = Asked::of(&members, self.master_user_password.take())?;
        password.check_new(&**engine)?;
        let database_name = self.database_name.as_deref();
        let database_name = database_name.map(|name| database_name_of(profile, name));
        let wanted = PortRequest {
            asked: self.port.map(port).transpose()?,
            like: None,
        };
        let new = New {
            name,
            engine: &self.engine,
            engine_version,
            master_username,
            database_name: database_name.transpose()?,
            zones: &self.availability_zones,
            tags: &self.tags,
        };
        let mut cluster = new_cluster(cx, new, members)?;
        self.seal(cx, &mut cluster).await?;
        placement::check_host(cx, &cluster.account).await?;
        let verifier = password.give(cx, &**engine, &mut cluster).await?;
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
    fn check(&self) -> Result<(), Fault> {
        let scales = self.cluster_scalability_type.as_deref();
        let letters = self.character_set_name.as_deref();
        refuse(&[
            (
                letters.is_some_and(|set| !set.eq_ignore_ascii_case("UTF8")),
                "CharacterSetName",
                "databases are UTF8; one of another encoding can be made inside a cluster",
            ),
            (
                scales.is_some_and(|kind| kind != "standard"),
                "ClusterScalabilityType",
                "a cluster is not spread over shards",
            ),
            (
                self.global_cluster_identifier.is_some(),
                "GlobalClusterIdentifier",
                "a cluster is in one region; copy its snapshots to others",
            ),
            (
                self.replication_source_identifier.is_some(),
                "ReplicationSourceIdentifier",
                "a cluster follows no other; restore a snapshot of it",
            ),
            (
                self.db_system_id.is_some(),
                "DBSystemId",
                "AWS itself keeps it for later",
            ),
            (
                self.with_express_configuration == Some(true),
                "WithExpressConfiguration",
                "it leaves to AWS what has to be said here",
            ),
        ])
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
