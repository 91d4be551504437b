//! A month of backup windows under a clock that is moved: what is taken, when, and how long it stays.
//!
//! They do not know how a snapshot is taken, but that the job that the schedule asks for takes it.
use std::{sync::Arc, time::Duration};

use catalog::{
    CatalogError, CatalogExt, Tx, automated, clusters, conformance::samples, instances,
    retained_backups,
};
use engine::{EngineRegistry, FakeEngine};
use model::{
    Clock, Cluster, ClusterStatus, Snapshot, SnapshotStatus, SystemEntropy, Timestamp, Window,
};
use object_store::memory::InMemory;
use vault::Vault;

use super::checker::{
    fixture::{Fixture, home},
    idle::{NoPeers, NoWebhooks},
};
use crate::{
    Dependencies, Mode, Settings,
    background::Task,
    backups::{
        ends,
        retained::{self, Backups},
        retention,
        schedule::AutomatedBackups,
    },
    context::ServiceContext,
    jobs::{self, runner},
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// How often everything is looked at.
const STEP: Duration = Duration::from_secs(10 * 60);
const WINDOW: &str = "03:00-03:30";

/// A node with one cluster, and its schedule twice: as if a process that was given up went on.
struct Scene {
    fixture: Fixture,
    context: Arc<ServiceContext>,
    schedules: [AutomatedBackups; 2],
    cluster: Cluster,
}

pub(crate) fn context(fixture: &Fixture) -> ServiceContext {
    let store = Arc::new(InMemory::new());
    let parts = Dependencies {
        catalog: fixture.catalog.clone(),
        open_vault: Box::new(move |_| Ok(Vault::new(store.clone()))),
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
    settings.node = "node-1".to_owned();
    ServiceContext::new(parts, settings, jobs::registry::narrow())
}

impl Scene {
    /// At ten in the morning, with a cluster that keeps its automated snapshots for `days`.
    fn new(days: u32) -> Self {
        let fixture = Fixture::new();
        let midnight = fixture.clock.now().0.div_euclid(86_400_000_000) * 86_400_000_000;
        fixture.clock.set(Timestamp(midnight).plus(HOUR * 10));
        let context = Arc::new(context(&fixture));
        let cluster = Cluster {
            backup_retention_days: days,
            preferred_backup_window: WINDOW.to_owned(),
            ..samples::cluster("c")
        };
        let scene = Self {
            fixture,
            context,
            schedules: Default::default(),
            cluster,
        };
        let cluster = scene.cluster.clone();
        scene.write(move |tx| {
            instances::insert(tx, samples::writer(&cluster))?;
            clusters::insert(tx, cluster.clone()).map(drop)
        });
        scene
    }

    fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&mut dyn Tx) -> Result<T, CatalogError> + Send + Sync + 'static,
    ) -> T {
        let done = self.fixture.catalog.write(work);
        self.fixture.runtime.block_on(done).expect("it is good")
    }

    fn change(&self, change: impl Fn(&mut Cluster) + Send + Sync + 'static) {
        let id = self.cluster.resource_id.clone();
        self.write(move |tx| {
            let mut stored = clusters::get_by_resource_id(tx, &id)?.expect("it is there");
            change(&mut stored.value);
            clusters::update(tx, stored).map(drop)
        });
    }

    /// Both schedules look; answers what each said.
    fn look(&mut self) {
        let (context, schedules) = (&self.context, &mut self.schedules);
        self.fixture.runtime.block_on(async {
            let [one, two] = schedules;
            let (one, two) = tokio::join!(one.run(context), two.run(context));
            one.expect("it looks");
            two.expect("it looks");
        });
    }

    /// Every job there is runs to its end.
    fn work(&self) {
        self.fixture.runtime.block_on(async {
            while let Some(one) = runner::claim(&self.context, "node-1/a")
                .await
                .expect("claims")
            {
                jobs::registry::run(&one).await.expect("it is done");
            }
        });
    }

    fn expire(&self) {
        let expired = retention::expire(&self.context);
        self.fixture.runtime.block_on(expired).expect("it expires");
    }

    /// A step later, everything has looked once more.
    fn step(&mut self) {
        self.fixture.clock.advance(STEP);
        self.look();
        self.work();
        self.expire();
    }

    fn steps(&mut self, time: Duration) {
        for _ in 0..time.as_secs() / STEP.as_secs() {
            self.step();
        }
    }

    fn now(&self) -> Timestamp {
        self.fixture.clock.now()
    }

    /// The cluster's automated snapshots, the oldest first.
    fn snapshots(&self) -> Vec<Snapshot> {
        let of = self.cluster.clone();
        let found = self
            .write(move |tx| automated::of_cluster(tx, (&of.region, &of.account, &of.resource_id)));
        found.into_iter().map(|stored| stored.value).collect()
    }

    fn newest(&self) -> Snapshot {
        self.snapshots().pop().expect("there is one")
    }
}

