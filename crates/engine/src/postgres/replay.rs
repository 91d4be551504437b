//! From the files of a dump and the log behind it to a running cluster as it was at a moment.
//!
//! It does not know where the log was kept. Its files are laid into a folder of the server's user, a
//! few ahead of the recovery, which takes one after another from there and waits for those that have
//! not come yet.
//!
//! Invariant: a recovery that ended before the log did is no success, whatever the server says.
use std::{io, io::Write, path::PathBuf, time::Duration};

use model::{LogPlace, Timestamp};
use tokio::time::sleep;

use super::{
    conf::{self, ADMIN, Purpose},
    control::Control,
    follow::control_of,
    handle::Postgres,
    profile::PROFILE,
    wal::Segments,
};
use crate::{
    blocking::blocking,
    error::EngineError,
    folder::Folder,
    home::Home,
    hosting::{files, server_log},
    log::{LogPiece, LogSource, ReplayTarget},
    removal::remove_tree,
};

/// Files of the log that lie ready for the recovery.
const AHEAD_MAX: usize = 8;
const AHEAD_POLL: Duration = Duration::from_millis(20);
/// What is there once no more files come.
const COMPLETE: &str = "complete";
/// What the server says when all of the log lies before the moment.
const NOT_REACHED: &str = "recovery ended before configured recovery target was reached";

fn folder_of(home: &Home) -> PathBuf {
    home.dir.join("replay")
}

/// The command that gives the server a file of the log: it waits for one that has not come yet, and
/// has no word for one that does not come.
fn fetch_command(home: &Home) -> String {
    let folder = folder_of(home).display().to_string();
    let folder = format!("'{}'", folder.replace('\'', "'\\''")).replace('%', "%%");
    format!(
        "case %f in *.history) test -e {folder}/%f && cp {folder}/%f \"%p\";; \
         *) until test -e {folder}/%f || test -e {folder}/{COMPLETE}; do sleep 0.02; done; \
         test -e {folder}/%f && mv {folder}/%f \"%p\";; esac"
    )
}

/// As the server's settings take a moment.
fn moment(until: Timestamp) -> String {
    until
        .to_rfc3339_micros()
        .replace('T', " ")
        .replace('Z', "+00")
}

impl Postgres {
    /// Recovers a dump, whose files are prepared, to the target. The caller holds the cluster's lock.
    pub(super) async fn replay(
        &self,
        home: &Home,
        target: &ReplayTarget,
        log: &mut dyn LogSource,
    ) -> Result<(), EngineError> {
        let control = control_of(home).await?;
        let at = home.clone();
        let histories = target.histories.clone();
        blocking(move || make_folder(&at, &histories)).await?;
        self.write_target(home, target, target.until)?;
        let feeding = async {
            let mut files = LogFiles::new(home, &control, target.from);
            files.feed(log).await
        };
        let recovery = self.launch(home, Purpose::Replay, ADMIN);
        let ended = first_error(feeding, recovery).await;
        let all_was_fed = matches!(ended, Ended::Both(_));
        match ended {
            Ended::Feeding(error) => return Err(error),
            // The moment was reached before the log's end.
            Ended::Recovery(Ok(())) if target.until.is_some() => {}
            Ended::Recovery(Ok(())) => return Err(ended_early(home)),
            Ended::Both(Ok(())) if target.until.is_some() => {}
            Ended::Both(Ok(())) => all_was_read(home).await?,
            Ended::Both(Err(EngineError::ServerEnded { log, .. }))
            | Ended::Recovery(Err(EngineError::ServerEnded { log, .. }))
                if log.contains(NOT_REACHED) =>
            {
                if !all_was_fed {
                    return Err(ended_early(home));
                }
                all_was_read(home).await?;
                self.write_target(home, target, None)?;
                self.launch(home, Purpose::Replay, ADMIN).await?;
            }
            Ended::Both(failed) | Ended::Recovery(failed) => return failed,
        }
        let folder = folder_of(home);
        blocking(move || remove_tree(&folder).map_err(EngineError::removal)).await
    }

