//! Who has an address that a cluster's server needs, and the end of those who may not have it.
//!
//! A program of another cluster's user has no business there, so it is ended. Any other program is
//! named and left alone, and so is the server of a cluster whose own address that is. It does not
//! know whose server needs the address, nor what is told of it.
use std::{
    collections::{BTreeSet, HashMap},
    fmt, fs,
    io::{self, ErrorKind},
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal},
};
use tokio::time::{Instant, sleep};

use super::conf;
use crate::hosting::{address, listeners, sweep_user};
use crate::{
    OsUsers, OsUsersError,
    proc::{self, Unreadable},
};

type ReadsAddress = fn(&str) -> Option<SocketAddr>;

/// Files of a cluster's that tell where its server listens, and how to read each.
const NOTES: [(&str, ReadsAddress); 2] = [
    ("conf/postgresql.conf", conf::address_in),
    (address::NOTE, address::noted),
];
/// How often it is looked who has the address before it is given up.
const ROUNDS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);
/// Who takes an address again so soon has more programs at it: all of them are ended.
const STRUCK: Duration = Duration::from_secs(600);

/// A program that has a socket at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupant {
    /// The process; none where it is in no list that this process sees.
    pub pid: Option<u32>,
    /// Its OS user.
    pub uid: u32,
    /// The name of its program, which its user chose.
    pub program: String,
}

impl fmt::Display for Occupant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uid = self.uid;
        match self.pid {
            Some(pid) => write!(f, "{} (process {pid} of user {uid})", self.program),
            None => write!(f, "a process of user {uid} in another namespace"),
        }
    }
}

/// What became of those who had an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Eviction {
    /// Nobody has it who could be found.
    Nobody,
    /// These had it; they have ended.
    Ended(Vec<Occupant>),
    /// These have it and are not to be ended here.
    Others(Vec<Occupant>),
}

