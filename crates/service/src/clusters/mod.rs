//! Clusters on this node: where their files and ports are.
pub mod supervise;
pub mod users;

use std::path::{Path, PathBuf};

use catalog::{CatalogError, CatalogExt, Tx, clusters as rows, jobs, uids};
use engine::Home;
use model::{Account, Cluster, Job, cluster::Placement};

use crate::{
    action::Cx,
    addresses::{self, Wanted},
    core::Core,
    fault::{Code, Fault},
};

/// Socket paths have room for 107 bytes (unix(7)); this leaves some for the file's name.
const SOCKET_DIR_BYTES_MAX: usize = 84;

/// Where a placed cluster's server lives.
pub fn home(core: &Core, cluster: &Cluster, place: &Placement) -> Home {
    Home {
        dir: folder(core, cluster).join(&place.attempt),
        socket_dir: socket_dir(&core.settings.data_dir, cluster),
        host: place.host.clone(),
        port: place.port,
        os_uid: place.os_uid,
        os_uid_shared: place
            .os_uid
            .is_some_and(|uid| core.users.may_be_shared(uid)),
        version: cluster.engine_version.clone(),
    }
}

/// The folder of all attempts of a cluster.
pub fn folder(core: &Core, cluster: &Cluster) -> PathBuf {
    core.settings
        .data_dir
        .join("clusters")
        .join(cluster.resource_id.as_str())
}

/// In the data folder where the path is short enough for a socket, else a short one beside it all.
fn socket_dir(data_dir: &Path, cluster: &Cluster) -> PathBuf {
    let short: String = cluster
        .resource_id
        .as_str()
        .chars()
        .skip("cluster-".len())
        .take(12)
        .collect();
    socket_dir_of(data_dir, &short)
}

/// The folder of the socket of a cluster with this short name.
pub(crate) fn socket_dir_of(data_dir: &Path, short: &str) -> PathBuf {
    let inside = data_dir.join("run").join(short);
    if inside.as_os_str().len() <= SOCKET_DIR_BYTES_MAX {
        inside
    } else {
        PathBuf::from("/tmp").join(format!("snapferry-{short}"))
    }
}

/// Makes the folders above a home: open to be passed through, for the clusters' own users, and
/// to nothing else.
///
/// # Errors
/// The file system's.
pub async fn make_way(core: &Core, home: &Home) -> std::io::Result<()> {
    let clusters = core.settings.data_dir.join("clusters");
    let above = [home.dir.parent(), home.socket_dir.parent()];
    let above = above.into_iter().flatten().map(Path::to_owned);
    let folders: Vec<PathBuf> = [clusters].into_iter().chain(above).collect();
    blocking(move || {
        let mut ours = folders.iter().filter(|folder| *folder != Path::new("/tmp"));
        ours.try_for_each(|folder| make_passage(folder))
    })
    .await
}

/// A folder that others may pass through, whatever the process's umask says.
pub fn make_passage(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o711))
}

/// Refuses a cluster of another account where one OS user would hold both accounts' files.
///
/// # Errors
/// `InvalidParameterCombination` that names the two remedies.
pub async fn check_host(cx: &Cx, account: &Account) -> Result<(), Fault> {
    let settings = &cx.core.settings;
    if settings.os_users || settings.shared_os_user || settings.mode == crate::Mode::Dev {
        return Ok(());
    }
    let (node, account) = (settings.node.clone(), account.clone());
    let others = cx
        .core
        .catalog
        .read(move |tx| {
            Ok::<_, CatalogError>(
                rows::all_on_node(tx, &node)?
                    .iter()
                    .any(|row| row.value.account != account),
            )
        })
        .await?;
    if others {
        return Err(Fault::combination(
            "This server does not run as root, so clusters of different accounts would share one OS user. \
             Run it as root, or start it with --allow-shared-os-user.",
        ));
    }
    Ok(())
}

/// Gives a new cluster its place and keeps it with the job that will make it.
///
/// # Errors
/// The name is taken, the quota is reached, or no address or port is free.
pub async fn insert(cx: &Cx, cluster: Cluster, wanted: Wanted, job: Job) -> Result<Cluster, Fault> {
    if cx.core.is_draining() {
        return Err(Fault::new(
            Code::InsufficientStorageClusterCapacity,
            "This node takes on no more clusters. Ask again, or ask another node.",
        ));
    }
    let settings = cx.core.settings.clone();
    // Beforehand, too, since a number that was claimed is never claimed again.
    let (asked, clusters_max) = (cluster.clone(), settings.clusters_max);
    cx.core
        .catalog
        .read(move |tx| check_new(tx, &asked, clusters_max))
        .await?;
    let place = addresses::choose(&cx.core, &cluster, wanted).await?;
    let mut cluster = cluster;
    cluster.placement = Some(place.clone());
    let asked = cluster.clone();
    let let_go = |_: &Fault| addresses::release(&cx.core, &asked);
    let os_uid = users::claim(&cx.core).await.inspect_err(let_go)?;
    let kept = cx
        .core
        .catalog
        .write(move |tx| {
            check_new(tx, &cluster, settings.clusters_max)?;
            let mut placed = cluster.clone();
            placed.placement = Some(Placement {
                os_uid,
                ..place.clone()
            });
            if let Some(uid) = os_uid {
                uids::note(tx, uid)?;
            }
            let mut job = job.clone();
            job.node = Some(settings.node.clone());
            jobs::insert(tx, &job)?;
            Ok::<_, Fault>(rows::insert(tx, placed)?.value)
        })
        .await
        .inspect_err(let_go)?;
    cx.core.work.notify_one();
    cx.core.mirror.notify_one();
    Ok(kept)
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
    Ok(())
}

/// The attempt folders of a cluster.
///
/// # Errors
/// The file system's.
pub async fn attempts(folder: &Path) -> std::io::Result<Vec<String>> {
    let folder = folder.to_owned();
    blocking(move || list_attempts(&folder)).await
}

fn list_attempts(folder: &Path) -> std::io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in entries {
        // Every attempt's name is ours; whatever else lies there goes with the folder.
        found.extend(
            entry?
                .file_name()
                .into_string()
                .ok()
                .filter(|name| name.starts_with("try-")),
        );
    }
    Ok(found)
}

/// Runs what waits for disks on a thread that may wait.
///
/// # Errors
/// The work's.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(std::io::Error::other(error)),
        },
    }
}
