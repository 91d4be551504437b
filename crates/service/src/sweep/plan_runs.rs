//! Plans under a clock that is moved: which jobs they make, once each, whatever was missed.
use std::{collections::BTreeSet, time::Duration};

use catalog::{
    CatalogError, CatalogExt, backup_jobs as rows, clusters, conformance::samples, keyed,
};
use model::{
    BackupJob, BackupJobKind, BackupJobState, BackupPlan, Clock as _, ClusterStatus, Timestamp,
};

use super::{
    checker::fixture::{Fixture, home},
    month,
};
use crate::{
    backup_jobs::{plans, see_to},
    context::ServiceContext,
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

struct Scene {
    fixture: Fixture,
    context: ServiceContext,
    begun: Timestamp,
}

impl Scene {
    /// Two clusters, and a plan over both that begins at a whole hour.
    fn new(schedule: &str) -> Self {
        let fixture = Fixture::new();
        let context = month::context(&fixture);
        let hour_us = i64::try_from(HOUR.as_micros()).expect("it fits");
        let begun = Timestamp((fixture.clock.now().0 / hour_us + 1) * hour_us);
        fixture.clock.set(begun);
        let mut plan = samples::backup_plan("p");
        plan.body.rules[0].schedule = schedule.to_owned();
        plan.body.rules[0].since = begun;
        plan.looked_to = begun;
        plan.reckon();
        let kept = fixture.catalog.write(move |tx| {
            for name in ["one", "two"] {
                let mut cluster = samples::cluster(name);
                cluster.status = ClusterStatus::Stopped;
                clusters::insert(tx, cluster)?;
            }
            keyed::insert(tx, samples::backup_selection("p"))?;
            keyed::insert(tx, samples::backup_vault("near"))?;
            keyed::insert(tx, plan.clone()).map(drop)
        });
        fixture.runtime.block_on(kept).expect("it is kept");
        Self {
            fixture,
            context,
            begun,
        }
    }

    fn at(&self, passed: Duration) -> &Self {
        self.fixture.clock.set(self.begun.plus(passed));
        self
    }

    fn run(&self) -> &Self {
        let region = home();
        let run = plans::run(&self.context, &region);
        self.fixture.runtime.block_on(run).expect("it runs");
        self
    }

    fn jobs(&self) -> Vec<BackupJob> {
        let found = self.fixture.catalog.read(|tx| {
            let (region, account) = (home(), samples::account(1));
            rows::newest(tx, (&region, &account), BackupJobKind::Backup, None, 1_000)
        });
        let found = self.fixture.runtime.block_on(found).expect("it answers");
        found.into_iter().map(|stored| stored.value).collect()
    }

    fn count(&self, state: BackupJobState) -> usize {
        let jobs = self.jobs();
        jobs.iter().filter(|job| job.state == state).count()
    }

    /// Sets the plan back to before it was looked at: as if the process had died before that commit.
    fn forget_the_look(&self) -> &Self {
        let begun = self.begun;
        let forgotten = self.fixture.catalog.write(move |tx| {
            let key = [samples::account(1).to_string(), "p".to_owned()];
            let key: Vec<&str> = key.iter().map(String::as_str).collect();
            let found = keyed::get::<BackupPlan>(tx, &home(), &key)?;
            let mut stored = found.expect("the plan is there");
            stored.value.looked_to = begun;
            stored.value.reckon();
            keyed::update(tx, stored).map(drop)
        });
        let forgotten: Result<(), CatalogError> = self.fixture.runtime.block_on(forgotten);
        forgotten.expect("it is kept");
        self
    }
}

#[test]
fn each_run_is_one_job_of_each_cluster() {
    let scene = Scene::new("cron(* * * * ? *)");
    assert!(scene.run().jobs().is_empty(), "nothing is due yet");
    scene.at(MINUTE).run().run();
    assert_eq!(scene.count(BackupJobState::Created), 2);
    scene.forget_the_look().run();
    assert_eq!(scene.jobs().len(), 2);
    scene.at(MINUTE * 2).run();
    let jobs = scene.jobs();
    assert_eq!(jobs.len(), 4);
    let tokens: BTreeSet<_> = jobs
        .iter()
        .map(|job| job.idempotency_token.clone())
        .collect();
    assert_eq!(tokens.len(), 4);
    for job in &jobs {
        let rule = job.rule.as_ref().expect("a rule made it");
        assert_eq!((rule.plan.as_str(), rule.rule.as_str()), ("p", "p-rule"));
        assert_eq!(job.copies.len(), 1);
    }
}

#[test]
fn what_was_missed_makes_no_storm() {
    let scene = Scene::new("cron(* * * * ? *)");
    scene.at(HOUR * 10).run();
    // Of each cluster's 600 runs the last one begins, and the last few are told.
    assert_eq!(scene.count(BackupJobState::Created), 2);
    assert_eq!(scene.count(BackupJobState::Expired), 2 * 23);
    let begins = |job: &BackupJob| job.state == BackupJobState::Created;
    let last = scene.jobs().into_iter().find(begins).expect("one begins");
    assert_eq!(last.start_by, scene.begun.plus(HOUR * 11));
    scene.run();
    assert_eq!(scene.jobs().len(), 2 * 24);
}

#[test]
fn a_missed_run_begins_within_its_window_alone() {
    for (late, state) in [
        (MINUTE * 59, BackupJobState::Created),
        (MINUTE * 60, BackupJobState::Expired),
    ] {
        let scene = Scene::new("rate(10 hours)");
        scene.at(HOUR * 10 + late).run();
        assert_eq!(scene.count(state), 2, "{late:?}");
        assert_eq!(scene.jobs().len(), 2);
    }
}

#[test]
fn a_job_waits_for_its_cluster_until_its_window_ends() {
    let scene = Scene::new("rate(10 hours)");
    scene.at(HOUR * 10).run();
    let look = || {
        let region = home();
        let seen = see_to(&scene.context, &region, BackupJobState::Created);
        scene.fixture.runtime.block_on(seen).expect("it looks");
    };
    look();
    assert_eq!(scene.count(BackupJobState::Created), 2);
    scene.at(HOUR * 11);
    look();
    assert_eq!(scene.count(BackupJobState::Expired), 2);
    let why = scene.jobs().remove(0).message.expect("it is told");
    assert!(
        why.contains("start window") && why.contains("available"),
        "{why}"
    );
}
