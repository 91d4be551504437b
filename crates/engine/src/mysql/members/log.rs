//! Reads a log of committed transactions as a server left it, one that was killed while it wrote included.
//!
//! It does not know what the transactions do, nor who had them already. Source: "The Binary Log" in MySQL's
//! source documentation (`libs/mysql/binlog/event`).
use std::{fs::File, io, os::unix::fs::FileExt};

use super::gtids::{Gtids, Origin};

/// The first bytes of a log that is not encrypted.
const MAGIC: &[u8; 4] = b"\xFEbin";
/// Bytes at the beginning of each event.
const HEAD_BYTES: usize = 19;
/// Bytes behind that which say a transaction's number, and those behind them.
const GTID_BYTES: usize = 42;
/// Bytes of an event of a transaction's number that are looked at.
const LOOK_BYTES: usize = HEAD_BYTES + GTID_BYTES + 14 + 9;
/// Bytes of the list of all transactions before a log that are read at most.
const PREVIOUS_BYTES_MAX: usize = 16 << 20;

/// The number of a transaction, and of one that has none.
const GTID: u8 = 33;
const ANONYMOUS: u8 = 34;
/// The numbers of all transactions before a log.
const PREVIOUS_GTIDS: u8 = 35;
/// The number of a transaction whose origin has a word.
const TAGGED_GTID: u8 = 42;

/// What a log holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Logged {
    /// The transactions that are whole in it.
    pub(super) gtids: Gtids,
    /// Behind the last whole transaction.
    pub(super) end: u64,
}

/// Reads which transactions a log has to their end.
///
/// # Errors
/// The system's; `Unsupported` when nobody can tell.
pub(super) fn read(file: &File) -> io::Result<Logged> {
    let size = file.metadata()?.len();
    let mut logged = Logged::default();
    if !has_beginning(file)? {
        return Ok(logged);
    }
    logged.end = MAGIC.len() as u64;
    while let Some(event) = Event::at(file, logged.end, size)? {
        let bytes = match event.kind {
            GTID | ANONYMOUS => transaction_bytes(&event.bytes)?,
            TAGGED_GTID => return Err(unsupported("its transactions have tags")),
            _ => event.size,
        };
        let end = logged.end.saturating_add(bytes);
        if bytes < HEAD_BYTES as u64 || size < end {
            break;
        }
        if event.kind == GTID {
            let (origin, number) = number_of(&event.bytes)?;
            logged.gtids.add(origin, number, number.saturating_add(1));
        }
        logged.end = end;
    }
    Ok(logged)
}

/// The transactions of all logs before this one; none when it does not say, or not so that they are known.
///
/// # Errors
/// The system's.
pub(super) fn previous(file: &File) -> io::Result<Option<Gtids>> {
    let size = file.metadata()?.len();
    if !has_beginning(file)? {
        return Ok(None);
    }
    let mut at = MAGIC.len() as u64;
    // It comes second, behind the description of the log itself.
    for _ in 0..2 {
        let Some(event) = Event::at(file, at, size)? else {
            return Ok(None);
        };
        if event.kind == PREVIOUS_GTIDS {
            return match usize::try_from(event.size) {
                Ok(bytes) if bytes <= PREVIOUS_BYTES_MAX && at + event.size <= size => {
                    let mut body = vec![0; bytes];
                    file.read_exact_at(&mut body, at)?;
                    Ok(listed(body.get(HEAD_BYTES..).unwrap_or_default()))
                }
                _ => Ok(None),
            };
        }
        at += event.size.max(HEAD_BYTES as u64);
    }
    Ok(None)
}

fn has_beginning(file: &File) -> io::Result<bool> {
    let mut magic = [0; MAGIC.len()];
    let read = file.read_at(&mut magic, 0)?;
    match &magic == MAGIC {
        true => Ok(true),
        // The server had just made it.
        false if read < MAGIC.len() => Ok(false),
        false => Err(unsupported("it is none, or encrypted")),
    }
}

fn unsupported(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, why)
}

/// The beginning of an event.
struct Event {
    kind: u8,
    size: u64,
    /// The head, and what is behind it, as far as it is looked at.
    bytes: Vec<u8>,
}

impl Event {
    /// The one at this place; none when its head is not there.
    fn at(file: &File, at: u64, size: u64) -> io::Result<Option<Self>> {
        let there = usize::try_from(size.saturating_sub(at)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; LOOK_BYTES.min(there)];
        file.read_exact_at(&mut bytes, at)?;
        let (Some(&kind), Some(length)) = (bytes.get(4), number::<4>(&bytes, 9)) else {
            return Ok(None);
        };
        Ok((HEAD_BYTES <= bytes.len()).then_some(Self {
            kind,
            size: length,
            bytes,
        }))
    }
}

/// A number in so many bytes.
fn number<const BYTES: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let found = bytes.get(at..at + BYTES)?;
    let mut wide = [0; 8];
    wide[..BYTES].copy_from_slice(found);
    Some(u64::from_le_bytes(wide))
}

