//! Lets a server that followed take writes, without the loss of a commit that was told to a client.
//!
//! It does not know which one is chosen. The server that took writes before has ended; what it wrote
//! into its log and had not sent yet is given to the new one first, from its folder.
use std::{
    collections::BTreeSet,
    io::{self, Read},
    os::unix::fs::FileExt,
    time::Duration,
};

use model::Standing;
use tokio::time::{Instant, sleep};

use super::{
    conf::{self, ADMIN, LOG_KEPT_BYTES, Purpose},
    control::Control,
    document::lsn_text,
    follow::{control_of, is_in_recovery, running},
    handle::Postgres,
    left, process,
    run::{RESTART_WAIT, listens_as_wanted},
    session::{CHECKPOINT_WAIT, Session, column},
    wal::{Files, LogFault, Reader, Segments},
};
use crate::hosting::{hold::Hold, users::need_own_user_name, whole::is_whole};
use crate::{blocking::blocking, error::EngineError, folder::Folder, home::Home};

/// Bytes of a log file's first page that say where in the log it is.
const HEAD_BYTES: usize = 16;
/// Bytes that are copied at once.
const CHUNK_BYTES: usize = 1 << 20;
/// Digits of a log file's name.
const NAME_DIGITS: usize = 24;
/// How often a follower is asked.
const POLL: Duration = Duration::from_millis(20);
/// A follower that replays nothing for so long, or still has a receiver of the log, is started anew.
/// That ends the sessions that may hold it up.
const STALL: Duration = Duration::from_secs(10);

impl Postgres {
    /// Lets the server take writes at its home's address. `fenced` took them before, and has ended.
    pub(super) async fn promote_follower(
        &self,
        home: &Home,
        fenced: Option<&Home>,
    ) -> Result<(), EngineError> {
        self.check(home)?;
        let _held = process::SERVER.hold_to_promote(home, fenced).await?;
        match running(home).await? {
            Some(at) if take_writes(&at, fenced).await? => {}
            Some(_) => {
                process::end(home, RESTART_WAIT).await?;
                self.recover_to_write(home, fenced).await?;
            }
            None => self.recover_to_write(home, fenced).await?,
        }
        // An address cannot be changed but by a new start. All that was replayed is on the disk then.
        if running(home).await?.is_some() && !listens_as_wanted(home)? {
            process::end(home, RESTART_WAIT).await?;
        }
        self.launch(home, Purpose::Serve, ADMIN).await
    }

    /// Ends a follower's connection to the writer of that number on another node, for good.
    pub(super) async fn leave_writer(
        &self,
        home: &Home,
        term: u64,
    ) -> Result<Standing, EngineError> {
        self.check(home)?;
        let _held = Hold::take(home).await?;
        if !is_whole(home)? {
            return Err(EngineError::NotWhole {
                home: home.dir.clone(),
            });
        }
        let (at, tls) = (home.clone(), self.tls_of(home)?);
        let took_writes = control_of(home).await?.took_writes();
        left::note(home, term).await?;
        blocking(move || {
            // Before it, should the server start by itself; and then for the server that runs, even if it is
            // not new: who wrote it may have ended before the server was told.
            if !took_writes {
                conf::write(&at, &need_own_user_name()?, Purpose::Serve, tls.as_ref())?;
                process::reload(&at)?;
            }
            Ok(())
        })
        .await?;
        if took_writes {
            // It has followed nobody since it took writes itself.
            return Ok(Standing::default());
        }
        if running(home).await?.is_none() {
            self.launch(home, Purpose::Serve, ADMIN).await?;
        }
        let session = told_to_leave(home).await?;
        if !receives_no_more(&session).await? {
            session.close().await;
            process::end(home, RESTART_WAIT).await?;
            self.launch(home, Purpose::Serve, ADMIN).await?;
            return self.standing(home, Session::open(home, ADMIN).await?).await;
        }
        self.standing(home, session).await
    }

    async fn standing(&self, home: &Home, session: Session) -> Result<Standing, EngineError> {
        let from = replayed(&session).await?;
        session.close().await;
        let (at, control) = (home.clone(), control_of(home).await?);
        blocking(move || {
            let failed = |error| EngineError::io("read the log in", &at.dir, error);
            let end = own_end(&at, control, from).map_err(failed)?;
            let timeline = latest_timeline(&at).map_err(failed)?;
            Ok(Standing {
                position: end,
                timeline,
            })
        })
        .await
    }

