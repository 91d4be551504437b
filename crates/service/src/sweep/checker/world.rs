//! What the checker's actors live in: two regions' stores, a catalog, a clock that is set, a
//! volume with two snapshots, and the rule that must hold after every step.
//!
//! It does not know in which order things happen.
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use catalog::{
    CatalogError, CatalogExt, SqliteCatalog, Tx, clusters, condemned, conformance::samples, jobs,
    snapshots,
};
use engine::{DumpInfo, DumpSink, Engine, EngineError, Home, NewCluster};
use model::{
    Clock, Content, Hash, JobKind, Region, Snapshot, SnapshotStatus, SystemClock, SystemEntropy,
    Timestamp, VolumeRef,
    cluster::Base,
    job::{Job, Pin},
};
use object_store::{ObjectStoreExt, PutPayload, memory::InMemory, path::Path};
use vault::{Condemned, Sealing, SnapshotWriter, Unobserved, Vault, WriteOptions};

use super::gate::{Broken, Gate, GatedCatalog, GatedStore, Held, Seen};
use crate::{
    Mode, Parts, Settings,
    core::Core,
    jobs::{copy_snapshot, create_snapshot},
    link::http as http_link,
    webhooks::{Courier, CourierError},
};

/// What nothing reaches is kept for so long.
pub(super) const GRACE: Duration = Duration::from_secs(100);

/// A clock that stands until it is set.
#[derive(Debug)]
pub(super) struct SetClock(AtomicI64);

impl SetClock {
    pub(super) fn advance(&self, by: Duration) {
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
pub(super) fn home() -> Region {
    samples::region()
}

/// Where they are copied to.
pub(super) fn far() -> Region {
    samples::other_region()
}

/// Objects of one snapshot, beyond those of the ones before it.
struct Kept {
    content: Content,
    objects: Vec<(Path, PutPayload)>,
}

/// What every schedule begins with; made once.
pub(super) struct Ground {
    pub(super) runtime: tokio::runtime::Runtime,
    catalog: Arc<SqliteCatalog>,
    pub(super) clock: Arc<SetClock>,
    pub(super) volume: VolumeRef,
    kept: Vec<Kept>,
    _folder: tempfile::TempDir,
}

fn page(byte: u8) -> Vec<u8> {
    vec![byte; 8192]
}

impl Ground {
    pub(super) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .expect("a runtime");
        let folder = tempfile::tempdir_in(if std::path::Path::new("/dev/shm").is_dir() {
            "/dev/shm"
        } else {
            "/tmp"
        })
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
            _folder: folder,
        }
    }

    /// The content of the older snapshot (0), or of the newer one, which builds on it (1).
    pub(super) fn content(&self, number: usize) -> Content {
        self.kept[number].content.clone()
    }
}

/// Two snapshots, the second built on the first: a page changed, and a page stayed.
fn snapshots_of(runtime: &tokio::runtime::Runtime, volume: &VolumeRef) -> Vec<Kept> {
    let _entered = runtime.enter();
    let store = Arc::new(InMemory::new());
    let vault = Vault::new(store.clone());
    let mut kept: Vec<Kept> = Vec::new();
    let mut seen = HashSet::new();
    for content in [[page(1), page(2)], [page(1), page(3)]] {
        let base = kept.last().map(|kept| vault::Base {
            manifest: kept.content.manifest,
            data_key: None,
        });
        let options = WriteOptions {
            memory_bytes: 0,
            observer: Arc::new(Unobserved),
        };
        let mut writer = SnapshotWriter::begin(
            &vault,
            volume,
            Sealing::Open,
            base,
            &Condemned::new(),
            options,
        )
        .expect("begins");
        writer
            .file("a", 0o600, Arc::new(content.concat()))
            .expect("is taken");
        writer.settle().expect("settles");
        let written = writer.finish("{}".to_owned()).expect("is written");
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
        kept.push(Kept {
            content: Content {
                volume: volume.clone(),
                manifest: written.manifest,
                wrapped_key: None,
                logical_bytes: written.logical_bytes,
                stored_bytes: written.stored_bytes,
            },
            objects,
        });
    }
    kept
}

