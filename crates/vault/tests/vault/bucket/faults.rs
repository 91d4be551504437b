//! Under whatever answers: the right bytes or an error with a name, and nothing acknowledged is lost.
use std::{collections::HashSet, sync::Mutex, time::Duration};

use bytes::Bytes;
use model::ErrorKind;
use vault::{
    Base, Check, Condemned, Extent, Mended, ObjectId, ObjectKind, Passed, ReadFrom, Reencrypt,
    ReencryptKeys, Repairer, Unobserved, VaultError,
    records::{list_records, open_record, put_record},
};

use super::{elsewhere, http::Request, persist, server::Fault, world};
use crate::world::{Files, Watch, World, key, pages, sealed, small_tree, touch, volume};

/// So many answers of a thousand are not sound.
const FAULTS_PER_MILLE: u64 = 150;
/// Seeds that are tried; `make soak` tries more.
const SEEDS: u64 = 4;

fn seeds() -> u64 {
    let asked = std::env::var("SNAPFERRY_SOAK_SEEDS");
    asked.map_or(SEEDS, |count| count.parse().expect("a number of seeds"))
}

/// Faults that a seed draws. Requests of several threads take them in whatever order they come.
fn drawn(seed: u64) -> impl FnMut(&Request) -> Fault {
    let mut state = blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof();
    let mut draw = move |below: u64| {
        let mut bytes = [0; 8];
        state.fill(&mut bytes);
        u64::from_le_bytes(bytes) % below
    };
    move |_| {
        if FAULTS_PER_MILLE <= draw(1000) {
            return Fault::None;
        }
        match draw(11) {
            0 => Fault::Refused(500),
            1 => Fault::Refused(503),
            2 => Fault::Refused(429),
            3 => Fault::Denied(500),
            4 => Fault::Cut,
            5 => Fault::CutAfter,
            6 => Fault::Torn,
            7 => Fault::Wrong,
            8 => Fault::Late(Duration::from_millis(30)),
            9 => Fault::Slow,
            _ => Fault::Stale,
        }
    }
}

fn base(manifest: model::Hash) -> Option<Base> {
    Some(Base {
        manifest,
        data_key: Some(key(1)),
    })
}

/// The objects that a snapshot needs, by a sound store.
fn reached(world: &World, manifest: model::Hash) -> HashSet<ObjectId> {
    let header = vault::read_header(&world.vault, &world.volume, manifest, &world.condemned);
    let header = world.runtime.block_on(header).unwrap();
    let root = ObjectId {
        kind: ObjectKind::Manifest,
        hash: manifest,
    };
    header.objects().map(|(id, _)| id).chain([root]).collect()
}

/// Loses one pack and damages one list, and has both fetched from another region.
fn repair(world: &mut World, server: &super::Server, manifest: model::Hash) {
    let objects = reached(world, manifest);
    let of = |kind| objects.iter().find(|id| id.kind == kind).copied().unwrap();
    let (lost, damaged) = (of(ObjectKind::Pack), of(ObjectKind::List));
    for entry in world.objects(&world.vault) {
        let name = format!("ferry/us-east-1/{}", entry.path);
        let garbage = Bytes::from(vec![7; entry.size as usize]);
        match entry.hash {
            hash if hash == lost.hash => server.objects().set(&name, None),
            hash if hash == damaged.hash => server.objects().set(&name, Some(garbage)),
            _ => {}
        }
    }
    let there = elsewhere(server);
    let open = || {
        let others = vec![(there.clone(), Condemned::new())];
        let opened = Repairer::open(&world.vault, &world.volume, &world.condemned, others);
        world.runtime.block_on(opened)
    };
    server.plan(drawn(u64::from(manifest.0[0])));
    let repairer = persist("open a mender", open);
    for object in [lost, damaged] {
        let mended = persist("mend", || world.runtime.block_on(repairer.repair(object)));
        let Mended::Written { from: 0, bad } = mended else {
            panic!("{object}: {mended:?}");
        };
        assert_eq!(bad.len(), usize::from(object == damaged), "{bad:?}");
        world.condemned.extend(bad);
    }
}