#[test]
fn a_month_of_windows_leaves_what_the_period_says() {
    let mut scene = Scene::new(7);
    let daily = Window::daily(WINDOW).expect("a window");
    scene.step();
    let first = scene.newest();
    assert_eq!(first.status, SnapshotStatus::Available);
    assert_eq!(first.created_at, scene.now(), "the first is taken at once");
    let mut seen = vec![first.created_at];
    let begin = scene.now();
    while scene.now() < begin.plus(DAY * 31) {
        scene.step();
        let (now, all) = (scene.now(), scene.snapshots());
        let newest = all.last().expect("the newest stays").created_at;
        if seen.last() != Some(&newest) {
            assert!(daily.contains(newest), "{newest} is in the window");
            seen.push(newest);
        }
        let older = all.iter().filter(|one| one.created_at.plus(DAY * 7) <= now);
        assert!(older.count() <= 1, "one covers the period's begin");
        let oldest = all.first().expect("it is there").created_at;
        assert!(oldest == first.created_at || oldest.plus(DAY * 7) <= now || seen.len() < 9);
    }
    assert_eq!(seen.len(), 1 + 31, "the first, and one a day");
    let names: Vec<String> = scene
        .snapshots()
        .iter()
        .map(|one| one.name.to_string())
        .collect();
    assert_eq!(names.len(), 8, "{names:?}");
    for (name, snapshot) in names.iter().zip(scene.snapshots()) {
        let minute = snapshot
            .created_at
            .to_rfc3339_secs()
            .replace(['T', ':'], "-");
        assert_eq!(*name, format!("rds:c-{}", &minute[..16]));
    }

    scene.change(|cluster| cluster.backup_retention_days = 1);
    scene.expire();
    assert_eq!(scene.snapshots().len(), 2, "a shorter period holds at once");
    scene.change(|cluster| cluster.backup_retention_days = 3);
    scene.steps(DAY * 6);
    assert_eq!(scene.snapshots().len(), 4, "a longer one fills up");
}

#[test]
fn what_was_missed_is_caught_up_once() {
    let mut scene = Scene::new(35);
    scene.steps(DAY);
    let before = scene.snapshots().len();
    // Off for five days, and back at noon.
    scene.fixture.clock.advance(DAY * 5 + HOUR * 2);
    scene.step();
    let back = scene.now();
    scene.steps(HOUR * 10);
    assert_eq!(scene.snapshots().len(), before + 1);
    assert_eq!(scene.newest().created_at, back);
    scene.steps(DAY);
    assert_eq!(
        scene.snapshots().len(),
        before + 2,
        "the next window is kept"
    );

    // A cluster that is stopped has none taken; it catches up once it runs.
    scene.change(|cluster| cluster.status = ClusterStatus::Stopping);
    scene.change(|cluster| cluster.status = ClusterStatus::Stopped);
    scene.steps(DAY * 2);
    assert_eq!(scene.snapshots().len(), before + 2);
    scene.change(|cluster| cluster.status = ClusterStatus::Starting);
    scene.change(|cluster| cluster.status = ClusterStatus::Available);
    scene.step();
    assert_eq!(scene.snapshots().len(), before + 3);
}