    fn write_target(
        &self,
        home: &Home,
        target: &ReplayTarget,
        until: Option<Timestamp>,
    ) -> Result<(), EngineError> {
        let timeline = match target.timeline == target.from.timeline {
            true => "current".to_owned(),
            false => target.timeline.to_string(),
        };
        let mut settings = vec![
            ("restore_command", fetch_command(home)),
            ("recovery_target_timeline", timeline),
            ("recovery_target_action", "promote".to_owned()),
        ];
        if let Some(until) = until {
            settings.push(("recovery_target_time", moment(until)));
        }
        conf::write_replay(home, &settings)
    }
}

enum Ended {
    /// The log could not be given.
    Feeding(EngineError),
    /// The recovery ended while there was log left.
    Recovery(Result<(), EngineError>),
    /// All of the log was laid ready, and the recovery ended.
    Both(Result<(), EngineError>),
}

fn ended_early(home: &Home) -> EngineError {
    EngineError::BadLog {
        why: format!(
            "the recovery ended before it: {}",
            server_log::tail(home, &PROFILE)
        ),
    }
}

/// Feeds and recovers at once.
async fn first_error(
    feeding: impl Future<Output = Result<(), EngineError>>,
    recovery: impl Future<Output = Result<(), EngineError>>,
) -> Ended {
    let mut recovery = std::pin::pin!(recovery);
    tokio::select! {
        biased;
        fed = feeding => match fed {
            Err(error) => Ended::Feeding(error),
            Ok(()) => Ended::Both(recovery.await),
        },
        recovered = &mut recovery => Ended::Recovery(recovered),
    }
}

/// Whether the recovery took every file of the log; one that it left it could not get to.
async fn all_was_read(home: &Home) -> Result<(), EngineError> {
    let folder = folder_of(home);
    let left = blocking(move || {
        let names = waiting(&folder).map_err(|source| EngineError::io("list", &folder, source))?;
        Ok(names.into_iter().next())
    })
    .await?;
    match left {
        None => Ok(()),
        Some(name) => Err(EngineError::BadLog {
            why: format!(
                "the recovery ended before {name}: {}",
                server_log::tail(home, &PROFILE)
            ),
        }),
    }
}

/// The files of the log that lie ready.
fn waiting(folder: &std::path::Path) -> io::Result<Vec<String>> {
    let entries = Folder::open(folder)?.entries()?.into_iter();
    let names = entries.map(|entry| entry.name);
    let is_file = |name: &String| name.len() == 24 && name.bytes().all(|b| b.is_ascii_hexdigit());
    Ok(names.filter(is_file).collect())
}

fn make_folder(home: &Home, histories: &[(u32, Vec<u8>)]) -> Result<(), EngineError> {
    let path = folder_of(home);
    let failed = |source| EngineError::io("make the folder", &path, source);
    remove_tree(&path).map_err(EngineError::removal)?;
    files::make_folder(&path, 0o700).map_err(failed)?;
    let folder = Folder::open(&path).map_err(failed)?;
    folder.own(home.os_uid).map_err(failed)?;
    for (timeline, history) in histories {
        let file = folder.write(&format!("{timeline:08X}.history"), home.os_uid);
        file.and_then(|mut file| file.write_all(history))
            .map_err(failed)?;
    }
    Ok(())
}

/// Makes the log's files of its pieces.
struct LogFiles<'a> {
    home: &'a Home,
    segments: Segments,
    /// Where the next byte belongs.
    place: LogPlace,
    /// Of the file that is being filled.
    bytes: Vec<u8>,
}

impl<'a> LogFiles<'a> {
    /// `from` is where a file begins.
    fn new(home: &'a Home, control: &Control, from: LogPlace) -> Self {
        let segments = Segments::of(control, from.timeline);
        let begin = from.position - from.position % segments.bytes.max(1);
        Self {
            home,
            segments,
            place: LogPlace {
                position: begin,
                ..from
            },
            bytes: Vec::new(),
        }
    }

