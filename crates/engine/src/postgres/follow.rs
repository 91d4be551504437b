//! Servers that follow another one of their cluster, over its socket or, on another node, over the
//! network: made as copies of it, and brought back to it when they had writes of their own.
//!
//! It does not know why one is wanted, nor which of them is to take writes.
use std::{path::PathBuf, process::Command, process::Stdio, time::Duration};

use tokio::time::sleep;

use super::{
    admission::{is_not_admitted, keep_role, reach, slot},
    conf::{self, ADMIN, Purpose, REPLICATOR, SLOT},
    control::{CONTROL_BYTES, Control},
    handle::Postgres,
    process,
    profile::PROFILE,
    run::RESTART_WAIT,
    session::{Session, column, quoted_text},
};
use crate::hosting::{
    child::{last_lines, run_as, run_quietly},
    files,
    follower::{may_follow, upstream},
    hold::Hold,
    whole::{is_whole, mark_whole, unmark_whole},
};
use crate::{
    blocking::blocking,
    error::EngineError,
    folder::{Folder, read_small},
    home::Home,
    interface::Replica,
    programs::command,
    removal::remove_tree,
};

/// What the names of slots begin with that are ours.
const SLOT_PREFIX: &str = "member_";
/// Bytes of log that a server keeps for a follower that is not connected. One that misses more is
/// copied anew.
const KEPT_BYTES_MAX: u64 = 4 << 30;
const ADMISSION_POLL: Duration = Duration::from_millis(200);
/// Tries at a control file that may be half-written.
const CONTROL_TRIES: u32 = 4;
const CONTROL_POLL: Duration = Duration::from_millis(20);

/// The home as its running server has it: its socket is named by the port that it began with. None
/// when no server runs.
pub(super) async fn running(home: &Home) -> Result<Option<Home>, EngineError> {
    let at = home.clone();
    blocking(move || {
        if process::postmaster(&at)?.is_none() {
            return Ok(None);
        }
        let lock = process::read_lock_file(&at)
            .map_err(|error| EngineError::io("read", error.path, error.source))?;
        let port = lock.and_then(|lock| lock.port).unwrap_or(at.port);
        Ok(Some(Home { port, ..at }))
    })
    .await
}

/// Whether a server took writes when it last ran.
async fn took_writes(home: &Home) -> Result<bool, EngineError> {
    Ok(is_whole(home)? && control_of(home).await?.took_writes())
}

/// What the cluster's files say of themselves. A server that runs may be about to write it.
pub(super) async fn control_of(home: &Home) -> Result<Control, EngineError> {
    for _ in 0..CONTROL_TRIES {
        if let Ok(control) = read_control(home).await {
            return Ok(control);
        }
        sleep(CONTROL_POLL).await;
    }
    read_control(home).await
}

async fn read_control(home: &Home) -> Result<Control, EngineError> {
    let at = home.clone();
    blocking(move || {
        let path = at.data().join("global/pg_control");
        let failed = |source| EngineError::io("read", &path, source);
        let folder = Folder::open(&at.data()).and_then(|data| data.enter("global"));
        let mut file = folder
            .and_then(|global| global.file("pg_control"))
            .map_err(failed)?;
        let bytes = read_small(&mut file, CONTROL_BYTES as u64 + 1).map_err(failed)?;
        Control::read(&bytes).map_err(|fault| failed(std::io::Error::other(fault.to_string())))
    })
    .await
}

impl Postgres {
    /// Makes a new server that follows.
    pub(super) async fn follow_upstream(&self, home: &Home) -> Result<(), EngineError> {
        self.check(home)?;
        let _held = Hold::take_new(home).await?;
        self.copy_upstream(home).await
    }

    /// Makes a follower that cannot go on anew.
    pub(super) async fn copy_again(&self, home: &Home) -> Result<(), EngineError> {
        self.check(home)?;
        upstream(home)?;
        let _held = Hold::take(home).await?;
        may_follow(home, took_writes(home).await?).await?;
        self.check_admitted(home).await?;
        process::end(home, Duration::ZERO).await?;
        unmark_whole(home)?;
        self.copy_upstream(home).await
    }