/// Copies a snapshot under fresh keys into another volume, and looks through the copy.
fn reencrypt(world: &mut World, to: &vault::Vault, manifest: model::Hash, files: &Files) {
    let (origin, elsewhere, none) = (world.volume.clone(), volume(9), Condemned::new());
    let made = Mutex::new(None);
    let copy = persist("seal anew", || {
        let _entered = world.runtime.enter();
        let job = Reencrypt {
            from: ReadFrom::Vault(&world.vault, &none),
            origin: &origin,
            manifest,
            keys: Some(ReencryptKeys {
                old: &key(1),
                fresh: &key(2),
            }),
            to,
            volume: &elsewhere,
            condemned_there: &none,
            base: None,
            checkpoint: *made.lock().unwrap(),
            extent: Extent::Frames,
            throttle: None,
        };
        let record = |manifest| {
            *made.lock().unwrap() = Some(manifest);
            true
        };
        vault::reencrypt(job, &Unobserved, &record)
    });
    let checked = persist("check", || {
        let _entered = world.runtime.enter();
        let check = Check {
            vault: to,
            volume: &elsewhere,
            manifest: copy.manifest,
            data_key: Some(&key(2)),
            read_data: true,
            sample_percent: 100,
            condemned: &none,
            passed: &Passed::default(),
        };
        vault::check(check, &Unobserved)
    });
    assert!(checked.damage.is_empty(), "{checked:?}");
    world.volume = elsewhere;
    let restored = persist("restore", || {
        world.restore_from(to, copy.manifest, Some(&key(2)))
    });
    world.volume = origin;
    assert!(restored.1 == *files, "wrong bytes");
}

fn scenario(seed: u64) {
    let (mut world, server) = world();
    let (here, there, aside) = (
        world.vault.clone(),
        elsewhere(&server),
        world.other_vault("aside"),
    );
    let mut files: Files = small_tree();
    // One object is read in ranges and uploaded in parts.
    files.insert("base/1/large".to_owned(), pages(seed, 12 << 20));
    server.plan(drawn(seed));
    let first = persist("first", || world.try_write(&files, sealed(), None));
    let restored = persist("restore", || {
        world.restore_from(&here, first.manifest, Some(&key(1)))
    });
    assert!(restored.1 == files, "wrong bytes");
    let before = files.clone();
    touch(files.get_mut("base/1/1255").unwrap(), 10);
    let second = persist("second", || {
        world.try_write(&files, sealed(), base(first.manifest))
    });
    for to in [&there, &aside] {
        for manifest in [first.manifest, second.manifest] {
            let ship = || world.ship(to, manifest, None, &Watch::default());
            persist("ship", ship);
        }
    }
    reencrypt(&mut world, &there, second.manifest, &files);
    let record = |number: usize| {
        let path = format!("records/123456789012/s/{number}");
        (path.clone(), Bytes::from(path.repeat(40)))
    };
    for (path, bytes) in (0..6).map(record) {
        persist("put a record", || {
            let put = put_record(&here, &path, bytes.clone());
            world.runtime.block_on(put)
        });
        let is_right = |read: &[u8]| (*read == bytes).then_some(()).ok_or(());
        persist("open a record", || {
            let opened = world
                .runtime
                .block_on(open_record(&here, &path, is_right))?;
            // None, or wrong bytes: what had to be asked for again too often.
            opened.and_then(Result::ok).ok_or(VaultError::Damaged {
                object: ObjectId {
                    kind: ObjectKind::Manifest,
                    hash: first.manifest,
                },
                why: "stands for the record",
            })
        });
    }

    server.sound();
    repair(&mut world, &server, second.manifest);
    let live = {
        server.sound();
        reached(&world, second.manifest)
    };
    server.plan(drawn(seed + 1000));
    let entries = persist("list", || {
        let listed = vault::objects(&here, &world.volume);
        world.runtime.block_on(listed)
    });
    for entry in entries {
        let id = ObjectId {
            kind: entry.kind,
            hash: entry.hash,
        };
        if !live.contains(&id) || world.condemned.contains(&entry.path) {
            let delete = || world.runtime.block_on(vault::delete(&here, &entry.path));
            persist("delete", delete);
        }
    }

    server.sound();
    // The first list may still leave a record out that was put late.
    let mut listed = 0;
    for _ in 0..2 {
        let records = world.runtime.block_on(list_records(&here, "records"));
        listed = records.unwrap().len();
    }
    assert_eq!(listed, 6);
    for (vault, manifest, files) in [
        (&here, second.manifest, &files),
        (&there, first.manifest, &before),
        (&there, second.manifest, &files),
        (&aside, second.manifest, &files),
    ] {
        world.check(vault, manifest, Some(&key(1)), files);
    }
    for entry in world.objects(&here) {
        let id = ObjectId {
            kind: entry.kind,
            hash: entry.hash,
        };
        // A stale list may have hidden an object from that sweep; the next one finds it.
        if !live.contains(&id) {
            let gone = world.runtime.block_on(vault::delete(&here, &entry.path));
            gone.unwrap();
        }
    }
    world.check(&here, second.manifest, Some(&key(1)), &files);
    assert_eq!(server.conditions(), Vec::<String>::new());
}

