//! The log of a running server, read on and on: from timeline to timeline, each from the file on in
//! which it parts from the one before.
//!
//! It does not know what becomes of it. The server is asked for its end first and for the log up to
//! there then, so what it had acknowledged before the question is in the answer; while nothing is
//! written, that one question is all that is asked.
use std::time::Duration;

use async_trait::async_trait;
use model::LogPlace;
use tokio::time::Instant;

use super::{
    changes::{Feed, Known},
    conf::{self, ADMIN, SLOT},
    follow::control_of,
    session::{Session, column, quoted_text},
    walsender::{IS_THERE_ALREADY, MESSAGE_WAIT, Pull, Row, WalSender, WireError},
};
use crate::{
    error::EngineError,
    home::Home,
    hosting::chosen,
    log::{LogPiece, LogTail},
};

const DOING: &str = "send its log";
/// How long the server may take to let a slot go whose user has ended.
const SLOT_WAIT: Duration = Duration::from_secs(5);
/// How often the server is asked where its log ends while commits wait for what is sent.
const ASK_EVERY: Duration = Duration::from_millis(800);
const SLOT_POLL: Duration = Duration::from_millis(100);

/// A timeline on the way to the server's own.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ahead {
    timeline: u32,
    /// Where it begins: the beginning of the file in which it parts from the one before.
    start: u64,
    /// Where it parts from the one before.
    parts_at: u64,
}

/// Reads on and on.
#[derive(Debug)]
pub(super) struct Tail {
    home: Home,
    sender: WalSender,
    /// The connection that the log is sent over on and on, while commits wait for it.
    live: Option<WalSender>,
    asked_at: Instant,
    place: LogPlace,
    /// How the timeline came to be, until it was told.
    history: Vec<u8>,
    /// Those that follow the timeline; empty on the server's own.
    ahead: Vec<Ahead>,
    /// Takes note of what it changes.
    feed: Feed,
}

impl Tail {
    /// Begins at a place, or at the file that the server writes now.
    pub(super) async fn open(
        home: &Home,
        from: Option<LogPlace>,
        known: &Known,
    ) -> Result<Self, EngineError> {
        let bytes = u64::from(control_of(home).await?.wal_segment_bytes);
        if bytes == 0 {
            return Err(EngineError::LogGone {
                why: "the server says no size of its log's files".to_owned(),
            });
        }
        let mut sender = WalSender::connect(home, "snapferry").await?;
        if from.is_none() {
            drop_slot(home).await?;
        }
        let create = format!("CREATE_REPLICATION_SLOT {SLOT} PHYSICAL RESERVE_WAL");
        match sender.command(&create).await {
            Err(WireError::Refused(refused)) if refused.code == IS_THERE_ALREADY => {}
            made => drop(made.map_err(|error| error.doing(DOING))?),
        }
        let end = identify(&mut sender).await?;
        let file = LogPlace {
            position: end.position - end.position % bytes,
            ..end
        };
        let place = from.unwrap_or(file);
        let mut tail = Self {
            home: home.clone(),
            sender,
            live: None,
            asked_at: Instant::now(),
            place,
            history: Vec::new(),
            ahead: Vec::new(),
            feed: known.follow(home, place),
        };
        let Some(from) = from else {
            return Ok(tail);
        };
        if from.timeline != end.timeline {
            let history = tail.history_of(end.timeline).await?;
            let ahead = way(&history, from, end.timeline, bytes);
            tail.ahead = ahead.ok_or_else(|| EngineError::LogGone {
                why: format!(
                    "timeline {} does not come from timeline {}",
                    end.timeline, from.timeline
                ),
            })?;
        }
        Ok(tail)
    }

