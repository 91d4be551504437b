//! Writes the fixtures that later releases must stay able to read: `format_fixture FOLDER`.
//!
//! It does not know what reads them: see tests/vault/format.rs.
use std::{error::Error, path::Path, sync::Arc};

use model::VolumeRef;
use vault::{
    Base, Condemned, DataKey, Sealing, SnapshotWriter, Unobserved, Vault, WriteOptions, Written,
};

fn write(
    vault: &Vault,
    volume: &VolumeRef,
    key: Option<&DataKey>,
    base: Option<&Written>,
    number: u8,
) -> Result<Written, Box<dyn Error>> {
    let sealing = key.map_or(Sealing::Open, |key| Sealing::Sealed(key.clone()));
    let base = base.map(|base| Base {
        manifest: base.manifest,
        data_key: key.cloned(),
    });
    let options = WriteOptions {
        memory_bytes: 0,
        observer: Arc::new(Unobserved),
    };
    let mut writer =
        SnapshotWriter::begin(vault, volume, sealing, base, &Condemned::new(), options)?;
    writer.file("PG_VERSION", 0o600, Arc::new(b"15\n".to_vec()))?;
    writer.directory("base", 0o700)?;
    writer.directory("base/1", 0o700)?;
    let mut page = vec![b'a'; 3 * 8192 + 5];
    page[8192] += number;
    writer.file("base/1/1259", 0o600, Arc::new(page.to_vec()))?;
    writer.file("base/1/empty", 0o600, Arc::new(b"".to_vec()))?;
    writer.file("base/1/zeros", 0o600, Arc::new([0; 20_000].to_vec()))?;
    Ok(writer.finish(format!("{{\"snapshot\":{number}}}"))?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("which folder?")?;
    let runtime = tokio::runtime::Runtime::new()?;
    let _entered = runtime.enter();
    let volume = VolumeRef {
        origin: "us-east-1".parse()?,
        account: "123456789012".parse()?,
        id: "5e4a1f3e-0000-4000-8000-000000000001".parse()?,
    };
    for (name, key) in [
        ("sealed", Some(DataKey::from_bytes([1; 32]))),
        ("open", None),
    ] {
        let folder = Path::new(&folder).join(name);
        let vault = Vault::local_folder(&folder.join("vault"))?;
        let first = write(&vault, &volume, key.as_ref(), None, 0)?;
        let second = write(&vault, &volume, key.as_ref(), Some(&first), 1)?;
        let names = format!("{}\n{}\n", first.manifest, second.manifest);
        std::fs::write(folder.join("manifests.txt"), names)?;
    }
    Ok(())
}
