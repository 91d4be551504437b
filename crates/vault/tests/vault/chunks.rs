//! Chunks of logs, from one end of the vault to the other: kept, listed, read back, damaged, and
//! left alone by what sweeps snapshots.
use model::{LogPlace, ResourceId, Timestamp};
use uuid::Uuid;
use vault::{Chain, Chunk, ChunkEntry, ChunkHead, Sealing, VaultError};

use crate::world::{World, key, sealed};

fn owner(letter: char) -> ResourceId {
    format!("cluster-{}", letter.to_string().repeat(26))
        .parse()
        .expect("an id")
}

fn chunk(stream: Uuid, start: u64, bytes: &[u8], before: Option<&ChunkEntry>) -> Chunk {
    Chunk {
        head: ChunkHead {
            stream,
            start: LogPlace {
                timeline: 1,
                position: start,
            },
            end: start + bytes.len() as u64,
            at: Timestamp(1_000 + start.cast_signed()),
            previous: before.map(|entry| entry.hash),
            stands_for: None,
        },
        history: Vec::new(),
        log: bytes.to_vec(),
    }
}

/// Three chunks of one stream.
fn kept(world: &World, sealing: &Sealing) -> (Uuid, Vec<ChunkEntry>) {
    let (stream, owner) = (Uuid::from_u128(1), owner('A'));
    let mut entries: Vec<ChunkEntry> = Vec::new();
    for (start, bytes) in [(0, vec![1; 3000]), (3000, vec![2; 10]), (3010, vec![3; 5])] {
        let chunk = chunk(stream, start, &bytes, entries.last());
        let written = vault::write_chunk(&world.vault, &world.volume, &owner, chunk, sealing);
        entries.push(world.runtime.block_on(written).expect("it is written"));
    }
    (stream, entries)
}

fn listed(world: &World, owner: &ResourceId) -> Vec<ChunkEntry> {
    let listed = vault::chunks(&world.vault, &world.volume, owner);
    world.runtime.block_on(listed).expect("a list")
}

#[test]
fn a_stream_comes_back_as_it_was_kept() {
    for sealing in [sealed(), Sealing::Open] {
        let world = World::new();
        let (stream, entries) = kept(&world, &sealing);
        let found = listed(&world, &owner('A'));
        let paths = |entries: &[ChunkEntry]| {
            let paths = entries.iter().map(|entry| entry.path.clone());
            paths.collect::<Vec<_>>()
        };
        assert_eq!(paths(&found), paths(&entries));
        assert!(listed(&world, &owner('B')).is_empty());
        let owners = vault::chunk_owners(&world.vault, &world.volume);
        assert_eq!(world.runtime.block_on(owners).unwrap(), [owner('A')]);
        let from = LogPlace {
            timeline: 1,
            position: 5,
        };
        let chain = Chain::of(&found, stream, from).expect("a chain");
        let data_key = match &sealing {
            Sealing::Sealed(key) => Some(key),
            Sealing::Open => None,
        };
        let log = log_of(&world, &chain, data_key);
        assert_eq!(log, [vec![1; 3000], vec![2; 10], vec![3; 5]].concat());
    }
}

#[test]
fn damage_and_foreign_keys_are_named() {
    let world = World::new();
    let (_, entries) = kept(&world, &sealed());
    let entry = &entries[1];
    let read = |key: Option<vault::DataKey>| {
        let read = vault::read_chunk(&world.vault, &world.volume, entry, key.as_ref());
        world.runtime.block_on(read)
    };
    let wrong = read(Some(key(2)));
    assert!(matches!(wrong, Err(VaultError::WrongKey { .. })));
    assert!(matches!(read(None), Err(VaultError::Sealing { .. })));
    let path = world.folder.path().join("here").join(&entry.path);
    let bytes = std::fs::read(&path).unwrap();
    for at in [20, 85, 100, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        assert!(matches!(
            read(Some(key(1))),
            Err(VaultError::Damaged { .. })
        ));
        let checked = vault::check_chunk(&world.vault, &world.volume, entry);
        assert!(matches!(
            world.runtime.block_on(checked),
            Err(VaultError::Damaged { .. })
        ));
    }
    std::fs::remove_file(&path).unwrap();
    assert!(read(Some(key(1))).is_err());
    let found = listed(&world, &owner('A'));
    let gap = Chain::of(&found, entry.stream, entries[0].start);
    assert!(gap.is_err(), "the missing one is named");
}

