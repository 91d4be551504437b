//! What every schedule begins with: a catalog, a clock that is set, and a volume's two snapshots.
//!
//! It does not know who works with them.
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use catalog::{SqliteCatalog, conformance::samples};
use model::{Clock, Content, Region, SystemClock, Timestamp, VolumeRef};
use object_store::{ObjectStoreExt, PutPayload, memory::InMemory, path::Path};
use vault::{Condemned, Sealing, SnapshotWriter, Unobserved, Vault, WriteOptions};

/// What nothing reaches is kept for so long.
pub(crate) const GRACE: Duration = Duration::from_secs(100);

/// A clock that stands until it is set.
#[derive(Debug)]
pub(crate) struct SetClock(AtomicI64);

impl SetClock {
    pub(crate) fn set(&self, to: Timestamp) {
        self.0.store(to.0, Ordering::SeqCst);
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(
            i64::try_from(by.as_micros()).expect("short"),
            Ordering::SeqCst,
        );
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// Where the snapshots are taken.
pub(crate) fn home() -> Region {
    samples::region()
}

/// Where they are copied to.
pub(crate) fn far() -> Region {
    samples::other_region()
}

/// Objects of one snapshot, beyond those of the ones before it.
pub(super) struct Kept {
    pub(super) content: Content,
    pub(super) objects: Vec<(Path, PutPayload)>,
}

/// What every schedule begins with; made once.
pub(crate) struct Fixture {
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) catalog: Arc<SqliteCatalog>,
    pub(crate) clock: Arc<SetClock>,
    pub(crate) volume: VolumeRef,
    pub(super) kept: Vec<Kept>,
    pub(in crate::sweep) folder: tempfile::TempDir,
}

pub(crate) fn page(byte: u8) -> Vec<u8> {
    vec![byte; 8192]
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .expect("a runtime");
        let folder = tempfile::tempdir_in(
            if std::path::Path::new("/dev/shm")
                .try_exists()
                .is_ok_and(|there| there)
            {
                "/dev/shm"
            } else {
                "/tmp"
            },
        )
        .expect("a folder");
        // A day ahead of the stores' clock: every object there is old enough to be swept.
        let start = SystemClock.now().plus(Duration::from_secs(24 * 3_600));
        let clock = Arc::new(SetClock(AtomicI64::new(start.0)));
        let catalog = SqliteCatalog::open(&folder.path().join("catalog"), clock.clone());
        let volume = samples::volume();
        let kept = snapshots_of(&runtime, &volume);
        Self {
            runtime,
            catalog: Arc::new(catalog.expect("a catalog")),
            clock,
            volume,
            kept,
            folder,
        }
    }

    /// The content of the older snapshot (0), or of the newer one, which builds on it (1).
    pub(crate) fn content(&self, number: usize) -> Content {
        self.kept[number].content.clone()
    }
}

/// Writes a snapshot of one file, built on another, as far as there is one.
pub(crate) fn written(
    runtime: &tokio::runtime::Runtime,
    vault: &Vault,
    volume: &VolumeRef,
    bytes: Vec<u8>,
    base: Option<model::Hash>,
) -> Content {
    let _entered = runtime.enter();
    let base = base.map(|manifest| vault::Base {
        manifest,
        data_key: None,
    });
    let options = WriteOptions {
        memory_bytes: 0,
        observer: Arc::new(Unobserved),
    };
    let absent = Condemned::new();
    let mut writer = SnapshotWriter::begin(vault, volume, Sealing::Open, base, &absent, options)
        .expect("begins");
    writer.file("a", 0o600, Arc::new(bytes)).expect("is taken");
    writer.settle().expect("settles");
    let written = writer.finish("{}".to_owned()).expect("is written");
    Content {
        volume: volume.clone(),
        manifest: written.manifest,
        wrapped_key: None,
        logical_bytes: written.logical_bytes,
        stored_bytes: written.stored_bytes,
    }
}

/// Two snapshots, the second built on the first: a page changed, and a page stayed.
fn snapshots_of(runtime: &tokio::runtime::Runtime, volume: &VolumeRef) -> Vec<Kept> {
    let store = Arc::new(InMemory::new());
    let vault = Vault::new(store.clone());
    let mut kept: Vec<Kept> = Vec::new();
    let mut seen = HashSet::new();
    for bytes in [[page(1), page(2)], [page(1), page(3)]] {
        let base = kept.last().map(|kept| kept.content.manifest);
        let content = written(runtime, &vault, volume, bytes.concat(), base);
        let objects = runtime.block_on(async {
            let mut objects = Vec::new();
            for object in vault::objects(&vault, volume).await.expect("lists") {
                if seen.insert(object.path.clone()) {
                    let path = Path::from(object.path);
                    let bytes = store.get(&path).await.expect("is there").bytes().await;
                    objects.push((path, PutPayload::from(bytes.expect("reads"))));
                }
            }
            objects
        });
        kept.push(Kept { content, objects });
    }
    kept
}
