//! The log of a running server, read on and on.
//!
//! It does not know what becomes of it. The server is asked for nothing: what it acknowledged is in its files. But
//! it must live still once they were read: another one may take the writes after it.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use model::LogPlace;
use tokio::{
    io::unix::AsyncFd,
    time::{Instant, timeout},
};

use super::{
    super::{
        handle::MySql,
        options::socket_path,
        process::SERVER,
        replicating::{has_logged, log_name},
    },
    kept::Kept,
    reader::Reader,
};
use crate::{
    blocking::blocking,
    error::EngineError,
    home::Home,
    hosting::processes::Process,
    log::{LogPiece, LogTail},
};

/// How long a server may take to begin a log that it has made.
const BEGINNING_WAIT: Duration = Duration::from_secs(10);
/// How long after the end of one log the next may come.
const FOLLOWING_WAIT: Duration = Duration::from_secs(15);
const BEGINNING_POLL: Duration = Duration::from_millis(20);
/// How long it is waited for the word that a process has ended: long enough for it to come.
const END_WAIT: Duration = Duration::from_millis(1);

/// Reads on and on.
#[derive(Debug)]
pub(in crate::mysql) struct Tail {
    home: Home,
    /// The server's process.
    server: AsyncFd<std::os::fd::OwnedFd>,
    pid: u32,
    /// None once a read of it was given up.
    reader: Option<Reader>,
    place: LogPlace,
    /// What the home's mark says.
    kept: Kept,
}

impl MySql {
    /// Begins at a place, or with the log that the server writes now. One that does not log, though it is to, is
    /// started anew.
    ///
    /// # Errors
    /// As [`crate::Engine::tail`].
    pub(in crate::mysql) async fn tail_of(
        &self,
        home: &Home,
        from: Option<LogPlace>,
    ) -> Result<Tail, EngineError> {
        // Of a server that is down nothing is said.
        let mut server = found(home).await?;
        if !has_logged(home)? {
            match (from, home.replication.is_logged) {
                (Some(_), _) => {
                    return Err(EngineError::LogGone {
                        why: "the server has none".to_owned(),
                    });
                }
                (None, true) => {
                    self.begin_to_log(home).await?;
                    server = found(home).await?;
                }
                (None, false) => {
                    return Err(EngineError::NoLog {
                        home: home.dir.clone(),
                    });
                }
            }
        }
        let Process { pid, handle } = server;
        #[expect(
            deprecated,
            reason = "its successor is unsafe for those who close the descriptor; this one is owned"
        )]
        let server = AsyncFd::new(handle)
            .map_err(|source| EngineError::io("watch the server of", &home.dir, source))?;
        let (reader, kept) = match from {
            Some(from) => go_on(home, from).await?,
            None => begin(home).await?,
        };
        Ok(Tail {
            home: home.clone(),
            server,
            pid,
            place: reader.place(),
            reader: Some(reader),
            kept,
        })
    }
}

async fn found(home: &Home) -> Result<Process, EngineError> {
    SERVER.found(home).await?.ok_or_else(|| has_ended(home))
}

async fn go_on(home: &Home, from: LogPlace) -> Result<(Reader, Kept), EngineError> {
    let at = home.clone();
    blocking(move || {
        let kept = Kept::of(&at)?.ok_or_else(|| EngineError::LogGone {
            why: "the server did not keep it".to_owned(),
        })?;
        Ok((Reader::go_on(&at, from, kept)?, kept))
    })
    .await
}

async fn begin(home: &Home) -> Result<(Reader, Kept), EngineError> {
    let at = home.clone();
    let reader = blocking(move || Reader::at_latest(&at)).await?;
    let reader = Arc::new(reader);
    let mut waited = Duration::ZERO;
    let kept = loop {
        let of = Arc::clone(&reader);
        match blocking(move || of.kept()).await? {
            Some(kept) => break kept,
            None if BEGINNING_WAIT < waited => return Err(has_ended(home)),
            None => {}
        }
        tokio::time::sleep(BEGINNING_POLL).await;
        waited += BEGINNING_POLL;
    };
    kept.set(home).await?;
    let reader = Arc::into_inner(reader).ok_or_else(|| has_ended(home))?;
    Ok((reader, kept))
}

fn has_ended(home: &Home) -> EngineError {
    EngineError::NoSocket {
        path: socket_path(home),
        source: std::io::ErrorKind::NotConnected.into(),
    }
}

impl Tail {
    /// Has the server keep its logs from the one on that is being read, once nothing of those before it is missing
    /// elsewhere.
    async fn keep_from(&mut self, durable: LogPlace, reader: &Reader) -> Result<(), EngineError> {
        let is_here = durable.timeline == self.place.timeline && 0 < durable.position;
        if !is_here || self.kept.number == durable.timeline {
            return Ok(());
        }
        if let Some(kept) = reader.kept()? {
            kept.set(&self.home).await?;
            self.kept = kept;
        }
        Ok(())
    }

    /// Makes sure that the server lives.
    async fn check_lives(&self) -> Result<(), EngineError> {
        // One that is about to end is told by its number, one whose number another server has by its descriptor.
        let (home, pid) = (self.home.clone(), self.pid);
        let is_there = blocking(move || SERVER.has(&home, pid)).await?;
        let has_word = timeout(END_WAIT, self.server.readable()).await.is_ok();
        match is_there && !has_word {
            true => Ok(()),
            false => Err(has_ended(&self.home)),
        }
    }
}

#[async_trait]
impl LogTail for Tail {
    async fn next(&mut self, durable: LogPlace, bytes_max: usize) -> Result<LogPiece, EngineError> {
        let mut reader = self.reader.take().ok_or_else(|| has_ended(&self.home))?;
        self.keep_from(durable, &reader).await?;
        let begun = Instant::now();
        let piece = loop {
            let read = blocking(move || {
                let piece = reader.read(bytes_max);
                Ok((reader, piece))
            });
            let piece;
            (reader, piece) = read.await?;
            // A server whose files were taken away under it may have ended by that.
            self.check_lives().await?;
            match piece? {
                Some(piece) => break piece,
                None if FOLLOWING_WAIT < begun.elapsed() => {
                    return Err(EngineError::LogGone {
                        why: format!(
                            "{} was ended, and none follows",
                            log_name(self.place.timeline)
                        ),
                    });
                }
                None => tokio::time::sleep(BEGINNING_POLL).await,
            }
        };
        self.place = piece.end();
        self.reader = Some(reader);
        Ok(piece)
    }

    fn place(&self) -> LogPlace {
        self.place
    }
}