#[test]
fn a_chunk_under_anothers_name_is_refused() {
    let world = World::new();
    let (_, entries) = kept(&world, &sealed());
    let here = |entry: &ChunkEntry| world.folder.path().join("here").join(&entry.path);
    // The right bytes, and a name that claims another stretch.
    let renamed = entries[1]
        .path
        .replace(".0000000000000bc2.", ".0000000000000bc3.");
    assert_ne!(renamed, entries[1].path);
    std::fs::rename(
        here(&entries[1]),
        world.folder.path().join("here").join(&renamed),
    )
    .unwrap();
    let entry = listed(&world, &owner('A'))
        .into_iter()
        .find(|entry| entry.path == renamed)
        .expect("it is listed");
    let key = key(1);
    let read = vault::read_chunk(&world.vault, &world.volume, &entry, Some(&key));
    assert!(matches!(
        world.runtime.block_on(read),
        Err(VaultError::Damaged { .. })
    ));
}

#[test]
fn a_sweep_of_snapshots_does_not_see_chunks() {
    let world = World::new();
    let (_, entries) = kept(&world, &sealed());
    assert!(world.objects(&world.vault).is_empty());
    let delete = vault::delete(&world.vault, &entries[0].path);
    assert!(
        world.runtime.block_on(delete).is_err(),
        "it is no object of a snapshot"
    );
    let delete = vault::delete_chunk(&world.vault, &entries[0]);
    world.runtime.block_on(delete).expect("it is deleted");
    let delete = vault::delete_chunk(&world.vault, &entries[0]);
    world.runtime.block_on(delete).expect("it is gone already");
    assert_eq!(listed(&world, &owner('A')).len(), 2);
}

/// What a chain holds, each chunk checked to follow the one before.
fn log_of(world: &World, chain: &Chain, key: Option<&vault::DataKey>) -> Vec<u8> {
    let (mut log, mut before) = (Vec::new(), None);
    for entry in chain.chunks() {
        let read = vault::read_chunk(&world.vault, &world.volume, entry, key);
        let chunk = world.runtime.block_on(read).expect("it opens");
        let link = before.as_ref().map(|(head, hash)| (head, *hash));
        Chain::check_link(link, (&chunk.head, entry.hash)).expect("they are linked");
        log.extend(chunk.log);
        before = Some((chunk.head, entry.hash));
    }
    log
}