    /// The same for a server that is down.
    async fn recover_to_write(
        &self,
        home: &Home,
        fenced: Option<&Home>,
    ) -> Result<(), EngineError> {
        let control = control_of(home).await?;
        if control.took_writes() {
            return Ok(());
        }
        if let Some(fenced) = fenced {
            top_up(home, fenced, control.checkpoint).await?;
        }
        let at = home.clone();
        blocking(move || {
            let folder = Folder::open(&at.data());
            let mark = folder.and_then(|folder| folder.write("recovery.signal", at.os_uid));
            mark.map(drop)
                .map_err(|source| EngineError::io("prepare", at.data(), source))
        })
        .await?;
        self.launch(home, Purpose::Recover, ADMIN).await?;
        process::end(home, RESTART_WAIT).await
    }
}

/// Promotes a running server that follows; one that takes writes already is left alone. False when
/// it does not get to the end of the log that it was given.
///
/// It is at that end before it is told: a server that looked at the log's end before the rest was
/// copied, and is told before it looks again, takes what it saw for the end of everything.
async fn take_writes(at: &Home, fenced: Option<&Home>) -> Result<bool, EngineError> {
    let session = Session::open(at, ADMIN).await?;
    if !is_in_recovery(&session).await? {
        session.close().await;
        return Ok(true);
    }
    let replays = match fenced {
        Some(fenced) => replays_all(at, &session, fenced).await?,
        None => replays_own(at, &session).await?,
    };
    if !replays {
        tracing::warn!(home = %at.dir.display(), "a server does not replay its log to the end, so it is started anew");
        session.close().await;
        return Ok(false);
    }
    let row = session
        .row_within(
            CHECKPOINT_WAIT,
            "take writes",
            "SELECT pg_promote(true, 600)",
            &[],
        )
        .await?;
    let promoted: bool = column(&row, 0)?;
    if promoted && at.replication.is_spread() {
        // One that keeps its address is not started anew, which would write this: until then its files say
        // nothing of the new line of its log, and pg_rewind finds nothing to take an old writer back from.
        let done = session.run_within(CHECKPOINT_WAIT, "write a checkpoint", "CHECKPOINT");
        done.await?;
    }
    session.close().await;
    match promoted {
        true => Ok(true),
        false => Err(EngineError::SqlTimeout {
            doing: "take writes",
            secs: 600,
        }),
    }
}

/// Gives a running follower the log that it lacks, and waits until it has replayed that; false when it
/// does not.
///
/// A server that makes a file of the log looks whether there is one of that name, and renames its own
/// to it a while later, over one that came meanwhile. So nothing is copied while it receives, and what
/// its folder has is looked at again.
async fn replays_all(at: &Home, session: &Session, fenced: &Home) -> Result<bool, EngineError> {
    if !receives_no_more(session).await? {
        return Ok(false);
    }
    let log = top_up(at, fenced, replayed(session).await?).await?;
    if !replays_to(session, log.end).await? {
        return Ok(false);
    }
    let to = at.clone();
    blocking(move || {
        let found = log.end_in(&to);
        let found = found.map_err(|error| EngineError::io("read the log in", &to.dir, error))?;
        Ok(log.end <= found)
    })
    .await
}

/// A session with a follower whose processes have all been told that it follows nobody: a new session has
/// what they were told then. Before, a receiver that has ended may begin anew.
async fn told_to_leave(home: &Home) -> Result<Session, EngineError> {
    let began = Instant::now();
    while began.elapsed() < STALL {
        let session = Session::open(home, ADMIN).await?;
        let sql = "SELECT current_setting('primary_conninfo') = ''";
        let row = session.row("say whom it follows", sql, &[]).await?;
        if column(&row, 0)? {
            return Ok(session);
        }
        session.close().await;
        sleep(POLL).await;
    }
    Err(EngineError::SqlTimeout {
        doing: "follow nobody",
        secs: STALL.as_secs(),
    })
}

/// Waits until a follower has replayed all that it has itself.
async fn replays_own(at: &Home, session: &Session) -> Result<bool, EngineError> {
    if !receives_no_more(session).await? {
        return Ok(false);
    }
    let (to, control) = (at.clone(), control_of(at).await?);
    let from = replayed(session).await?;
    let end = blocking(move || {
        own_end(&to, control, from)
            .map_err(|error| EngineError::io("read the log in", &to.dir, error))
    });
    replays_to(session, end.await?).await
}

