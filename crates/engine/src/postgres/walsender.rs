//! A replication connection to a cluster's server over its own socket: commands, and the log as it
//! is sent.
//!
//! It does not know which stretch of the log is wanted, nor what becomes of it. The client that
//! sessions are made with has no such connections (2026-11), so the few messages of the protocol
//! that they need are here.
//!
//! Invariant: whatever the server sends, and however slowly, costs a bounded amount of memory and
//! time.
use std::{io, time::Duration};

use bytes::{Buf, BytesMut};
use model::ErrorKind;
use postgres_protocol::message::frontend;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

use super::{
    conf::{self, ADMIN},
    document::lsn_text,
};
use crate::{error::EngineError, home::Home, hosting::child::own_uid};

/// How long the server may take for one message.
pub(super) const MESSAGE_WAIT: Duration = Duration::from_secs(60);
/// Bytes of one message at most: the log comes in messages of some 128 KiB; a timeline's history may
/// be longer.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Rows of an answer at most.
const ROWS_MAX: usize = 16;
/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;
/// Seconds from 1970 to 2000, which the protocol counts from.
const EPOCH: i64 = 946_684_800;

const NO_SUCH_FILE: &str = "58P01";
const NOT_IN_STATE: &str = "55000";
pub(super) const IS_THERE_ALREADY: &str = "42710";