    async fn history_of(&mut self, timeline: u32) -> Result<Vec<u8>, EngineError> {
        let command = format!("TIMELINE_HISTORY {timeline}");
        let rows = self.sender.command(&command).await;
        let rows = rows.map_err(|error| error.doing(DOING))?;
        let content = rows
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().nth(1));
        content.flatten().ok_or_else(|| EngineError::LogGone {
            why: format!("the history of timeline {timeline} is empty"),
        })
    }

    /// Where the server's log ends on the disk, asked now.
    async fn end(&mut self) -> Result<u64, EngineError> {
        self.asked_at = Instant::now();
        let end = identify(&mut self.sender).await?;
        match end.timeline == self.place.timeline {
            true => Ok(end.position),
            false => Err(EngineError::SqlTimeout {
                doing: "stay on its timeline",
                secs: 0,
            }),
        }
    }

    /// A connection over which the log is sent on and on from here.
    async fn go_live(&mut self) -> Result<WalSender, EngineError> {
        let mut live = WalSender::connect(&self.home, SLOT).await?;
        let LogPlace { timeline, position } = self.place;
        let started = live.start(SLOT, position, timeline).await;
        match started.map_err(|error| error.doing(DOING))? {
            true => Ok(live),
            false => Err(EngineError::LogGone {
                why: format!("timeline {timeline} ends at {position:#x}"),
            }),
        }
    }

    /// The next piece while commits wait: the server is told at once what is durable, and what it
    /// sends is taken as it comes. Now and then it is asked where its log ends.
    async fn next_live(
        &mut self,
        mut live: WalSender,
        durable: LogPlace,
        bytes_max: usize,
    ) -> Result<LogPiece, EngineError> {
        if durable.timeline == self.place.timeline {
            let confirmed = live.confirm(durable.position).await;
            confirmed.map_err(|error| error.doing(DOING))?;
        }
        let until = match ASK_EVERY <= self.asked_at.elapsed() {
            true => Some(self.end().await?),
            false => None,
        };
        let from = self.place.position;
        let mut piece = LogPiece {
            start: self.place,
            bytes: Vec::new(),
            history: Vec::new(),
            is_last: false,
        };
        while piece.bytes.len() < bytes_max {
            let wait = match until {
                Some(until) if piece.end().position < until => MESSAGE_WAIT,
                None if piece.bytes.is_empty() => ASK_EVERY.saturating_sub(self.asked_at.elapsed()),
                // What has come already goes with it.
                _ => Duration::ZERO,
            };
            let came = live.take(from, &mut piece.bytes, wait).await;
            if !came.map_err(|error| error.doing(DOING))? {
                break;
            }
        }
        piece.is_last = until.is_some_and(|until| until <= piece.end().position);
        if !piece.bytes.is_empty() {
            piece.history = std::mem::take(&mut self.history);
        }
        self.feed.take(piece.start, &piece.bytes);
        self.place = piece.end();
        self.live = Some(live);
        Ok(piece)
    }

    /// Goes over to the next timelines that begin at or before where this one was read to.
    async fn turn(&mut self) -> Result<(), EngineError> {
        while let Some(next) = self.ahead.first().cloned()
            && next.parts_at <= self.place.position
        {
            self.history = self.history_of(next.timeline).await?;
            self.place = LogPlace {
                timeline: next.timeline,
                position: next.start,
            };
            self.ahead.remove(0);
        }
        Ok(())
    }
}

#[async_trait]
impl LogTail for Tail {
    async fn next(&mut self, durable: LogPlace, bytes_max: usize) -> Result<LogPiece, EngineError> {
        self.turn().await?;
        let live = self.live.take();
        if self.ahead.is_empty() && conf::waits_for_vault(&chosen::in_effect(&self.home)?) {
            let live = match live {
                Some(live) => live,
                None => self.go_live().await?,
            };
            return self.next_live(live, durable, bytes_max).await;
        }
        let until = match self.ahead.first() {
            Some(next) => next.parts_at,
            None => self.end().await?,
        };
        let mut piece = LogPiece {
            start: self.place,
            bytes: Vec::new(),
            history: Vec::new(),
            is_last: self.ahead.is_empty(),
        };
        if until <= self.place.position {
            return Ok(piece);
        }
        let pull = Pull {
            slot: SLOT,
            from: self.place.position,
            timeline: self.place.timeline,
            until,
            bytes_max,
            kept: (durable.timeline == self.place.timeline).then_some(durable.position),
        };
        let pulled = self.sender.pull(&pull).await;
        piece.bytes = pulled.map_err(|error| error.doing(DOING))?;
        self.feed.take(piece.start, &piece.bytes);
        let end = piece.end();
        if end.position < until {
            piece.is_last = false;
            if piece.bytes.is_empty() {
                return Err(EngineError::LogGone {
                    why: format!("timeline {} ends before {until:#x}", self.place.timeline),
                });
            }
        }
        if !piece.bytes.is_empty() {
            piece.history = std::mem::take(&mut self.history);
        }
        self.place = end;
        Ok(piece)
    }

    fn place(&self) -> LogPlace {
        self.place
    }

    fn is_waited_for(&self) -> bool {
        self.live.is_some()
    }
}

/// Where the server's log ends on the disk.
async fn identify(sender: &mut WalSender) -> Result<LogPlace, EngineError> {
    let rows = sender.command("IDENTIFY_SYSTEM").await;
    let rows = rows.map_err(|error| error.doing(DOING))?;
    let place = rows.first().and_then(place_in);
    place.ok_or_else(|| EngineError::LogGone {
        why: "the server does not say where its log ends".to_owned(),
    })
}

