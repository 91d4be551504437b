//! What sweeps list, read and delete, counted; and what must not keep them from it.
//!
//! They do not know in which order other nodes act: the checker does.
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use catalog::{
    Catalog, CatalogError, CatalogExt, SqliteCatalog, Tx, conformance::samples, jobs, meta,
    snapshots, tombstones,
};
use engine::{EngineRegistry, FakeEngine};
use futures_util::stream::BoxStream;
use model::{
    Clock, Content, JobKind, Snapshot, SnapshotStatus, SystemClock, SystemEntropy, VolumeRef,
    job::Pin,
};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};
use vault::Vault;

use super::{
    BATCH, GarbageCollection, Sweeper,
    checker::{
        fixture::{Fixture, GRACE, home, page, written},
        idle::{NoPeers, NoWebhooks},
    },
    key_rotation::KeyRotation,
    prune::Prune,
};
use crate::{
    Dependencies, Mode, Settings,
    background::{self, Next, Task, TaskError},
    context::ServiceContext,
};

/// What a store was asked for.
#[derive(Debug, Default)]
struct Asked {
    lists: AtomicU64,
    manifests: AtomicU64,
    deletes: AtomicU64,
    /// Whether lists never come to an end.
    hangs: AtomicBool,
}

/// The counts of lists, manifests read and deletes.
type Counts = (u64, u64, u64);

impl Asked {
    fn take(&self) -> Counts {
        (
            self.lists.swap(0, Relaxed),
            self.manifests.swap(0, Relaxed),
            self.deletes.swap(0, Relaxed),
        )
    }
}

/// A store in memory that counts.
#[derive(Debug)]
struct Counted {
    inner: Arc<InMemory>,
    asked: Arc<Asked>,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counted")
    }
}

#[async_trait]
impl ObjectStore for Counted {
    async fn put_opts(&self, at: &Path, body: PutPayload, o: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(at, body, o).await
    }
    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }
    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        if at.parts().any(|part| part.as_ref() == "manifests") {
            self.asked.manifests.fetch_add(1, Relaxed);
        }
        self.inner.get_opts(at, options).await
    }
    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.asked.deletes.fetch_add(1, Relaxed);
        self.inner.delete_stream(paths)
    }
    fn list(&self, below: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.asked.lists.fetch_add(1, Relaxed);
        if self.asked.hangs.load(Relaxed) {
            return Box::pin(futures_util::stream::pending());
        }
        self.inner.list(below)
    }
    async fn list_with_delimiter(&self, below: Option<&Path>) -> Result<ListResult> {
        self.asked.lists.fetch_add(1, Relaxed);
        if self.asked.hangs.load(Relaxed) {
            return std::future::pending().await;
        }
        self.inner.list_with_delimiter(below).await
    }
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// One region with a vault that counts, and a process that sweeps it.
struct Scene {
    fixture: Fixture,
    store: Arc<InMemory>,
    asked: Arc<Asked>,
    context: ServiceContext,
    sweeper: Sweeper,
}

fn context(fixture: &Fixture, store: &Arc<InMemory>, asked: &Arc<Asked>) -> ServiceContext {
    let (inner, asked) = (store.clone(), asked.clone());
    let parts = Dependencies {
        catalog: fixture.catalog.clone(),
        open_vault: Box::new(move |_| {
            Ok(Vault::new(Arc::new(Counted {
                inner: inner.clone(),
                asked: asked.clone(),
            })))
        }),
        vault_regions: Box::new(|| vec![home()]),
        master_key: Arc::new(kms::MasterKey::from_bytes([1; 32])),
        outside_kms: None,
        engines: EngineRegistry::of(vec![Arc::new(FakeEngine::of_whole_clusters())]),
        webhook_transport: Arc::new(NoWebhooks),
        peer_transport: Arc::new(NoPeers),
        audit: None,
        clock: fixture.clock.clone(),
        entropy: Arc::new(SystemEntropy),
    };
    let mut settings = Settings::new(Mode::Dev, "/nowhere".into());
    settings.sweep_grace = GRACE;
    ServiceContext::new(parts, settings, crate::jobs::registry::narrow())
}

impl Scene {
    fn new() -> Self {
        let fixture = Fixture::new();
        let (store, asked) = (Arc::default(), Arc::default());
        let context = context(&fixture, &store, &asked);
        Self {
            fixture,
            store,
            asked,
            context,
            sweeper: Sweeper::default(),
        }
    }

    fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&mut dyn Tx) -> Result<T, CatalogError> + Send + Sync + 'static,
    ) -> T {
        let done = self.fixture.catalog.write(work);
        self.fixture.runtime.block_on(done).expect("it is good")
    }

    /// Takes a snapshot of a volume; its pages are like no other's.
    fn snapshot(&self, volume: &VolumeRef, name: &str, number: usize) -> Content {
        let vault = Vault::new(self.store.clone());
        let mut bytes = page(1);
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        let content = written(&self.fixture.runtime, &vault, volume, bytes, None);
        self.record(name, content.clone());
        content
    }

    fn record(&self, name: &str, content: Content) {
        let snapshot = Snapshot {
            status: SnapshotStatus::Available,
            content: Some(content),
            ..samples::snapshot(name)
        };
        self.write(move |tx| snapshots::insert(tx, snapshot.clone()).map(drop));
    }

    fn delete(&self, name: &str) {
        let sample = samples::snapshot(name);
        let gone = self
            .write(move |tx| snapshots::delete(tx, &sample.region, &sample.account, &sample.name));
        assert!(gone, "{name} was there");
    }

    /// One round of the sweep; answers what the vault was asked for.
    fn round(&mut self) -> Counts {
        let (context, sweeper) = (&self.context, &mut self.sweeper);
        let swept = self.fixture.runtime.block_on(async {
            let vault = context.vaults.confirmed(&home()).await.expect("it is ours");
            sweeper.region(context, &vault, &home()).await
        });
        swept.expect("it is swept");
        self.asked.take()
    }

    fn a_grace_goes_by(&self) {
        self.fixture.clock.advance(GRACE + Duration::from_secs(1));
    }

    fn objects(&self, volume: &VolumeRef) -> Vec<String> {
        let vault = Vault::new(self.store.clone());
        let objects = self
            .fixture
            .runtime
            .block_on(vault::objects(&vault, volume));
        let objects = objects.expect("memory lists");
        objects.into_iter().map(|object| object.path).collect()
    }

    fn copy(&self, from: &str, to: &str) {
        let (from, to) = (Path::from(from), Path::from(to));
        let copied = self.store.copy_opts(&from, &to, CopyOptions::default());
        self.fixture
            .runtime
            .block_on(copied)
            .expect("memory copies");
    }

    fn condemn(&self, paths: Vec<String>) {
        self.write(move |tx| tombstones::condemn(tx, &home(), &paths).map(drop));
    }
}

fn volumes(count: usize) -> Vec<VolumeRef> {
    (0..count).map(|_| samples::volume()).collect()
}

#[test]
fn a_sweep_costs_what_was_removed() {
    let mut scene = Scene::new();
    let volumes = volumes(10);
    for number in 0..500 {
        scene.snapshot(&volumes[number % 10], &format!("s{number}"), number);
    }
    let (lists, manifests, deletes) = scene.round();
    assert!(30 <= lists, "the first round looks at all: {lists} lists");
    assert_eq!((manifests, deletes), (500, 0));
    let idle = scene.round();
    assert!(idle.0 <= 2, "a round with nothing to do: {idle:?}");
    assert_eq!((idle.1, idle.2), (0, 0));

    scene.delete("s123");
    let condemning = scene.round();
    assert_eq!(
        condemning,
        (idle.0 + 4, 0, 0),
        "its volume, listed once: packs, lists, manifests, logs"
    );
    assert_eq!(scene.round(), idle, "nothing is due within the grace");
    assert_eq!(scene.objects(&volumes[3]).len(), 150);
    scene.a_grace_goes_by();
    let deleting = scene.round();
    assert_eq!(deleting, (idle.0 + 4, 0, 3), "pack, list and manifest");
    assert_eq!(scene.objects(&volumes[3]).len(), 147);
    scene.a_grace_goes_by();
    assert_eq!(scene.round(), idle);
    println!("all {lists} lists; idle {idle:?}; 1 of 500: {condemning:?}, then {deleting:?}");
}

/// An open job that uses a volume.
fn job_in(volume: &VolumeRef) -> model::Job {
    model::Job {
        pins: vec![Pin {
            region: home(),
            volume: volume.clone(),
            manifest: None,
        }],
        ..samples::job(JobKind::of("copy-snapshot"), "busy")
    }
}

#[test]
fn a_mark_waits_for_the_jobs_of_its_volume() {
    let mut scene = Scene::new();
    let volume = samples::volume();
    scene.snapshot(&volume, "a", 1);
    let busy = job_in(&volume);
    let (id, row) = (busy.id, busy);
    scene.write(move |tx| jobs::insert(tx, &row));
    scene.round();
    scene.delete("a");
    let waiting = scene.round();
    assert_eq!(waiting.0, scene.round().0, "it is not listed while in use");
    scene.write(move |tx| jobs::cancel(tx, id));
    for _ in 0..2 {
        scene.round();
        scene.a_grace_goes_by();
    }
    scene.round();
    assert_eq!(scene.objects(&volume), [""; 0]);
}