#[test]
fn a_process_that_dies_leaves_one_a_day() {
    let mut scene = Scene::new(7);
    // Asked for, and the process died before the job was done: the next one does it.
    scene.fixture.clock.advance(STEP);
    scene.look();
    let asked = scene.newest();
    assert_eq!(asked.status, SnapshotStatus::Creating);
    let dead = scene
        .fixture
        .runtime
        .block_on(runner::claim(&scene.context, "node-1/dead"));
    drop(dead.expect("claims").expect("there is a job"));
    scene.fixture.clock.advance(HOUR);
    scene.look();
    assert_eq!(scene.snapshots().len(), 1, "it is not asked for again");
    scene.work();
    let done = scene.newest();
    assert_eq!(
        (done.uid, done.status),
        (asked.uid, SnapshotStatus::Available)
    );
}

#[test]
fn one_that_gives_way_or_fails_is_taken_later() {
    let mut scene = Scene::new(7);
    scene.fixture.clock.advance(STEP);
    scene.look();
    let id = scene.cluster.resource_id.clone();
    scene.write(move |tx| {
        let mut stored = clusters::get_by_resource_id(tx, &id)?.expect("it is there");
        ends::give_way(tx, &mut stored.value)?;
        clusters::update(tx, stored).map(drop)
    });
    assert!(scene.snapshots().is_empty());
    scene.work();
    assert!(scene.snapshots().is_empty(), "its job ended with it");
    scene.fixture.clock.advance(MINUTE);
    scene.look();
    assert!(scene.snapshots().is_empty(), "not at once");
    scene.step();
    assert_eq!(scene.newest().status, SnapshotStatus::Available);

    scene.steps(DAY - HOUR * 2);
    let before = scene.snapshots().len();
    scene.fixture.clock.advance(DAY);
    scene.look();
    let claimed = scene
        .fixture
        .runtime
        .block_on(runner::claim(&scene.context, "node-1/a"));
    let claimed = claimed.expect("claims").expect("there is a job");
    let failed = runner::end(&claimed, jobs::JobError::fail("it cannot be done"));
    scene.fixture.runtime.block_on(failed);
    drop(claimed);
    assert_eq!(scene.newest().status, SnapshotStatus::Failed);
    scene.fixture.clock.advance(MINUTE * 50);
    scene.look();
    assert_eq!(scene.newest().status, SnapshotStatus::Failed, "not yet");
    scene.step();
    assert_eq!(
        scene.snapshots().len(),
        before + 1,
        "the failed one is gone"
    );
    assert_eq!(scene.newest().status, SnapshotStatus::Available);
}

#[test]
fn what_a_deleted_cluster_leaves_behind_expires() {
    let mut scene = Scene::new(3);
    scene.steps(DAY * 4);
    let before = scene.snapshots().len();
    let cluster = scene.cluster.clone();
    scene.write(move |tx| {
        retained::settle(tx, &cluster, Backups::Stay)?;
        clusters::delete(tx, &cluster.region, &cluster.account, &cluster.name)
    });
    assert_eq!(scene.snapshots().len(), before, "all stay");
    let id = scene.cluster.resource_id.clone();
    let is_retained = move |scene: &Scene| {
        let id = id.clone();
        let found = scene.write(move |tx| retained_backups::of_cluster(tx, &id));
        !found.is_empty()
    };
    scene.steps(DAY * 3 - HOUR);
    assert_eq!(scene.snapshots().len(), 1, "one stays for the whole period");
    assert!(is_retained(&scene));
    scene.steps(HOUR * 2);
    assert!(scene.snapshots().is_empty() && !is_retained(&scene));

    let other = samples::cluster("other");
    scene.write(move |tx| {
        clusters::insert(tx, other.clone())?;
        retained::settle(tx, &other, Backups::Stay)?;
        assert!(retained_backups::of_cluster(tx, &other.resource_id)?.is_empty());
        Ok(())
    });
}
