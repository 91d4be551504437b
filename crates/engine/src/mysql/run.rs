//! A cluster's server: begin it or adopt it, and wait until it takes sessions.
//!
//! It does not know why a server is wanted, nor whether its files are whole.
use std::time::Duration;

use tokio::process::Child;

use super::{
    commits, handle::MySql, options, parameters::complaint, process::SERVER, profile::PROFILE,
    replicating::Purpose, session::Session,
};
use crate::{
    blocking::blocking,
    error::EngineError,
    folder::Folder,
    home::Home,
    hosting::{
        address,
        child::outliving,
        chosen,
        files::{make_folder, make_socket_folder},
        serving::{settle_address, settle_parameters, spawn},
    },
};

/// How long a server may recover before it takes sessions.
const START_WAIT: Duration = Duration::from_secs(15 * 60);
/// How long the recovery of a dump may take.
const RECOVER_WAIT: Duration = Duration::from_secs(60 * 60);
/// How long a server that listens elsewhere may take to stop.
pub(super) const RESTART_WAIT: Duration = Duration::from_secs(30);
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
        if purpose.serves() {
            let at = home.clone();
            blocking(move || chosen::begin(&at)).await?;
        }
        if purpose.has_address() {
            self.addresses.take_back(home);
            self.addresses.hold(home)?;
        }
        let begun = self.begin(home, purpose).await;
        match purpose {
            Purpose::Serve | Purpose::Confirm => {
                let why = |log: &str| complaint(log.as_bytes());
                let again = self.begin(home, purpose);
                settle_parameters(home, begun, why, again).await
            }
            Purpose::Recover | Purpose::Alone | Purpose::Ask | Purpose::Replay => begun,
        }
    }

    /// Goes on with the server that runs. Answers whether there is one that can be gone on with.
    async fn adopt(&self, home: &Home) -> Result<bool, EngineError> {
        if SERVER.found(home).await?.is_none() {
            return Ok(false);
        }
        if !options::listens_as_wanted(home)? {
            commits::end(home, RESTART_WAIT).await?;
            return Ok(false);
        }
        tracing::info!(home = %home.dir.display(), "adopting the running server");
        match wait_ready(home, START_WAIT, None).await {
            // It was about to end when it was found.
            Err(EngineError::ServerEnded { .. }) => Ok(false),
            Ok(()) => {
                let watched = SERVER.watch(&self.addresses, &self.limited, home);
                watched.await.map(|()| true)
            }
            Err(error) => Err(error),
        }
    }

    /// Begins a server, and watches it once it has come up. Of one that has not, the address is held again.
    async fn begin(&self, home: &Home, purpose: Purpose) -> Result<(), EngineError> {
        let begun = self.begin_unwatched(home, purpose).await;
        if !purpose.has_address() {
            return begun;
        }
        settle_address(&self.addresses, home, begun, NO_SOCKET)?;
        SERVER.watch(&self.addresses, &self.limited, home).await
    }

    async fn begin_unwatched(&self, home: &Home, purpose: Purpose) -> Result<(), EngineError> {
        let install = self.installs.of(&home.version)?.clone();
        let (at, tls) = (home.clone(), self.tls.get().cloned());
        let words = blocking(move || {
            options::write(&at, &install, tls.as_ref())?;
            prepare(&at, purpose)?;
            options::words(&at, &install, purpose, tls.as_ref())
        });
        let words = words.await?;
        self.addresses.let_go(home);
        let server = self.spawn(home, &words)?;
        let patience = match purpose {
            Purpose::Serve | Purpose::Confirm | Purpose::Ask => START_WAIT,
            Purpose::Recover | Purpose::Alone | Purpose::Replay => RECOVER_WAIT,
        };
        wait_ready(home, patience, Some(server)).await?;
        match purpose.has_address() {
            true => address::check_owner(home),
            false => Ok(()),
        }
    }

    /// Begins the server process, which outlives this one.
    fn spawn(&self, home: &Home, words: &[std::ffi::OsString]) -> Result<Child, EngineError> {
        let program = self.installs.of(&home.version)?.program.clone();
        let mut command = outliving(self.limited.words(), &program);
        command.args(words);
        spawn(&self.limited, home, &PROFILE, command)
    }
}

/// Clears the way of a new server.
fn prepare(home: &Home, purpose: Purpose) -> Result<(), EngineError> {
    SERVER.check_ended(home)?;
    options::clear_traces(home)?;
    options::note_address(home, purpose)?;
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
    begun: Option<Child>,
) -> Result<(), EngineError> {
    let open = || Session::try_out(home);
    SERVER
        .wait_ready(home, &PROFILE, patience, begun, open)
        .await
}
