//! The map against a plain list of what every record does, in any cuts, and against bytes of anyone.
use model::LogPlace;
use proptest::{collection::vec, prelude::*, sample::Index};

use super::{
    super::{
        review::Place,
        wal::{
            PAGE_BYTES, Reader,
            sample::{Log, SEGMENT, START, segments},
        },
    },
    gather::Gatherer,
    map::ChangeMap,
};

const DATABASES: u32 = 3;
const RELATIONS: u32 = 4;
const BLOCKS: u32 = 8;

/// What one record does.
#[derive(Debug, Clone)]
enum Does {
    /// Changes blocks of a fork.
    Blocks(Vec<(Place, u8, u32)>),
    Makes(Place, u32),
    Cuts(Place, u32),
    Removes(Vec<Place>),
    /// Makes, copies or removes a database, by the record's kind.
    Database(u8, u32),
    /// Nothing, at this length.
    Nothing(usize),
    /// Nothing more comes in the file.
    Ends,
}

fn a_place() -> impl Strategy<Value = Place> {
    (0..DATABASES, 0..RELATIONS)
}

fn does() -> impl Strategy<Value = Does> {
    let blocks = vec((a_place(), 0..4_u8, 0..BLOCKS), 1..6);
    prop_oneof![
        12 => blocks.prop_map(Does::Blocks),
        1 => (a_place(), 0..4_u32).prop_map(|(place, fork)| Does::Makes(place, fork)),
        3 => (a_place(), 0..BLOCKS).prop_map(|(place, first)| Does::Cuts(place, first)),
        1 => vec(a_place(), 1..3).prop_map(Does::Removes),
        1 => (prop_oneof![Just(0x00), Just(0x10), Just(0x20)], 1..DATABASES)
            .prop_map(|(kind, database)| Does::Database(kind, database)),
        4 => (0..30_000_usize).prop_map(Does::Nothing),
        1 => Just(Does::Ends),
    ]
}

fn words(values: &[u32]) -> Vec<u8> {
    let bytes = values.iter().flat_map(|value| value.to_ne_bytes());
    bytes.collect()
}

fn numbers((database, number): Place) -> [u32; 3] {
    let tablespace = if database == 0 { 1664 } else { 1663 };
    [tablespace, database, number]
}

impl Does {
    fn write(&self, log: &mut Log) {
        match self {
            Self::Blocks(blocks) => {
                let mut parts = Vec::new();
                for ((place, fork, block), number) in blocks.iter().zip(0..) {
                    parts.extend([number, *fork, 0, 0]);
                    parts.extend(words(&numbers(*place)));
                    parts.extend(block.to_ne_bytes());
                }
                log.raw(10, 0, &parts);
            }
            Self::Makes(place, fork) => {
                let [tablespace, database, number] = numbers(*place);
                log.record(2, 0x10, &words(&[tablespace, database, number, *fork]));
            }
            Self::Cuts(place, first) => {
                let [tablespace, database, number] = numbers(*place);
                log.record(2, 0x20, &words(&[*first, tablespace, database, number, 7]));
            }
            Self::Removes(places) => {
                let mut data = vec![0, 0, 4, places.len() as u32];
                data.extend(places.iter().flat_map(|place| numbers(*place)));
                // Of a prepared transaction, or of any other.
                log.record(1, [0x80, 0xB0][places.len() % 2], &words(&data));
            }
            Self::Database(kind, database) => {
                log.record(4, *kind, &words(&[*database, 1663, 1, 1663]));
            }
            Self::Nothing(bytes) => log.record(21, 0, &vec![1; *bytes]),
            Self::Ends => log.switch(),
        }
    }

    /// Whether a block may be another behind it.
    fn changes(&self, (place, block): (Place, u32)) -> bool {
        match self {
            Self::Blocks(blocks) => blocks.contains(&(place, 0, block)),
            Self::Makes(made, _) => *made == place,
            Self::Cuts(cut, first) => *cut == place && *first <= block,
            Self::Removes(places) => places.contains(&place),
            Self::Database(_, database) => *database == place.0,
            Self::Nothing(_) | Self::Ends => false,
        }
    }
}

/// A log, filled up to the end of a page, and where each of its records begins.
fn written(all: &[Does]) -> (Log, Vec<u64>) {
    let mut log = Log::default();
    let mut places = Vec::new();
    for does in all {
        does.write(&mut log);
        places.push(log.before);
    }
    log.bytes
        .resize(log.bytes.len().next_multiple_of(PAGE_BYTES), 0);
    (log, places)
}

