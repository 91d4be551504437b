//! Drills under a clock that is moved, behind a door that makes clusters at once.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use catalog::{
    Catalog, CatalogError, CatalogExt, Tx, backup_jobs as rows, clusters, conformance::samples,
    instances, keyed, restore_testing, snapshots,
};
use model::{
    ArnKind, BackupJob, BackupJobKind, BackupJobState, Clock as _, Cluster, Drill,
    RestoreTestingPlan, Snapshot, Tag, Timestamp, Validation, ValidationStatus,
    restore_testing::{Choice, DeletionStatus, Stage},
};

use super::{
    checker::fixture::{Fixture, home},
    month,
};
use crate::{
    background::Task as _,
    backup_jobs::{
        door::{Asked, Metadata, RestoreDoor},
        drills::{Drills, validate},
    },
    context::ServiceContext,
    fault::Fault,
    jobs::{registry, runner},
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// Makes and deletes clusters at once; refuses to make them when it is told to.
struct FakeDoor {
    catalog: Arc<dyn Catalog>,
    refuses: AtomicBool,
}

impl std::fmt::Debug for FakeDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FakeDoor")
    }
}

fn name_of(job: &BackupJob) -> String {
    let cluster = &job.restore.as_ref().expect("a restore").cluster;
    let located = cluster.locate(ArnKind::Cluster).expect("a cluster's");
    located.name.to_owned()
}

impl RestoreDoor for FakeDoor {
    fn inferred(&self, snapshot: &Snapshot) -> Metadata {
        Metadata::from([("Engine".to_owned(), snapshot.engine.clone())])
    }

    fn restore<'a>(&'a self, job: &'a BackupJob, tags: &'a [Tag]) -> Asked<'a> {
        Box::pin(self.make(job, tags))
    }

    fn delete<'a>(&'a self, job: &'a BackupJob) -> Asked<'a> {
        Box::pin(self.remove(job))
    }
}

impl FakeDoor {
    async fn make(&self, job: &BackupJob, tags: &[Tag]) -> Result<(), Fault> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err(Fault::value("there is no room"));
        }
        let cluster = Cluster {
            tags: tags.to_vec(),
            ..samples::cluster(&name_of(job))
        };
        let made = self.catalog.write(move |tx| {
            instances::insert(tx, samples::writer(&cluster))?;
            clusters::insert(tx, cluster.clone()).map(drop)
        });
        Ok(made.await?)
    }

    async fn remove(&self, job: &BackupJob) -> Result<(), Fault> {
        let name = samples::cluster(&name_of(job)).name;
        let gone = self
            .catalog
            .write(move |tx| clusters::delete(tx, &home(), &samples::account(1), &name));
        Ok(gone.await.map(drop)?)
    }
}

struct Scene {
    fixture: Fixture,
    contexts: [Arc<ServiceContext>; 2],
    door: Arc<FakeDoor>,
    begun: Timestamp,
}

