//! Reads a log of committed transactions as a server left it, one that was killed while it wrote included.
//!
//! It does not know what the transactions do, nor who had them already.
use std::{fs::File, io, os::unix::fs::FileExt};

use model::Timestamp;

use super::{
    event::{HEAD_BYTES, MAGIC, Next, PREVIOUS_GTIDS, next, number, unsupported},
    gtids::{Gtids, Origin},
};

/// Bytes of the list of all transactions before a log that are read at most.
const PREVIOUS_BYTES_MAX: usize = 16 << 20;
/// Where the first event says, in this bit, that a server writes the log still.
pub(in crate::mysql) const IN_USE: (usize, u8) = (MAGIC.len() + 17, 1);

/// What a log holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::mysql) struct Logged {
    /// The transactions that are whole in it.
    pub(in crate::mysql) gtids: Gtids,
    /// Behind the last whole transaction.
    pub(in crate::mysql) end: u64,
    /// Whether one lies behind that which was committed too late.
    pub(in crate::mysql) is_cut: bool,
    /// Whether what lies behind that is not the beginning of one, but no event at all.
    pub(in crate::mysql) is_odd: bool,
}

/// Reads which transactions a log has to their end; those from the first one on that was committed after a moment
/// do not count.
///
/// # Errors
/// The system's; `Unsupported` when nobody can tell.
pub(in crate::mysql) fn read(file: &File, until: Option<Timestamp>) -> io::Result<Logged> {
    let size = file.metadata()?.len();
    let mut logged = Logged::default();
    if !has_beginning(file)? {
        return Ok(logged);
    }
    logged.end = MAGIC.len() as u64;
    loop {
        let bytes = match next(file, logged.end, size)? {
            Next::Transaction(one) if until.is_some_and(|until| until < one.committed_at) => {
                logged.is_cut = true;
                return Ok(logged);
            }
            Next::Transaction(one) => {
                if let Some((origin, number)) = one.number {
                    logged.gtids.add(origin, number, number.saturating_add(1));
                }
                one.bytes
            }
            Next::Other { bytes, .. } => bytes,
            Next::Cut => return Ok(logged),
            Next::Odd => {
                logged.is_odd = true;
                return Ok(logged);
            }
        };
        logged.end += bytes;
    }
}

/// The transactions of all logs before this one; none when it does not say, or not so that they are known.
///
/// # Errors
/// The system's.
pub(in crate::mysql) fn previous(file: &File) -> io::Result<Option<Gtids>> {
    Ok(match list_of_previous(file)? {
        Some((at, end)) => match usize::try_from(end - at) {
            Ok(bytes) if bytes <= PREVIOUS_BYTES_MAX => {
                let mut body = vec![0; bytes];
                file.read_exact_at(&mut body, at)?;
                listed(body.get(HEAD_BYTES..).unwrap_or_default())
            }
            _ => None,
        },
        None => None,
    })
}

/// A number by which one log can be told from another of the same name: of how it begins, the transactions before
/// it included. None when the server has not written that yet.
///
/// # Errors
/// The system's.
pub(in crate::mysql) fn beginning(file: &File) -> io::Result<Option<u32>> {
    let Some((_, end)) = list_of_previous(file)? else {
        return Ok(None);
    };
    let bytes = usize::try_from(end).unwrap_or(usize::MAX);
    let mut beginning = vec![0; bytes.min(PREVIOUS_BYTES_MAX)];
    file.read_exact_at(&mut beginning, 0)?;
    let (at, bit) = IN_USE;
    if let Some(byte) = beginning.get_mut(at) {
        *byte &= !bit;
    }
    Ok(Some(crc32c::crc32c(&beginning)))
}

/// From where to where the list of all transactions before a log lies. It comes second, behind the description of
/// the log itself.
fn list_of_previous(file: &File) -> io::Result<Option<(u64, u64)>> {
    let size = file.metadata()?.len();
    if !has_beginning(file)? {
        return Ok(None);
    }
    let mut at = MAGIC.len() as u64;
    for _ in 0..2 {
        match next(file, at, size)? {
            Next::Other { kind, bytes } if kind == PREVIOUS_GTIDS => {
                return Ok(Some((at, at + bytes)));
            }
            Next::Other { bytes, .. } => at += bytes,
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// Whether a file begins as a log does; not while the server has just made it.
///
/// # Errors
/// The system's; `Unsupported` of another file.
pub(in crate::mysql) fn has_beginning(file: &File) -> io::Result<bool> {
    let mut magic = [0; MAGIC.len()];
    let read = file.read_at(&mut magic, 0)?;
    match &magic == MAGIC {
        true => Ok(true),
        false if read < MAGIC.len() => Ok(false),
        false => Err(unsupported("it is none, or encrypted")),
    }
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

    use super::{
        super::event::{GTID, TAGGED_GTID},
        *,
    };

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
        let empty = read(&file(&log), None).expect("reads");
        assert_eq!(
            (empty.gtids.is_empty(), empty.end),
            (true, log.len() as u64)
        );
        log.extend(transaction(4, false));
        log.extend(transaction(5, true));
        let whole = log.len();
        log.extend(transaction(6, false));
        let words = |numbers: &str| format!("{}{numbers}", uuid::Uuid::from_bytes(ONE));
        let all = read(&file(&log), None).expect("reads");
        assert_eq!(all.gtids.text(), words(":4-6"));
        // Wherever it was cut.
        for size in whole..log.len() {
            let found = read(&file(&log[..size]), None).expect("reads");
            assert_eq!(found.gtids.text(), words(":4-5"), "{size}");
            assert_eq!(found.end, whole as u64, "{size}");
            assert!(!found.is_odd, "{size}");
        }
        // Bytes that say of an event that it has none.
        let odd = [&log[..whole], &[0; 40]].concat();
        let found = read(&file(&odd), None).expect("reads");
        assert_eq!((found.end, found.is_odd), (whole as u64, true));
        let before = previous(&file(&log)).expect("reads").expect("it says");
        assert_eq!(before.text(), words(":1-3"));
    }

    #[test]
    fn what_is_no_log_is_not_taken_for_one() {
        for nothing in [&b""[..], b"\xFEb", MAGIC] {
            assert!(read(&file(nothing), None).expect("reads").gtids.is_empty());
            assert_eq!(previous(&file(nothing)).expect("reads"), None);
        }
        assert!(read(&file(b"\xFDbin and more"), None).is_err());
        let tagged = [beginning(), event(TAGGED_GTID, &[0; 80])].concat();
        assert!(read(&file(&tagged), None).is_err());
        let newer = [
            MAGIC.to_vec(),
            event(PREVIOUS_GTIDS, &[1, 0, 0, 0, 0, 0, 0, 1]),
        ]
        .concat();
        assert_eq!(previous(&file(&newer)).expect("reads"), None);
    }
}
