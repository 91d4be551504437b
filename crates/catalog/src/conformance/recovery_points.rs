//! Recovery points and jobs of AWS Backup, as lists and sums see them.
use std::time::Duration;

use model::{Arn, ArnKind, BackupJobKind, BackupJobState, SnapshotStatus, Timestamp};

use super::{Fixture, samples, write};
use crate::{
    CatalogError, Stored, Tx,
    tables::{
        backup_jobs, keyed,
        recovery_points::{self, After, NeedsKey},
        restore_testing, snapshots,
    },
};

type Rows = Vec<Stored<model::Snapshot>>;

fn names(rows: Result<Rows, CatalogError>) -> Result<Vec<String>, CatalogError> {
    let rows = rows?.into_iter();
    Ok(rows.map(|row| row.value.name.to_string()).collect())
}

/// Lists and counts follow what becomes of snapshots, and of each resource that is protected its last
/// recovery point that is whole is found.
pub async fn recovery_points_are_their_vaults_and_resources(fixture: &impl Fixture) {
    let catalog = fixture.open();
    write(&catalog, |tx| {
        let (region, account) = (samples::region(), samples::account(1));
        let owner = (&region, &account);
        let vault = |name: &str| samples::backup_vault(name).name;
        snapshots::insert(tx, samples::snapshot("manual"))?;
        for (name, cluster, vault, at) in [
            ("p1", "a", "x", 1),
            ("p2", "a", "x", 5),
            ("p3", "a", "y", 7),
            ("p4", "b", "x", 3),
            ("p5", "c", "y", 2),
        ] {
            let point = samples::recovery_point(name, cluster, vault, Timestamp(at));
            snapshots::insert(tx, point)?;
        }
        let mut broken = samples::recovery_point("p6", "d", "x", Timestamp(9));
        broken.status = SnapshotStatus::Creating;
        let mut broken = snapshots::insert(tx, broken)?;

        let x = vault("x");
        assert_eq!(
            names(recovery_points::in_vault(tx, owner, &x, None, 9))?,
            ["p1", "p2", "p4", "p6"]
        );
        let after = samples::snapshot("p1").name;
        assert_eq!(
            names(recovery_points::in_vault(tx, owner, &x, Some(&after), 2))?,
            ["p2", "p4"]
        );
        let a = Arn::of(ArnKind::Cluster, &region, &account, "a");
        let of = |tx: &mut dyn Tx, after: Option<&After>| {
            names(recovery_points::of_resource(tx, owner, &a, after, 2))
        };
        assert_eq!(of(tx, None)?, ["p3", "p2"]);
        assert_eq!(of(tx, Some(&(Timestamp(5), "p2".to_owned())))?, ["p1"]);
        let counts = recovery_points::counts(tx, &region, &account)?;
        let wanted = [("Vault_x".to_owned(), 4), ("Vault_y".to_owned(), 2)];
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), wanted);
        assert_eq!(recovery_points::count(tx, owner, &vault("none"))?, 0);

        let protected = |tx: &mut dyn Tx, vault, after: &str, limit| {
            names(recovery_points::protected(tx, owner, vault, after, limit))
        };
        assert_eq!(protected(tx, None, "", 9)?, ["p3", "p4", "p5"]);
        assert_eq!(protected(tx, None, &a.to_string(), 1)?, ["p4"]);
        assert_eq!(protected(tx, Some(&x), "", 9)?, ["p2", "p4"]);
        broken.value.status = SnapshotStatus::Available;
        let whole = snapshots::update(tx, broken)?.value;
        assert_eq!(protected(tx, None, "", 9)?, ["p3", "p4", "p5", "p6"]);
        snapshots::delete(tx, &region, &account, &whole.name)?;
        let last = samples::snapshot("p2").name;
        snapshots::delete(tx, &region, &account, &last)?;
        assert_eq!(protected(tx, Some(&x), "", 9)?, ["p1", "p4"]);
        assert_eq!(recovery_points::count(tx, owner, &x)?, 2);

        // What needs a key: of a vault until the last of it goes, and for ever where one stays.
        let row = |until| {
            vec![NeedsKey {
                region: region.clone(),
                account: account.clone(),
                vault: vault("x"),
                until,
            }]
        };
        let key = samples::key_arn("x");
        assert_eq!(recovery_points::under_key(tx, &key)?, row(None));
        for (name, days) in [("p1", 1), ("p4", 2)] {
            let name = samples::snapshot(name).name;
            let found = snapshots::get(tx, &region, &account, &name)?;
            let mut found = found.expect("it is kept");
            let point = found.value.recovery_point.as_mut().expect("it is one");
            point.lifecycle.delete_after_days = Some(days);
            snapshots::update(tx, found)?;
        }
        let until = Timestamp(3 + 2 * 24 * 3_600 * 1_000_000);
        assert_eq!(recovery_points::under_key(tx, &key)?, row(Some(until)));
        let of = |tx: &mut dyn Tx, key, after, limit| {
            names(recovery_points::of_account(tx, owner, key, after, limit))
        };
        assert_eq!(of(tx, Some(&key), None, 9)?, ["p1", "p4"]);
        assert_eq!(of(tx, None, Some(&after), 2)?, ["p3", "p4"]);
        // One that is not whole needs none, and is not the newest one.
        let mut partial = samples::recovery_point("p7", "b", "x", Timestamp(10));
        partial.status = SnapshotStatus::Failed;
        snapshots::insert(tx, partial)?;
        assert_eq!(recovery_points::under_key(tx, &key)?, row(Some(until)));
        assert_eq!(of(tx, Some(&key), None, 9)?, ["p1", "p4"]);
        let b = Arn::of(ArnKind::Cluster, &region, &account, "b");
        let newest = recovery_points::newest_whole(tx, owner, &b)?;
        assert_eq!(newest.expect("there is one").value.name.as_str(), "p4");
        Ok(())
    })
    .await;
}