impl Scene {
    /// Two resources with two recovery points each, and a plan that tests them each hour.
    fn new(choice: Choice, validation_window_hours: u32) -> Self {
        let fixture = Fixture::new();
        let hour_us = i64::try_from(HOUR.as_micros()).expect("it fits");
        let begun = Timestamp((fixture.clock.now().0 / hour_us + 1) * hour_us);
        fixture.clock.set(begun);
        let contexts = [(); 2].map(|()| Arc::new(month::context(&fixture)));
        let door = Arc::new(FakeDoor {
            catalog: fixture.catalog.clone(),
            refuses: AtomicBool::default(),
        });
        for context in &contexts {
            let opened = context.restores.set(door.clone());
            opened.expect("it is the first");
        }
        let mut plan = samples::restore_testing_plan("p");
        plan.schedule = "cron(0 * * * ? *)".to_owned();
        (plan.since, plan.looked_to, plan.points.choice) = (begun, begun, choice);
        plan.reckon();
        let mut selection = samples::restore_testing_selection("p");
        selection.validation_window_hours = validation_window_hours;
        let scene = Self {
            fixture,
            contexts,
            door,
            begun,
        };
        scene.write(move |tx| {
            for (name, cluster, hours) in [
                ("a1", "a", 3),
                ("a2", "a", 1),
                ("b1", "b", 2),
                ("b2", "b", 24 * 40),
            ] {
                let at = begun.minus(HOUR * hours);
                snapshots::insert(tx, samples::recovery_point(name, cluster, "v", at))?;
            }
            keyed::insert(tx, selection.clone())?;
            keyed::insert(tx, plan.clone()).map(drop)
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

    fn at(&self, passed: Duration) -> &Self {
        self.fixture.clock.set(self.begun.plus(passed));
        self
    }

    /// Both processes look, and every job there is runs to its end.
    fn look(&self) -> &Self {
        self.fixture.runtime.block_on(async {
            let [one, two] = &self.contexts;
            let (mut first, mut second) = (Drills, Drills);
            // One that was slower than the other finds its record changed, and tries again.
            let _ = tokio::join!(first.run(one), second.run(two));
            while let Some(job) = runner::claim(one, "node-1/a").await.expect("claims") {
                registry::run(&job).await.expect("it is done");
            }
        });
        self
    }

    fn looks(&self, times: usize) -> &Self {
        for _ in 0..times {
            self.look();
        }
        self
    }

    /// All drills by their recovery points.
    fn drills(&self) -> Vec<Drill> {
        let found = self.write(|tx| {
            let (region, account) = (home(), samples::account(1));
            restore_testing::newest(tx, (&region, &account), None, 100)
        });
        let mut found: Vec<Drill> = found.into_iter().map(|stored| stored.value).collect();
        found.sort_by_key(|drill| (drill.planned_at, drill.point.to_string()));
        found
    }

    fn points(&self) -> Vec<String> {
        let name = |drill: &Drill| {
            let located = drill.point.locate(ArnKind::ClusterSnapshot);
            located.expect("a snapshot's").name.to_owned()
        };
        self.drills().iter().map(name).collect()
    }

    fn jobs(&self) -> Vec<BackupJob> {
        let found = self.write(|tx| {
            let (region, account) = (home(), samples::account(1));
            rows::newest(tx, (&region, &account), BackupJobKind::Restore, None, 100)
        });
        found.into_iter().map(|stored| stored.value).collect()
    }

    fn clusters(&self) -> usize {
        self.write(|tx| clusters::list(tx, &home(), &samples::account(1), None, 100))
            .len()
    }
}

#[test]
fn each_resource_is_restored_once_read_and_deleted() {
    let scene = Scene::new(Choice::Latest, 0);
    assert!(scene.look().drills().is_empty(), "nothing is due yet");
    scene.at(HOUR).looks(8);
    assert_eq!(scene.points(), ["a2", "b1"], "the newest of each");
    for drill in scene.drills() {
        assert_eq!(drill.stage, Stage::Over, "{drill:?}");
        assert_eq!(drill.outcome(), Some(ValidationStatus::Successful));
        assert_eq!(drill.checks.len(), 4);
        let deletion = drill.deletion.expect("it was deleted");
        assert_eq!(deletion.status, DeletionStatus::Successful);
        assert!(drill.restored_at.is_some() && drill.ended_at.is_some());
    }
    for job in scene.jobs() {
        assert_eq!(job.state, BackupJobState::Completed);
        let restore = job.restore.expect("a restore");
        let said = restore.validation.expect("it is told");
        assert_eq!(said.status, ValidationStatus::Successful);
        assert_eq!(
            restore.deletion.map(|one| one.status),
            Some(DeletionStatus::Successful)
        );
    }
    assert_eq!(scene.clusters(), 0);
    // As if the process had died before it wrote that it had looked.
    let begun = scene.begun;
    scene.write(move |tx| {
        let key = [samples::account(1).to_string(), "p".to_owned()];
        let key: Vec<&str> = key.iter().map(String::as_str).collect();
        let found = keyed::get::<RestoreTestingPlan>(tx, &home(), &key)?;
        let mut stored = found.expect("the plan is there");
        stored.value.looked_to = begun;
        stored.value.reckon();
        keyed::update(tx, stored).map(drop)
    });
    assert_eq!(scene.looks(3).drills().len(), 2);
    // Three hours were missed: one test of each resource makes up for them.
    scene.at(HOUR * 4 + MINUTE).looks(8);
    assert_eq!(scene.drills().len(), 4);
    assert!(
        scene
            .drills()
            .iter()
            .all(|drill| drill.stage == Stage::Over)
    );
}

#[test]
fn what_cannot_be_restored_fails_with_its_reason() {
    let scene = Scene::new(Choice::Random, 0);
    scene.door.refuses.store(true, Ordering::SeqCst);
    scene.at(HOUR).looks(2);
    let drills = scene.drills();
    assert_eq!(drills.len(), 2);
    for drill in &drills {
        assert_eq!(
            (drill.stage, drill.outcome()),
            (Stage::Over, Some(ValidationStatus::Failed))
        );
        assert_eq!(drill.checks[0].found, "there is no room");
    }
    let failed = |job: &BackupJob| job.state == BackupJobState::Failed && job.message.is_some();
    assert!(scene.jobs().iter().all(failed));
}

/// Within the window somebody else says what it is; without a word it is what the checks found.
#[test]
fn a_cluster_is_held_for_its_validation_window() {
    let scene = Scene::new(Choice::Latest, 2);
    scene.at(HOUR).looks(5);
    let held = |scene: &Scene| {
        scene
            .drills()
            .iter()
            .filter(|one| one.stage == Stage::Held)
            .count()
    };
    assert_eq!((held(&scene), scene.clusters()), (2, 2));
    scene.write(|tx| {
        let open = restore_testing::open(tx, &home(), None, 9)?;
        let status = [ValidationStatus::Failed, ValidationStatus::Validating];
        for (drill, status) in open.into_iter().zip(status) {
            let key = [drill.value.account.to_string(), drill.value.id.clone()];
            let key: Vec<&str> = key.iter().map(String::as_str).collect();
            let job = keyed::get::<BackupJob>(tx, &home(), &key)?;
            let said = Validation {
                status,
                message: None,
            };
            validate(tx, drill, job.expect("it is there"), said)?;
        }
        Ok(())
    });
    // The clock goes on; of the next hours' tests nothing is asked here.
    scene.write(|tx| {
        for stored in keyed::list::<RestoreTestingPlan>(tx, &home(), &[], 9)? {
            keyed::delete(tx, &stored.value)?;
        }
        Ok(())
    });
    scene.at(HOUR * 2).looks(3);
    assert_eq!(
        (held(&scene), scene.clusters()),
        (1, 1),
        "what has failed need not stay"
    );
    scene.at(HOUR * 4).looks(3);
    let mut outcomes: Vec<_> = scene.drills().iter().map(Drill::outcome).collect();
    outcomes.sort_by_key(|one| one.map(ValidationStatus::as_str));
    let wanted = [ValidationStatus::Failed, ValidationStatus::TimedOut];
    assert_eq!(outcomes, wanted.map(Some));
    assert_eq!(scene.clusters(), 0);
}

#[test]
fn a_cluster_without_its_tag_is_left_alone() {
    let scene = Scene::new(Choice::Latest, 1);
    scene.at(HOUR).looks(5);
    assert_eq!(scene.clusters(), 2);
    scene.write(|tx| {
        for mut stored in clusters::list(tx, &home(), &samples::account(1), None, 9)? {
            stored.value.tags.clear();
            clusters::update(tx, stored)?;
        }
        for stored in keyed::list::<RestoreTestingPlan>(tx, &home(), &[], 9)? {
            keyed::delete(tx, &stored.value)?;
        }
        Ok(())
    });
    scene.at(HOUR * 3).looks(3);
    for drill in scene.drills() {
        assert_eq!(
            (drill.stage, drill.outcome()),
            (Stage::Over, Some(ValidationStatus::Successful))
        );
        let deletion = drill.deletion.expect("it is told");
        assert_eq!(deletion.status, DeletionStatus::Failed);
        assert!(deletion.message.expect("why").contains("left alone"));
    }
    assert_eq!(scene.clusters(), 2);
}
