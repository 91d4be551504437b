//! Where a new cluster goes: the checks, its address, its OS user, and its record with the job.
use catalog::{CatalogExt, Tx, clusters as rows, instances, jobs, uids};
use model::{
    Account, Cluster, Content, Instance, InstanceId, InstanceName, InstanceStatus, Job, Placement,
    Snapshot, WrappedKey,
    cluster::Base,
    job::{Pin, Subject},
};

use crate::{
    action::ActionContext,
    shapes::groups,
    spread::{self, READERS},
};

/// Characters of a Multi-AZ DB cluster's identifier. Source: API_CreateDBCluster.
const MULTI_AZ_NAME_MAX: usize = 52;

use service::{
    clusters::{
        addresses::{self, PortRequest},
        here,
    },
    fault::{Code, Fault},
    jobs::{
        new_job,
        restore_cluster::{self, RestoreCluster},
    },
    logs::source::PointInTime,
};

/// Refuses a cluster of another account where one OS user would hold both accounts' files.
///
/// # Errors
/// `InvalidParameterCombination` that names the two remedies.
pub async fn check_host(cx: &ActionContext, account: &Account) -> Result<(), Fault> {
    let settings = &cx.service.settings;
    if settings.os_users || settings.shared_os_user || settings.mode == service::Mode::Dev {
        return Ok(());
    }
    let members = here::members(&cx.service).await?;
    if members
        .iter()
        .any(|member| member.instance.account != *account)
    {
        return Err(Fault::combination(
            "This server does not run as root, so clusters of different accounts would share one OS user. \
             Run it as root, or start it with --allow-shared-os-user.",
        ));
    }
    Ok(())
}

/// What a new cluster is restored from.
#[derive(Debug)]
pub struct Restored<'a> {
    /// The snapshot that its files come from.
    pub snapshot: &'a Snapshot,
    /// What that one holds.
    pub content: Content,
    /// Its data key, wrapped for the new cluster.
    pub wrapped_key: Option<WrappedKey>,
    /// The moment that its log is replayed to, if it is.
    pub point: Option<PointInTime>,
}

/// Inserts a new cluster with the job that fills it, which pins what it reads.
///
/// # Errors
/// Those of [`check_host`] and [`insert`].
pub async fn restore(
    cx: &ActionContext,
    mut cluster: Cluster,
    from: Restored<'_>,
    wanted: PortRequest,
) -> Result<(Cluster, Instance), Fault> {
    let Restored {
        snapshot,
        content,
        wrapped_key,
        point,
    } = from;
    // Where copies share no keys, nor does a cluster under another key.
    let apart =
        cx.service.settings.reencrypt.contains(&cx.region) && snapshot.kms_key != cluster.kms_key;
    if goes_on(snapshot, &content, &cluster) && !apart {
        cluster.volume = content.volume.clone();
        cluster.base = Some(Base {
            manifest: content.manifest,
            wrapped_key: wrapped_key.clone(),
            change: None,
        });
    }
    check_host(cx, &cluster.account).await?;
    let pins = vec![Pin {
        region: cx.region.clone(),
        volume: content.volume.clone(),
        manifest: Some(content.manifest),
    }];
    let body = restore_cluster::Body {
        cluster: cluster.resource_id.clone(),
        content: Content {
            wrapped_key,
            ..content
        },
        point,
    };
    let subject = Subject::cluster(&cx.region, &cx.caller.account, &cluster.name);
    let mut job = new_job::<RestoreCluster>(&cx.service, subject, &body);
    job.pins = pins;
    insert(cx, cluster, wanted, job).await
}

/// Whether the cluster goes on with the snapshot's volume, so that its own first snapshot keeps
/// only what it changed. A volume is one account's, and sealed or not for life.
fn goes_on(snapshot: &Snapshot, content: &Content, cluster: &Cluster) -> bool {
    let sealed = content.wrapped_key.is_some();
    snapshot.account == cluster.account
        && content.volume.account == cluster.account
        && sealed == cluster.storage_encrypted
}

