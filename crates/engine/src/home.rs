//! Where one try at a cluster lives.
//!
//! It knows no particular database.
use std::{
    fmt,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::profile::Profile;

/// Where one try at a cluster lives, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// The attempt's folder, absolute. The engine makes it, and `data/`, `conf/` and `log/` in it.
    pub dir: PathBuf,
    /// The folder of the server's socket, this cluster's alone; its name is short.
    pub socket_dir: PathBuf,
    /// The IP address or host name that the server listens on.
    pub host: String,
    /// The TCP port that the server listens on.
    pub port: u16,
    /// The user and group number that the server runs under; none: this process's own.
    pub os_uid: Option<u32>,
    /// Whether another cluster of this machine has that user too. Where none has, all that the user
    /// runs ends with the server.
    pub os_uid_shared: bool,
    /// The engine's version, such as `15.18`; its major picks the programs.
    pub version: String,
    /// What the server is to the others of its cluster.
    pub replication: Replication,
}

/// What a home's server is to the other servers of its cluster. Those on one node run as the same user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replication {
    /// Its name among them: lower-case letters, digits and underscores.
    pub name: String,
    /// The server that it follows; none when it takes writes.
    pub upstream: Option<Upstream>,
    /// The names of those that follow it.
    pub followers: Vec<String>,
    /// Those of them of which one must have a commit before its client hears of it. Empty: no commit
    /// waits.
    pub synchronous: Vec<String>,
    /// Whether its log is to be kept, for restores to points in time. An engine whose servers log anyway does not ask.
    pub is_logged: bool,
    /// What they prove themselves with to one another over the network. None: all are on one node, and
    /// reach each other by their sockets.
    pub secret: Option<PeerSecret>,
}

/// What the servers of one cluster know, on several nodes, and nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerSecret {
    /// The password of their role.
    pub password: Zeroizing<String>,
    /// What tells this password from others without telling anything of it: letters and digits.
    pub mark: String,
}

impl fmt::Debug for PeerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerSecret")
            .field("mark", &self.mark)
            .finish_non_exhaustive()
    }
}

/// Where the server is that another one follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// The folder of its socket.
    pub socket_dir: PathBuf,
    /// Its port; the socket may be named by it.
    pub port: u16,
    /// The address that it listens on.
    pub host: String,
    /// Its [`Home::dir`].
    pub dir: PathBuf,
    /// Its term when it is on another node, which is reached over the network: which of its cluster's
    /// writers it is, counted. A server that has left one of them ([`crate::Engine::leave`]) follows later
    /// ones only.
    pub term: Option<u64>,
}

impl Upstream {
    /// A server of the same cluster as the one in `home`, as far as sessions and readers of its files need it.
    pub(crate) fn home(&self, home: &Home) -> Home {
        Home {
            dir: self.dir.clone(),
            socket_dir: self.socket_dir.clone(),
            host: self.host.clone(),
            port: self.port,
            replication: Replication::default(),
            ..home.clone()
        }
    }
}

impl Replication {
    /// Whether there are other servers.
    pub fn is_shared(&self) -> bool {
        self.upstream.is_some() || !self.followers.is_empty()
    }

    /// Whether they are on several nodes.
    pub fn is_spread(&self) -> bool {
        self.secret.is_some()
    }
}

impl Home {
    /// The folder of the database's own files.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The folder of the settings that the server reads; the server cannot write it.
    pub(crate) fn conf(&self) -> PathBuf {
        self.dir.join("conf")
    }

    /// The file that the server's messages go to, by the name that the engine's profile gives it;
    /// the server cannot open it by name.
    pub fn log_file(&self, profile: &Profile) -> PathBuf {
        self.dir.join("log").join(profile.log_file)
    }
}

/// A path for messages.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}
