//! Format 1 as it was stored once must stay readable. The fixtures were written by
//! `cargo run -p vault --example format_fixture`; they are replaced only before a first release.
use std::path::Path;

use vault::Vault;

use crate::world::{World, key};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/format-1");

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_tree(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn fixtures_of_format_1_stay_readable() {
    let mut world = World::new();
    for name in ["sealed", "open"] {
        let fixture = Path::new(FIXTURES).join(name);
        let copy = world.folder.path().join(name);
        copy_tree(&fixture.join("vault"), &copy);
        let vault = Vault::local_folder(&copy).unwrap();
        world.volume = world
            .runtime
            .block_on(vault::volumes(&vault))
            .unwrap()
            .remove(0);
        let data_key = (name == "sealed").then(|| key(1));
        let manifests = std::fs::read_to_string(fixture.join("manifests.txt")).unwrap();
        let manifests: Vec<&str> = manifests.lines().collect();
        assert_eq!(manifests.len(), 2, "a snapshot and the next one");
        for (number, manifest) in manifests.iter().enumerate() {
            let manifest = manifest.parse().unwrap();
            let (restored, found) = world
                .restore_from(&vault, manifest, data_key.as_ref())
                .unwrap();
            assert_eq!(
                restored.engine_document,
                format!("{{\"snapshot\":{number}}}")
            );
            assert_eq!(found["PG_VERSION"], b"15\n");
            assert_eq!(found["base/1/empty"], b"");
            assert_eq!(found["base/1/zeros"], [0; 20_000]);
            let mut page = vec![b'a'; 3 * 8192 + 5];
            page[8192] += u8::try_from(number).unwrap();
            assert_eq!(found["base/1/1259"], page);
        }
    }
}
