//! The engine `postgres`: PostgreSQL 15 and newer, with the programs of this machine.
//!
//! It does not know where a dump goes or comes from, nor whose the cluster is.
//!
//! Isolation: as root, a cluster's server runs under a user number of its own, which owns
//! `data/` and the socket's folder and nothing else. `home.dir`, `conf/` and `log/` belong to
//! root. A role with CREATEROLE can run programs as the server's user (before PostgreSQL 16), so
//! what lies in `data/` is never trusted: it is entered without following links, and files of
//! another owner are refused.
mod address;
mod bounded;
mod conf;
mod control;
mod create;
mod document;
mod dump;
mod eviction;
mod examine;
mod install;
mod listeners;
mod load;
mod page;
mod ping;
mod process;
mod review;
mod run;
mod session;
mod sweep_user;
mod wal;

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use crate::{
    DumpInfo, DumpSink, Engine, EngineError, Examined, Home, NewCluster, ServerState, Tls, reach,
    remove_tree,
};
use install::Installs;

pub use eviction::{Eviction, EvictionError, Evictor, Occupant, shown as shown_occupants};
pub use review::Disturbance;

#[doc(hidden)]
pub use page::checksum as page_checksum;
#[doc(hidden)]
pub use wal::list_log;

/// The role and the database of Snapferry's own sessions.
const ADMIN: &str = "rdsadmin";
/// How long an operation waits for another one on the same cluster.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// Runs PostgreSQL.
#[derive(Debug, Default)]
pub struct Postgres {
    installs: Installs,
    addresses: Arc<address::Addresses>,
    tls: OnceLock<Tls>,
}

impl Postgres {
    /// Uses Debian's programs, and those in `extra`: a folder with `bin/postgres`, or with folders
    /// that have it. The programs are looked up when they are first needed.
    pub fn new(extra: Option<PathBuf>) -> Self {
        Self {
            installs: Installs::new(extra),
            ..Self::default()
        }
    }

    /// Uses only the programs in these folders, each as `extra` of [`Postgres::new`].
    pub fn only(folders: Vec<PathBuf>) -> Self {
        Self {
            installs: Installs::only(folders),
            ..Self::default()
        }
    }

