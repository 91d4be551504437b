//! What the tests stand on: a runtime, vaults in a temporary folder, and trees of files.
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use model::{Hash, VolumeRef};
use vault::{
    Base, Condemned, Copied, CopyJob, DataKey, Observer, ReadFrom, Restored, Sealing,
    SnapshotWriter, Throttle, Vault, VaultError, WriteOptions, Written,
};

/// Files by path; directories are those that the paths name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Counts what it hears, and asks to stop once enough was done.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) total: AtomicU64,
    pub(crate) done: AtomicU64,
    pub(crate) shipped_bytes: AtomicU64,
    pub(crate) shipped_objects: AtomicU64,
    pub(crate) held: AtomicU64,
    stop_at: Option<u64>,
    stopped: AtomicBool,
}

impl Watch {
    pub(crate) fn stopping_at(done: u64) -> Self {
        Self {
            stop_at: Some(done),
            ..Self::default()
        }
    }
}

impl Observer for Watch {
    fn total(&self, bytes: u64) {
        self.total.store(bytes, Ordering::SeqCst);
    }
    fn done(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::SeqCst) + bytes;
        if self.stop_at.is_some_and(|stop_at| stop_at <= done) {
            self.stopped.store(true, Ordering::SeqCst);
        }
    }
    fn shipped(&self, bytes: u64, objects: u64) {
        self.shipped_bytes.fetch_add(bytes, Ordering::SeqCst);
        self.shipped_objects.fetch_add(objects, Ordering::SeqCst);
    }
    fn held(&self, bytes: u64) {
        self.held.fetch_add(bytes, Ordering::SeqCst);
    }
    fn stop_requested(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }
}

pub(crate) struct World {
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) vault: Vault,
    pub(crate) volume: VolumeRef,
    pub(crate) condemned: Condemned,
    /// For writers; with none, one thread works and objects can be counted.
    pub(crate) memory_bytes: usize,
}

pub(crate) fn volume(last: u8) -> VolumeRef {
    VolumeRef {
        origin: "us-east-1".parse().unwrap(),
        account: "123456789012".parse().unwrap(),
        id: format!("5e4a1f3e-0000-4000-8000-0000000000{last:02x}")
            .parse()
            .unwrap(),
    }
}

pub(crate) fn key(byte: u8) -> DataKey {
    DataKey::from_bytes([byte; 32])
}