/// Gives a new cluster a writer with a place, and keeps both with the job that will make them.
///
/// # Errors
/// The name is taken, the quota is reached, or no address or port is free.
pub async fn insert(
    cx: &ActionContext,
    mut cluster: Cluster,
    wanted: PortRequest,
    job: Job,
) -> Result<(Cluster, Instance), Fault> {
    if cx.service.is_draining() {
        return Err(Fault::new(
            Code::InsufficientStorageClusterCapacity,
            "This node takes on no more clusters. Ask again, or ask another node.",
        ));
    }
    let settings = cx.service.settings.clone();
    // Beforehand, too, since a number that was claimed is never claimed again.
    let (asked, clusters_max) = (cluster.clone(), settings.clusters_max);
    cx.service
        .catalog
        .read(move |tx| check_new(tx, &asked, clusters_max))
        .await?;
    let nodes = match cluster.is_multi_az() {
        true => spread::nodes(cx, &cluster).await?,
        false => None,
    };
    if let Some(nodes) = &nodes {
        cluster.spread = Some(Box::default());
        spread::zones(&mut cluster, nodes);
    }
    let place = addresses::choose(&cx.service, &cluster, "", wanted).await?;
    let (asked, at) = (cluster.clone(), place.clone());
    let readers = match &nodes {
        Some(nodes) => Ok(spread::readers(cx, &cluster, &place, nodes)),
        None => readers(cx, &cluster, &place).await,
    };
    let held = readers.as_ref().map_or_else(|_| Vec::new(), Clone::clone);
    let let_go = |_: &Fault| {
        addresses::release(&cx.service, &asked, &at);
        for one in &held {
            addresses::release(&cx.service, &asked, &one.placement);
        }
    };
    let readers = readers.inspect_err(let_go)?;
    let os_uid = cx
        .service
        .users
        .claim(&*cx.service.catalog)
        .await
        .inspect_err(let_go)?;
    let kept = cx
        .service
        .catalog
        .write(move |tx| {
            check_new(tx, &cluster, settings.clusters_max)?;
            let placement = Placement {
                os_uid,
                ..place.clone()
            };
            if let Some(uid) = os_uid {
                uids::note(tx, uid)?;
            }
            let mut job = job.clone();
            job.node = Some(settings.node.clone());
            jobs::insert(tx, &job)?;
            let kept = rows::insert(tx, cluster.clone())?.value;
            let mut writer = Instance::first_writer(&kept, placement);
            if !readers.is_empty() {
                name(tx, &kept, &mut writer, 1)?;
            }
            if let Some(nodes) = &nodes {
                writer.availability_zone = Some(nodes.own_zone.clone());
            }
            let writer = instances::insert(tx, writer)?.value;
            for (at, reader) in readers.iter().enumerate() {
                let mut reader = reader.clone();
                let zone = reader.availability_zone.take();
                name(tx, &kept, &mut reader, at + 2)?;
                match &nodes {
                    // Its own node gives it a user and an address.
                    Some(_) => reader.availability_zone = zone,
                    None => reader.placement.os_uid = os_uid,
                }
                instances::insert(tx, reader)?;
            }
            instances::relink(tx, &kept)?;
            Ok::<_, Fault>((kept, writer))
        })
        .await
        .inspect_err(let_go)?;
    Ok(kept)
}

/// The readers that a cluster begins with, each with an address that is held.
async fn readers(
    cx: &ActionContext,
    cluster: &Cluster,
    writer: &Placement,
) -> Result<Vec<Instance>, Fault> {
    let count = if cluster.is_multi_az() { READERS } else { 0 };
    let like = PortRequest {
        like: Some(writer.port),
        ..PortRequest::default()
    };
    let mut made: Vec<Instance> = Vec::new();
    for _ in 0..count {
        let id = InstanceId::draw(&*cx.service.entropy);
        let mut reader = Instance::reader(cluster, id, writer.clone());
        match addresses::choose(&cx.service, cluster, &reader.placement.member, like).await {
            Ok(place) => (reader.placement.host, reader.placement.port) = (place.host, place.port),
            Err(fault) => {
                for one in &made {
                    addresses::release(&cx.service, cluster, &one.placement);
                }
                return Err(fault);
            }
        }
        made.push(reader);
    }
    Ok(made)
}

/// Names an instance of a Multi-AZ DB cluster `<cluster>-instance-<number>`, in a zone of its own.
fn name(
    tx: &mut dyn Tx,
    cluster: &Cluster,
    instance: &mut Instance,
    number: usize,
) -> Result<(), Fault> {
    let text = format!("{}-instance-{number}", cluster.name);
    let name = InstanceName::parse(&text).map_err(|_| {
        Fault::value(format!(
            "The identifier of a Multi-AZ DB cluster has at most {MULTI_AZ_NAME_MAX} characters."
        ))
    })?;
    if instances::named(tx, &cluster.region, &cluster.account, &name)?.is_some() {
        return Err(Fault::new(
            Code::DbInstanceAlreadyExists,
            format!("DB instance {name} already exists"),
        ));
    }
    instance.name = Some(name);
    instance.status = InstanceStatus::Creating;
    instance.created_at = Some(cluster.created_at);
    let zones = &cluster.availability_zones;
    instance.availability_zone = zones.get((number - 1) % zones.len().max(1)).cloned();
    Ok(())
}

/// Refuses a port that a cluster cannot move to. One that it is to move to at once is held for it,
/// where the cluster is this node's.
///
/// # Errors
/// `InvalidParameterValue` that says who has the port.
pub async fn check_port(
    cx: &ActionContext,
    cluster: &Cluster,
    writer: &Instance,
    port: u16,
    at_once: bool,
) -> Result<(), Fault> {
    let here = writer.placement.node == cx.service.settings.node;
    if port == writer.placement.port || !here {
        return Ok(());
    }
    addresses::check_port(&cx.service, cluster, &writer.placement, port, at_once).await
}

fn check_new(tx: &mut dyn Tx, cluster: &Cluster, clusters_max: usize) -> Result<(), Fault> {
    if rows::get(tx, &cluster.region, &cluster.account, &cluster.name)?.is_some() {
        return Err(Fault::new(
            Code::DbClusterAlreadyExists,
            "DB Cluster already exists",
        ));
    }
    if clusters_max as u64 <= rows::count(tx, &cluster.region, &cluster.account)? {
        return Err(Fault::new(
            Code::DbClusterQuotaExceeded,
            format!("Cannot create more than {clusters_max} DB clusters"),
        ));
    }
    groups::of_cluster::check(tx, cluster)
}