/// The timeline and place in an answer to IDENTIFY_SYSTEM.
fn place_in(row: &Row) -> Option<LogPlace> {
    let text = |at: usize| std::str::from_utf8(row.get(at)?.as_deref()?).ok();
    Some(LogPlace {
        timeline: text(1)?.parse().ok()?,
        position: super::document::lsn_of(text(2)?)?,
    })
}

/// The timelines from the one of `from` to `to`, by the history of `to`; none when that one does not
/// come from there.
fn way(history: &[u8], from: LogPlace, to: u32, file_bytes: u64) -> Option<Vec<Ahead>> {
    let text = std::str::from_utf8(history).ok()?;
    let mut lines = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let mut words = line.split_whitespace();
        let timeline: u32 = words.next()?.parse().ok()?;
        lines.push((timeline, super::document::lsn_of(words.next()?)?));
    }
    let at = lines
        .iter()
        .position(|(timeline, _)| *timeline == from.timeline)?;
    let parts = lines[at..].iter().map(|(_, parts_at)| *parts_at);
    let next = lines[at + 1..].iter().map(|(timeline, _)| *timeline);
    let ahead = parts
        .zip(next.chain([to]))
        .map(|(parts_at, timeline)| Ahead {
            timeline,
            start: parts_at - parts_at % file_bytes,
            parts_at,
        });
    Some(ahead.collect())
}

/// The share of `max_slot_wal_keep_size` that is taken, while there is such a bound.
pub(super) async fn bound_taken(home: &Home) -> Result<Option<f64>, EngineError> {
    let session = Session::open(home, ADMIN).await?;
    let asked = "SELECT (SELECT CASE WHEN wal_status = 'lost' THEN 1.0 \
         WHEN safe_wal_size IS NULL THEN NULL \
         ELSE (1 - greatest(safe_wal_size, 0) \
               / nullif(greatest(safe_wal_size, 0) \
                        + pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0))::float8 \
         END FROM pg_replication_slots WHERE slot_name = $1)";
    let row = session
        .row("say how much log it keeps", asked, &[&SLOT])
        .await;
    session.close().await;
    column(&row?, 0)
}

/// Has a running server keep no log any more.
pub(super) async fn end(home: &Home) -> Result<(), EngineError> {
    drop_slot(home).await
}

/// Drops the slot, once nobody uses it.
async fn drop_slot(home: &Home) -> Result<(), EngineError> {
    let session = Session::open(home, ADMIN).await?;
    let slot = quoted_text(SLOT);
    let drop = format!(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots \
         WHERE slot_name = {slot} AND active; \
         SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = {slot}"
    );
    let mut waited = Duration::ZERO;
    let dropped = loop {
        match session.run("keep its log no more", &drop).await {
            Err(EngineError::Sql { .. }) if waited < SLOT_WAIT => {
                tokio::time::sleep(SLOT_POLL).await;
                waited += SLOT_POLL;
            }
            done => break done,
        }
    };
    session.close().await;
    dropped
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: u64 = 16 << 20;

    #[test]
    fn the_way_from_one_timeline_to_another_is_in_its_history() {
        let history = b"1\t0/3000148\tno recovery target specified\n\n# a word\n2\t0/50000D8\tno\n";
        let from = |timeline| LogPlace {
            timeline,
            position: 0,
        };
        let second = Ahead {
            timeline: 2,
            start: 0x0300_0000,
            parts_at: 0x0300_0148,
        };
        let third = Ahead {
            timeline: 3,
            start: 0x0500_0000,
            parts_at: 0x0500_00D8,
        };
        assert_eq!(
            way(history, from(1), 3, FILE),
            Some(vec![second, third.clone()])
        );
        assert_eq!(way(history, from(2), 3, FILE), Some(vec![third]));
        assert_eq!(way(history, from(4), 3, FILE), None);
        assert_eq!(way(b"nonsense", from(1), 3, FILE), None);
        assert_eq!(way(&[0xFF], from(1), 3, FILE), None);
    }

    #[test]
    fn the_servers_end_is_read_from_its_answer() {
        let field = |text: &str| Some(text.as_bytes().to_vec());
        let row = vec![field("77"), field("2"), field("16/B374D848"), None];
        let place = LogPlace {
            timeline: 2,
            position: 0x16_B374_D848,
        };
        assert_eq!(place_in(&row), Some(place));
        assert_eq!(place_in(&vec![None, None]), None);
    }
}