#[test]
fn what_nothing_marked_is_found_within_a_day() {
    for taken_over in [false, true] {
        let mut scene = Scene::new();
        let volume = samples::volume();
        scene.snapshot(&volume, "a", 1);
        scene.round();
        // A put of a process that died long ago arrives only now.
        let lone = samples::volume();
        scene.snapshot(&lone, "b", 2);
        let kept = scene.objects(&volume);
        scene.write(|tx| {
            tx.execute("DELETE FROM snapshots WHERE name = 'b'", &[])
                .map(drop)
        });
        scene.a_grace_goes_by();
        scene.round();
        assert_eq!(scene.objects(&lone).len(), 3);
        if taken_over {
            scene.sweeper.rest();
        } else {
            scene.fixture.clock.advance(super::ALL_EVERY);
        }
        scene.round();
        scene.a_grace_goes_by();
        scene.round();
        assert_eq!(scene.objects(&lone), [""; 0]);
        assert_eq!(scene.objects(&volume), kept);
    }
}

#[test]
fn objects_too_young_are_looked_at_when_they_are_not() {
    let mut scene = Scene::new();
    let volume = samples::volume();
    scene.snapshot(&volume, "a", 1);
    // Not the day ahead that makes objects of other tests old.
    scene.fixture.clock.set(SystemClock.now());
    scene.round();
    scene.delete("a");
    let (young, idle) = (scene.round(), scene.round());
    assert!(idle.0 < young.0);
    scene.a_grace_goes_by();
    assert_eq!(scene.round(), young, "condemned");
    scene.a_grace_goes_by();
    assert_eq!(scene.round(), (young.0, 0, 3));
    assert_eq!(scene.objects(&volume), [""; 0]);
}

#[test]
fn a_volume_with_much_to_delete_keeps_no_other_from_it() {
    let mut scene = Scene::new();
    let (first, second) = (samples::volume(), samples::volume());
    scene.snapshot(&first, "a", 1);
    scene.snapshot(&second, "b", 2);
    scene.delete("b");
    // More than a transaction's worth of old names, which cannot go while a job is open.
    let names = (0..=BATCH).map(|n| format!("volumes/{first}/packs/{n:064x}.{n:032x}"));
    scene.condemn(names.collect());
    let busy = job_in(&first);
    scene.write(move |tx| jobs::insert(tx, &busy));
    scene.a_grace_goes_by();
    scene.round();
    scene.a_grace_goes_by();
    scene.round();
    assert_eq!(scene.objects(&second), [""; 0]);
    let waiting =
        scene.write(move |tx| tombstones::waiting(tx, &home(), &format!("volumes/{first}/")));
    assert_eq!(waiting.len(), BATCH + 1);
}

#[test]
fn a_condemned_name_goes_only_when_another_holds_what_is_needed() {
    let mut scene = Scene::new();
    let volume = samples::volume();
    scene.snapshot(&volume, "a", 1);
    let condemned = scene.objects(&volume);
    scene.condemn(condemned.clone());
    for _ in 0..2 {
        // Without the names of the manifest nothing is known to be needed: the sweep stops.
        scene.a_grace_goes_by();
        scene.round();
        assert_eq!(scene.objects(&volume), condemned);
    }
    let twin = |path: &str| {
        let (stem, _) = path.split_once('.').expect("an incarnation");
        format!("{stem}.{:032x}", 7)
    };
    let manifest = condemned.iter().find(|path| path.contains("/manifests/"));
    let manifest = manifest.expect("a manifest").clone();
    scene.copy(&manifest, &twin(&manifest));
    let mut left = condemned.clone();
    left.push(twin(&manifest));
    left.retain(|path| *path != manifest);
    left.sort();
    scene.a_grace_goes_by();
    scene.round();
    assert_eq!(
        scene.objects(&volume),
        left,
        "pack and list have no twin yet"
    );
    for path in condemned.iter().filter(|path| **path != manifest) {
        scene.copy(path, &twin(path));
    }
    scene.fixture.clock.advance(super::ALL_EVERY);
    scene.round();
    let mut twins: Vec<String> = condemned.iter().map(|path| twin(path)).collect();
    twins.sort();
    assert_eq!(scene.objects(&volume), twins);
}

