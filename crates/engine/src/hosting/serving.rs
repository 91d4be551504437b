//! A server's life as all engines have it: begun as a process that outlives this one, waited for until it takes
//! sessions, watched, and removed.
//!
//! It does not know what a server is begun with.
use std::{future::Future, path::Path, process::Stdio, sync::Arc, time::Duration};

use tokio::{
    process::Child,
    time::{Instant, sleep},
};

use super::{
    address::{self, Addresses},
    child::run_as,
    chosen,
    hold::Hold,
    limited::Limited,
    processes::{Process, ServerKind},
    server_log,
    whole::unmark_whole,
};
use crate::{
    blocking::blocking, error::EngineError, home::Home, profile::Profile, removal::remove_tree,
};

const READY_POLL: Duration = Duration::from_millis(40);

/// Why a server gave no session.
pub(crate) trait Refusal: Into<EngineError> {
    /// Whether the next try may succeed, a moment later.
    fn is_passing(&self) -> bool;
}

/// Begins a server process, which outlives this one; `command` is its program with all its words.
///
/// # Errors
/// When its log cannot be written, or the program cannot be run.
pub(crate) fn spawn(
    limited: &Limited,
    home: &Home,
    profile: &Profile,
    mut command: std::process::Command,
) -> Result<Child, EngineError> {
    let log = server_log::open(home, profile)?;
    let again = log
        .try_clone()
        .map_err(|source| EngineError::io("write", home.log_file(profile), source))?;
    // It works in its data folder from its first moment, which is how it is found again.
    command.current_dir(home.data()).stdin(Stdio::null());
    command.stdout(log).stderr(again);
    run_as(&mut command, home.os_uid.map(|uid| (uid, uid)));
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(false);
    // The handle may be let go: the runtime reaps the process when it ends before this one.
    let server = command.spawn().map_err(|source| {
        let program = command.as_std().get_program().to_owned();
        EngineError::io("run", program, source)
    })?;
    limited.place_one(home, server.id());
    Ok(server)
}

/// Holds the address again of a server that has not come up. The error says so when that is because another
/// program was quicker: the server's last words are `no_socket` then.
///
/// # Errors
/// `begun`'s, or [`EngineError::PortInUse`] in its place.
pub(crate) fn settle_address(
    addresses: &Addresses,
    home: &Home,
    begun: Result<(), EngineError>,
    no_socket: &str,
) -> Result<(), EngineError> {
    let Err(EngineError::ServerEnded { log, .. }) = &begun else {
        return begun;
    };
    addresses.hold(home)?;
    match log.contains(no_socket) {
        // Whoever was quicker may have gone since.
        true => Err(address::in_use(home)),
        false => begun,
    }
}

/// Notes with which parameters a server came up. One that ended with new ones is begun `again` without them, so
/// that no choice takes a cluster down; `why` finds in its last words what it has against them.
///
/// # Errors
/// `begun`'s or `again`'s; when what was chosen cannot be read or written.
pub(crate) async fn settle_parameters(
    home: &Home,
    begun: Result<(), EngineError>,
    why: impl Fn(&str) -> String,
    again: impl Future<Output = Result<(), EngineError>>,
) -> Result<(), EngineError> {
    let log = match begun {
        Ok(()) => {
            let at = home.clone();
            return blocking(move || chosen::confirm(&at)).await;
        }
        Err(EngineError::ServerEnded { ref log, .. }) => log,
        failed => return failed,
    };
    let (at, told) = (home.clone(), why(log));
    if !blocking(move || chosen::give_up(&at, &told)).await? {
        return begun;
    }
    tracing::warn!(home = %home.dir.display(), %log, "the server did not start with its new parameters, and is started without them");
    let begun = again.await;
    if begun.is_err() {
        // It was not for them that it ended.
        let at = home.clone();
        blocking(move || chosen::forgive(&at)).await?;
    }
    begun
}

impl ServerKind {
    /// Waits until a server takes the session that `open` asks for; `begun` is the process of one that was
    /// begun just now.
    ///
    /// # Errors
    /// [`EngineError::ServerEnded`], [`EngineError::StartTimeout`]; a refusal that does not pass.
    pub(crate) async fn wait_ready<F, R>(
        &'static self,
        home: &Home,
        profile: &Profile,
        patience: Duration,
        mut begun: Option<Child>,
        open: impl Fn() -> F,
    ) -> Result<(), EngineError>
    where
        F: Future<Output = Result<(), R>>,
        R: Refusal,
    {
        let deadline = Instant::now() + patience;
        loop {
            match open().await {
                Ok(()) => return Ok(()),
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
                None => self.found(home).await?.is_none(),
            };
            if has_ended {
                return Err(EngineError::ServerEnded {
                    home: home.dir.clone(),
                    log: server_log::tail(home, profile),
                });
            }
            if deadline < Instant::now() {
                return Err(EngineError::StartTimeout {
                    home: home.dir.clone(),
                    secs: patience.as_secs(),
                    log: server_log::tail(home, profile),
                });
            }
            sleep(READY_POLL).await;
        }
    }

    /// [`Self::first`] on a thread that may wait.
    ///
    /// # Errors
    /// As [`Self::look`].
    pub(crate) async fn found(&'static self, home: &Home) -> Result<Option<Process>, EngineError> {
        let home = home.clone();
        blocking(move || self.first(&home)).await
    }

    /// Watches the address of a server that answers, where it still lives.
    ///
    /// # Errors
    /// When its processes cannot be told.
    pub(crate) async fn watch(
        &'static self,
        addresses: &Arc<Addresses>,
        limited: &Limited,
        home: &Home,
    ) -> Result<(), EngineError> {
        match self.found(home).await? {
            Some(process) => self.watch_process(addresses, limited, home, process).await,
            None => Ok(()),
        }
    }

    /// Watches the address of a server that answers, and holds one that another process began to its limits.
    ///
    /// # Errors
    /// When its processes cannot be told.
    pub(crate) async fn watch_process(
        &'static self,
        addresses: &Arc<Addresses>,
        limited: &Limited,
        home: &Home,
        process: Process,
    ) -> Result<(), EngineError> {
        match addresses.watch(home, process) {
            true => limited.place_all(self, home).await,
            false => Ok(()),
        }
    }

    /// Ends the server of a cluster that did not become whole: nobody may find it.
    ///
    /// # Errors
    /// `result`'s.
    pub(crate) async fn or_end(
        &'static self,
        home: &Home,
        result: Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        if result.is_err()
            && let Err(error) = self.end(home, Duration::ZERO).await
        {
            tracing::error!(home = %home.dir.display(), %error, "a server is left behind");
        }
        result
    }

    /// Removes a cluster: its processes, its files, its socket.
    ///
    /// # Errors
    /// As [`crate::Engine::remove`].
    pub(crate) async fn remove(
        &'static self,
        limited: &Limited,
        home: &Home,
    ) -> Result<(), EngineError> {
        self.end(home, Duration::ZERO).await?;
        if let Some(_held) = Hold::take_if_there(home).await? {
            // A start that held the lock meanwhile may have got to its process.
            self.end(home, Duration::ZERO).await?;
            self.check_ended(home)?;
            // Nobody takes what is left of it for a cluster when this is cut short.
            unmark_whole(home)?;
            remove(&home.dir).await?;
        }
        limited.leave(home);
        remove(&home.socket_dir).await
    }
}

/// Deletes a tree on a thread that may wait.
async fn remove(tree: &Path) -> Result<(), EngineError> {
    let tree = tree.to_owned();
    blocking(move || remove_tree(&tree).map_err(EngineError::removal)).await
}