/// Why nobody could be evicted.
#[derive(Debug, thiserror::Error)]
pub enum EvictionError {
    /// Who has the address could not be read.
    #[error("it cannot be told who has the address, because {path:?} cannot be read")]
    CannotTell {
        /// What could not be read.
        path: std::path::PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Whose a user is could not be told.
    #[error(transparent)]
    Users(#[from] OsUsersError),
    /// They live on.
    #[error("what has the address does not end: {}", shown(.0))]
    WillNotEnd(Vec<Occupant>),
}

impl From<Unreadable> for EvictionError {
    fn from(Unreadable { path, source }: Unreadable) -> Self {
        Self::CannotTell { path, source }
    }
}

/// Some occupants in words.
pub fn shown(occupants: &[Occupant]) -> String {
    let named: Vec<String> = occupants.iter().take(5).map(Occupant::to_string).collect();
    named.join(", ")
}

/// Ends programs of clusters' users at addresses that are not theirs.
#[derive(Debug, Default)]
pub struct Evictor {
    /// When a program of a user was ended last.
    struck: Mutex<HashMap<u32, Instant>>,
}

impl Evictor {
    /// Ends what has the address, where that is run by a user whom a cluster of this machine has:
    /// `own`, the user of the cluster that the address belongs to, or another one. The second time
    /// all that such a user runs is ended, its server too.
    ///
    /// # Errors
    /// When it cannot be told who has it or whose a user is, or when they do not end.
    pub async fn evict(
        &self,
        claims: &OsUsers,
        own: Option<u32>,
        cluster: &str,
        address: SocketAddr,
    ) -> Result<Eviction, EvictionError> {
        let mut ended = Vec::new();
        for round in 0..ROUNDS {
            let (at, of) = (claims.clone(), cluster.to_owned());
            let (found, others) = blocking(move || judged(&at, own, &of, address)).await?;
            if !others.is_empty() {
                return Ok(Eviction::Others(others));
            }
            if found.is_empty() {
                return Ok(match ended.is_empty() {
                    true => Eviction::Nobody,
                    false => Eviction::Ended(ended),
                });
            }
            let again: BTreeSet<u32> = found.iter().map(|one| one.uid).collect();
            for uid in again {
                if self.strike(uid) || 0 < round {
                    sweep_user::kill(uid).await;
                }
            }
            for one in found {
                let (at, held) = (one.clone(), claims.clone());
                blocking(move || kill(&at, &held)).await?;
                if !ended.contains(&one) {
                    ended.push(one);
                }
            }
            sleep(PAUSE).await;
        }
        Err(EvictionError::WillNotEnd(ended))
    }

    /// Notes that a user's program is ended; answers whether that was so a short while ago.
    fn strike(&self, uid: u32) -> bool {
        let mut struck = self.struck.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        struck.retain(|_, at| now.duration_since(*at) < STRUCK);
        struck.insert(uid, now).is_some()
    }
}

/// Those who have an address: whom to end, and all others.
fn judged(
    claims: &OsUsers,
    own: Option<u32>,
    cluster: &str,
    address: SocketAddr,
) -> Result<(Vec<Occupant>, Vec<Occupant>), EvictionError> {
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for one in occupants(address, |uid| claims.is_claimed(uid))? {
        let may_end = one.pid.is_some()
            && claims.is_claimed(one.uid)?
            && (own == Some(one.uid) || !is_its_own(claims, one.uid, cluster, address)?);
        match may_end {
            true => ours.push(one),
            false => others.push(one),
        }
    }
    Ok((ours, others))
}

/// Whether a user has another cluster whose server is set to listen there: of another deployment, say. One of
/// this cluster's own, on another node of the machine, has it no more.
fn is_its_own(
    claims: &OsUsers,
    uid: u32,
    but: &str,
    address: SocketAddr,
) -> Result<bool, EvictionError> {
    for cluster in claims.clusters_of(uid)? {
        if cluster.file_name().is_some_and(|name| name == but) {
            continue;
        }
        let failed = |source| EvictionError::CannotTell {
            path: cluster.clone(),
            source,
        };
        let attempts = match fs::read_dir(&cluster) {
            Ok(attempts) => attempts,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        for attempt in attempts {
            // Root's file: the user cannot have written it.
            let attempt = attempt.map_err(failed)?.path();
            for (file, address_in) in NOTES {
                let path = attempt.join(file);
                match fs::read_to_string(&path) {
                    Ok(text) if address_in(&text) == Some(address) => return Ok(true),
                    Ok(_) => {}
                    Err(error) if is_absent(&error) => {}
                    Err(source) => return Err(EvictionError::CannotTell { path, source }),
                }
            }
        }
    }
    Ok(false)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// The processes with a socket in an address's way: one that listens, or, of those whom
/// `is_looked_into` says, one that is only bound, which no list of the system's has.
fn occupants(
    address: SocketAddr,
    is_looked_into: impl Fn(u32) -> Result<bool, OsUsersError>,
) -> Result<Vec<Occupant>, EvictionError> {
    let listening = listeners::all().map_err(|source| Unreadable {
        path: "/proc/net/tcp".into(),
        source,
    })?;
    let mut unseen: HashMap<u64, u32> = listening
        .iter()
        .filter(|one| is_in_the_way(one.address, address))
        .map(|one| (one.inode, one.uid))
        .collect();
    let inodes: BTreeSet<u64> = unseen.keys().copied().collect();
    let mut found = Vec::new();
    for pid in proc::all()? {
        if pid == std::process::id() {
            continue;
        }
        let facts = match proc::facts(pid) {
            Ok(Some(facts)) => facts,
            Ok(None) => continue,
            // Whoever is kept from us is not for us to end; its socket is found by its user.
            Err(_) => continue,
        };
        let uid = facts.users[0];
        let sockets = match sockets_of(pid) {
            Ok(sockets) => sockets,
            Err(error) if gone_or_refused(&error) => continue,
            Err(source) => {
                let path = format!("/proc/{pid}/fd").into();
                return Err(EvictionError::CannotTell { path, source });
            }
        };
        let listens = sockets.iter().any(|(_, inode)| inodes.contains(inode));
        let has_it = listens || (is_looked_into(uid)? && has_bound(pid, &sockets, address));
        for (_, inode) in &sockets {
            unseen.remove(inode);
        }
        if has_it {
            found.push(Occupant {
                pid: Some(pid),
                uid,
                program: facts.name,
            });
        }
    }
    found.extend(unseen.into_values().map(|uid| Occupant {
        pid: None,
        uid,
        program: String::new(),
    }));
    Ok(found)
}

/// Whether a socket with an address keeps another from being bound.
fn is_in_the_way(socket: SocketAddr, wanted: SocketAddr) -> bool {
    let (has, wants) = (socket.ip().to_canonical(), wanted.ip().to_canonical());
    let everywhere = has.is_unspecified() && (has.is_ipv6() || wants.is_ipv4());
    socket.port() == wanted.port() && (has == wants || everywhere)
}

/// A process's sockets: descriptor and inode.
fn sockets_of(pid: u32) -> io::Result<Vec<(i32, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        let Ok(link) = fs::read_link(entry.path()) else {
            continue;
        };
        let inode = link
            .to_str()
            .and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']'));
        let inode = inode.and_then(|inode| inode.parse().ok());
        let fd = entry.file_name().to_str().and_then(|fd| fd.parse().ok());
        found.extend(fd.zip(inode));
    }
    Ok(found)
}

fn gone_or_refused(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOENT | Errno::SRCH | Errno::ACCESS | Errno::PERM)
    )
}

