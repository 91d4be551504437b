//! A cluster's server: begin it or adopt it, and wait until it takes connections.
//!
//! It does not know why a server is wanted, nor whether its files are whole.
use std::{fs, path::Path, time::Duration};

use tokio::process::Child;

use super::{
    conf::{self, ADMIN, Purpose},
    handle::Postgres,
    process::{self, SERVER},
    profile::PROFILE,
    session::Session,
};
use crate::hosting::{
    address,
    child::outliving,
    chosen as parameters, files,
    serving::{settle_address, settle_parameters, spawn},
    users,
};
use crate::{blocking::blocking, certify::Tls, error::EngineError, folder::Folder, home::Home};

/// How long a server may recover before it takes connections.
const START_WAIT: Duration = Duration::from_secs(15 * 60);
/// How long the recovery of a dump may take.
const RECOVER_WAIT: Duration = Duration::from_secs(60 * 60);
/// How long a recovery to a moment may take: days of log lie between a dump and it.
const REPLAY_WAIT: Duration = Duration::from_secs(48 * 60 * 60);
/// How long an adopted server with wrong settings may take to stop.
pub(super) const RESTART_WAIT: Duration = Duration::from_secs(30);
/// The last words of a server that could not bind its address; its messages are not translated.
const NO_SOCKET: &str = "could not create any TCP/IP sockets";

impl Postgres {
    /// Begins the server, or adopts the one that runs, and waits until it takes connections to
    /// `database`. The caller holds the cluster's lock.
    pub(super) async fn launch(
        &self,
        home: &Home,
        purpose: Purpose,
        database: &str,
    ) -> Result<(), EngineError> {
        if SERVER.found(home).await?.is_some() {
            if listens_as_wanted(home)? {
                tracing::info!(home = %home.dir.display(), "adopting the running server");
                match wait_ready(home, database, START_WAIT, None).await {
                    // It was about to end when it was found.
                    Err(EngineError::ServerEnded { .. }) => {}
                    Ok(()) => return SERVER.watch(&self.addresses, &self.limited, home).await,
                    failed => return failed,
                }
            } else {
                process::end(home, RESTART_WAIT).await?;
            }
        }
        process::end_orphans(home).await?;
        let (at, tls) = (home.clone(), self.tls_of(home)?);
        let prepared = blocking(move || {
            if purpose == Purpose::Serve {
                parameters::begin(&at)?;
            }
            prepare(&at, purpose, tls.as_ref())
        });
        prepared.await?;
        self.addresses.take_back(home);
        self.addresses.hold(home)?;
        let patience = match purpose {
            Purpose::Serve => START_WAIT,
            Purpose::Recover | Purpose::Alone => RECOVER_WAIT,
            Purpose::Replay => REPLAY_WAIT,
        };
        let begun = self.begin(home, database, patience).await;
        match purpose {
            Purpose::Serve => {
                let again = self.begin_again(home, database);
                settle_parameters(home, begun, str::to_owned, again).await
            }
            Purpose::Recover | Purpose::Replay | Purpose::Alone => begun,
        }
    }

    /// Lets a server that is not to serve recover, and ends it in order. The caller holds the
    /// cluster's lock.
    pub(super) async fn settle(&self, home: &Home) -> Result<(), EngineError> {
        process::end_orphans(home).await?;
        let (at, tls) = (home.clone(), self.tls_of(home)?);
        blocking(move || prepare(&at, Purpose::Alone, tls.as_ref())).await?;
        let server = self.spawn(home)?;
        wait_ready(home, ADMIN, RECOVER_WAIT, Some(server)).await?;
        process::end(home, RESTART_WAIT).await
    }

    /// Begins a server, and watches it once it has come up. Of one that has not, the address is held again.
    async fn begin(
        &self,
        home: &Home,
        database: &str,
        patience: Duration,
    ) -> Result<(), EngineError> {
        self.addresses.let_go(home);
        let server = self.spawn(home)?;
        let begun = match wait_ready(home, database, patience, Some(server)).await {
            Ok(()) => address::check_owner(home),
            failed => failed,
        };
        settle_address(&self.addresses, home, begun, NO_SOCKET)?;
        SERVER.watch(&self.addresses, &self.limited, home).await
    }

