//! The reader against a log written by the same rules, and against bytes of anyone.
use std::io;

use proptest::{collection::vec, prelude::*};

use super::{
    event::Event,
    reader::{LogFault, Pages, Reader},
    record::{Record, Relation},
    segments::{PAGE_BYTES, Segments},
};
use crate::postgres::control::Control;

const SEGMENT: u64 = 1 << 20;
/// Where the log in these tests begins: a segment's first record.
const START: u64 = 3 * SEGMENT + 40;

fn segments() -> Segments {
    let mut bytes = vec![0; 8192];
    bytes[0..8].copy_from_slice(&77_u64.to_ne_bytes());
    for (at, value) in [(8, 1300), (216, 8192), (228, SEGMENT as u32), (252, 1)] {
        bytes[at..at + 4].copy_from_slice(&u32::to_ne_bytes(value));
    }
    let crc = crc32c::crc32c(&bytes[..288]);
    bytes[288..292].copy_from_slice(&crc.to_ne_bytes());
    Segments::of(&Control::read(&bytes).expect("holds"), 2)
}

/// A log in memory, from the third segment on.
#[derive(Debug, Clone, Default)]
struct Log {
    bytes: Vec<u8>,
    before: u64,
}

impl Log {
    fn at(&self) -> u64 {
        3 * SEGMENT + self.bytes.len() as u64
    }

    /// Adds bytes of a record, with a header where a page begins.
    fn push(&mut self, mut bytes: &[u8]) {
        let mut is_rest = false;
        while !bytes.is_empty() {
            if self.bytes.len().is_multiple_of(PAGE_BYTES) {
                self.header(if is_rest { bytes.len() as u32 } else { 0 });
            }
            let room = PAGE_BYTES - self.bytes.len() % PAGE_BYTES;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.bytes.extend_from_slice(now);
            (bytes, is_rest) = (later, true);
        }
    }