/// Whether one of a process's sockets is bound in the address's way, and connected to nothing.
fn has_bound(pid: u32, sockets: &[(i32, u64)], address: SocketAddr) -> bool {
    let Ok(Some(process)) = open(pid) else {
        return false;
    };
    if network_of(&pid.to_string()) != network_of("self") {
        return false;
    }
    sockets.iter().any(|(fd, _)| {
        let socket = rustix::process::pidfd_getfd(&process, *fd, PidfdGetfdFlags::empty());
        socket.is_ok_and(|socket| is_bound(socket, address))
    })
}

fn is_bound(socket: impl AsFd, address: SocketAddr) -> bool {
    let name = rustix::net::getsockname(&socket);
    let name = name.ok().and_then(|name| SocketAddr::try_from(name).ok());
    let connected = !matches!(rustix::net::getpeername(&socket), Err(Errno::NOTCONN));
    name.is_some_and(|name| is_in_the_way(name, address)) && !connected
}

/// The network namespace of a process, as far as it can be told.
fn network_of(process: &str) -> Option<std::path::PathBuf> {
    fs::read_link(format!("/proc/{process}/ns/net")).ok()
}

fn open(pid: u32) -> io::Result<Option<OwnedFd>> {
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let number = number.ok_or(ErrorKind::InvalidInput)?;
    match rustix::process::pidfd_open(number, PidfdFlags::empty()) {
        Ok(handle) => Ok(Some(handle)),
        Err(Errno::SRCH) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Ends a process, if its number still means one of that user's, which a cluster has.
fn kill(occupant: &Occupant, claims: &OsUsers) -> Result<(), EvictionError> {
    let Some(pid) = occupant.pid else {
        return Ok(());
    };
    let failed = |source| EvictionError::CannotTell {
        path: format!("/proc/{pid}").into(),
        source,
    };
    let Some(process) = open(pid).map_err(failed)? else {
        return Ok(());
    };
    // Looked at again: only now can the number not change its meaning.
    let facts = proc::facts(pid)?;
    let same = facts.is_some_and(|facts| facts.users[0] == occupant.uid);
    if !same || !claims.is_claimed(occupant.uid)? {
        return Ok(());
    }
    match rustix::process::pidfd_send_signal(&process, Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(failed(error.into())),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EvictionError> + Send + 'static,
) -> Result<T, EvictionError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(EvictionError::CannotTell {
                path: "/proc".into(),
                source: io::Error::other(error),
            }),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, process::Stdio};

    use super::*;

    #[test]
    fn what_is_in_an_addresss_way() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        for (has, wants, expected) in [
            ("127.0.0.5:5432", "127.0.0.5:5432", true),
            ("127.0.0.5:5433", "127.0.0.5:5432", false),
            ("127.0.0.6:5432", "127.0.0.5:5432", false),
            ("0.0.0.0:5432", "127.0.0.5:5432", true),
            ("[::]:5432", "127.0.0.5:5432", true),
            ("[::ffff:127.0.0.5]:5432", "127.0.0.5:5432", true),
            ("0.0.0.0:5432", "[::1]:5432", false),
            ("[::]:5432", "[::1]:5432", true),
        ] {
            assert_eq!(is_in_the_way(at(has), at(wants)), expected, "{has} {wants}");
        }
    }

    /// A program of its own at a fresh address; it listens when `code` says so.
    fn squatter(uid: Option<u32>, address: SocketAddr, code: &str) -> std::process::Child {
        use std::{io::Read, os::unix::process::CommandExt};
        let program = format!(
            "import socket, sys, time\ns = socket.socket()\ns.bind(('{}', {}))\n{code}\n\
             print('has it', flush=True)\ntime.sleep(60)",
            address.ip(),
            address.port()
        );
        let mut command = crate::programs::command("/usr/bin/env");
        command
            .args(["python3", "-c", &program])
            .current_dir("/")
            .stdout(Stdio::piped());
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
        let mut child = command.spawn().expect("Python runs");
        let mut said = [0; 6];
        let pipe = child.stdout.as_mut().expect("a pipe");
        pipe.read_exact(&mut said).expect("it has the address");
        child
    }

    fn free_address() -> SocketAddr {
        let probe = TcpListener::bind("127.0.0.1:0").expect("a port");
        probe.local_addr().expect("an address")
    }

    #[tokio::test]
    async fn a_program_that_is_no_clusters_is_named_and_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let claims = OsUsers::at(folder.path());
        let address = free_address();
        let mut child = squatter(None, address, "s.listen()");
        let said = Evictor::default().evict(&claims, None, "", address).await;
        let Eviction::Others(others) = said.expect("it can be told") else {
            panic!("it is nobody's");
        };
        assert_eq!(others[0].pid, Some(child.id()));
        assert!(child.try_wait().expect("a child").is_none(), "it lives");
        child.kill().expect("it ends");
        child.wait().expect("it ends");
    }

    #[tokio::test]
    async fn a_program_of_a_clusters_user_is_ended_unless_the_address_is_its_own() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let claims = OsUsers::at(folder.path().join("users"));
        // Far from those of real clusters on this machine.
        let uid = claims.claim(Some(2_147_400_000)).expect("a number");
        let clusters = folder.path().join("clusters");
        let attempt = clusters.join("cluster-a/try-1");
        fs::create_dir_all(attempt.join("data")).expect("a folder");
        fs::create_dir_all(attempt.join("conf")).expect("a folder");
        std::os::unix::fs::chown(attempt.join("data"), Some(uid), Some(uid)).expect("an owner");
        claims.enter(&clusters, &[]).expect("enters");
        let evictor = Evictor::default();
        for code in ["s.listen()", "pass"] {
            let address = free_address();
            let mut child = squatter(Some(uid), address, code);
            let settings = attempt.join("conf/postgresql.conf");
            let text = format!(
                "listen_addresses = '{}'\nport = {}\n",
                address.ip(),
                address.port()
            );
            fs::write(&settings, text).expect("is written");
            let said = evictor
                .evict(&claims, None, "", address)
                .await
                .expect("told");
            assert!(matches!(said, Eviction::Others(_)), "{said:?}");
            fs::write(&settings, "listen_addresses = '127.0.0.9'\nport = 1\n").expect("is written");
            let said = evictor
                .evict(&claims, None, "", address)
                .await
                .expect("told");
            let Eviction::Ended(ended) = said else {
                panic!("{code}: {said:?}");
            };
            assert_eq!((ended[0].pid, ended[0].uid), (Some(child.id()), uid));
            child.wait().expect("it has ended");
            TcpListener::bind(address).expect("it is free");
        }
    }
}