pub(crate) fn sealed() -> Sealing {
    Sealing::Sealed(key(1))
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            runtime: tokio::runtime::Runtime::new().unwrap(),
            vault: Vault::local_folder(&folder.path().join("here")).unwrap(),
            folder,
            volume: volume(1),
            condemned: Condemned::new(),
            memory_bytes: 0,
        }
    }

    pub(crate) fn other_vault(&self, name: &str) -> Vault {
        Vault::local_folder(&self.folder.path().join(name)).unwrap()
    }

    pub(crate) fn begin(
        &self,
        sealing: Sealing,
        base: Option<Base>,
        watch: &Arc<Watch>,
    ) -> Result<SnapshotWriter, VaultError> {
        let _entered = self.runtime.enter();
        let options = WriteOptions {
            memory_bytes: self.memory_bytes,
            observer: Arc::clone(watch) as Arc<dyn Observer>,
        };
        let (vault, volume) = (&self.vault, &self.volume);
        SnapshotWriter::begin(vault, volume, sealing, base, &self.condemned, options)
    }

    pub(crate) fn try_write(
        &self,
        files: &Files,
        sealing: Sealing,
        base: Option<Base>,
    ) -> Result<Written, VaultError> {
        let watch = Arc::new(Watch::default());
        let mut writer = self.begin(sealing, base, &watch)?;
        let _entered = self.runtime.enter();
        add(&mut writer, files)?;
        let written = writer.finish(format!("{{\"files\":{}}}", files.len()))?;
        assert_eq!(watch.done.load(Ordering::SeqCst), written.logical_bytes);
        assert_eq!(
            watch.shipped_bytes.load(Ordering::SeqCst),
            written.new_bytes
        );
        assert_eq!(
            watch.shipped_objects.load(Ordering::SeqCst),
            written.new_objects
        );
        Ok(written)
    }

    pub(crate) fn write(&self, files: &Files, sealing: Sealing, base: Option<&Written>) -> Written {
        let data_key = match &sealing {
            Sealing::Open => None,
            Sealing::Sealed(key) => Some(key.clone()),
        };
        let base = base.map(|base| Base {
            manifest: base.manifest,
            data_key,
        });
        self.try_write(files, sealing, base).expect("is written")
    }

    pub(crate) fn restore_from(
        &self,
        vault: &Vault,
        manifest: Hash,
        key: Option<&DataKey>,
    ) -> Result<(Restored, Files), VaultError> {
        let _entered = self.runtime.enter();
        let into = tempfile::tempdir_in(self.folder.path()).unwrap();
        let watch = Watch::default();
        let into = into.path().join("data");
        let (volume, condemned) = (&self.volume, &self.condemned);
        let restored = vault::restore(vault, volume, manifest, key, condemned, &into, &watch)?;
        assert_eq!(watch.done.load(Ordering::SeqCst), restored.logical_bytes);
        assert_eq!(watch.total.load(Ordering::SeqCst), restored.logical_bytes);
        Ok((restored, read_tree(&into)))
    }

    /// Restores and compares every file.
    pub(crate) fn check(
        &self,
        vault: &Vault,
        manifest: Hash,
        key: Option<&DataKey>,
        files: &Files,
    ) {
        let (restored, found) = self.restore_from(vault, manifest, key).expect("restores");
        assert_eq!(restored.files, files.len() as u64);
        assert_eq!(
            restored.engine_document,
            format!("{{\"files\":{}}}", files.len())
        );
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            files.keys().collect::<Vec<_>>()
        );
        for (path, content) in files {
            assert!(found[path] == *content, "{path} differs");
        }
    }

    pub(crate) fn ship(
        &self,
        to: &Vault,
        manifest: Hash,
        throttle: Option<&Arc<Throttle>>,
        watch: &Watch,
    ) -> Result<Copied, VaultError> {
        let none = Condemned::new();
        let job = CopyJob {
            from: ReadFrom::Vault(&self.vault, &none),
            to,
            volume: &self.volume,
            manifest,
            condemned_there: &self.condemned,
            throttle,
        };
        self.runtime.block_on(vault::copy(job, watch))
    }

    /// The objects of the volume, with their paths on disk.
    pub(crate) fn objects(&self, vault: &Vault) -> Vec<vault::ObjectEntry> {
        self.runtime
            .block_on(vault::objects(vault, &self.volume))
            .unwrap()
    }

    pub(crate) fn on_disk(&self, entry: &vault::ObjectEntry) -> std::path::PathBuf {
        self.folder.path().join("here").join(&entry.path)
    }
}

pub(crate) fn add(writer: &mut SnapshotWriter, files: &Files) -> Result<(), VaultError> {
    let mut made = std::collections::BTreeSet::new();
    for (path, content) in files {
        for (at, _) in path.match_indices('/') {
            if made.insert(path[..at].to_owned()) {
                writer.directory(&path[..at], 0o700)?;
            }
        }
        writer.file(path, 0o600, Arc::new(content.clone()))?;
    }
    writer.settle()
}

pub(crate) fn read_tree(root: &Path) -> Files {
    let mut files = Files::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if std::fs::metadata(&path).expect("there").is_dir() {
                folders.push(path);
            } else {
                let name = path
                    .strip_prefix(root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                files.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    files
}

/// Pages as a database's: half noise, so that they compress by about half; some all zero.
pub(crate) fn pages(seed: u64, bytes: usize) -> Vec<u8> {
    let mut content = vec![0; bytes];
    for (number, page) in content.chunks_mut(8192).enumerate() {
        let number = number as u64;
        if number % 7 == 6 {
            continue;
        }
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(&seed.to_le_bytes())
            .update(&number.to_le_bytes());
        let half = page.len() / 2;
        hasher.finalize_xof().fill(&mut page[..half]);
        page[half..].fill(7);
    }
    content
}

/// Changes one byte in every `every`-th page.
pub(crate) fn touch(content: &mut [u8], every: usize) -> u64 {
    let mut touched = 0;
    for page in content.chunks_mut(8192).step_by(every) {
        page[0] = page[0].wrapping_add(1);
        touched += 1;
    }
    touched
}

/// A small tree with the cases that matter: empty, short, exact, long, zero, nested.
pub(crate) fn small_tree() -> Files {
    Files::from([
        ("PG_VERSION".to_owned(), b"15\n".to_vec()),
        ("base/1/1255".to_owned(), pages(1, 90 * 8192)),
        ("base/1/1259".to_owned(), pages(2, 40 * 8192 + 100)),
        ("base/1/empty".to_owned(), vec![]),
        ("base/1/zeros".to_owned(), vec![0; 100_000]),
        ("global/pg_control".to_owned(), pages(3, 8192)),
        ("pg_wal/archive_status/x".to_owned(), vec![9; 1]),
    ])
}
