//! What the beginning of an event in a log says: what it is, how long, and of a transaction its number and when it
//! was committed.
//!
//! Source: "The Binary Log" in MySQL's source documentation (`libs/mysql/binlog/event`).
use std::{fs::File, io, os::unix::fs::FileExt};

use model::Timestamp;

use super::gtids::Origin;

/// The first bytes of a log that is not encrypted.
pub(in crate::mysql) const MAGIC: &[u8; 4] = b"\xFEbin";
/// Bytes at the beginning of each event.
pub(super) const HEAD_BYTES: usize = 19;
/// Bytes behind that which say a transaction's number, and those behind them.
const GTID_BYTES: usize = 42;
/// Bytes of an event of a transaction's number that are looked at.
const LOOK_BYTES: usize = HEAD_BYTES + GTID_BYTES + 14 + 9;
/// Bits of a moment, and the one that says that another moment follows.
const MOMENT_BITS: u32 = 55;

/// What kinds of events are: the number of a transaction, and of one that has none.
pub(super) const GTID: u8 = 33;
const ANONYMOUS: u8 = 34;
/// The numbers of all transactions before a log.
pub(super) const PREVIOUS_GTIDS: u8 = 35;
/// The number of a transaction whose origin has a word.
pub(super) const TAGGED_GTID: u8 = 42;

/// What lies at a place of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mysql) enum Next {
    /// A transaction, all of it.
    Transaction(Transaction),
    /// An event outside of transactions.
    Other {
        /// What it is.
        kind: u8,
        /// How long.
        bytes: u64,
    },
    /// There is nothing, or not all of it.
    Cut,
    /// No event.
    Odd,
}

/// A transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mysql) struct Transaction {
    /// Its number; none of one that has none.
    pub(in crate::mysql) number: Option<(Origin, u64)>,
    /// When the server whose log it is committed it, by that server's clock.
    pub(in crate::mysql) committed_at: Timestamp,
    /// How long it is.
    pub(in crate::mysql) bytes: u64,
}

/// What lies at a place of a log of that size.
///
/// # Errors
/// The system's; `Unsupported` when nobody can tell.
pub(in crate::mysql) fn next(file: &File, at: u64, size: u64) -> io::Result<Next> {
    let there = size.saturating_sub(at);
    let look = usize::try_from(there).map_or(LOOK_BYTES, |there| there.min(LOOK_BYTES));
    let mut bytes = vec![0; look];
    file.read_exact_at(&mut bytes, at)?;
    let (Some(&kind), Some(length)) = (bytes.get(4), number::<4>(&bytes, 9)) else {
        return Ok(Next::Cut);
    };
    if bytes.len() < HEAD_BYTES {
        return Ok(Next::Cut);
    }
    if length < HEAD_BYTES as u64 {
        return Ok(Next::Odd);
    }
    if there < length {
        return Ok(Next::Cut);
    }
    match kind {
        GTID | ANONYMOUS => {}
        TAGGED_GTID => return Err(unsupported("its transactions have tags")),
        _ => {
            return Ok(Next::Other {
                kind,
                bytes: length,
            });
        }
    }
    let transaction = transaction(kind, &bytes)?;
    Ok(match transaction.bytes {
        bytes if bytes < length => Next::Odd,
        bytes if there < bytes => Next::Cut,
        _ => Next::Transaction(transaction),
    })
}

/// A transaction, by the event of its number.
fn transaction(kind: u8, event: &[u8]) -> io::Result<Transaction> {
    let says_not = || unsupported("a transaction does not say its size");
    let mut at = HEAD_BYTES + GTID_BYTES;
    let moment = number::<7>(event, at).ok_or_else(says_not)?;
    // When it was committed at first follows where that was on another server.
    at += if moment >> MOMENT_BITS == 1 { 14 } else { 7 };
    let bytes = match event.get(at) {
        Some(0xFC) => number::<2>(event, at + 1),
        Some(0xFD) => number::<3>(event, at + 1),
        Some(0xFE) => number::<8>(event, at + 1),
        Some(0xFB | 0xFF) | None => None,
        Some(&small) => Some(u64::from(small)),
    };
    let moment = moment & ((1 << MOMENT_BITS) - 1);
    Ok(Transaction {
        number: (kind == GTID).then(|| number_of(event)).transpose()?,
        committed_at: Timestamp(i64::try_from(moment).unwrap_or(i64::MAX)),
        bytes: bytes.ok_or_else(says_not)?,
    })
}

/// A transaction's number.
fn number_of(event: &[u8]) -> io::Result<(Origin, u64)> {
    let origin = event.get(HEAD_BYTES + 1..HEAD_BYTES + 17);
    let origin = origin.and_then(|bytes| Origin::try_from(bytes).ok());
    origin
        .zip(number::<8>(event, HEAD_BYTES + 17))
        .ok_or_else(|| unsupported("a transaction does not say its number"))
}

pub(super) fn unsupported(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, why)
}

/// A number in so many bytes.
pub(super) fn number<const BYTES: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let found = bytes.get(at..at + BYTES)?;
    let mut wide = [0; 8];
    wide[..BYTES].copy_from_slice(found);
    Some(u64::from_le_bytes(wide))
}
