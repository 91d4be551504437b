//! From the log as it arrives, piece by piece and cut anywhere, to the map of what it changes.
//!
//! It does not know who sends it.
//!
//! Invariant: the map is of one unbroken stretch. Whatever is missing, damaged or not known ends it,
//! and another begins at the next file of the log.
use std::{io, path::Path};

use model::LogPlace;

use super::{
    super::wal::{HEAD_BYTES, LogFault, PAGE_BYTES, Pages, Reader, Segments},
    map::ChangeMap,
};

/// Log that waits for the end of a record, bytes at most: a record that is longer ends the map.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// Room that is kept for what arrives, bytes.
const KEPT_BYTES: usize = 64 << 10;
/// Bytes of a page's header that is not a file's first, and flags of headers.
const SHORT_HEADER: u64 = 24;
const LONG_HEADER: u64 = HEAD_BYTES as u64;
const FIRST_IS_REST: u16 = 1;
const LONG: u16 = 2;

/// Log that has arrived and was not left behind yet, from the beginning of a page on.
#[derive(Debug, Default)]
struct Arrived {
    start: u64,
    bytes: Vec<u8>,
}

impl Arrived {
    /// The page at this place, once all of it is there.
    fn whole_page(&self, at: u64) -> Option<&[u8; PAGE_BYTES]> {
        let from = usize::try_from(at.checked_sub(self.start)?).ok()?;
        self.bytes.get(from..)?.first_chunk()
    }

    /// Leaves behind what comes before the page of this place.
    fn forget_before(&mut self, at: u64) {
        let page = at - at % PAGE_BYTES as u64;
        let gone = usize::try_from(page.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let gone = gone.min(self.bytes.len());
        self.bytes.drain(..gone);
        // A piece is large, and what is left of it mostly less than a page.
        self.bytes.shrink_to(KEPT_BYTES);
        self.start += gone as u64;
    }
}

impl Pages for Arrived {
    fn page(&mut self, at: u64, page: &mut [u8; PAGE_BYTES]) -> io::Result<bool> {
        let whole = self.whole_page(at);
        if let Some(bytes) = whole {
            page.copy_from_slice(bytes);
        }
        Ok(whole.is_some())
    }
}

#[derive(Debug)]
enum State {
    /// Waits for the beginning of a file of the log, which says what log it is.
    Seeks(Arrived),
    Reads {
        reader: Box<Reader<Arrived>>,
        map: ChangeMap,
        segments: Segments,
    },
}

/// Reads the log that arrives.
#[derive(Debug)]
pub(super) struct Gatherer {
    /// Where what arrives next must begin.
    end: LogPlace,
    state: State,
}

impl Gatherer {
    pub(super) fn new(start: LogPlace) -> Self {
        Self {
            end: start,
            state: State::Seeks(seek_at(start.position)),
        }
    }

    /// Takes the next piece. One that does not follow begins another map.
    pub(super) fn take(&mut self, start: LogPlace, bytes: &[u8]) {
        let known = self.end.position.checked_sub(start.position);
        let known = known.and_then(|known| usize::try_from(known).ok());
        let new = match known.and_then(|known| bytes.get(known..)) {
            Some(new) if start.timeline == self.end.timeline => new,
            // All of it was there before.
            None if start.timeline == self.end.timeline && known.is_some() => return,
            _ => {
                *self = Self::new(start);
                bytes
            }
        };
        self.end.position += new.len() as u64;
        self.arrived().push(new);
        while self.step() {}
    }

    fn arrived(&mut self) -> &mut Arrived {
        match &mut self.state {
            State::Seeks(arrived) => arrived,
            State::Reads { reader, .. } => reader.pages_mut(),
        }
    }

    /// Goes one step on; false when more must arrive first.
    fn step(&mut self) -> bool {
        let next = match &mut self.state {
            State::Seeks(arrived) => match begin(arrived, self.end.timeline) {
                Some((reader, map, segments)) => State::Reads {
                    reader: Box::new(reader),
                    map,
                    segments,
                },
                None => return false,
            },
            State::Reads { reader, map, .. } => {
                let why = match reader.next() {
                    Ok(record) => map.note(&record).err(),
                    Err(LogFault::Ends(_)) => {
                        let at = reader.at();
                        reader.pages_mut().forget_before(at);
                        if reader.pages_mut().bytes.len() <= WAITING_BYTES_MAX {
                            return false;
                        }
                        Some("a record is too long")
                    }
                    Err(fault) => {
                        tracing::debug!(%fault, "the map of changes ends");
                        Some("the log cannot be read")
                    }
                };
                let Some(why) = why else { return true };
                let at = reader.at();
                tracing::info!(at, why, "the map of changes ends, and another begins");
                // The file that holds this place has begun already.
                let mut arrived = std::mem::take(reader.pages_mut());
                arrived.forget_before(at + PAGE_BYTES as u64);
                State::Seeks(arrived)
            }
        };
        self.state = next;
        true
    }