    /// Lays out all that the source gives, as the recovery takes it.
    async fn feed(&mut self, log: &mut dyn LogSource) -> Result<(), EngineError> {
        loop {
            let piece = log.next().await;
            match piece.map_err(|source| EngineError::Source { source })? {
                Some(piece) => self.take(piece).await?,
                None => break,
            }
        }
        if !self.bytes.is_empty() {
            self.bytes.resize(file_bytes(&self.segments), 0);
            self.lay().await?;
        }
        let folder = folder_of(self.home);
        let owner = self.home.os_uid;
        blocking(move || {
            let mark = Folder::open(&folder).and_then(|at| at.write(COMPLETE, owner));
            mark.map(drop)
                .map_err(|source| EngineError::io("write", &folder, source))
        })
        .await
    }

    async fn take(&mut self, piece: LogPiece) -> Result<(), EngineError> {
        if piece.start.timeline != self.place.timeline {
            // The file in which it parts begins anew, with the older timeline's bytes in it.
            self.segments.timeline = piece.start.timeline;
            self.bytes.clear();
            self.place = piece.start;
            if !piece
                .start
                .position
                .is_multiple_of(self.segments.bytes.max(1))
            {
                return Err(EngineError::BadLog {
                    why: format!("timeline {} begins within a file", piece.start.timeline),
                });
            }
        }
        if piece.end().position <= self.place.position {
            // The dump begins behind it.
            return Ok(());
        }
        let known = self.place.position.checked_sub(piece.start.position);
        let known = known.and_then(|known| usize::try_from(known).ok());
        let Some(mut rest) = known.and_then(|known| piece.bytes.get(known..)) else {
            return Err(EngineError::BadLog {
                why: format!(
                    "bytes are missing between {:#x} and {:#x}",
                    self.place.position, piece.start.position
                ),
            });
        };
        while !rest.is_empty() {
            let room = file_bytes(&self.segments) - self.bytes.len();
            let (here, later) = rest.split_at(room.min(rest.len()));
            self.bytes.extend_from_slice(here);
            self.place.position += here.len() as u64;
            rest = later;
            if self.bytes.len() == file_bytes(&self.segments) {
                self.lay().await?;
            }
        }
        Ok(())
    }

    /// Lays the file ready that was filled, once there is room.
    async fn lay(&mut self) -> Result<(), EngineError> {
        let number = self.segments.number(self.place.position - 1);
        let name = self.segments.name(number);
        let bytes = std::mem::take(&mut self.bytes);
        let folder = folder_of(self.home);
        loop {
            let at = folder.clone();
            let failed = move |source| EngineError::io("list", &at, source);
            let at = folder.clone();
            if blocking(move || waiting(&at).map_err(failed)).await?.len() < AHEAD_MAX {
                break;
            }
            sleep(AHEAD_POLL).await;
        }
        let owner = self.home.os_uid;
        blocking(move || {
            lay_file(&folder, &name, &bytes, owner)
                .map_err(|source| EngineError::io("write a file of the log in", &folder, source))
        })
        .await
    }
}

fn file_bytes(segments: &Segments) -> usize {
    usize::try_from(segments.bytes).unwrap_or(usize::MAX).max(1)
}

/// Whole before it has its name.
fn lay_file(
    folder: &std::path::Path,
    name: &str,
    bytes: &[u8],
    owner: Option<u32>,
) -> io::Result<()> {
    let at = Folder::open(folder)?;
    let begun = format!("{name}.begun");
    at.unlink(&begun)?;
    let mut file = at.write(&begun, owner)?;
    file.write_all(bytes)?;
    at.rename(&begun, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_the_server_takes_it() {
        let at = Timestamp::parse("2026-11-29T01:02:03.456789Z").expect("a moment");
        assert_eq!(moment(at), "2026-11-29 01:02:03.456789+00");
    }
}
