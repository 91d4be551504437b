//! `RestoreDBClusterFromSnapshot`: a new cluster with a snapshot's content.
//!
//! Source: API_RestoreDBClusterFromSnapshot and "Restoring from a DB cluster snapshot".
use catalog::CatalogExt;
use model::{Cluster, Content, Snapshot, SnapshotStatus, WrappedKey};

use crate::{
    action::{Action, ActionContext, Api},
    clusters::{
        record::{New, new_cluster},
        request::{cluster_request, refuse},
        rules::{engine, engine_version, port},
    },
    placement::{self, Restored},
    shapes::{
        self, ClusterOutput, SnapshotRef, Tag, engine_names::database_name as database_name_of,
    },
};
use service::{
    clusters::addresses::PortRequest,
    fault::Fault,
    keys::{RdsUse, cluster_context},
};

cluster_request! {
    /// The input.
    pub struct RestoreDbClusterFromSnapshot {
        #[serde(rename = "DBClusterIdentifier")]
        id: String,
        snapshot_identifier: String,
        engine: String,
        engine_version: Option<String>,
        engine_mode: Option<String>,
        port: Option<i64>,
        database_name: Option<String>,
        kms_key_id: Option<String>,
        #[serde(default)]
        tags: Vec<Tag>,
        #[serde(default)]
        availability_zones: Vec<String>,
        #[serde(rename = "EnableVPCNetworking")]
        enable_vpc_networking: Option<bool>,
        enable_internet_access_gateway: Option<bool>,
    } with each new
}

impl Action for RestoreDbClusterFromSnapshot {
    const NAME: &'static str = "RestoreDBClusterFromSnapshot";
    const API: Api = Api::Rds;
    type Output = ClusterOutput;

    async fn run(mut self, cx: &ActionContext) -> Result<ClusterOutput, Fault> {
        let name = shapes::cluster_name("DBClusterIdentifier", &self.id)?;
        let snapshot = self.snapshot(cx).await?;
        let content = ready(&snapshot)?;
        let version = self.version(cx, &snapshot)?;
        let members = self.members();
        self.check()?;
        members.check()?;
        let wanted = PortRequest {
            asked: self.port.map(port).transpose()?,
            like: snapshot.cluster_port,
        };
        // The databases are those in the snapshot; this is only answered again.
        let profile = engine(cx, &self.engine)?.profile();
        let database_name = self.database_name.as_deref();
        let database_name = database_name.map(|name| database_name_of(profile, name));
        let new = New {
            name,
            engine: &self.engine,
            engine_version: version,
            master_username: snapshot.master_username.clone(),
            database_name: database_name.transpose()?,
            zones: &self.availability_zones,
            tags: &self.tags,
        };
        let mut cluster = new_cluster(cx, new, members)?;
        cluster.allocated_storage_gib = snapshot.allocated_storage_gib;
        cluster.percent_progress = Some(0);
        if cluster.storage_type.is_none() {
            cluster.storage_type.clone_from(&snapshot.storage_type);
        }
        let wrapped_key = self.seal(cx, &content, &mut cluster).await?;
        let from = Restored {
            snapshot: &snapshot,
            content,
            wrapped_key,
            point: None,
        };
        let (kept, writer) = placement::restore(cx, cluster, from, wanted).await?;
        Ok(ClusterOutput::of(&kept, Some(&writer)))
    }
}

fn ready(snapshot: &Snapshot) -> Result<Content, Fault> {
    let content = snapshot
        .content
        .clone()
        .filter(|_| snapshot.status == SnapshotStatus::Available);
    content.ok_or_else(|| Fault::not_available("restore from", snapshot))
}

impl RestoreDbClusterFromSnapshot {
    fn check(&self) -> Result<(), Fault> {
        refuse(&[
            (
                self.enable_vpc_networking == Some(true),
                "EnableVPCNetworking",
                "there is no VPC",
            ),
            (
                self.enable_internet_access_gateway == Some(true),
                "EnableInternetAccessGateway",
                "there is no gateway",
            ),
        ])
    }

    /// Finds the snapshot: the caller's own, or a shared one by its ARN; always of this region.
    async fn snapshot(&self, cx: &ActionContext) -> Result<Snapshot, Fault> {
        let given = &self.snapshot_identifier;
        let wanted = SnapshotRef::asked("SnapshotIdentifier", given, cx)?;
        let (caller, region) = (cx.caller.account.clone(), cx.region.clone());
        cx.service
            .catalog
            .read(move |tx| {
                let found = wanted
                    .get(tx)?
                    .map(|stored| stored.value)
                    .filter(|snapshot| snapshot.region == region && snapshot.is_open_to(&caller));
                found.ok_or_else(|| wanted.not_found())
            })
            .await
    }

    /// A database reads files of its own series only.
    fn version(&self, cx: &ActionContext, snapshot: &Snapshot) -> Result<String, Fault> {
        if self.engine != snapshot.engine {
            return Err(Fault::combination(format!(
                "The engine {} cannot read a snapshot of the engine {}: give Engine {}.",
                self.engine, snapshot.engine, snapshot.engine
            )));
        }
        let engine = engine(cx, &self.engine)?;
        let needed = engine.series(&snapshot.engine_version);
        if let Some(asked) = self
            .engine_version
            .as_deref()
            .filter(|asked| engine.series(asked) != needed)
        {
            return Err(Fault::combination(format!(
                "A snapshot of version {} cannot be restored to version {asked}: only to a version of major {needed}.",
                snapshot.engine_version
            )));
        }
        let asked = self.engine_version.as_deref().unwrap_or(needed);
        engine_version(cx, &self.engine, Some(asked), self.engine_mode.as_deref())
    }

    /// Decides the new cluster's key, and wraps the snapshot's data key for the job under it.
    /// Without a `KmsKeyId` it is the snapshot's own key, also one that another account shared:
    /// whether the caller may use it for a new cluster is the key's policy to say.
    async fn seal(
        &self,
        cx: &ActionContext,
        content: &Content,
        cluster: &mut Cluster,
    ) -> Result<Option<WrappedKey>, Fault> {
        let user = RdsUse::new(&*cx.service.keys, &cx.caller.account, &cx.region);
        // The source's key comes first, so that a fault names it as what it is.
        let opened = match &content.wrapped_key {
            Some(wrapped) => Some((user.unwrap_source(wrapped).await?, wrapped.key.to_string())),
            None => None,
        };
        let key = match (&self.kms_key_id, &opened) {
            (Some(given), _) => user.target(given).await?,
            (None, Some((_, source))) => user.target(source).await?,
            (None, None) => return Ok(None),
        };
        cluster.storage_encrypted = true;
        cluster.kms_key = Some(key.arn());
        let Some((data_key, _)) = opened else {
            return Ok(None);
        };
        let context = cluster_context(&cluster.account, &cluster.resource_id, &content.volume);
        user.wrap(&key, &data_key, context).await.map(Some)
    }
}