    /// Starts a follower, or adopts it. One that took writes when it last ran is brought back to the
    /// state of the server that it follows now. The caller holds the lock.
    pub(super) async fn start_follower(&self, home: &Home) -> Result<(), EngineError> {
        if !is_whole(home)? {
            return self.copy_upstream(home).await;
        }
        may_follow(home, took_writes(home).await?).await?;
        if let Some(at) = running(home).await?
            && let Ok(session) = Session::open(&at, ADMIN).await
            && !is_in_recovery(&session).await?
        {
            process::end(home, RESTART_WAIT).await?;
        }
        if running(home).await?.is_none() && control_of(home).await?.took_writes() {
            self.check_admitted(home).await?;
            tracing::info!(home = %home.dir.display(), "a server that took writes comes back as a follower");
            if let Err(error) = self.rewind(home).await {
                tracing::warn!(home = %home.dir.display(), %error, "a server cannot be taken back to where it parted, so it is copied anew");
                unmark_whole(home)?;
                return self.copy_upstream(home).await;
            }
        }
        self.launch(home, Purpose::Serve, ADMIN).await
    }

    /// Makes sure, before a server's own files go, that the one on another node lets it in: those files may be
    /// all that is left of commits.
    async fn check_admitted(&self, home: &Home) -> Result<(), EngineError> {
        let upstream = upstream(home)?;
        if upstream.term.is_none() {
            return Ok(());
        }
        reach(home, upstream).await?;
        let mut command = command(self.installs.of(&home.version)?.program("pg_receivewal"));
        command
            .arg("--dbname")
            .arg(conf::connection(home, upstream, &copying(home)))
            .args(["--slot", &home.replication.name])
            .args(["--create-slot", "--if-not-exists", "--no-password"]);
        run_program(home, "pg_receivewal", command).await
    }

    async fn copy_upstream(&self, home: &Home) -> Result<(), EngineError> {
        let upstream = upstream(home)?;
        process::end(home, Duration::ZERO).await?;
        let tries_max = reach(home, upstream).await?;
        let program = self.installs.of(&home.version)?.program("pg_basebackup");
        let mut tries = 0;
        loop {
            empty_data(home).await?;
            let mut command = command(&program);
            command
                .arg("--pgdata")
                .arg(home.data())
                .arg("--dbname")
                .arg(conf::connection(home, upstream, &copying(home)))
                .args(["--slot", &home.replication.name, "--wal-method=stream"])
                // It is made durable before it is said to be whole.
                .args([
                    "--checkpoint=fast",
                    "--no-manifest",
                    "--no-sync",
                    "--no-password",
                ]);
            match run_program(home, "pg_basebackup", command).await {
                Err(EngineError::Program { tail, .. })
                    if tries < tries_max && is_not_admitted(home, upstream, &tail) =>
                {
                    tries += 1;
                    sleep(ADMISSION_POLL).await;
                    // Whoever sees to the other server may not know of this one yet, and have taken its slot.
                    reach(home, upstream).await?;
                }
                done => break done?,
            }
        }
        let started = async {
            self.launch(home, Purpose::Serve, ADMIN).await?;
            mark_whole(home).await
        };
        process::SERVER.or_end(home, started.await).await
    }

    /// Takes the files of a server that took writes back to where they parted from those of the
    /// server that it follows. Until that is done they are no cluster.
    async fn rewind(&self, home: &Home) -> Result<(), EngineError> {
        let upstream = upstream(home)?;
        if !control_of(home).await?.is_shut_down() {
            self.settle(home).await?;
        }
        unmark_whole(home)?;
        reach(home, upstream).await?;
        let mut command = command(self.installs.of(&home.version)?.program("pg_rewind"));
        command
            .arg("--target-pgdata")
            .arg(home.data())
            .arg("--source-server")
            .arg(conf::connection(home, upstream, &copying(home)))
            // Its server ended in order; and it is made durable before it is said to be whole.
            .args(["--no-ensure-shutdown", "--no-sync"]);
        run_program(home, "pg_rewind", command).await?;
        mark_whole(home).await
    }