#[test]
fn right_bytes_or_a_named_error_and_nothing_is_lost() {
    for seed in 0..seeds() {
        eprintln!("seed {seed}");
        scenario(seed);
    }
}

#[test]
fn a_store_that_answers_nothing_is_given_up() {
    let (world, server) = world();
    let files = Files::from([("a".to_owned(), pages(1, 9 << 20))]);
    let written = world.write(&files, sealed(), None);
    for fault in [Fault::Refused(503), Fault::Cut, Fault::Torn] {
        let failing = fault.clone();
        server.plan(move |request| match request.key.as_str() {
            "" => Fault::None,
            _ => failing.clone(),
        });
        server.take_counts();
        let restored = world.restore_from(&world.vault, written.manifest, Some(&key(1)));
        let error = restored.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Retry, "{error:?}");
        let asked: usize = server.take_counts().values().map(|count| count.all).sum();
        // The manifest, four times, each with four repetitions by the client (and a list).
        assert!(asked <= 4 * 5 + 9, "{fault:?}: {asked} requests");
        // The answer to a put has no body that could be torn.
        if !matches!(fault, Fault::Torn) {
            let refused = world.try_write(&files, sealed(), None);
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::Retry);
        }
    }
    server.sound();
    world.check(&world.vault, written.manifest, Some(&key(1)), &files);
}

#[test]
fn wrong_bytes_are_never_taken() {
    let (world, server) = world();
    let files = Files::from([("a".to_owned(), pages(1, 9 << 20))]);
    let written = world.write(&files, sealed(), None);
    server.plan(|_| Fault::Wrong);
    let restored = world.restore_from(&world.vault, written.manifest, Some(&key(1)));
    assert!(
        matches!(restored, Err(VaultError::Damaged { .. })),
        "{restored:?}"
    );
    // Only the second answer for each object is sound.
    let mut asked = std::collections::HashMap::<String, usize>::new();
    server.plan(move |request| {
        let times = asked.entry(format!(
            "{} {:?}",
            request.key,
            request.headers.get("range")
        ));
        let times = times.or_default();
        *times += 1;
        if *times == 1 {
            Fault::Wrong
        } else {
            Fault::None
        }
    });
    world.check(&world.vault, written.manifest, Some(&key(1)), &files);
}