/// What a server refused.
#[derive(Debug, thiserror::Error)]
#[error("{message} ({code})")]
pub(super) struct Refused {
    /// SQLSTATE.
    pub(super) code: String,
    message: String,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// The server refuses, and goes on.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The connection is of no more use.
    #[error(transparent)]
    Lost(#[from] io::Error),
}

impl WireError {
    /// As the engine tells it.
    pub(super) fn doing(self, doing: &'static str) -> EngineError {
        match self {
            Self::Refused(refused) if [NO_SUCH_FILE, NOT_IN_STATE].contains(&&*refused.code) => {
                EngineError::LogGone {
                    why: refused.to_string(),
                }
            }
            other => EngineError::Sql {
                doing,
                kind: ErrorKind::Retry,
                source: other.into(),
            },
        }
    }
}

/// The fields of a row, as text; none where it is null.
pub(super) type Row = Vec<Option<Vec<u8>>>;

/// A replication connection.
#[derive(Debug)]
pub(super) struct WalSender {
    stream: UnixStream,
    input: BytesMut,
}

struct Message {
    tag: u8,
    body: BytesMut,
}

fn nonsense(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

impl WalSender {
    /// Connects as the administrator's role. A server's commits may wait for whoever has this name.
    ///
    /// # Errors
    /// What the system or the server answers, or that it does not.
    pub(super) async fn connect(home: &Home, name: &str) -> Result<Self, EngineError> {
        let path = conf::socket_path(home);
        let connected = timeout(MESSAGE_WAIT, UnixStream::connect(&path)).await;
        let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let stream = stream.and_then(|stream| {
            // A link may lead to another cluster's socket, which this process could open.
            let wanted = home.os_uid.unwrap_or_else(own_uid);
            match stream.peer_cred()?.uid() == wanted {
                true => Ok(stream),
                false => Err(nonsense("another user listens at the socket")),
            }
        });
        let stream = stream.map_err(|source| EngineError::NoSocket { path, source })?;
        let mut sender = Self {
            stream,
            input: BytesMut::new(),
        };
        let doing = "take a replication connection";
        sender
            .begin(name)
            .await
            .map_err(|error| error.doing(doing))?;
        Ok(sender)
    }

    async fn begin(&mut self, name: &str) -> Result<(), WireError> {
        let mut out = BytesMut::new();
        frontend::startup_message(
            [
                ("user", ADMIN),
                ("replication", "true"),
                ("application_name", name),
                ("client_encoding", "UTF8"),
            ],
            &mut out,
        )?;
        self.send(out).await?;
        loop {
            let message = self.receive().await?;
            match message.tag {
                b'R' if message.body.as_ref() == [0; 4] => {}
                b'R' => return Err(nonsense("it asks for a password").into()),
                b'Z' => return Ok(()),
                b'E' => return Err(refused(&message.body).into()),
                _ => {}
            }
        }
    }

    async fn send(&mut self, out: BytesMut) -> io::Result<()> {
        let sent = timeout(MESSAGE_WAIT, self.stream.write_all(&out)).await;
        sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn receive(&mut self) -> io::Result<Message> {
        let received = timeout(MESSAGE_WAIT, self.next_message()).await;
        received.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn next_message(&mut self) -> io::Result<Message> {
        loop {
            if let Some(head) = self.input.first_chunk::<5>() {
                let [tag, length @ ..] = *head;
                let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
                    return Err(nonsense("a message has no length that it can have"));
                }
                if length < self.input.len() {
                    self.input.advance(5);
                    let body = self.input.split_to(length - 4);
                    return Ok(Message { tag, body });
                }
            }
            self.input.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Runs a command and gives the rows of its answer.
    ///
    /// # Errors
    /// What the server refuses; a connection that is lost.
    pub(super) async fn command(&mut self, text: &str) -> Result<Vec<Row>, WireError> {
        let mut out = BytesMut::new();
        frontend::query(text, &mut out)?;
        self.send(out).await?;
        self.answer().await
    }

    /// The rest of an answer.
    async fn answer(&mut self) -> Result<Vec<Row>, WireError> {
        let (mut rows, mut error) = (Vec::new(), None);
        loop {
            let message = self.receive().await?;
            match message.tag {
                b'D' if rows.len() < ROWS_MAX => {
                    rows.push(row(&message.body).ok_or_else(|| nonsense("a row is cut short"))?);
                }
                b'D' => return Err(nonsense("an answer has too many rows").into()),
                b'E' => error = Some(refused(&message.body)),
                b'Z' => return error.map_or(Ok(rows), |error| Err(error.into())),
                _ => {}
            }
        }
    }

    /// Has the log sent from a place on, until it reaches `until`, the timeline ends or about
    /// `bytes_max` are there. All before `kept` is kept elsewhere, if it says so.
    ///
    /// # Errors
    /// What the server refuses; a connection that is lost.
    pub(super) async fn pull(&mut self, wanted: &Pull<'_>) -> Result<Vec<u8>, WireError> {
        if !self
            .start(wanted.slot, wanted.from, wanted.timeline)
            .await?
        {
            return Ok(Vec::new());
        }
        if let Some(kept) = wanted.kept {
            self.send(status(kept)).await?;
        }
        self.gather(wanted).await
    }

    /// Has the log sent from a place on; false when there is none on that timeline.
    ///
    /// # Errors
    /// What the server refuses; a connection that is lost.
    pub(super) async fn start(
        &mut self,
        slot: &str,
        from: u64,
        timeline: u32,
    ) -> Result<bool, WireError> {
        let start = format!(
            "START_REPLICATION SLOT {slot} PHYSICAL {} TIMELINE {timeline}",
            lsn_text(from)
        );
        let mut out = BytesMut::new();
        frontend::query(&start, &mut out)?;
        self.send(out).await?;
        // It may have nothing to send on that timeline, and answers at once.
        let message = self.receive().await?;
        match message.tag {
            b'W' => Ok(true),
            b'E' => {
                let error = refused(&message.body);
                self.answer().await?;
                Err(error.into())
            }
            b'T' | b'C' => self.answer().await.map(|_| false),
            _ => Err(nonsense("it does not begin to send the log").into()),
        }
    }

    /// Says that all before a place is kept elsewhere, while the log is sent.
    ///
    /// # Errors
    /// A connection that is lost.
    pub(super) async fn confirm(&mut self, kept: u64) -> Result<(), WireError> {
        Ok(self.send(status(kept)).await?)
    }

    /// Adds what is sent within a time to the log that was sent from `from` on; false when nothing was.
    ///
    /// # Errors
    /// What the server refuses; a connection that is lost, or that the server ends.
    pub(super) async fn take(
        &mut self,
        from: u64,
        log: &mut Vec<u8>,
        wait: Duration,
    ) -> Result<bool, WireError> {
        let Ok(message) = timeout(wait, self.next_message()).await else {
            return Ok(false);
        };
        let message = message?;
        match message.tag {
            b'd' => sent(message.body, from, log)?,
            b'E' => return Err(refused(&message.body).into()),
            b'c' | b'C' => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            _ => {}
        }
        Ok(true)
    }

    async fn gather(&mut self, wanted: &Pull<'_>) -> Result<Vec<u8>, WireError> {
        let mut log = Vec::new();
        let mut is_done = false;
        let is_enough = |log: &Vec<u8>| {
            wanted.until <= wanted.from + log.len() as u64 || wanted.bytes_max <= log.len()
        };
        loop {
            if !is_done && is_enough(&log) {
                let mut out = BytesMut::new();
                frontend::copy_done(&mut out);
                self.send(out).await?;
                is_done = true;
            }
            let message = self.receive().await?;
            match message.tag {
                // What was on its way is asked for again.
                b'd' if is_done => {}
                b'd' => sent(message.body, wanted.from, &mut log)?,
                b'c' => {
                    if !is_done {
                        let mut out = BytesMut::new();
                        frontend::copy_done(&mut out);
                        self.send(out).await?;
                    }
                    self.answer().await?;
                    return Ok(log);
                }
                b'E' => {
                    let error = refused(&message.body);
                    // What is behind it may be the end of the connection.
                    let _ = self.answer().await;
                    return Err(error.into());
                }
                _ => {}
            }
        }
    }
}

/// Which stretch of the log is to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pull<'a> {
    pub(super) slot: &'a str,
    pub(super) from: u64,
    pub(super) timeline: u32,
    pub(super) until: u64,
    pub(super) bytes_max: usize,
    /// Before this the log need not be kept any more.
    pub(super) kept: Option<u64>,
}

/// Adds a message's stretch to the log that was sent from a place on.
fn sent(mut body: BytesMut, from: u64, log: &mut Vec<u8>) -> io::Result<()> {
    match body.first() {
        Some(b'w') => {
            let at = body.get(1..9).and_then(|at| at.try_into().ok());
            let at = at.map(u64::from_be_bytes);
            if at != Some(from + log.len() as u64) || body.len() < 25 {
                return Err(nonsense("it sends another stretch of the log"));
            }
            body.advance(25);
            log.extend_from_slice(&body);
            Ok(())
        }
        Some(b'k') => Ok(()),
        _ => Err(nonsense("it sends something else than the log")),
    }
}

/// A message that says how far the log was kept.
fn status(kept: u64) -> BytesMut {
    let mut body = vec![b'r'];
    for place in [kept; 3] {
        body.extend_from_slice(&place.to_be_bytes());
    }
    // The server only looks at how its clock differs.
    body.extend_from_slice(&(-EPOCH).to_be_bytes());
    body.push(0);
    let mut out = BytesMut::new();
    let data = frontend::CopyData::new(&body[..]).expect("it is short");
    data.write(&mut out);
    out
}

/// The fields of a data row.
fn row(mut body: &[u8]) -> Option<Row> {
    let mut take = |count: usize| {
        let (taken, rest) = body.split_at_checked(count)?;
        body = rest;
        Some(taken)
    };
    let fields = u16::from_be_bytes(take(2)?.try_into().ok()?);
    (0..fields)
        .map(|_| {
            let length = i32::from_be_bytes(take(4)?.try_into().ok()?);
            match usize::try_from(length) {
                Ok(length) => Some(Some(take(length)?.to_vec())),
                Err(_) => Some(None),
            }
        })
        .collect()
}

/// What an error's fields say.
fn refused(body: &[u8]) -> Refused {
    let fields = body.split(|byte| *byte == 0);
    let (mut code, mut message) = (String::new(), String::new());
    for field in fields {
        let text = || {
            String::from_utf8_lossy(&field[1..])
                .chars()
                .take(500)
                .collect()
        };
        match field.first() {
            Some(b'C') => code = text(),
            Some(b'M') => message = text(),
            _ => {}
        }
    }
    Refused { code, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_errors_are_read_and_never_past_their_end() {
        let body = [0, 2, 0, 0, 0, 3, b'a', b'b', b'c', 0xFF, 0xFF, 0xFF, 0xFF];
        assert_eq!(row(&body), Some(vec![Some(b"abc".to_vec()), None]));
        for end in 0..body.len() {
            assert_eq!(row(&body[..end]), None, "{end}");
        }
        let error = refused(b"SERROR\0C58P01\0Mrequested WAL segment is gone\0\0");
        assert_eq!(error.code, "58P01");
        assert_eq!(error.to_string(), "requested WAL segment is gone (58P01)");
        assert!(matches!(
            WireError::from(error).doing("send"),
            EngineError::LogGone { .. }
        ));
        assert_eq!(refused(b"").code, "");
    }

    #[test]
    fn a_status_says_how_far_the_log_was_kept() {
        let message = status(0x0102);
        assert_eq!(&message[..6], [b'd', 0, 0, 0, 38, b'r']);
        assert_eq!(&message[6..14], 0x0102_u64.to_be_bytes());
        assert_eq!(message.len(), 39);
    }
}