    /// What changed since a place, and how far the map reaches: the next record begins there, in a file
    /// of this log. None when the map begins later. What changed earlier is forgotten.
    pub(super) fn since(&mut self, place: LogPlace) -> Option<(ChangeMap, u64, Segments)> {
        match &mut self.state {
            State::Reads {
                reader,
                map,
                segments,
            } if place.timeline == self.end.timeline && map.from() <= place.position => {
                map.forget_before(place.position);
                Some((map.clone(), reader.at(), *segments))
            }
            _ => None,
        }
    }
}

/// What arrives from the first page on that begins at or behind this place.
fn seek_at(position: u64) -> Arrived {
    Arrived {
        start: position,
        bytes: Vec::new(),
    }
}

impl Arrived {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        // The first bytes that ever come may be in the middle of a page.
        let odd = self.start.next_multiple_of(PAGE_BYTES as u64) - self.start;
        let odd = usize::try_from(odd).unwrap_or(usize::MAX);
        if 0 < odd && odd <= self.bytes.len() {
            self.bytes.drain(..odd);
            self.start += odd as u64;
        }
    }
}

/// Begins at the first of the log's files that begins in what has arrived.
fn begin(arrived: &mut Arrived, timeline: u32) -> Option<(Reader<Arrived>, ChangeMap, Segments)> {
    let mut at = arrived.start;
    while let Some(page) = arrived.whole_page(at) {
        if let Some((segments, first)) = head(page, at, timeline) {
            arrived.forget_before(at);
            let reader = Reader::new(std::mem::take(arrived), segments, first);
            return Some((reader, ChangeMap::new(first), segments));
        }
        at += PAGE_BYTES as u64;
    }
    arrived.forget_before(at);
    None
}

/// What the first page of a file of the log says: which log it is, and where its first record begins.
fn head(page: &[u8; PAGE_BYTES], at: u64, timeline: u32) -> Option<(Segments, u64)> {
    let half = |at: usize| u16::from_ne_bytes([page[at], page[at + 1]]);
    if half(2) & LONG == 0 {
        return None;
    }
    let segments = Segments::of_head(page.first_chunk()?, timeline)?;
    let number = segments.number(at);
    if !at.is_multiple_of(segments.bytes) || !segments.head_fits(number, page.first_chunk()?) {
        return None;
    }
    let rest = u32::from_ne_bytes(*page[16..].first_chunk()?);
    match half(2) & FIRST_IS_REST {
        0 => Some((segments, at)),
        _ => Some((segments, behind(at, rest.into(), segments.bytes))),
    }
}

/// Where the first record begins behind the rest of another one, which begins the file.
fn behind(file: u64, mut rest: u64, file_bytes: u64) -> u64 {
    let page = PAGE_BYTES as u64;
    let (mut at, mut room) = (file + LONG_HEADER, page - LONG_HEADER);
    while room < rest {
        rest -= room;
        let start = at.next_multiple_of(page);
        let header = match start.is_multiple_of(file_bytes) {
            true => LONG_HEADER,
            false => SHORT_HEADER,
        };
        (at, room) = (start + header, page - header);
    }
    // A record may end where its page does.
    (at + rest).next_multiple_of(8)
}

/// Reads the files of the log in a data folder as if they arrived in pieces of so many bytes, and tells
/// which blocks changed from a place in the first of them on: by database (0 for shared relations),
/// file number and block.
///
/// # Errors
/// When the map does not reach from the one place to the other.
pub fn changes_between(
    data: &Path,
    (start, stop): (u64, u64),
    piece_bytes: usize,
) -> Result<impl Fn(u32, u32, u32) -> bool + use<>, String> {
    let io = |error: io::Error| error.to_string();
    let control = std::fs::read(data.join("global/pg_control")).map_err(io)?;
    let control = super::super::control::Control::read(&control).map_err(|e| e.to_string())?;
    let segments = Segments::of(&control, control.timeline);
    let place = |position| LogPlace {
        timeline: control.timeline,
        position,
    };
    let (first, last) = (segments.number(start), segments.number(stop));
    let mut gatherer = Gatherer::new(place(first * segments.bytes));
    for number in first..=last {
        let file = data.join("pg_wal").join(segments.name(number));
        let mut bytes = std::fs::read(file).map_err(io)?;
        // What lies behind may be of a file that was put to new use.
        let page_end = stop.next_multiple_of(PAGE_BYTES as u64) - number * segments.bytes;
        bytes.truncate(usize::try_from(page_end).unwrap_or(usize::MAX));
        let at = (number * segments.bytes..).step_by(piece_bytes);
        for (piece, at) in bytes.chunks(piece_bytes).zip(at) {
            gatherer.take(place(at), piece);
        }
    }
    let (map, reached, _) = gatherer.since(place(start)).ok_or("the map begins later")?;
    // A record that would begin a page begins behind its header.
    let header = match reached.is_multiple_of(PAGE_BYTES as u64) {
        true => LONG_HEADER,
        false => 0,
    };
    match stop <= reached + header {
        true => Ok(move |database, number, block| map.is_changed((database, number), block)),
        false => Err(format!("the map reaches to {reached:#x} alone")),
    }
}