/// Bytes of a transaction, by the event of its number; as many as nothing has when the event is cut.
fn transaction_bytes(event: &[u8]) -> io::Result<u64> {
    let mut at = HEAD_BYTES + GTID_BYTES;
    let Some(committed) = number::<7>(event, at) else {
        return Ok(u64::MAX);
    };
    // Where it was committed at first follows when that was on another server.
    at += if committed >> 55 == 1 { 14 } else { 7 };
    let found = match event.get(at) {
        Some(0xFC) => number::<2>(event, at + 1),
        Some(0xFD) => number::<3>(event, at + 1),
        Some(0xFE) => number::<8>(event, at + 1),
        Some(0xFB | 0xFF) => return Err(unsupported("a transaction does not say its size")),
        Some(&small) => Some(u64::from(small)),
        None => None,
    };
    Ok(found.unwrap_or(u64::MAX))
}

/// A transaction's number.
fn number_of(event: &[u8]) -> io::Result<(Origin, u64)> {
    let origin = event.get(HEAD_BYTES + 1..HEAD_BYTES + 17);
    let origin = origin.and_then(|bytes| Origin::try_from(bytes).ok());
    origin
        .zip(number::<8>(event, HEAD_BYTES + 17))
        .ok_or_else(|| unsupported("a transaction does not say its number"))
}

/// The transactions in a list of stretches.
fn listed(body: &[u8]) -> Option<Gtids> {
    let mut set = Gtids::default();
    let (origins, mut at) = (number::<8>(body, 0)?, 8);
    // A newer kind of list says so in the number's last byte.
    if origins >> 48 != 0 {
        return None;
    }
    for _ in 0..origins {
        let origin = Origin::try_from(body.get(at..at + 16)?).ok()?;
        let stretches = number::<8>(body, at + 16)?;
        at += 24;
        for _ in 0..stretches {
            set.add(origin, number::<8>(body, at)?, number::<8>(body, at + 8)?);
            at += 16;
        }
    }
    Some(set)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const ONE: Origin = [7; 16];

    fn event(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut event = vec![0, 0, 0, 0, kind, 1, 0, 0, 0];
        let size = u32::try_from(HEAD_BYTES + body.len()).expect("small");
        event.extend(size.to_le_bytes());
        event.extend([0; 6]);
        event.extend(body);
        event
    }

    /// A transaction of two events.
    fn transaction(number: u64, from_elsewhere: bool) -> Vec<u8> {
        let rows = event(30, &[9; 700]);
        let mut body = vec![1];
        body.extend(ONE);
        body.extend(number.to_le_bytes());
        body.extend([0; 17]);
        match from_elsewhere {
            true => body.extend([[0, 0, 0, 0, 0, 0, 0x80], [0; 7]].concat()),
            false => body.extend([0; 7]),
        }
        let bytes = HEAD_BYTES + body.len() + 3 + 4 + rows.len();
        body.push(0xFC);
        body.extend(u16::try_from(bytes).expect("small").to_le_bytes());
        body.extend([0; 4]);
        [event(GTID, &body), rows].concat()
    }

    fn beginning() -> Vec<u8> {
        let mut list = 1_u64.to_le_bytes().to_vec();
        list.extend(ONE);
        for number in [1_u64, 1, 4] {
            list.extend(number.to_le_bytes());
        }
        [
            MAGIC.to_vec(),
            event(15, &[0; 100]),
            event(PREVIOUS_GTIDS, &list),
        ]
        .concat()
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("writes");
        file
    }

    #[test]
    fn whole_transactions_are_told_from_one_that_was_cut() {
        let mut log = beginning();
        let empty = read(&file(&log)).expect("reads");
        assert_eq!(
            (empty.gtids.is_empty(), empty.end),
            (true, log.len() as u64)
        );
        log.extend(transaction(4, false));
        log.extend(transaction(5, true));
        let whole = log.len();
        log.extend(transaction(6, false));
        let words = |numbers: &str| format!("{}{numbers}", uuid::Uuid::from_bytes(ONE));
        let all = read(&file(&log)).expect("reads");
        assert_eq!(all.gtids.text(), words(":4-6"));
        // Wherever it was cut.
        for size in whole..log.len() {
            let found = read(&file(&log[..size])).expect("reads");
            assert_eq!(found.gtids.text(), words(":4-5"), "{size}");
            assert_eq!(found.end, whole as u64, "{size}");
        }
        let before = previous(&file(&log)).expect("reads").expect("it says");
        assert_eq!(before.text(), words(":1-3"));
    }

    #[test]
    fn what_is_no_log_is_not_taken_for_one() {
        for nothing in [&b""[..], b"\xFEb", MAGIC] {
            assert!(read(&file(nothing)).expect("reads").gtids.is_empty());
            assert_eq!(previous(&file(nothing)).expect("reads"), None);
        }
        assert!(read(&file(b"\xFDbin and more")).is_err());
        let tagged = [beginning(), event(TAGGED_GTID, &[0; 80])].concat();
        assert!(read(&file(&tagged)).is_err());
        let newer = [
            MAGIC.to_vec(),
            event(PREVIOUS_GTIDS, &[1, 0, 0, 0, 0, 0, 0, 1]),
        ]
        .concat();
        assert_eq!(previous(&file(&newer)).expect("reads"), None);
    }
}
