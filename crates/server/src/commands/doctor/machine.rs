//! Looks at the machine: address, rights, open files, engines and disk.
use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use engine::{EngineRegistry, Programs};
use rustix::{fs::statvfs, process::geteuid};

use super::{finding::Finding, site::Site};
use crate::{
    process::open_files::{OpenFiles, TooFew},
    units::size,
};

/// The variable that names the only folder with engines' programs.
const ENGINE_BIN: &str = "SNAPFERRY_ENGINE_BIN";
/// Below so much a snapshot may find no room, bytes.
const DISK_BYTES_LOW: u64 = 1 << 30;
/// Below so many hundredths.
const DISK_PERCENT_LOW: u64 = 10;

/// Whether a server could listen, or one does.
pub(super) fn address(site: &Site) -> Vec<Finding> {
    let address: SocketAddr = site.layer.listen();
    let told = match TcpListener::bind(address) {
        Ok(_) => Finding::ok(format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let what = format!("something listens on {address}");
            match site.served_by() {
                Some(pid) => Finding::ok(format!("{what}, and a server (process {pid}) has the data folder")),
                None => Finding::failed(format!("{what}, and no server has the data folder"))
                    .with("end it, or choose another address with --listen ADDRESS:PORT"),
            }
        }
        Err(error) => Finding::failed(format!("{address} cannot be listened on: {error}"))
            .with("choose an address of this machine with --listen ADDRESS:PORT; ports below 1024 need root"),
    };
    vec![told]
}

/// What of root's rights clusters with OS users of their own lack.
pub(super) fn rights(_: &Site) -> Vec<Finding> {
    if !geteuid().is_root() {
        return vec![
            Finding::warning("this user is not root: all clusters run as this one user")
                .with("run the server as root to give each cluster an OS user of its own, or see --allow-shared-os-user"),
        ];
    }
    match engine::missing_capabilities() {
        Err(error) => vec![Finding::warning(format!("it cannot be told which of root's rights there are: {error}"))],
        Ok(missing) if missing.is_empty() => {
            vec![Finding::ok("root, with all rights that clusters' OS users need")]
        }
        Ok(missing) => missing
            .iter()
            .map(|one| {
                Finding::failed(format!("root without {}: {}", one.name, one.without)).with(
                    "give it back, with CapabilityBoundingSet= of a systemd unit or --cap-add of a container",
                )
            })
            .collect(),
    }
}

/// Whether there are enough descriptors.
pub(super) fn open_files(_: &Site) -> Vec<Finding> {
    vec![match OpenFiles::raise() {
        Ok(files) => Finding::ok(format!(
            "{} for each process, {} of them for clients",
            files.limit(),
            files.connections_max()
        )),
        Err(few) => Finding::failed(few.to_string()).with(TooFew::hint()),
    }]
}

/// Which databases there are.
pub(super) fn engines(site: &Site) -> Vec<Finding> {
    let extra = [&site.layer.engine_bin, &site.layer.mysql_dir];
    let instead = std::env::var_os(ENGINE_BIN).filter(|only| !only.is_empty());
    let engines = EngineRegistry::open(&Programs {
        instead: instead.map(PathBuf::from),
        extra: extra.into_iter().flatten().cloned().collect(),
    });
    let mut told = Vec::new();
    let none = engines.all().all(|engine| engine.installed().is_empty());
    for engine in engines.all() {
        let (profile, versions) = (engine.profile(), engine.installed());
        let remedy = format!(
            "install it with `{}`, or name its folder with --engine-bin DIR",
            profile.install
        );
        told.push(match (versions.is_empty(), none) {
            (false, _) => Finding::ok(format!("{} {}", profile.title, versions.join(", "))),
            (true, true) => {
                Finding::failed(format!("no {} was found", profile.wanted)).with(remedy)
            }
            (true, false) => Finding::ok(format!("no {}: no such clusters", profile.title)),
        });
    }
    told
}

/// How much room there is.
pub(super) fn disk(site: &Site) -> Vec<Finding> {
    let mut folders = vec![("the data folder", site.path.clone())];
    folders.extend(site.vault_folder().map(|folder| ("the vault", folder)));
    folders
        .into_iter()
        .map(|(what, folder)| room(what, &folder))
        .collect()
}

/// The room of a folder, or of the one that it would be made in.
fn room(what: &str, folder: &Path) -> Finding {
    let mut looked = folder.ancestors().map(|at| (at, statvfs(at)));
    let found = looked.find_map(|(at, room)| Some((at, room.ok()?)));
    let Some((at, room)) = found else {
        return Finding::failed(format!(
            "the room for {what} cannot be told at {}",
            folder.display()
        ));
    };
    let (free, all) = (room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize);
    let percent = free * 100 / all.max(1);
    let told = format!(
        "{} of {} free for {what} ({})",
        size(free),
        size(all),
        at.display()
    );
    if free < DISK_BYTES_LOW || percent < DISK_PERCENT_LOW {
        return Finding::warning(told)
            .with("make room: `snapferry snapshot cost` tells what a snapshot's deletion frees");
    }
    Finding::ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_told_of_the_folder_above_one_that_is_not_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let told = room("it", &folder.path().join("no/such"));
        assert!(
            told.found.contains(&folder.path().display().to_string()),
            "{told:?}"
        );
    }
}