    /// Gives a running server the slots that those need who follow it, and takes away all others of
    /// ours.
    pub(super) async fn keep_slots(&self, home: &Home) -> Result<(), EngineError> {
        let session = Session::open(home, ADMIN).await?;
        // One that took writes may run on though the records make it a reader: nobody is to follow it by the
        // secret of the next term.
        if let Some(secret) = &home.replication.secret
            && home.replication.upstream.is_none()
        {
            keep_role(&session, secret).await?;
        }
        let followers = &home.replication.followers;
        let names: Vec<String> = followers.iter().map(|name| quoted_text(name)).collect();
        let names = format!("ARRAY[{}]::text[]", names.join(", "));
        session
            .run(
                "keep the log for those who follow",
                &format!(
                    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
                     WHERE slot_type = 'physical' AND NOT active AND NOT temporary \
                       AND CASE WHEN slot_name = '{SLOT}' THEN pg_is_in_recovery() \
                         ELSE starts_with(slot_name::text, '{SLOT_PREFIX}') \
                       AND (slot_name::text <> ALL ({names}) OR CASE WHEN pg_is_in_recovery() THEN true \
                            ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) > {KEPT_BYTES_MAX} END) END"
                ),
            )
            .await?;
        for name in followers {
            session
                .run("keep the log for those who follow", &slot(name))
                .await?;
        }
        session.close().await;
        Ok(())
    }

    /// How far a server is.
    pub(super) async fn replica_state(&self, home: &Home) -> Result<Replica, EngineError> {
        let session = Session::open(home, ADMIN).await?;
        let row = session
            .row(
                "say how far it is",
                &format!("SELECT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery() THEN \
                     pg_wal_lsn_diff(greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), '0/0') \
                     ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') END::bigint, \
                     EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming'), \
                     (SELECT count(*) FROM pg_stat_replication WHERE usename = '{REPLICATOR}')"),
                &[],
            )
            .await?;
        let replica = Replica {
            follows: column(&row, 0)?,
            position: column::<Option<i64>>(&row, 1)?
                .and_then(|position| u64::try_from(position).ok())
                .unwrap_or(0),
            is_connected: column(&row, 2)?,
            heard_by: u64::try_from(column::<i64>(&row, 3)?).unwrap_or(0),
        };
        session.close().await;
        Ok(replica)
    }
}

pub(super) async fn is_in_recovery(session: &Session) -> Result<bool, EngineError> {
    let row = session
        .row("say whether it follows", "SELECT pg_is_in_recovery()", &[])
        .await?;
    column(&row, 0)
}

/// The name of a connection that copies a server: no commit waits for it, since what it has is in no whole
/// server yet.
fn copying(home: &Home) -> String {
    format!("copy_{}", home.replication.name)
}

/// An empty data folder of the server's user.
async fn empty_data(home: &Home) -> Result<(), EngineError> {
    let (data, owner) = (home.data(), home.os_uid);
    blocking(move || {
        remove_tree(&data).map_err(EngineError::removal)?;
        let failed = |source| EngineError::io("make the folder", &data, source);
        files::make_folder(&data, 0o700).map_err(failed)?;
        let folder = Folder::open(&data).map_err(failed)?;
        folder.own(owner).map_err(failed)
    })
    .await
}

/// Runs a program as the server's user, in the data folder: it is found there should it go on alone.
async fn run_program(
    home: &Home,
    program: &'static str,
    mut command: Command,
) -> Result<(), EngineError> {
    command.current_dir(home.data()).stdin(Stdio::null());
    run_as(&mut command, home.os_uid.map(|uid| (uid, uid)));
    let path = PathBuf::from(command.get_program());
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    let (status, told) = run_quietly(command)
        .await
        .map_err(|source| EngineError::io("run", path, source))?;
    if status.success() {
        return Ok(());
    }
    Err(EngineError::Program {
        title: PROFILE.title,
        program,
        status: status.to_string(),
        tail: last_lines(&told),
    })
}
