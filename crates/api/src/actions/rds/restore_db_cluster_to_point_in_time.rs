//! `RestoreDBClusterToPointInTime`: a new cluster as another one was at a moment.
//!
//! Source: API_RestoreDBClusterToPointInTime and "Restoring a DB cluster to a specified time".
use catalog::{CatalogError, CatalogExt, Tx, clusters, retained_backups};
use model::{
    Cluster, ClusterStatus, Content, Region, ResourceId, RestoreWindow, Timestamp, WrappedKey,
};

use super::describe_events::moment;
use crate::{
    action::{Action, ActionContext, Api},
    clusters::{
        record::{New, new_cluster},
        request::{cluster_request, refuse},
        rules::{engine_mode, engine_version, one_of, port},
    },
    placement::{self, Restored},
    shapes::{self, ClusterOutput, ClusterRef, Tag},
};
use service::{
    clusters::addresses::PortRequest,
    fault::{Code, Fault},
    keys::{RdsUse, TargetKey, cluster_context},
    logs::{
        bases::{self, Base as LogBase},
        source::PointInTime,
    },
};

cluster_request! {
    /// The input.
    pub struct RestoreDbClusterToPointInTime {
        #[serde(rename = "DBClusterIdentifier")]
        id: String,
        restore_type: Option<String>,
        #[serde(rename = "SourceDBClusterIdentifier")]
        source_id: Option<String>,
        source_db_cluster_resource_id: Option<String>,
        restore_to_time: Option<String>,
        use_latest_restorable_time: Option<bool>,
        engine_mode: Option<String>,
        port: Option<i64>,
        kms_key_id: Option<String>,
        #[serde(default)]
        tags: Vec<Tag>,
        #[serde(rename = "EnableVPCNetworking")]
        enable_vpc_networking: Option<bool>,
        enable_internet_access_gateway: Option<bool>,
    } with each new
}

/// Where a new cluster comes from.
struct Origin {
    cluster: Cluster,
    base: LogBase,
    content: Content,
    point: PointInTime,
}

impl Action for RestoreDbClusterToPointInTime {
    const NAME: &'static str = "RestoreDBClusterToPointInTime";
    const API: Api = Api::Rds;
    type Output = ClusterOutput;

    async fn run(mut self, cx: &ActionContext) -> Result<ClusterOutput, Fault> {
        let name = shapes::cluster_name("DBClusterIdentifier", &self.id)?;
        let until = self.until()?;
        let mut members = self.members();
        self.check()?;
        members.check()?;
        let wanted = PortRequest {
            asked: self.port.map(port).transpose()?,
            like: None,
        };
        let (source, newest) = self.source(cx).await?;
        if let Some(given) = &self.kms_key_id {
            let user = RdsUse::new(&*cx.service.keys, &cx.caller.account, &cx.region);
            user.target(given).await?;
        }
        let origin = self.origin(cx, source, newest, until).await?;
        let source = &origin.cluster;
        members
            .backup_retention_period
            .get_or_insert_with(|| i64::from(source.backup_retention_days));
        let new = New {
            name,
            engine: &source.engine,
            engine_version: version(cx, source)?,
            master_username: source.master_username.clone(),
            database_name: source.database_name.clone(),
            zones: &[],
            tags: &self.tags,
        };
        let mut cluster = new_cluster(cx, new, members)?;
        cluster.allocated_storage_gib = source.allocated_storage_gib;
        cluster.percent_progress = Some(0);
        if cluster.tags.is_empty() {
            cluster.tags.clone_from(&source.tags);
        }
        if cluster.storage_type.is_none() {
            cluster.storage_type.clone_from(&source.storage_type);
        }
        self.insert(cx, cluster, origin, wanted).await
    }
}

/// The source's own version, or the newest of its series that is installed.
fn version(cx: &ActionContext, source: &Cluster) -> Result<String, Fault> {
    let of = |asked: &str| engine_version(cx, &source.engine, Some(asked), None);
    of(&source.engine_version).or_else(|_| {
        let engine = cx
            .service
            .engine_of(source)
            .map_err(|error| Fault::internal(&error))?;
        of(engine.series(&source.engine_version))
    })
}