fn place(position: u64) -> LogPlace {
    LogPlace {
        timeline: 2,
        position,
    }
}

/// Hands a log over in pieces that end at these places.
fn feed(gatherer: &mut Gatherer, log: &Log, cuts: &[Index]) {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(log.bytes.len())).collect();
    ends.push(log.bytes.len());
    ends.sort_unstable();
    let mut from = 0;
    for end in ends {
        // A shipper that begins again sends some of it once more.
        let again = from / 3 * 2;
        gatherer.take(place(3 * SEGMENT + again as u64), &log.bytes[again..end]);
        from = end;
    }
}

fn all_blocks() -> impl Iterator<Item = (Place, u32)> {
    let places = (0..DATABASES).flat_map(|database| (0..RELATIONS).map(move |n| (database, n)));
    places.flat_map(|place| (0..BLOCKS).map(move |block| (place, block)))
}

proptest! {
    #[test]
    fn a_block_is_changed_when_a_record_changed_it(
        all in vec(does(), 1..60),
        cuts in vec(any::<Index>(), 0..8),
        since in any::<Index>(),
    ) {
        let (log, places) = written(&all);
        let since = places[since.index(places.len())];
        let mut gatherer = Gatherer::new(place(3 * SEGMENT));
        feed(&mut gatherer, &log, &cuts);
        let (map, reached, _) = gatherer.since(place(since)).expect("it begins before");
        prop_assert!(places.last().expect("some") < &reached);
        for block in all_blocks() {
            let later = all.iter().zip(&places).filter(|(_, at)| since >> 13 <= **at >> 13);
            let expected = later.into_iter().any(|(does, _)| does.changes(block));
            prop_assert_eq!(map.is_changed(block.0, block.1), expected, "{:?}", block);
        }
        // What was forgotten is not said to be known.
        let later = since > 3 * SEGMENT;
        prop_assert!(!later || gatherer.since(place(since - 1)).is_none());
    }

    #[test]
    fn a_map_that_is_full_says_too_much_and_never_too_little(
        all in vec(does(), 1..60),
        since in any::<Index>(),
        blocks_max in 0..12_usize,
    ) {
        let (log, places) = written(&all);
        let since = places[since.index(places.len())];
        let mut map = ChangeMap::within(START, blocks_max);
        let mut reader = Reader::new(&log, segments(), START);
        while let Ok(record) = reader.next() {
            map.note(&record).expect("of a known kind");
        }
        map.forget_before(since);
        for (does, at) in all.iter().zip(&places) {
            let missed = all_blocks().find(|block| {
                since <= *at && does.changes(*block) && !map.is_changed(block.0, block.1)
            });
            prop_assert_eq!(missed, None, "{:?}", does);
        }
    }

    #[test]
    fn a_gap_or_damage_ends_the_map(
        all in vec(does(), 20..60),
        gap in any::<Index>(),
        value in 1..=255_u8,
        is_gap in any::<bool>(),
    ) {
        let (mut log, places) = written(&all);
        let mut gatherer = Gatherer::new(place(3 * SEGMENT));
        let at = gap.index(log.bytes.len() - 1);
        match is_gap {
            true => {
                gatherer.take(place(3 * SEGMENT), &log.bytes[..at]);
                gatherer.take(place(3 * SEGMENT + at as u64 + 1), &log.bytes[at + 1..]);
            }
            false => {
                log.bytes[at] ^= value;
                gatherer.take(place(3 * SEGMENT), &log.bytes);
            }
        }
        // Some bytes are of no record; where one was, the map does not reach over it.
        if let Some((map, reached, _)) = gatherer.since(place(START)) {
            prop_assert!(!is_gap);
            let read = all.iter().zip(&places).filter(|(_, lsn)| **lsn < reached);
            for (does, _) in read {
                prop_assert!(all_blocks().all(|b| !does.changes(b) || map.is_changed(b.0, b.1)));
            }
        }
    }

    #[test]
    fn any_bytes_are_survived(
        pieces in vec((0..200_000_u64, vec(any::<u8>(), 0..20_000)), 0..6),
        all in vec(does(), 0..6),
        changes in vec((any::<Index>(), any::<u8>()), 0..6),
    ) {
        let mut gatherer = Gatherer::new(place(3 * SEGMENT));
        let (mut log, _) = written(&all);
        for (at, value) in changes {
            if !log.bytes.is_empty() {
                let at = at.index(log.bytes.len());
                log.bytes[at] = value;
            }
        }
        feed(&mut gatherer, &log, &[]);
        for (at, bytes) in pieces {
            gatherer.take(place(3 * SEGMENT + at), &bytes);
        }
        let _ = gatherer.since(place(u64::MAX));
    }
}

