//! The reader against a log written by the same rules, and against bytes of anyone.
use std::io;

use proptest::{collection::vec, prelude::*};

use super::{
    event::Event,
    reader::{LogFault, Pages, Reader},
    record::{Record, Relation},
    sample::{Log, SEGMENT, START, segments},
    segments::PAGE_BYTES,
};

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
            first: 0,
        },
        Event::Copied {
            database: 16_390,
            tablespace: 1663,
            from: 5,
            from_tablespace: 1663,
        },
        Event::Begun { database: 16_391 },
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