impl RestoreDbClusterToPointInTime {
    fn check(&self) -> Result<(), Fault> {
        engine_mode(self.engine_mode.as_deref())?;
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

    /// The moment that is asked for; none: the latest.
    fn until(&self) -> Result<Option<Timestamp>, Fault> {
        let words = ["full-copy", "copy-on-write"];
        let kind = one_of("RestoreType", self.restore_type.clone(), &words)?;
        let latest = self.use_latest_restorable_time == Some(true);
        let until = moment("RestoreToTime", self.restore_to_time.as_deref())?;
        let clone = kind.as_deref() == Some("copy-on-write");
        if clone && until.is_some() {
            return Err(Fault::combination(
                "RestoreToTime can't be specified if the RestoreType parameter is copy-on-write.",
            ));
        }
        if clone {
            return Err(Fault::combination(
                "RestoreType copy-on-write is not supported here: a new cluster has files of its own. Use full-copy.",
            ));
        }
        match (until, latest) {
            (Some(_), true) => Err(Fault::combination(
                "RestoreToTime can't be specified if the UseLatestRestorableTime parameter is enabled.",
            )),
            (None, false) => Err(Fault::combination(
                "RestoreToTime must be specified if the UseLatestRestorableTime parameter isn't enabled.",
            )),
            (until, _) => Ok(until),
        }
    }

    /// The caller's cluster that is named, by its name or by its name for life; and the moments that its newest log
    /// restores.
    async fn source(&self, cx: &ActionContext) -> Result<(Cluster, Option<RestoreWindow>), Fault> {
        let (account, region) = (cx.caller.account.clone(), cx.region.clone());
        let catalog = &cx.service.catalog;
        match (&self.source_id, &self.source_db_cluster_resource_id) {
            (Some(_), Some(_)) | (None, None) => Err(Fault::combination(
                "Exactly one of SourceDBClusterIdentifier and SourceDbClusterResourceId must be specified.",
            )),
            (Some(name), None) => {
                let wanted = ClusterRef::asked("SourceDBClusterIdentifier", name, cx)?;
                let found = catalog
                    .read(move |tx| Ok::<_, Fault>(wanted.own(tx, &account, &region)?.value))
                    .await?;
                let window = cx.service.log_windows.of(&found);
                Ok((found, window))
            }
            (None, Some(id)) => {
                let shown: String = model::limits::echo(id);
                let not_found = || {
                    Fault::new(
                        Code::DbClusterAutomatedBackupNotFound,
                        format!("The automated backup of the DB cluster {shown} doesn't exist."),
                    )
                };
                let id: ResourceId = id.parse().map_err(|_| not_found())?;
                let found = catalog
                    .read(move |tx| of_resource_id(tx, &region, &id))
                    .await
                    .map_err(|error| Fault::internal(&error))?;
                let found = found.filter(|(one, _)| one.account == account);
                let (found, is_here) = found.ok_or_else(not_found)?;
                let windows = match is_here {
                    true => &cx.service.log_windows,
                    false => &cx.service.brought_windows,
                };
                let window = windows.of(&found);
                Ok((found, window))
            }
        }
    }

    /// The snapshot and the log that lead to the moment.
    async fn origin(
        &self,
        cx: &ActionContext,
        source: Cluster,
        newest: Option<RestoreWindow>,
        until: Option<Timestamp>,
    ) -> Result<Origin, Fault> {
        let unfit = [ClusterStatus::Creating, ClusterStatus::Failed];
        if unfit.contains(&source.status) {
            return Err(Fault::new(
                Code::InvalidDbClusterState,
                format!(
                    "The DB cluster {} isn't in a state that it can be restored from: it is {}.",
                    source.name,
                    source.status.as_str()
                ),
            ));
        }
        let asked = source.clone();
        let bases = cx
            .service
            .catalog
            .read(move |tx| bases::of_cluster(tx, &asked))
            .await
            .map_err(|error: CatalogError| Fault::internal(&error))?;
        let found = source.logs.iter().rev().find_map(|stream| {
            let is_newest = source.logs.last().is_some_and(|last| last.id == stream.id);
            let latest = match is_newest {
                true => newest.map(|window| window.latest),
                false => stream.latest,
            }?;
            let until = until.unwrap_or(latest);
            let base = bases::for_moment(&bases, stream.id, until)?;
            (until <= latest).then(|| (stream.clone(), base.clone()))
        });
        let (Some((stream, base)), true) = (found, newest.is_some() || until.is_some()) else {
            return Err(outside(&source, newest));
        };
        let content = base.snapshot.content.clone();
        let content = content.ok_or_else(|| outside(&source, newest))?;
        let point = PointInTime {
            owner: source.resource_id.clone(),
            volume: source.volume.clone(),
            stream: stream.id,
            wrapped_key: stream.wrapped_key,
            from: base.in_log.start,
            until,
        };
        Ok(Origin {
            cluster: source,
            base,
            content,
            point,
        })
    }

    async fn insert(
        self,
        cx: &ActionContext,
        mut cluster: Cluster,
        origin: Origin,
        wanted: PortRequest,
    ) -> Result<ClusterOutput, Fault> {
        let Origin {
            base,
            content,
            mut point,
            ..
        } = origin;
        let user = RdsUse::new(&*cx.service.keys, &cx.caller.account, &cx.region);
        let key = self.key(&user, &content).await?;
        if let Some(key) = &key {
            cluster.storage_encrypted = true;
            cluster.kms_key = Some(key.arn());
        }
        let rewrap = async |wrapped: &Option<WrappedKey>| match (wrapped, &key) {
            (Some(wrapped), Some(key)) => {
                let plain = user.unwrap_source(wrapped).await?;
                let bound =
                    cluster_context(&cluster.account, &cluster.resource_id, &content.volume);
                user.wrap(key, &plain, bound).await.map(Some)
            }
            _ => Ok(None),
        };
        let wrapped_key = rewrap(&content.wrapped_key).await?;
        point.wrapped_key = rewrap(&point.wrapped_key).await?;
        let from = Restored {
            snapshot: &base.snapshot,
            content,
            wrapped_key,
            point: Some(point),
        };
        let (kept, writer) = placement::restore(cx, cluster, from, wanted).await?;
        Ok(ClusterOutput::of(&kept, Some(&writer)))
    }

    /// The new cluster's key: the one that is named, else the source's.
    async fn key(&self, user: &RdsUse<'_>, content: &Content) -> Result<Option<TargetKey>, Fault> {
        match (&self.kms_key_id, &content.wrapped_key) {
            (Some(_), None) => Err(Fault::combination(
                "KmsKeyId can't be specified: the source DB cluster isn't encrypted, and a restore to a point in time is as its source is.",
            )),
            (Some(given), Some(_)) => user.target(given).await.map(Some),
            (None, Some(wrapped)) => user.target(&wrapped.key.to_string()).await.map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// A cluster, and whether it is in the region: else what the region keeps of it.
fn of_resource_id(
    tx: &mut dyn Tx,
    region: &Region,
    id: &ResourceId,
) -> Result<Option<(Cluster, bool)>, CatalogError> {
    let found = clusters::get_by_resource_id(tx, id)?;
    if let Some(stored) = found.filter(|stored| stored.value.region == *region) {
        return Ok(Some((stored.value, true)));
    }
    let retained = retained_backups::get(tx, region, id)?;
    Ok(retained.map(|stored| (stored.value.cluster, false)))
}

/// Nothing leads to the moment that was asked for.
fn outside(source: &Cluster, window: Option<RestoreWindow>) -> Fault {
    let message = match window {
        Some(window) => format!(
            "The specified instant is not restorable: the DB cluster {} can be restored to times from {} to {}.",
            source.name, window.earliest, window.latest
        ),
        None => format!(
            "The DB cluster {} has no restorable time yet: its first backup has not ended.",
            source.name
        ),
    };
    Fault::new(Code::InvalidRestore, message)
}