    /// Begins it once more, for clients, with what was chosen for it since.
    async fn begin_again(&self, home: &Home, database: &str) -> Result<(), EngineError> {
        let (at, tls) = (home.clone(), self.tls_of(home)?);
        blocking(move || prepare(&at, Purpose::Serve, tls.as_ref())).await?;
        self.begin(home, database, START_WAIT).await
    }

    /// Begins the server process, which outlives this one.
    fn spawn(&self, home: &Home) -> Result<Child, EngineError> {
        let install = self.installs.of(&home.version)?;
        let server = self.own_programs.server(install, home.os_uid);
        conf::write_libraries(home, &server.libraries)?;
        let mut config = std::ffi::OsString::from("config_file=");
        config.push(home.conf().join("postgresql.conf"));
        let mut command = outliving(self.limited.words(), &server.program);
        command.arg("-D").arg(home.data()).arg("-c").arg(config);
        spawn(&self.limited, home, &PROFILE, command)
    }
}

pub(super) fn listens_as_wanted(home: &Home) -> Result<bool, EngineError> {
    let lock = process::read_lock_file(home)
        .map_err(|error| EngineError::io("read", error.path, error.source))?;
    // A server that has just begun has not written all lines yet: it has our settings.
    let Some(lock) = lock else { return Ok(true) };
    let socket_fits = match lock.socket_dir.as_deref() {
        None | Some("") => true,
        Some(dir) => Path::new(dir) == home.socket_dir && has_socket(home)?,
    };
    let host_fits = match lock.host.as_deref() {
        None | Some("") => true,
        Some(host) => host == home.host,
    };
    Ok(socket_fits && host_fits && lock.port.is_none_or(|port| port == home.port))
}

fn has_socket(home: &Home) -> Result<bool, EngineError> {
    let path = conf::socket_path(home);
    match fs::symlink_metadata(&path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(EngineError::io("look at", path, error)),
    }
}

/// Clears the way of a new server, and writes its settings.
fn prepare(home: &Home, purpose: Purpose, tls: Option<&Tls>) -> Result<(), EngineError> {
    process::check_ended(home)?;
    clear_traces(home, purpose)?;
    conf::write(home, &users::need_own_user_name()?, purpose, tls)?;
    if purpose == Purpose::Serve && home.replication.upstream.is_some() {
        follow_on(home)?;
    }
    files::make_socket_folder(home)
}

/// Tells a new server to go on following.
fn follow_on(home: &Home) -> Result<(), EngineError> {
    let data = home.data();
    let failed = |source| EngineError::io("prepare", &data, source);
    let folder = Folder::open(&data).map_err(failed)?;
    let mark = folder.write("standby.signal", home.os_uid);
    mark.map(drop).map_err(failed)
}

/// Removes what a server that is gone left behind, and what could steer a new one.
fn clear_traces(home: &Home, purpose: Purpose) -> Result<(), EngineError> {
    let data = home.data();
    let failed = |source| EngineError::io("clear", &data, source);
    let folder = Folder::open(&data).map_err(failed)?;
    let mut names = vec![
        "postmaster.pid",
        "postgresql.conf",
        "postgresql.auto.conf",
        "pg_hba.conf",
        "pg_ident.conf",
        "standby.signal",
    ];
    if !matches!(purpose, Purpose::Recover | Purpose::Replay) {
        names.push("recovery.signal");
    }
    for name in names {
        folder.unlink(name).map_err(failed)?;
    }
    remove_socket(home)
}

/// Deletes the socket and its lock file; their server is gone.
fn remove_socket(home: &Home) -> Result<(), EngineError> {
    let failed = |source| EngineError::io("clear", &home.socket_dir, source);
    let name = format!(".s.PGSQL.{}", home.port);
    let folder = match Folder::open(&home.socket_dir) {
        Ok(folder) => folder,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    folder.unlink(&name).map_err(failed)?;
    folder.unlink(&format!("{name}.lock")).map_err(failed)
}

/// Waits until the server takes the administrator's session in `database`; `begun` is the process
/// of one that was begun just now.
async fn wait_ready(
    home: &Home,
    database: &str,
    patience: Duration,
    begun: Option<Child>,
) -> Result<(), EngineError> {
    let open = || Session::try_out(home, database);
    SERVER
        .wait_ready(home, &PROFILE, patience, begun, open)
        .await
}
