//! A cluster's server: begin it or adopt it, and wait until it takes sessions.
//!
//! It does not know why a server is wanted, nor whether its files are whole.
use std::{process::Stdio, time::Duration};

use tokio::{
    process::Child,
    time::{Instant, sleep},
};

use super::{
    handle::MySql,
    options::{self, Purpose},
    parameters::complaint,
    process::SERVER,
    profile::PROFILE,
    session::Session,
};
use crate::{
    blocking::blocking,
    error::EngineError,
    folder::Folder,
    home::Home,
    hosting::{
        address,
        child::{outliving, run_as},
        chosen,
        files::{make_folder, make_socket_folder},
        processes::Process,
        server_log,
    },
};

/// How long a server may recover before it takes sessions.
const START_WAIT: Duration = Duration::from_secs(15 * 60);
/// How long the recovery of a dump may take.
const RECOVER_WAIT: Duration = Duration::from_secs(60 * 60);
/// How long a server that listens elsewhere may take to stop.
const RESTART_WAIT: Duration = Duration::from_secs(30);
const READY_POLL: Duration = Duration::from_millis(40);
/// What a server says that could not bind its address; its messages are not translated.
const NO_SOCKET: &str = "Can't start server: Bind on TCP/IP port";

impl MySql {
    /// Begins the server, or adopts the one that runs, and waits until it takes sessions. The caller
    /// holds the cluster's lock.
    ///
    /// # Errors
    /// What the system says; the server's last messages.
    pub(super) async fn launch(&self, home: &Home, purpose: Purpose) -> Result<(), EngineError> {
        if purpose == Purpose::Serve && self.adopt(home).await? {
            return Ok(());
        }
        SERVER.end_orphans(home).await?;
        if purpose == Purpose::Serve {
            let at = home.clone();
            blocking(move || chosen::begin(&at)).await?;
        }
        if purpose != Purpose::Ask {
            self.addresses.take_back(home);
            self.addresses.hold(home)?;
        }
        let begun = self.begin(home, purpose).await;
        match purpose {
            Purpose::Serve => self.settle_parameters(home, begun).await,
            Purpose::Recover | Purpose::Ask => begun,
        }
    }

    /// Goes on with the server that runs. Answers whether there is one that can be gone on with.
    async fn adopt(&self, home: &Home) -> Result<bool, EngineError> {
        let at = home.clone();
        if blocking(move || SERVER.first(&at)).await?.is_none() {
            return Ok(false);
        }
        if !options::listens_as_wanted(home)? {
            SERVER.end(home, RESTART_WAIT).await?;
            return Ok(false);
        }
        tracing::info!(home = %home.dir.display(), "adopting the running server");
        match wait_ready(home, START_WAIT, None).await {
            // It was about to end when it was found.
            Err(EngineError::ServerEnded { .. }) => Ok(false),
            Ok(()) => self.watch(home).await.map(|()| true),
            Err(error) => Err(error),
        }
    }

    /// Notes with which parameters a server came up. One that ended with new ones is begun once more
    /// without them, so that no choice takes a cluster down.
    async fn settle_parameters(
        &self,
        home: &Home,
        begun: Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let at = home.clone();
        match begun {
            Ok(()) => blocking(move || chosen::confirm(&at)).await,
            Err(EngineError::ServerEnded { log, .. })
                if blocking({
                    let why = complaint(log.as_bytes());
                    move || chosen::give_up(&at, &why)
                })
                .await? =>
            {
                tracing::warn!(home = %home.dir.display(), %log, "the server did not start with its new parameters, and is started without them");
                let begun = self.begin(home, Purpose::Serve).await;
                if begun.is_err() {
                    // It was not for them that it ended.
                    let at = home.clone();
                    blocking(move || chosen::forgive(&at)).await?;
                }
                begun
            }
            failed => failed,
        }
    }

    /// Begins a server, and watches it once it has come up. Of one that has not, the address is held again.
    async fn begin(&self, home: &Home, purpose: Purpose) -> Result<(), EngineError> {
        let begun = self.begin_unwatched(home, purpose).await;
        if purpose == Purpose::Ask {
            return begun;
        }
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

    async fn begin_unwatched(&self, home: &Home, purpose: Purpose) -> Result<(), EngineError> {
        let install = self.installs.of(&home.version)?.clone();
        let (at, tls) = (home.clone(), self.tls.get().cloned());
        let words = blocking(move || {
            options::write(&at, &install, tls.as_ref())?;
            prepare(&at)?;
            options::words(&at, &install, purpose, tls.as_ref())
        });
        let words = words.await?;
        self.addresses.let_go(home);
        let server = self.spawn(home, &words)?;
        let patience = match purpose {
            Purpose::Serve | Purpose::Ask => START_WAIT,
            Purpose::Recover => RECOVER_WAIT,
        };
        wait_ready(home, patience, Some(server)).await?;
        match purpose {
            Purpose::Serve | Purpose::Recover => address::check_owner(home),
            Purpose::Ask => Ok(()),
        }
    }

    async fn watch(&self, home: &Home) -> Result<(), EngineError> {
        let at = home.clone();
        match blocking(move || SERVER.first(&at)).await? {
            Some(first) => self.watch_process(home, first).await,
            None => Ok(()),
        }
    }

    /// Watches a server that answers, and holds one that another process began to its limits.
    ///
    /// # Errors
    /// When its processes cannot be told.
    pub(super) async fn watch_process(
        &self,
        home: &Home,
        process: Process,
    ) -> Result<(), EngineError> {
        match self.addresses.watch(home, process) {
            true => self.limited.place_all(&SERVER, home).await,
            false => Ok(()),
        }
    }

    /// Begins the server process, which outlives this one.
    fn spawn(&self, home: &Home, words: &[std::ffi::OsString]) -> Result<Child, EngineError> {
        let log = server_log::open(home, &PROFILE)?;
        let program = self.installs.of(&home.version)?.program.clone();
        let mut command = outliving(self.limited.words(), &program);
        command.args(words);
        // It works in its data folder from its first moment, which is how it is found again.
        command.current_dir(home.data()).stdin(Stdio::null());
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

/// Clears the way of a new server.
fn prepare(home: &Home) -> Result<(), EngineError> {
    SERVER.check_ended(home)?;
    options::clear_traces(home)?;
    options::note_address(home)?;
    make_socket_folder(home)?;
    let temporary = options::temporary(home);
    let failed = |source| EngineError::io("make the folder", &temporary, source);
    make_folder(&temporary, 0o700).map_err(failed)?;
    // What lies in it belongs to a server that is gone, which also could have put anything there.
    let folder = Folder::open(&temporary).map_err(failed)?;
    for entry in folder.entries().map_err(failed)? {
        let path = temporary.join(&entry.name);
        crate::removal::remove_tree(&path).map_err(EngineError::removal)?;
    }
    folder.own(home.os_uid).map_err(failed)
}

/// Waits until the server takes the administrator's session; `begun` is the process of one that was
/// begun just now.
async fn wait_ready(
    home: &Home,
    patience: Duration,
    mut begun: Option<Child>,
) -> Result<(), EngineError> {
    let deadline = Instant::now() + patience;
    loop {
        match Session::open(home).await {
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
                blocking(move || SERVER.first(&at)).await?.is_none()
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
        && let Err(error) = SERVER.end(home, Duration::ZERO).await
    {
        tracing::error!(home = %home.dir.display(), %error, "a server is left behind");
    }
    result
}