#[test]
fn a_vault_that_hangs_holds_up_neither_pruning_nor_the_rotation_of_keys() {
    let (fixture, store) = (Fixture::new(), Arc::default());
    let asked = Arc::new(Asked::default());
    asked.hangs.store(true, Relaxed);
    let mut context = context(&fixture, &store, &asked);
    context.settings.sweep_grace = Duration::ZERO;
    let context = Arc::new(context);
    let old = samples::job(JobKind::of("copy-snapshot"), "old");
    let id = old.id;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let catalog = &fixture.catalog;
        let ended = catalog.write(move |tx| {
            jobs::insert(tx, &old)?;
            jobs::cancel(tx, old.id)
        });
        let ended: Result<bool, CatalogError> = ended.await;
        assert!(ended.expect("it is good"));
        fixture.clock.advance(Duration::from_secs(8 * 24 * 3_600));
        background::spawn(&context, GarbageCollection::default());
        background::spawn(&context, Prune::default());
        background::spawn(&context, KeyRotation);
        let succeeded = |task| {
            context
                .tasks
                .all()
                .get(task)
                .and_then(|one| one.last_success)
        };
        let both = async {
            while succeeded("prune").is_none()
                || succeeded("key_rotation").is_none()
                || asked.lists.load(Relaxed) == 0
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let soon = Duration::from_secs(20);
        tokio::time::timeout(soon, both).await.expect("they run");
        assert_eq!(succeeded("garbage_collection"), None);
        let left = catalog.read(move |tx| jobs::get(tx, id)).await;
        let left: Result<_, CatalogError> = left;
        assert_eq!(left.expect("it is read"), None);
        context.begin_stop();
    });
}

/// Panics in its first turn.
struct Clumsy {
    turns: u32,
}

#[async_trait]
impl Task for Clumsy {
    fn name(&self) -> String {
        "clumsy".to_owned()
    }

    fn period(&self, _context: &ServiceContext) -> Duration {
        Duration::from_millis(1)
    }

    async fn run(&mut self, _context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        self.turns += 1;
        assert!(1 < self.turns, "dropped turn {}", self.turns);
        Ok(Next::Period)
    }
}

/// A context in which nothing runs.
fn idle() -> (Fixture, Arc<ServiceContext>, tokio::runtime::Runtime) {
    let (fixture, store) = (Fixture::new(), Arc::default());
    let context = Arc::new(context(&fixture, &store, &Arc::new(Asked::default())));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    (fixture, context, runtime.expect("a runtime"))
}

#[test]
fn a_task_that_panics_has_its_next_turn() {
    let (_fixture, context, runtime) = idle();
    runtime.block_on(async {
        background::spawn(&context, Clumsy { turns: 0 });
        let recovered = async {
            loop {
                match context.tasks.all().get("clumsy") {
                    Some(one) if one.last_success.is_some() => return one.last_failure,
                    _ => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        let soon = Duration::from_secs(20);
        let failed = tokio::time::timeout(soon, recovered).await;
        assert!(failed.expect("it has another turn").is_some());
    });
}

/// Counts its turns, and waits for changes of the catalog.
struct Patient(Arc<AtomicU64>);

#[async_trait]
impl Task for Patient {
    fn name(&self) -> String {
        "patient".to_owned()
    }

    fn period(&self, _context: &ServiceContext) -> Duration {
        Duration::from_millis(1)
    }

    async fn run(&mut self, _context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        self.0.fetch_add(1, Relaxed);
        Ok(Next::Changed)
    }
}

#[test]
fn a_task_that_waits_for_a_change_runs_after_one_alone() {
    let (fixture, context, runtime) = idle();
    runtime.block_on(async {
        let turns = Arc::new(AtomicU64::new(0));
        background::spawn(&context, Patient(turns.clone()));
        let reached = async |count| {
            let there = async {
                while turns.load(Relaxed) < count {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            let soon = Duration::from_secs(20);
            tokio::time::timeout(soon, there).await.expect("it runs");
        };
        reached(1).await;
        // Many of its periods.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(turns.load(Relaxed), 1);
        // By this process, and by another, which has connections of its own.
        let path = fixture.folder.path().join("catalog");
        let other = SqliteCatalog::open(&path, fixture.clock.clone()).expect("it opens");
        let catalogs: [&dyn Catalog; 2] = [&*context.catalog, &other];
        for (turn, catalog) in (2..).zip(catalogs) {
            let changed = catalog.write(move |tx| meta::set(tx, "patience", &turn.to_string()));
            changed.await.expect("it is written");
            reached(turn).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            assert_eq!(turns.load(Relaxed), turn);
        }
        context.begin_stop();
    });
}