/// Where the last whole record of a server's own log ends; `from`, where its replay goes on, when nothing
/// follows.
fn own_end(home: &Home, control: Control, from: u64) -> io::Result<u64> {
    let from = from.max(control.checkpoint);
    let log = EndedLog {
        control,
        from,
        end: from,
    };
    match log.end_in(home)? {
        u64::MAX => Ok(from),
        end => Ok(end),
    }
}

/// The latest timeline that a server knows of.
fn latest_timeline(home: &Home) -> io::Result<u32> {
    let folder = Folder::open(&home.data())?.enter("pg_wal")?;
    let entries = folder.entries()?;
    let is_of_log = |name: &str| name.len() == NAME_DIGITS || name.ends_with(".history");
    let names = entries.iter().map(|entry| entry.name.as_str());
    let found = names.filter(|name| is_of_log(name)).filter_map(timeline_of);
    Ok(found.max().unwrap_or(0))
}

/// Waits until what a follower was sent is in its files: the server that sent it has ended, or was left.
/// False when it does not get there.
///
/// A receiver that is still connecting is in no view of receivers, and may be let in later than this looks.
/// It is among the processes, from before it reads the password on that it needs on another node. So once
/// that is gone and no such process is there, none receives any more.
async fn receives_no_more(session: &Session) -> Result<bool, EngineError> {
    let began = Instant::now();
    while began.elapsed() < STALL {
        let row = session
            .row(
                "say whether it receives",
                "SELECT EXISTS (SELECT FROM pg_stat_wal_receiver) \
                    OR EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'walreceiver')",
                &[],
            )
            .await?;
        if !column::<bool>(&row, 0)? {
            return Ok(true);
        }
        sleep(POLL).await;
    }
    Ok(false)
}

/// Where the next record that a follower replays begins.
async fn replayed(session: &Session) -> Result<u64, EngineError> {
    let row = session
        .row(
            "say how far it is",
            "SELECT pg_wal_lsn_diff(coalesce(pg_last_wal_replay_lsn(), '0/0'), '0/0')::bigint",
            &[],
        )
        .await?;
    Ok(u64::try_from(column::<i64>(&row, 0)?).unwrap_or(0))
}

/// Waits until a follower has replayed the log up to there; false when it stands still.
async fn replays_to(session: &Session, end: u64) -> Result<bool, EngineError> {
    let (mut before, mut moved) = (0, Instant::now());
    loop {
        let now = replayed(session).await?;
        if end <= now {
            return Ok(true);
        }
        if before < now {
            (before, moved) = (now, Instant::now());
        }
        if STALL < moved.elapsed() {
            return Ok(false);
        }
        sleep(POLL).await;
    }
}

/// The log of a server that ended, from the place on where replay goes on.
#[derive(Debug, Clone, Copy)]
struct EndedLog {
    control: Control,
    from: u64,
    /// Where its last whole record ends.
    end: u64,
}

impl EndedLog {
    fn read(fenced: &Home, control: Control, from: u64) -> io::Result<Self> {
        let end = from;
        let log = Self { control, from, end };
        let end = log.end_in(fenced)?;
        Ok(Self { end, ..log })
    }

    /// Where the last whole record ends, in a server's folder.
    fn end_in(&self, home: &Home) -> io::Result<u64> {
        let folder = Folder::open(&home.data())?.enter("pg_wal")?;
        let mut end = self.from;
        for timeline in self.timelines(&folder)? {
            let segments = Segments::of(&self.control, timeline);
            let files = Files::new(&folder, segments, u64::MAX);
            let mut reader = Reader::new(files, segments, end);
            loop {
                match reader.next() {
                    Ok(_) => end = reader.at(),
                    Err(LogFault::Io(error)) => return Err(error),
                    // Nobody knows how far that one gets.
                    Err(LogFault::Format(_)) if end == self.from => return Ok(u64::MAX),
                    Err(_) => break,
                }
            }
        }
        Ok(end)
    }

    /// The latest timeline that has a file of the place where replay goes on, and those that came
    /// after it. Each goes on where the one before it ends.
    fn timelines(&self, folder: &Folder) -> io::Result<BTreeSet<u32>> {
        let bytes = u64::from(self.control.wal_segment_bytes);
        let (mut first, mut all) = (0, BTreeSet::new());
        for entry in folder.entries()? {
            let name = entry.name.as_str();
            if let (Some(begin), Some(timeline)) = (place_of(name, bytes), timeline_of(name)) {
                all.insert(timeline);
                if begin <= self.from && self.from < begin + bytes {
                    first = first.max(timeline);
                }
            }
        }
        Ok(all.split_off(&first))
    }
}