/// Two files of a log, with this record in the first.
fn around(manager: u8, info: u8, parts: &[u8]) -> Log {
    let mut log = Log::default();
    Does::Blocks(vec![((1, 1), 0, 1)]).write(&mut log);
    log.raw(manager, info, parts);
    Does::Blocks(vec![((1, 1), 0, 2)]).write(&mut log);
    log.switch();
    Does::Blocks(vec![((1, 1), 0, 3)]).write(&mut log);
    log.bytes
        .resize(log.bytes.len().next_multiple_of(PAGE_BYTES), 0);
    log
}

#[test]
fn what_is_not_understood_ends_the_map_and_the_next_file_begins_another() {
    let elsewhere = |numbers: [u32; 3]| [vec![0, 0, 0, 0], words(&numbers), words(&[9])].concat();
    let data = |words: Vec<u8>| [vec![255, words.len() as u8], words].concat();
    let unknown: [(u8, u8, Vec<u8>); 10] = [
        (0, 0x00, Vec::new()),
        (0, 0x60, Vec::new()),
        (0, 0x80, Vec::new()),
        (0, 0x90, Vec::new()),
        (22, 0, Vec::new()),
        (128, 0, Vec::new()),
        (5, 0, data(words(&[16_400]))),
        (10, 0, elsewhere([16_400, 1, 1])),
        (10, 0, elsewhere([1664, 1, 1])),
        (10, 0, [vec![0, 4, 0, 0], words(&[1663, 1, 1, 9])].concat()),
    ];
    for (manager, info, parts) in unknown {
        let log = around(manager, info, &parts);
        let mut gatherer = Gatherer::new(place(3 * SEGMENT));
        feed(&mut gatherer, &log, &[]);
        assert!(
            gatherer.since(place(START)).is_none(),
            "{manager} {info:#x}"
        );
        let (map, ..) = gatherer.since(place(4 * SEGMENT)).expect("another began");
        let changed = [1, 2, 3].map(|block| map.is_changed((1, 1), block));
        assert_eq!(changed, [false, false, true], "{manager} {info:#x}");
    }
    let log = around(0, 0x20, &[]);
    let mut gatherer = Gatherer::new(place(3 * SEGMENT));
    feed(&mut gatherer, &log, &[]);
    let (map, ..) = gatherer.since(place(START)).expect("all is understood");
    assert!([1, 2, 3].iter().all(|block| map.is_changed((1, 1), *block)));
}

#[test]
fn another_timeline_begins_another_map() {
    let log = around(0, 0x20, &[]);
    let mut gatherer = Gatherer::new(place(3 * SEGMENT));
    feed(&mut gatherer, &log, &[]);
    let later = LogPlace {
        timeline: 3,
        position: 4 * SEGMENT,
    };
    gatherer.take(later, &log.bytes[SEGMENT as usize..]);
    assert!(gatherer.since(place(START)).is_none());
    assert!(gatherer.since(place(4 * SEGMENT)).is_none());
    assert!(gatherer.since(later).is_some());
}

#[test]
fn a_map_begins_behind_the_record_that_reaches_into_its_file() {
    let mut log = Log::default();
    log.record(21, 0, &vec![1; SEGMENT as usize + 20_000]);
    let reaches_to = log.at();
    Does::Blocks(vec![((1, 1), 0, 3)]).write(&mut log);
    log.bytes
        .resize(log.bytes.len().next_multiple_of(PAGE_BYTES), 0);
    let mut gatherer = Gatherer::new(place(3 * SEGMENT + 9));
    gatherer.take(place(3 * SEGMENT + 9), &log.bytes[9..]);
    assert!(gatherer.since(place(reaches_to - 1)).is_none());
    let (map, ..) = gatherer.since(place(reaches_to)).expect("from there on");
    assert!(map.is_changed((1, 1), 3) && !map.is_changed((1, 1), 2));
}