/// One schedule's world.
pub(super) struct World {
    pub(super) ground: Arc<Ground>,
    pub(super) gate: Arc<Gate>,
    stores: HashMap<Region, Arc<InMemory>>,
    pub(super) broken: Broken,
}

/// An actor's view of the world.
pub(super) struct Node {
    pub(super) core: Arc<Core>,
    pub(super) gate: Arc<Gate>,
    pub(super) actor: usize,
    pub(super) name: String,
    pub(super) seen: Seen,
}

impl Node {
    /// A moment at which others may go on.
    pub(super) async fn step(&self, what: &str) {
        self.gate.pass(self.actor, what.to_owned(), None).await;
    }
}

impl World {
    /// An empty catalog and empty stores.
    pub(super) fn new(ground: &Arc<Ground>, broken: Broken) -> Self {
        let world = Self {
            ground: ground.clone(),
            gate: Arc::default(),
            stores: HashMap::from(
                [home(), far()].map(|region| (region, Arc::new(InMemory::new()))),
            ),
            broken,
        };
        world.write(|tx| {
            for table in [
                "snapshots",
                "snapshot_shares",
                "snapshot_tallies",
                "clusters",
                "jobs",
                "condemned",
                "outbox",
                "events",
                "job_turns",
            ] {
                tx.execute(&format!("DELETE FROM {table}"), &[])?;
            }
            Ok(())
        });
        world
    }

    /// A transaction of the world's own, through no gate.
    pub(super) fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&mut dyn Tx) -> Result<T, CatalogError> + Send + Sync + 'static,
    ) -> T {
        let done = self.ground.catalog.write(work);
        self.ground
            .runtime
            .block_on(done)
            .expect("the world's own transactions are good")
    }

    /// Lays a snapshot's own objects into a region's vault.
    pub(super) fn lay(&self, region: &Region, number: usize) {
        for (path, payload) in &self.ground.kept[number].objects {
            let put = self.stores[region].put(path, payload.clone());
            self.ground.runtime.block_on(put).expect("memory takes it");
        }
    }

    /// A snapshot's record; its objects are laid apart.
    pub(super) fn record(&self, region: &Region, name: &str, number: usize) {
        let snapshot = available(region, name, self.ground.content(number));
        self.write(move |tx| snapshots::insert(tx, snapshot.clone()).map(drop));
    }

    /// A cluster whose next snapshot builds on one of the two.
    pub(super) fn cluster(&self, number: usize) -> model::Cluster {
        let content = self.ground.content(number);
        let cluster = model::Cluster {
            volume: content.volume,
            base: Some(Base {
                manifest: content.manifest,
                wrapped_key: None,
            }),
            ..samples::cluster("c")
        };
        let row = cluster.clone();
        self.write(move |tx| clusters::insert(tx, row.clone()).map(drop));
        cluster
    }

    /// A node of its own for an actor. One that takes snapshots holds its puts back until it
    /// commits.
    pub(super) fn node(&self, actor: usize, name: &str, takes_snapshots: bool) -> Node {
        let held: Option<Held> = takes_snapshots.then(Held::default);
        let seen = Seen::default();
        let catalog = GatedCatalog {
            gate: self.gate.clone(),
            actor,
            inner: self.ground.catalog.clone(),
            held: held.clone(),
            broken: self.broken,
            seen: seen.clone(),
        };
        let (gate, stores) = (self.gate.clone(), self.stores.clone());
        let parts = Parts {
            catalog: Arc::new(catalog),
            open_vault: Box::new(move |region| {
                Ok(Vault::new(Arc::new(GatedStore {
                    gate: gate.clone(),
                    actor,
                    inner: stores[region].clone(),
                    held: held.clone(),
                })))
            }),
            vault_regions: Box::new(|| vec![home(), far()]),
            master_key: Arc::new(kms::MasterKey::from_bytes([1; 32])),
            outside_kms: None,
            engine: Arc::new(Pages),
            courier: Arc::new(NoCourier),
            carrier: Arc::new(NoCarrier),
            clock: self.ground.clock.clone(),
            entropy: Arc::new(SystemEntropy),
        };
        let mut settings = Settings::new(Mode::Dev, "/nowhere".into());
        settings.sweep_grace = GRACE;
        settings.snapshot_memory_bytes = 0;
        // The node of the sample cluster's files.
        settings.node = "node-1".to_owned();
        Node {
            core: Arc::new(Core::new(parts, settings)),
            gate: self.gate.clone(),
            actor,
            name: name.to_owned(),
            seen,
        }
    }

    /// The rule: each object that a live record needs, or the source of an open copy, is there
    /// under a name that is not condemned.
    ///
    /// # Errors
    /// What is not.
    pub(super) fn check(&self) -> Result<(), String> {
        let volume = self.ground.volume.clone();
        for region in [home(), far()] {
            let (at, of, prefix) = (region.clone(), volume.clone(), format!("volumes/{volume}/"));
            let (mut roots, condemned) = self.write(move |tx| {
                let mut roots: Vec<(String, Hash)> = snapshots::roots(tx, &at, &of)?
                    .into_iter()
                    .map(|root| ("a record".to_owned(), root))
                    .collect();
                for job in jobs::list(tx, Some(model::JobState::Open), 100)? {
                    if job.kind == JobKind::CopySnapshot
                        && let Ok(body) = serde_json::from_str::<copy_snapshot::Body>(&job.body)
                        && body.source_region == at
                    {
                        roots.push(("an open copy".to_owned(), body.content.manifest));
                    }
                }
                Ok((roots, condemned::list(tx, &at, &prefix)?))
            });
            roots.dedup();
            let vault = Vault::new(self.stores[&region].clone());
            let present = self
                .ground
                .runtime
                .block_on(vault::objects(&vault, &volume));
            let present: HashSet<Hash> = present
                .expect("memory lists")
                .into_iter()
                .filter(|object| !condemned.contains(&object.path))
                .map(|object| object.hash)
                .collect();
            for (who, root) in roots {
                let header = vault::read_header(&vault, &volume, root, &condemned);
                let header = self
                    .ground
                    .runtime
                    .block_on(header)
                    .map_err(|error| format!("{who} in {region}: {error}"))?;
                if let Some((object, _)) =
                    header.objects().find(|(o, _)| !present.contains(&o.hash))
                {
                    return Err(format!("{who} in {region} needs {object}, which is gone"));
                }
            }
        }
        Ok(())
    }
}