/// Copies the log that the ended server has, from the file on that holds `from`, into the log of the
/// one that followed it. Both wrote the same bytes as far as the follower came. Whoever reads the
/// cluster's log may be in a file before that, which a follower made since then never had: as much as
/// it keeps is copied too.
async fn top_up(home: &Home, fenced: &Home, from: u64) -> Result<EndedLog, EngineError> {
    // Its own, which is as the other's was: that one may have died of its files.
    let control = control_of(home).await?;
    let (to, source) = (home.clone(), fenced.clone());
    blocking(move || {
        let from = from.max(control.checkpoint);
        let read = EndedLog::read(&source, control, from)
            .and_then(|log| Ok((log, copy_log(&to, &source, &control, from)?)));
        let (log, files) = read.map_err(|error| {
            EngineError::io("read the log of the server that ended in", &source.dir, error)
        })?;
        tracing::info!(home = %to.dir.display(), files, end = %lsn_text(log.end), "the log of the server that ended was taken over");
        Ok(log)
    })
    .await
}

fn copy_log(to: &Home, fenced: &Home, control: &Control, from: u64) -> io::Result<usize> {
    let source = Folder::open(&fenced.data())?.enter("pg_wal")?;
    let target = Folder::open(&to.data())?.enter("pg_wal")?;
    let bytes = u64::from(control.wal_segment_bytes);
    let mut copied = 0;
    let kept_from = from.saturating_sub(LOG_KEPT_BYTES);
    for entry in source.entries()? {
        let name = entry.name.as_str();
        match place_of(name, bytes) {
            Some(begin) if from < begin + bytes => {
                if !begins_at(&source, name, begin)? {
                    continue;
                }
                copy_file(&source, name, &target, name, to.os_uid)?;
            }
            Some(begin) => {
                let is_kept = kept_from < begin + bytes;
                if !is_kept || target.has_file(name)? || !begins_at(&source, name, begin)? {
                    continue;
                }
                copy_whole(&source, &target, name, to.os_uid)?;
            }
            None => {
                if !name.ends_with(".history") || target.has_file(name)? {
                    continue;
                }
                copy_whole(&source, &target, name, to.os_uid)?;
            }
        }
        copied += 1;
    }
    target.sync()?;
    Ok(copied)
}

/// Where in the log a file of that name begins; none when it is none of its files.
fn place_of(name: &str, segment_bytes: u64) -> Option<u64> {
    if name.len() != NAME_DIGITS || segment_bytes == 0 {
        return None;
    }
    timeline_of(name)?;
    let number = |at: usize| u64::from_str_radix(name.get(at..at + 8)?, 16).ok();
    let per_id = (1_u64 << 32) / segment_bytes;
    (number(8)? * per_id + number(16)?).checked_mul(segment_bytes)
}

fn timeline_of(name: &str) -> Option<u32> {
    u32::from_str_radix(name.get(..8)?, 16).ok()
}

/// Whether a file holds what its name says, and is none that was kept to be used again.
fn begins_at(folder: &Folder, name: &str, begin: u64) -> io::Result<bool> {
    let mut head = [0; HEAD_BYTES];
    match folder.file(name)?.read_exact_at(&mut head, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        other => other?,
    }
    let at = u64::from_ne_bytes(head[8..].try_into().expect("eight bytes"));
    Ok(at == begin)
}

/// A file that is there under its name is whole, so that the next try need not copy it again.
fn copy_whole(source: &Folder, target: &Folder, name: &str, owner: Option<u32>) -> io::Result<()> {
    let part = format!("{name}.part");
    copy_file(source, name, target, &part, owner)?;
    target.rename(&part, name)
}

/// In place: the server may have the file open, and reads the same bytes as before or more.
fn copy_file(
    source: &Folder,
    name: &str,
    target: &Folder,
    new_name: &str,
    owner: Option<u32>,
) -> io::Result<()> {
    let mut from = source.file(name)?;
    let to = target.write(new_name, owner)?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut at = 0;
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        to.write_all_at(&buffer[..read], at)?;
        at += read as u64;
    }
    to.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_files_name_says_where_it_begins() {
        let bytes = 16 << 20;
        assert_eq!(place_of("000000010000000000000003", bytes), Some(3 * bytes));
        assert_eq!(
            place_of("0000000200000001000000FF", bytes),
            Some((256 + 255) * bytes)
        );
        for other in [
            "00000002.history",
            "archive_status",
            "0000000100000000000000ZZ",
        ] {
            assert_eq!(place_of(other, bytes), None, "{other}");
        }
    }
}