/// Plans are found once they are due, and drills by where they stand.
pub async fn drills_are_open_until_they_are_over(fixture: &impl Fixture) {
    let catalog = fixture.open();
    write(&catalog, |tx| {
        let (region, account) = (samples::region(), samples::account(1));
        let mut plan = keyed::insert(tx, samples::restore_testing_plan("p"))?;
        assert_eq!(restore_testing::due(tx, &region, Timestamp(4), 9)?, []);
        let due = restore_testing::due(tx, &region, Timestamp(5), 9)?;
        assert_eq!(due.len(), 1);
        plan.value.due = None;
        keyed::update(tx, plan)?;
        assert_eq!(restore_testing::due(tx, &region, Timestamp(9), 9)?, []);

        for (name, at) in [("b", 1), ("a", 3), ("c", 3)] {
            let mut drill = samples::drill(name);
            drill.planned_at = Timestamp(at);
            keyed::insert(tx, drill)?;
        }
        let ids = |rows: Vec<Stored<model::Drill>>| -> Vec<String> {
            rows.into_iter().map(|row| row.value.id).collect()
        };
        assert_eq!(
            ids(restore_testing::open(tx, &region, None, 9)?),
            ["b", "a", "c"]
        );
        let after = (Timestamp(3), "a".to_owned());
        assert_eq!(
            ids(restore_testing::open(tx, &region, Some(&after), 9)?),
            ["c"]
        );
        let mut over = keyed::get::<model::Drill>(tx, &region, &[account.as_str(), "b"])?
            .expect("it is there");
        over.value.stage = model::restore_testing::Stage::Over;
        keyed::update(tx, over)?;
        assert_eq!(
            ids(restore_testing::open(tx, &region, None, 9)?),
            ["a", "c"]
        );
        let owner = (&region, &account);
        assert_eq!(
            ids(restore_testing::newest(tx, owner, None, 9)?),
            ["c", "a", "b"]
        );
        assert_eq!(
            ids(restore_testing::newest(tx, owner, Some(&after), 9)?),
            ["b"]
        );
        let before = |tx: &mut dyn Tx, at| {
            restore_testing::over_before(tx, &samples::region(), Timestamp(at), 9).map(ids)
        };
        assert_eq!(before(tx, 1)?, [""; 0]);
        assert_eq!(before(tx, 9)?, ["b"]);
        Ok(())
    })
    .await;
}

/// Jobs are counted by type, state and period; those of before, of later and of another kind are not.
pub async fn alike_jobs_are_counted(fixture: &impl Fixture) {
    let catalog = fixture.open();
    write(&catalog, |tx| {
        let (region, account) = (samples::region(), samples::account(1));
        for (name, at, resource_type, kind) in [
            ("before", 99, "Aurora", BackupJobKind::Backup),
            ("one", 100, "Aurora", BackupJobKind::Backup),
            ("two", 109, "Aurora", BackupJobKind::Backup),
            ("three", 109, "RDS", BackupJobKind::Backup),
            ("four", 110, "Aurora", BackupJobKind::Backup),
            ("copy", 100, "Aurora", BackupJobKind::Copy),
            ("later", 120, "Aurora", BackupJobKind::Backup),
        ] {
            let mut job = samples::backup_job(name);
            (job.created_at, job.kind) = (Timestamp(at), kind);
            job.resource_type = resource_type.to_owned();
            keyed::insert(tx, job)?;
        }
        let key = [account.as_str(), "one"];
        let one = keyed::get::<model::BackupJob>(tx, &region, &key)?;
        let mut one = one.expect("it is kept");
        one.value.state = BackupJobState::Failed;
        keyed::update(tx, one)?;
        let two = Arn::of(ArnKind::Cluster, &region, &account, "two");
        let mut again = samples::backup_job("again");
        (again.created_at, again.resource) = (Timestamp(130), two.clone());
        keyed::insert(tx, again)?;
        let newest = |tx: &mut dyn Tx, kind, state| {
            let owner = (&region, &account);
            let found = backup_jobs::newest_of_resource(tx, owner, kind, &two, state)?;
            Ok::<_, CatalogError>(found.map(|stored| stored.value.id))
        };
        let (kind, done) = (BackupJobKind::Backup, BackupJobState::Completed);
        assert_eq!(newest(tx, kind, done)?.as_deref(), Some("again"));
        assert_eq!(newest(tx, kind, BackupJobState::Failed)?, None);
        assert_eq!(newest(tx, BackupJobKind::Copy, done)?, None);
        let sums = backup_jobs::sums(
            tx,
            (&region, &account),
            BackupJobKind::Backup,
            (Timestamp(100), Timestamp(120)),
            Duration::from_micros(10),
        )?;
        let sums = sums.iter();
        let rows: Vec<_> = sums
            .map(|sum| (&*sum.resource_type, &*sum.state, sum.period, sum.count))
            .collect();
        assert_eq!(
            rows,
            [
                ("Aurora", "COMPLETED", 0, 1),
                ("Aurora", "FAILED", 0, 1),
                ("RDS", "COMPLETED", 0, 1),
                ("Aurora", "COMPLETED", 1, 1),
            ]
        );
        Ok(())
    })
    .await;
}