pub(super) fn available(region: &Region, name: &str, content: Content) -> Snapshot {
    Snapshot {
        region: region.clone(),
        status: SnapshotStatus::Available,
        content: Some(content),
        ..samples::snapshot(name)
    }
}

/// What the action CopyDBClusterSnapshot commits for a copy to another region: both rows, once
/// the source is there.
pub(super) fn ask_for_copy(
    tx: &mut dyn Tx,
    source: &str,
    name: &str,
    broken: Broken,
) -> Result<(), CatalogError> {
    let sample = samples::snapshot(source);
    let Some(stored) = snapshots::get(tx, &home(), &sample.account, &sample.name)? else {
        return Ok(());
    };
    let content = stored.value.content.clone().expect("sources are available");
    let copy = Snapshot {
        region: far(),
        status: SnapshotStatus::Copying,
        source: Some(stored.value.arn()),
        ..samples::snapshot(name)
    };
    let pin = |region: Region| Pin {
        region,
        volume: content.volume.clone(),
        manifest: Some(content.manifest),
    };
    let body = copy_snapshot::Body {
        snapshot: copy.uid,
        source: stored.value.arn(),
        source_region: home(),
        content: content.clone(),
        pass: None,
        anew: None,
    };
    let pins = vec![pin(home()), pin(far())];
    insert_job(tx, JobKind::CopySnapshot, &copy, pins, &body, broken)?;
    snapshots::insert(tx, copy).map(drop)
}

/// What the action CreateDBClusterSnapshot commits.
pub(super) fn ask_for_snapshot(
    tx: &mut dyn Tx,
    cluster: &model::Cluster,
    name: &str,
    broken: Broken,
) -> Result<(), CatalogError> {
    let snapshot = samples::snapshot(name);
    let pins = vec![Pin {
        region: home(),
        volume: cluster.volume.clone(),
        manifest: cluster.base.as_ref().map(|base| base.manifest),
    }];
    let body = create_snapshot::Body {
        snapshot: snapshot.uid,
        cluster: cluster.resource_id.clone(),
        wrapped_key: None,
    };
    insert_job(tx, JobKind::CreateSnapshot, &snapshot, pins, &body, broken)?;
    snapshots::insert(tx, snapshot).map(drop)
}

