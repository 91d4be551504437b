//! A cluster's server: begin it or adopt it, and wait until it takes connections.
//!
//! It does not know why a server is wanted, nor whether its files are whole.
use std::{fs, path::Path, process::Stdio, time::Duration};

use tokio::{
    process::Child,
    time::{Instant, sleep},
};

use super::{
    conf::{self, ADMIN, Purpose},
    handle::Postgres,
    process::{self, Process},
    profile::PROFILE,
    session::Session,
};
use crate::hosting::{
    address,
    child::{outliving, run_as},
    chosen as parameters, files, server_log, users,
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
const READY_POLL: Duration = Duration::from_millis(40);
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
        let at = home.clone();
        if blocking(move || process::postmaster(&at)).await?.is_some() {
            if listens_as_wanted(home)? {
                tracing::info!(home = %home.dir.display(), "adopting the running server");
                match wait_ready(home, database, START_WAIT, None).await {
                    // It was about to end when it was found.
                    Err(EngineError::ServerEnded { .. }) => {}
                    Ok(()) => return self.watch(home).await,
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
        let begun = self.settle_address(home, begun).await;
        match purpose {
            Purpose::Serve => self.settle_parameters(home, database, begun).await,
            Purpose::Recover | Purpose::Replay | Purpose::Alone => begun,
        }
    }

    /// Notes with which parameters a server came up. One that ended with new ones is begun once more
    /// without them, so that no choice takes a cluster down.
    async fn settle_parameters(
        &self,
        home: &Home,
        database: &str,
        begun: Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let at = home.clone();
        match begun {
            Ok(()) => blocking(move || parameters::confirm(&at)).await,
            Err(EngineError::ServerEnded { log, .. })
                if blocking({
                    let log = log.clone();
                    move || parameters::give_up(&at, &log)
                })
                .await? =>
            {
                tracing::warn!(home = %home.dir.display(), %log, "the server did not start with its new parameters, and is started without them");
                let (at, tls) = (home.clone(), self.tls_of(home)?);
                blocking(move || prepare(&at, Purpose::Serve, tls.as_ref())).await?;
                let begun = self.begin(home, database, START_WAIT).await;
                let begun = self.settle_address(home, begun).await;
                if begun.is_err() {
                    // It was not for them that it ended.
                    let at = home.clone();
                    blocking(move || parameters::forgive(&at)).await?;
                }
                begun
            }
            failed => failed,
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

    async fn begin(
        &self,
        home: &Home,
        database: &str,
        patience: Duration,
    ) -> Result<(), EngineError> {
        self.addresses.let_go(home);
        let server = self.spawn(home)?;
        wait_ready(home, database, patience, Some(server)).await?;
        address::check_owner(home)
    }

    /// Watches a server that has come up; holds the address again of one that has not, and says
    /// so when that is because another program was quicker.
    async fn settle_address(
        &self,
        home: &Home,
        begun: Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        match begun {
            Ok(()) => self.watch(home).await,
            Err(error @ EngineError::ServerEnded { .. }) => {
                self.addresses.hold(home)?;
                // Whoever was quicker may have gone since.
                match &error {
                    EngineError::ServerEnded { log, .. } if log.contains(NO_SOCKET) => {
                        Err(address::in_use(home))
                    }
                    _ => Err(error),
                }
            }
            failed => failed,
        }
    }

    async fn watch(&self, home: &Home) -> Result<(), EngineError> {
        let at = home.clone();
        match blocking(move || process::postmaster(&at)).await? {
            Some(postmaster) => self.watch_postmaster(home, postmaster).await,
            None => Ok(()),
        }
    }

    /// Watches a server that answers, and holds one that another process began to its limits.
    pub(super) async fn watch_postmaster(
        &self,
        home: &Home,
        postmaster: Process,
    ) -> Result<(), EngineError> {
        match self.addresses.watch(home, postmaster) {
            true => self.limited.place_all(&process::SERVER, home).await,
            false => Ok(()),
        }
    }

    /// Begins the server process, which outlives this one.
    fn spawn(&self, home: &Home) -> Result<Child, EngineError> {
        let data = home.data();
        let log = server_log::open(home, &PROFILE)?;
        let install = self.installs.of(&home.version)?;
        let server = self.own_programs.server(install, home.os_uid);
        conf::write_libraries(home, &server.libraries)?;
        let program = server.program;
        let mut config = std::ffi::OsString::from("config_file=");
        config.push(home.conf().join("postgresql.conf"));
        let mut command = outliving(self.limited.words(), &program);
        command.arg("-D").arg(&data).arg("-c").arg(config);
        // It works in its data folder from its first moment, which is how it is found again.
        command.current_dir(&data).stdin(Stdio::null());
        let again = log
            .try_clone()
            .map_err(|source| EngineError::io("write", home.log_file(&PROFILE), source))?;
        command.stdout(log).stderr(again);
        run_as(&mut command, home.os_uid.map(|uid| (uid, uid)));
        let mut command = tokio::process::Command::from(command);
        command.kill_on_drop(false);
        // The handle may be let go: the runtime reaps the process when it ends before this one.
        let server = command
            .spawn()
            .map_err(|source| EngineError::io("run", program, source))?;
        self.limited.place_one(home, server.id());
        Ok(server)
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
    mut begun: Option<Child>,
) -> Result<(), EngineError> {
    let deadline = Instant::now() + patience;
    loop {
        match Session::open(home, database).await {
            Ok(session) => {
                session.close().await;
                return Ok(());
            }
            Err(refusal) if refusal.is_passing() => {}
            Err(refusal) => return Err(refusal.into()),
        }
        let has_ended = match &mut begun {
            // A child's end is certain. To the system's list a process may look like the thread
            // that began it for a moment longer than the beginning takes.
            Some(server) => server
                .try_wait()
                .map_err(|source| EngineError::io("wait for the server of", &home.dir, source))?
                .is_some(),
            None => {
                let at = home.clone();
                let found = blocking(move || process::postmaster(&at)).await?;
                found.is_none()
            }
        };
        if has_ended {
            return Err(EngineError::ServerEnded {
                home: home.dir.clone(),
                log: server_log::tail(home, &PROFILE),
            });
        }
        if deadline < Instant::now() {
            return Err(EngineError::StartTimeout {
                home: home.dir.clone(),
                secs: patience.as_secs(),
                log: server_log::tail(home, &PROFILE),
            });
        }
        sleep(READY_POLL).await;
    }
}

/// Ends the server of a cluster that did not become whole: nobody may find it.
pub(super) async fn or_end(
    home: &Home,
    result: Result<(), EngineError>,
) -> Result<(), EngineError> {
    if result.is_err()
        && let Err(error) = process::end(home, Duration::ZERO).await
    {
        tracing::error!(home = %home.dir.display(), %error, "a server is left behind");
    }
    result
}
