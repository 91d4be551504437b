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
        let (mut log, mut before) = (Vec::new(), None);
        for entry in chain.chunks() {
            let read = vault::read_chunk(&world.vault, &world.volume, entry, data_key);
            let chunk = world.runtime.block_on(read).expect("it opens");
            let link = before.as_ref().map(|(head, hash)| (head, *hash));
            Chain::check_link(link, (&chunk.head, entry.hash)).expect("they are linked");
            log.extend(chunk.log);
            before = Some((chunk.head, entry.hash));
        }
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