#[test]
fn a_joined_log_is_the_same_log_at_every_moment() {
    let (world, sealing, owner) = (World::new(), sealed(), owner('A'));
    let (stream, key) = (Uuid::from_u128(1), key(1));
    let (mut expected, mut last): (Vec<u8>, Option<ChunkEntry>) = (Vec::new(), None);
    // Tiers are joined again, and what goes on names the last one that was streamed, joined since or not.
    for round in 0..8_u8 {
        for number in 0..48 {
            let at = expected.len() as u64;
            let bytes = vec![round; if number % 2 == 0 { 90 } else { 5_000 }];
            let chunk = chunk(stream, at, &bytes, last.as_ref());
            expected.extend(&chunk.log);
            let written = vault::write_chunk(&world.vault, &world.volume, &owner, chunk, &sealing);
            last = Some(world.runtime.block_on(written).expect("it is written"));
        }
        let from = LogPlace {
            timeline: 1,
            position: 0,
        };
        let all = listed(&world, &owner);
        let chain = Chain::of(&all, stream, from).expect("a chain");
        for group in vault::joinable(&chain) {
            let joined = vault::join(&world.vault, &world.volume, &owner, group, &sealing);
            world.runtime.block_on(joined).expect("they are joined");
        }
        let all = listed(&world, &owner);
        let chain = Chain::of(&all, stream, from).expect("a chain beside what it was made of");
        if round % 3 == 1 {
            assert_eq!(log_of(&world, &chain, Some(&key)), expected);
        }
        // Any that go, go in any order.
        for (chunk, _) in vault::superseded(&all, &chain).into_iter().rev().skip(1) {
            let delete = vault::delete_chunk(&world.vault, chunk);
            world.runtime.block_on(delete).expect("it is deleted");
        }
    }
    let all = listed(&world, &owner);
    let chain = Chain::of(
        &all,
        stream,
        LogPlace {
            timeline: 1,
            position: 0,
        },
    )
    .expect("a chain");
    assert_eq!(log_of(&world, &chain, Some(&key)), expected);
    assert!(
        chain.chunks().len() < 2 * vault::CHUNKS_JOINED,
        "{}",
        chain.chunks().len()
    );
    assert!(all.len() < 3 * vault::CHUNKS_JOINED, "{}", all.len());
}

#[test]
fn what_is_damaged_or_out_of_place_is_not_joined() {
    let (world, sealing, owner) = (World::new(), sealed(), owner('A'));
    let (stream, entries) = kept(&world, &sealing);
    let join = |group: &[ChunkEntry], next: &ChunkEntry| {
        let joined = vault::join(&world.vault, &world.volume, &owner, (group, next), &sealing);
        world.runtime.block_on(joined)
    };
    // One that names another one before it: swapped in by who can write to the vault.
    let swapped = chunk(stream, 3000, &[9; 10], Some(&entries[2]));
    let written = vault::write_chunk(&world.vault, &world.volume, &owner, swapped, &sealing);
    let swapped = world.runtime.block_on(written).expect("it is written");
    for (group, next) in [
        (vec![entries[0].clone(), swapped.clone()], &entries[2]),
        (vec![entries[0].clone()], &swapped),
        (vec![entries[0].clone(), entries[2].clone()], &entries[2]),
    ] {
        assert!(matches!(
            join(&group, next),
            Err(VaultError::Damaged { .. })
        ));
    }
    let path = world.folder.path().join("here").join(&entries[1].path);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[120] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let damaged = join(&entries[..2], &entries[2]);
    assert!(matches!(damaged, Err(VaultError::Damaged { .. })));
    assert_eq!(listed(&world, &owner).len(), 4, "nothing was written");
}

#[test]
fn a_folder_that_is_gone_or_another_one_takes_and_tells_nothing() {
    let (world, sealing, owner) = (World::new(), sealed(), owner('A'));
    let (stream, entries) = kept(&world, &sealing);
    let (here, aside) = (
        world.folder.path().join("here"),
        world.folder.path().join("aside"),
    );
    let fails = || {
        let chunk = chunk(stream, 3015, &[4; 10], entries.last());
        let written = vault::write_chunk(&world.vault, &world.volume, &owner, chunk, &sealing);
        let listed = vault::chunks(&world.vault, &world.volume, &owner);
        let owners = vault::chunk_owners(&world.vault, &world.volume);
        world.runtime.block_on(written).is_err()
            && world.runtime.block_on(listed).is_err()
            && world.runtime.block_on(owners).is_err()
    };
    std::fs::rename(&here, &aside).unwrap();
    assert!(fails() && !here.exists(), "none is made in its place");
    // As a mount point is without its disk.
    std::fs::create_dir(&here).unwrap();
    assert!(fails());
    assert_eq!(std::fs::read_dir(&here).unwrap().count(), 0);
    std::fs::remove_dir(&here).unwrap();
    std::fs::rename(&aside, &here).unwrap();
    assert!(!fails());
    assert_eq!(listed(&world, &owner).len(), 4);
}