fn insert_job(
    tx: &mut dyn Tx,
    kind: JobKind,
    subject: &Snapshot,
    pins: Vec<Pin>,
    body: &impl serde::Serialize,
    broken: Broken,
) -> Result<(), CatalogError> {
    let now = tx.now();
    let job = Job {
        region: subject.region.clone(),
        account: subject.account.clone(),
        created_at: now,
        run_after: now,
        pins: if broken == Broken::JobsPinNothing {
            Vec::new()
        } else {
            pins
        },
        body: serde_json::to_string(body).expect("it serializes"),
        ..samples::job(kind, subject.name.as_str())
    };
    jobs::insert(tx, &job)
}

/// What the action DeleteDBClusterSnapshot commits.
pub(super) fn delete(tx: &mut dyn Tx, region: &Region, name: &str) -> Result<(), CatalogError> {
    let sample = samples::snapshot(name);
    for job in jobs::of_subject(tx, region, &sample.account, name, JobKind::CopySnapshot)? {
        jobs::cancel(tx, job.id)?;
    }
    snapshots::delete(tx, region, &sample.account, &sample.name).map(drop)
}

/// An engine whose clusters hold two pages, one of which is always new.
#[derive(Debug)]
struct Pages;

struct Bytes(Vec<u8>);

impl engine::Content for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        vault::Content::read_at(&self.0, buffer, offset)
    }

    fn check(&self, _: &mut [u8], _: u64) -> std::io::Result<engine::Looked> {
        Ok(engine::Looked::Good)
    }

    fn evidence(&self) -> Option<engine::Evidence> {
        None
    }
}

#[async_trait]
impl Engine for Pages {
    fn installed(&self) -> Vec<String> {
        vec!["15.18".to_owned()]
    }
    async fn create(&self, _: &Home, _: &NewCluster) -> Result<(), EngineError> {
        Ok(())
    }
    async fn start(&self, _: &Home) -> Result<(), EngineError> {
        Ok(())
    }
    async fn stop(&self, _: &Home, _: Duration) -> Result<(), EngineError> {
        Ok(())
    }
    async fn is_running(&self, _: &Home) -> bool {
        true
    }
    fn dump(&self, _: &Home, sink: &mut dyn DumpSink) -> Result<DumpInfo, EngineError> {
        static NEXT: Mutex<u8> = Mutex::new(10);
        let mut next = NEXT.lock().expect("no holder panics");
        *next = next.wrapping_add(1).max(10);
        let content = Bytes([page(1), page(*next)].concat());
        let taken = sink
            .file("a", 0o600, Arc::new(content))
            .and_then(|()| sink.settle());
        taken.map_err(|source| EngineError::Sink {
            source,
            file: "a".to_owned(),
        })?;
        Ok(DumpInfo {
            document: "{}".to_owned(),
        })
    }
    async fn load(&self, _: &Home, _: &str) -> Result<(), EngineError> {
        Ok(())
    }
    async fn remove(&self, _: &Home) -> Result<(), EngineError> {
        Ok(())
    }
    async fn trim_log(&self, _: &Home) -> Result<(), EngineError> {
        Ok(())
    }
    fn helper_uids(&self) -> Vec<u32> {
        Vec::new()
    }
}

#[derive(Debug)]
struct NoCourier;

#[async_trait]
impl Courier for NoCourier {
    async fn post(
        &self,
        _: &str,
        _: http::HeaderMap,
        _: bytes::Bytes,
    ) -> Result<u16, CourierError> {
        Ok(200)
    }
}

#[derive(Debug)]
struct NoCarrier;

#[async_trait]
impl http_link::Carrier for NoCarrier {
    async fn post(
        &self,
        _: &crate::link::peer::Peer,
        _: &str,
        _: (&'static str, String),
        _: bytes::Bytes,
        _: usize,
    ) -> Result<http_link::Answer, http_link::CarrierError> {
        unreachable!("no region here is another deployment's")
    }
}