    /// Checks a home before anything is done in it.
    fn check(&self, home: &Home) -> Result<(), EngineError> {
        conf::check(home)?;
        match home.os_uid {
            None if process::own_uid() == 0 => Err(EngineError::BadValue {
                what: "the server's user",
                value: "root".to_owned(),
                why: "cannot run PostgreSQL: a user number is needed",
            }),
            Some(0) => Err(EngineError::BadValue {
                what: "the server's user",
                value: "0".to_owned(),
                why: "is root, as which PostgreSQL does not run",
            }),
            Some(uid) => {
                for folder in [home.dir.parent(), home.socket_dir.parent()]
                    .into_iter()
                    .flatten()
                {
                    if let Some(folder) = reach::first_unreachable(folder, uid) {
                        return Err(EngineError::Unreachable { folder, uid });
                    }
                }
                Ok(())
            }
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Engine for Postgres {
    fn installed(&self) -> Vec<String> {
        let mut versions: Vec<String> = self
            .installs
            .all()
            .iter()
            .map(|install| install.version.clone())
            .collect();
        versions.dedup();
        versions
    }

    async fn create(&self, home: &Home, spec: &NewCluster) -> Result<(), EngineError> {
        self.create_cluster(home, spec).await
    }

    async fn start(&self, home: &Home) -> Result<(), EngineError> {
        let not_whole = || EngineError::NotWhole {
            home: home.dir.clone(),
        };
        self.check(home)?;
        if !is_whole(home)? {
            return Err(not_whole());
        }
        let _held = Hold::take(home).await?;
        // Looked at again: a removal may have held the lock.
        if !is_whole(home)? {
            return Err(not_whole());
        }
        self.launch(home, conf::Purpose::Serve, ADMIN).await
    }

    async fn stop(&self, home: &Home, patience: Duration) -> Result<(), EngineError> {
        process::end(home, patience).await
    }

    async fn state(&self, home: &Home) -> Result<ServerState, EngineError> {
        let at = home.clone();
        let found = blocking(move || process::postmaster(&at)).await?;
        let Some(postmaster) = found else {
            return Ok(ServerState::Ended);
        };
        if !ping::answers(home).await {
            return Ok(ServerState::Silent);
        }
        self.addresses.watch(home, postmaster);
        Ok(ServerState::Answers)
    }

    fn dump(&self, home: &Home, sink: &mut dyn DumpSink) -> Result<DumpInfo, EngineError> {
        dump::dump(&self.installs, home, sink)
    }

    async fn load(&self, home: &Home, document: &str) -> Result<(), EngineError> {
        self.load_dump(home, document).await
    }

    async fn remove(&self, home: &Home) -> Result<(), EngineError> {
        process::end(home, Duration::ZERO).await?;
        if let Some(_held) = Hold::take_if_there(home).await? {
            // A start that held the lock meanwhile may have got to its process.
            process::end(home, Duration::ZERO).await?;
            process::check_ended(home)?;
            // Nobody takes what is left of it for a cluster when this is cut short.
            unmark_whole(home)?;
            remove(&home.dir).await?;
        }
        remove(&home.socket_dir).await
    }

    async fn trim_log(&self, home: &Home) -> Result<(), EngineError> {
        let home = home.clone();
        blocking(move || run::trim_log(&home)).await
    }

    fn hold(&self, home: &Home) -> Result<(), EngineError> {
        self.addresses.hold(home)
    }

    fn release(&self, home: &Home) {
        self.addresses.release(home);
    }

    async fn ended(&self) {
        self.addresses.ended().await;
    }

    async fn examine(&self, home: &Home) -> Result<Examined, EngineError> {
        self.examine_cluster(home).await
    }

    fn use_tls(&self, tls: Tls) {
        // The first one stays.
        let _ = self.tls.set(tls);
    }

    async fn renew(&self, home: &Home) -> Result<(), EngineError> {
        let (at, tls) = (home.clone(), self.tls.get().cloned());
        blocking(move || {
            let own_user = install::need_own_user_name()?;
            if conf::write(&at, &own_user, conf::Purpose::Serve, tls.as_ref())? {
                tracing::info!(home = %at.dir.display(), "the server has new settings or a new certificate");
                process::reload(&at)?;
            }
            Ok(())
        })
        .await
    }

    fn helper_uids(&self) -> Vec<u32> {
        match process::own_uid() {
            0 => install::helper_user()
                .into_iter()
                .map(|(uid, _)| uid)
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// Runs what waits for disks on a thread that may wait.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(EngineError::StopRequested),
        },
    }
}

/// Deletes a tree on a thread that may wait.
async fn remove(tree: &Path) -> Result<(), EngineError> {
    let tree = tree.to_owned();
    blocking(move || remove_tree(&tree).map_err(EngineError::removal)).await
}

/// The right to change a cluster: one holder at a time, in this process or another. It ends with
/// the value, and with the process.
#[derive(Debug)]
struct Hold {
    _file: fs::File,
}

impl Hold {
    const NAME: &str = "lock";

    /// Takes the lock without waiting; none when another holds it.
    fn try_take(home: &Home) -> Result<Option<Self>, EngineError> {
        let path = home.dir.join(Self::NAME);
        let failed = |source| EngineError::io("lock", &path, source);
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Takes the lock as [`Self::take`] does; none when there is no such folder.
    async fn take_if_there(home: &Home) -> Result<Option<Self>, EngineError> {
        match fs::symlink_metadata(&home.dir) {
            Ok(_) => Self::take(home).await.map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(EngineError::io("look at", &home.dir, error)),
        }
    }

    /// Takes the lock, waiting a while for another holder.
    async fn take(home: &Home) -> Result<Self, EngineError> {
        let deadline = Instant::now() + BUSY_WAIT;
        loop {
            if let Some(held) = Self::try_take(home)? {
                return Ok(held);
            }
            if deadline < Instant::now() {
                return Err(EngineError::Busy {
                    home: home.dir.clone(),
                });
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Ends the server of a cluster that did not become whole: nobody may find it.
async fn or_end(home: &Home, result: Result<(), EngineError>) -> Result<(), EngineError> {
    if result.is_err()
        && let Err(error) = process::end(home, Duration::ZERO).await
    {
        tracing::error!(home = %home.dir.display(), %error, "a server is left behind");
    }
    result
}

/// The mark of a cluster that was made or loaded to the end.
const WHOLE: &str = "whole";

fn is_whole(home: &Home) -> Result<bool, EngineError> {
    let mark = home.dir.join(WHOLE);
    match fs::symlink_metadata(&mark) {
        Ok(facts) => Ok(facts.is_file()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(EngineError::io("look at", mark, error)),
    }
}

/// Marks the cluster as whole, durably, after all of it is durable. The mark holds a random
/// number, new for every try that became whole: the data folder's incarnation.
async fn mark_whole(home: &Home) -> Result<(), EngineError> {
    let home = home.clone();
    blocking(move || write_mark(&home)).await
}

fn write_mark(home: &Home) -> Result<(), EngineError> {
    let failed = |source| EngineError::io("mark as whole", &home.dir, source);
    let data = crate::folder::Folder::open(&home.data()).map_err(failed)?;
    data.sync_file_system().map_err(failed)?;
    let folder = crate::folder::Folder::open(&home.dir).map_err(failed)?;
    let incarnation = uuid::Uuid::new_v4().simple().to_string();
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(home.dir.join(WHOLE))
        .and_then(|mut mark| {
            mark.write_all(incarnation.as_bytes())?;
            mark.sync_all()
        })
        .map_err(failed)?;
    folder.sync().map_err(failed)
}

fn unmark_whole(home: &Home) -> Result<(), EngineError> {
    let mark = home.dir.join(WHOLE);
    match fs::remove_file(&mark) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(EngineError::io("delete", mark, error))
        }
        _ => Ok(()),
    }
}

/// The data folder's incarnation; none when its mark does not say it.
fn incarnation(home: &Home) -> Option<uuid::Uuid> {
    let text = fs::read_to_string(home.dir.join(WHOLE)).ok()?;
    uuid::Uuid::try_parse(text.trim()).ok()
}

/// Reads a small file of the data folder whole.
fn read_small(file: &mut fs::File, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}