    fn header(&mut self, rest: u32) {
        let at = self.at();
        let is_first = at.is_multiple_of(SEGMENT);
        let flags = u16::from(rest != 0) | if is_first { 2 } else { 0 };
        self.bytes.extend(0xD110_u16.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(2_u32.to_ne_bytes());
        self.bytes.extend(at.to_ne_bytes());
        self.bytes.extend(rest.to_ne_bytes());
        self.bytes.extend([0; 4]);
        if is_first {
            self.bytes.extend(77_u64.to_ne_bytes());
            self.bytes.extend((SEGMENT as u32).to_ne_bytes());
            self.bytes.extend((PAGE_BYTES as u32).to_ne_bytes());
        }
    }

    /// Adds a record with data alone.
    fn record(&mut self, manager: u8, info: u8, data: &[u8]) {
        let mut parts = vec![254];
        parts.extend((data.len() as u32).to_ne_bytes());
        parts.extend_from_slice(data);
        self.raw(manager, info, &parts);
    }

    /// Adds a record of these parts.
    fn raw(&mut self, manager: u8, info: u8, parts: &[u8]) {
        let mut bytes = Vec::new();
        bytes.extend((24 + parts.len() as u32).to_ne_bytes());
        bytes.extend(5_u32.to_ne_bytes());
        bytes.extend(self.before.to_ne_bytes());
        bytes.extend([info, manager, 0, 0]);
        let crc = crc32c::crc32c_append(crc32c::crc32c(parts), &bytes);
        bytes.extend(crc.to_ne_bytes());
        bytes.extend_from_slice(parts);
        let at = self.at();
        self.before = match at as usize % PAGE_BYTES {
            0 if at.is_multiple_of(SEGMENT) => at + 40,
            0 => at + 24,
            _ => at,
        };
        self.push(&bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
    }

    /// Fills the segment up as a switch does.
    fn switch(&mut self) {
        self.raw(0, 0x40, &[]);
        while !self.at().is_multiple_of(SEGMENT) {
            if self.bytes.len().is_multiple_of(PAGE_BYTES) {
                self.header(0);
            }
            let left = PAGE_BYTES - self.bytes.len() % PAGE_BYTES;
            self.bytes.resize(self.bytes.len() + left, 0);
        }
    }
}

impl Pages for &Log {
    fn page(&mut self, at: u64, page: &mut [u8; PAGE_BYTES]) -> io::Result<bool> {
        let at = usize::try_from(at - 3 * SEGMENT).expect("within the log");
        let Some(rest) = self.bytes.get(at..).filter(|rest| !rest.is_empty()) else {
            return Ok(false);
        };
        page.fill(0);
        let count = rest.len().min(PAGE_BYTES);
        page[..count].copy_from_slice(&rest[..count]);
        Ok(true)
    }
}

/// Kinds and data of all records up to the first fault, and that.
fn read(log: &Log, start: u64) -> (Vec<(u8, u8, Vec<u8>)>, LogFault) {
    let mut reader = Reader::new(log, segments(), start);
    let mut found = Vec::new();
    loop {
        match reader.next() {
            Ok(record) => {
                // Whatever the bytes, this must answer.
                let _ = record.event();
                found.push((record.manager, record.info, record.data.to_vec()));
            }
            Err(fault) => return (found, fault),
        }
    }
}

fn a_record() -> impl Strategy<Value = (u8, u8, Vec<u8>)> {
    let data = prop_oneof![
        9 => vec(any::<u8>(), 0..400),
        1 => vec(any::<u8>(), 7_000..40_000),
    ];
    (1..22_u8, (0..16_u8).prop_map(|info| info << 4), data)
}

proptest! {
    #[test]
    fn what_was_written_is_read(records in vec(a_record(), 1..40), switch_at in 0..40_usize) {
        let mut log = Log::default();
        for (number, (manager, info, data)) in records.iter().enumerate() {
            if number == switch_at {
                log.switch();
            }
            log.record(*manager, *info, data);
        }
        let (mut found, fault) = read(&log, START);
        found.retain(|(manager, info, _)| (*manager, *info) != (0, 0x40));
        prop_assert_eq!(found, records);
        prop_assert!(matches!(fault, LogFault::Ends(at) if at == log.at()), "{}", fault);
        // A page's beginning is as good a start as the record behind its header.
        let (found, _) = read(&log, 3 * SEGMENT);
        prop_assert!(!found.is_empty());
    }

    #[test]
    fn changed_bytes_end_the_log_and_nothing_else(
        records in vec(a_record(), 1..12),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut log = Log::default();
        for (manager, info, data) in &records {
            log.record(*manager, *info, data);
        }
        for (at, value) in changes {
            let at = at.index(log.bytes.len());
            log.bytes[at] = value;
        }
        let (found, _) = read(&log, START);
        // What is read before the change is as it was written: checksums see to that.
        prop_assert_eq!(&records[..found.len()], &found[..]);
    }

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..40_000), parts in vec(any::<u8>(), 0..600), kind in any::<(u8, u8)>(), start in any::<u64>()) {
        let log = Log { bytes, before: 0 };
        let _ = read(&log, START);
        // A record whose checksum holds, of any parts.
        let mut log = Log::default();
        log.raw(kind.0, kind.1, &parts);
        let _ = read(&log, START);
        let mut far = Reader::new(&log, segments(), start.max(3 * SEGMENT));
        prop_assert!(far.next().is_err() || start <= START);
        let _ = Record::parse(0, 24 + parts.len() as u32, &parts);
    }
}

fn numbers(values: &[u32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_ne_bytes())
        .collect()
}

