//! Where the files of a cluster are on this node.

use std::path::{Path, PathBuf};

use engine::{Home, Replication, Upstream};
use model::{Cluster, Placement};

use crate::context::ServiceContext;

/// Socket paths have room for 107 bytes (unix(7)); this leaves some for the file's name.
const SOCKET_DIR_BYTES_MAX: usize = 84;
/// Where sockets are whose data folder's path is too long, of a server that is root: what a service
/// manager keeps over the server's restarts, as databases outlive it. `/tmp` may be another one then.
const ROOTS_SOCKETS: &str = "/run/snapferry";
const SOCKETS: &str = "/tmp";

/// Where a placed cluster's server lives.
pub fn home(context: &ServiceContext, cluster: &Cluster, place: &Placement) -> Home {
    Home {
        dir: folder(context, cluster).join(&place.attempt),
        socket_dir: socket_dir(context, cluster, &place.member),
        host: place.host.clone(),
        port: place.port,
        os_uid: place.os_uid,
        os_uid_shared: (place.has_peers() && cluster.spread.is_none())
            || place
                .os_uid
                .is_some_and(|uid| context.users.may_be_shared(uid)),
        version: cluster.engine_version.clone(),
        replication: replication(context, cluster, place),
    }
}

fn replication(context: &ServiceContext, cluster: &Cluster, place: &Placement) -> Replication {
    let told = &place.replication;
    let upstream = told.follows.as_ref().map(|writer| Upstream {
        socket_dir: socket_dir(context, cluster, &writer.member),
        port: writer.port,
        host: writer.host.clone(),
        dir: folder(context, cluster).join(&writer.attempt),
        term: Some(told.term).filter(|term| *term != 0),
    });
    let key = context.peer_key.get().filter(|_| cluster.spread.is_some());
    Replication {
        name: place.replication_name(),
        upstream,
        followers: told.followers.clone(),
        synchronous: told.synchronous.clone(),
        is_logged: 0 < cluster.backup_retention_days && !context.settings.no_automated_backups,
        secret: key.map(|key| key.of(&cluster.resource_id, told.term)),
    }
}

/// The folder of all attempts of a cluster.
pub fn folder(context: &ServiceContext, cluster: &Cluster) -> PathBuf {
    context
        .settings
        .data_dir
        .join("clusters")
        .join(cluster.resource_id.as_str())
}

fn socket_dir(context: &ServiceContext, cluster: &Cluster, member: &str) -> PathBuf {
    let short = match member {
        "" => short_name(cluster.resource_id.as_str()),
        member => member.to_owned(),
    };
    socket_dir_of(
        &context.settings.data_dir,
        context.settings.os_users,
        &short,
    )
}

/// What stands for a cluster where names are short: the beginning of what is its own of its folder's name.
pub(crate) fn short_name(folder: &str) -> String {
    let own = folder.split_once('-').map_or(folder, |(_, own)| own);
    own.chars().filter(|c| *c != '-').take(12).collect()
}

/// The folder of the socket of a cluster with this short name: in the data folder where the path is
/// short enough for a socket, else a short one beside it all.
pub(crate) fn socket_dir_of(data_dir: &Path, is_root: bool, short: &str) -> PathBuf {
    let inside = data_dir.join("run").join(short);
    if inside.as_os_str().len() <= SOCKET_DIR_BYTES_MAX {
        inside
    } else if is_root {
        Path::new(ROOTS_SOCKETS).join(short)
    } else {
        Path::new(SOCKETS).join(format!("snapferry-{short}"))
    }
}

/// Makes the folders above a home: open to be passed through, for the clusters' own users, and
/// to nothing else.
///
/// # Errors
/// The file system's.
pub async fn make_way(context: &ServiceContext, home: &Home) -> std::io::Result<()> {
    let clusters = context.settings.data_dir.join("clusters");
    let above = [home.dir.parent(), home.socket_dir.parent()];
    let above = above.into_iter().flatten().map(Path::to_owned);
    let folders: Vec<PathBuf> = [clusters].into_iter().chain(above).collect();
    blocking(move || {
        let mut ours = folders
            .iter()
            .filter(|folder| *folder != Path::new(SOCKETS));
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

/// The attempt folders of a cluster, of all its instances.
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
                .filter(|name| name.starts_with("try-") || name.contains("-try-")),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_has_its_sockets_elsewhere() {
        let of = |data: &str, is_root| socket_dir_of(Path::new(data), is_root, "k3v");
        assert_eq!(of("/srv/s", true), Path::new("/srv/s/run/k3v"));
        let long = format!("/srv/{}", "x".repeat(80));
        assert_eq!(of(&long, true), Path::new("/run/snapferry/k3v"));
        assert_eq!(of(&long, false), Path::new("/tmp/snapferry-k3v"));
    }
}