#[test]
fn events_are_told() {
    let relation = |database, number| Relation {
        tablespace: 1663,
        database,
        number,
    };
    let mut log = Log::default();
    log.record(2, 0x10, &numbers(&[1663, 5, 16_384, 3]));
    log.record(2, 0x20, &numbers(&[0, 1663, 5, 16_385, 7]));
    log.record(4, 0x00, &numbers(&[16_390, 1663, 5, 1663]));
    log.record(4, 0x10, &numbers(&[16_391, 1663]));
    log.record(4, 0x20, &numbers(&[16_390, 1, 1663]));
    log.record(7, 0x00, &numbers(&[5, 1663, 512]));
    log.record(5, 0x00, &numbers(&[16_400]));
    let dropped = [
        0,
        0,
        1 | 2 | 4,
        5,
        1663,
        2,
        700,
        701,
        2,
        1663,
        5,
        16_384,
        1663,
        6,
        16_385,
        9,
    ];
    log.record(1, 0x80, &numbers(&dropped));
    log.record(1, 0x00, &numbers(&[0, 0]));
    let mut reader = Reader::new(&log, segments(), START);
    let mut next = |check: &dyn Fn(Event<'_>)| {
        let record = reader.next().expect("is there");
        check(record.event().expect("is whole"));
    };
    for expected in [
        Event::Made {
            relation: relation(5, 16_384),
            fork: 3,
        },
        Event::Cut {
            relation: relation(5, 16_385),
        },
        Event::Copied {
            database: 16_390,
            tablespace: 1663,
            from: 5,
            from_tablespace: 1663,
        },
        Event::None,
        Event::Dropped { database: 16_390 },
        Event::Mapped { database: 5 },
        Event::Tablespace,
    ] {
        next(&|found| assert_eq!(found, expected));
    }
    next(&|found| {
        let Event::Removed(removed) = found else {
            panic!("{found:?}")
        };
        let found: Vec<Relation> = removed.relations().collect();
        assert_eq!(found, [relation(5, 16_384), relation(6, 16_385)]);
        assert!(removed.is_all);
    });
    next(&|found| assert_eq!(found, Event::None));
}

#[test]
fn data_that_are_too_few_are_no_event() {
    for (manager, info, data) in [
        (2, 0x10, numbers(&[1663, 5, 16_384])),
        (4, 0x00, numbers(&[16_390, 1663, 5])),
        (1, 0x80, numbers(&[0, 0, 4, 1_000_000, 1663])),
        (1, 0xA0, numbers(&[0])),
    ] {
        let mut log = Log::default();
        log.record(manager, info, &data);
        let mut reader = Reader::new(&log, segments(), START);
        let record = reader.next().expect("is there");
        assert!(record.event().is_err(), "{manager} {info:#x}");
    }
}

#[test]
fn a_record_that_was_given_up_is_passed_over() {
    let mut log = Log::default();
    log.record(10, 0, &[1; 100]);
    let before = log.before;
    log.record(10, 0, &vec![2; 20_000]);
    // The server crashed after the first page, and wrote on behind it when it was back.
    log.bytes.truncate(PAGE_BYTES);
    log.before = before;
    log.record(0, 0xD0, &[3; 16]);
    log.bytes[PAGE_BYTES + 2] = 8;
    log.record(10, 0, &[4; 50]);
    let (found, _) = read(&log, START);
    let first: Vec<u8> = found.iter().map(|(_, _, data)| data[0]).collect();
    assert_eq!(first, [1, 3, 4]);
}

#[test]
fn another_clusters_or_places_pages_are_refused() {
    let spoil = |at: usize, value: u8| {
        let mut log = Log::default();
        log.record(10, 0, &vec![1; 10_000]);
        log.bytes[at] = value;
        read(&log, START)
    };
    for (at, value) in [
        (2, 0),
        (4, 3),
        (8, 1),
        (24, 78),
        (32, 1),
        (36, 1),
        (PAGE_BYTES + 2, 3),
    ] {
        let (found, fault) = spoil(at, value);
        assert!(found.is_empty(), "{at}");
        assert!(matches!(fault, LogFault::Damaged { .. }), "{at}: {fault}");
    }
    let (_, fault) = spoil(0, 0x20);
    assert!(matches!(fault, LogFault::Format(0xD120)), "{fault}");
}
