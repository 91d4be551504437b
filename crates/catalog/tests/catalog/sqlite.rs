//! The SQLite catalog passes the suite, shares commits, and refuses files that are not its own.
use std::{os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc, time::Duration};

use catalog::{
    Arg, Catalog, CatalogError, CatalogExt, ErrorKind, Row, SqliteCatalog, Tx, access_keys,
    automated, backup_jobs, backup_plans, clusters,
    conformance::{Fixture, samples},
    conformance_tests, dirty_volumes, instances, jobs, keys, meta, pins, recovery_points,
    restore_testing, retained_backups,
    snapshots::{self, NameFilter, Selection},
    tombstones,
};
use model::SystemClock;

struct Folder(tempfile::TempDir);

impl Folder {
    fn file(&self) -> PathBuf {
        self.0.path().join("catalog.db")
    }

    fn try_open(&self) -> Result<SqliteCatalog, CatalogError> {
        SqliteCatalog::open(&self.file(), Arc::new(SystemClock))
    }
}

impl Fixture for Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn open(&self) -> Arc<dyn Catalog> {
        Arc::new(self.try_open().expect("the catalog opens"))
    }
}

conformance_tests!(Folder);

#[tokio::test]
async fn a_mark_is_left_by_a_commit_of_another_process() {
    let folder = Folder::new();
    // Two catalogs of one file know no more of each other than two processes.
    let (catalog, other) = (folder.open(), folder.open());
    let settled = async || loop {
        match catalog.mark() {
            Some(mark) => return mark,
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let mut before = None;
    for (by, value) in [(&other, "1"), (&catalog, "2"), (&other, "3")] {
        let mark = settled().await;
        assert!(catalog.is_at(&mark), "nobody has committed");
        assert_ne!(before, Some(mark.clone()));
        let written = by.write(move |tx: &mut dyn Tx| meta::set(tx, "marked", value));
        written.await.expect("it is written");
        assert!(!catalog.is_at(&mark), "somebody has committed");
        before = Some(mark);
    }
}

/// Holds the writer with one request while 64 others queue up behind it.
#[tokio::test(flavor = "current_thread")]
async fn commits_are_shared() {
    let folder = Folder::new();
    let catalog = folder.open();
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(Some(gate));
    let held = tokio::spawn({
        let catalog = Arc::clone(&catalog);
        async move {
            catalog
                .write(move |tx: &mut dyn Tx| {
                    // A transaction may run again, and then the gate is open.
                    let gate = gate.lock().expect("no panic").take();
                    if let Some(gate) = gate {
                        gate.recv().expect("the gate opens");
                    }
                    meta::set(tx, "first", "1")
                })
                .await
        }
    });
    let before = catalog.commits();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..64_u32 {
        let catalog = Arc::clone(&catalog);
        tasks.spawn(async move {
            let outcome: Result<(), CatalogError> = catalog
                .write(move |tx| {
                    meta::set(tx, &format!("row{task}"), "1")?;
                    assert_ne!(task, 13, "a test's own panic: expected");
                    match task {
                        7 => Err(CatalogError::Busy),
                        _ => Ok(()),
                    }
                })
                .await;
            (task, outcome)
        });
    }
    // On one thread every task has run up to its answer once all have had a turn.
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
    open.send(()).expect("the writer waits");
    held.await.expect("no panic").expect("it is kept");
    for (task, outcome) in tasks.join_all().await {
        match task {
            7 => assert!(matches!(outcome, Err(CatalogError::Busy))),
            13 => assert!(matches!(outcome, Err(CatalogError::Panicked))),
            _ => outcome.expect("it is kept"),
        }
    }
    let commits = catalog.commits() - before;
    assert!(commits <= 2, "{commits} commits for 65 requests");
    let rows: Result<u64, CatalogError> = catalog
        .read(|tx| {
            let rows = tx.query("SELECT count(*) FROM meta WHERE name LIKE 'row%'", &[])?;
            rows[0].count(0)
        })
        .await;
    assert_eq!(rows.expect("it reads"), 62);
    let nothing: Result<(), CatalogError> = catalog.write(|_| Ok(())).await;
    nothing.expect("it is good");
    assert_eq!(
        catalog.commits() - before,
        commits,
        "nothing changed, so nothing was synced"
    );
}

#[tokio::test]
async fn commits_reach_the_disk_before_they_are_answered() {
    let folder = Folder::new();
    let catalog = folder.open();
    let settings: Result<(i64, String), CatalogError> = catalog
        .write(|tx| {
            let synchronous = tx.query("PRAGMA synchronous", &[])?[0].int(0)?;
            let journal = tx.query("PRAGMA journal_mode", &[])?[0].text(0)?.to_owned();
            Ok((synchronous, journal))
        })
        .await;
    assert_eq!(
        settings.expect("it reads"),
        (2, "wal".to_owned()),
        "2 is FULL"
    );
}

#[test]
fn only_the_owner_can_read_the_files() {
    let folder = Folder::new();
    let catalog = folder.open();
    for name in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
        let metadata = std::fs::metadata(folder.0.path().join(name)).expect("it is there");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
    }
    drop(catalog);
}

fn change(folder: &Folder, sql: &str) {
    let connection = rusqlite::Connection::open(folder.file()).expect("it opens");
    connection.execute_batch(sql).expect("it changes");
}

#[test]
fn a_newer_schema_is_refused_in_words() {
    let folder = Folder::new();
    drop(folder.open());
    change(
        &folder,
        "UPDATE meta SET value = '999' WHERE name = 'schema'",
    );
    let error = folder.try_open().expect_err("it is newer");
    assert!(matches!(
        error,
        CatalogError::NewerSchema { found: 999, .. }
    ));
    assert_eq!(error.kind(), ErrorKind::Repair);
    assert!(error.to_string().contains("run the newer build"), "{error}");
}

#[test]
fn other_files_are_refused() {
    let folder = Folder::new();
    change(&folder, "CREATE TABLE theirs (a)");
    assert!(matches!(
        folder.try_open(),
        Err(CatalogError::Foreign { .. })
    ));
    let folder = Folder::new();
    std::fs::write(
        folder.file(),
        "no database at all, but some text".repeat(100),
    )
    .expect("it is written");
    let error = folder.try_open().expect_err("it is no database");
    assert_eq!(error.kind(), ErrorKind::Repair, "{error}");
    let missing = SqliteCatalog::open(
        &folder.0.path().join("no/such/folder"),
        Arc::new(SystemClock),
    );
    assert!(matches!(
        missing,
        Err(CatalogError::Failed {
            kind: ErrorKind::Repair,
            ..
        })
    ));
}

#[tokio::test]
async fn a_damaged_record_is_named_and_hurts_no_other() {
    let folder = Folder::new();
    let catalog = folder.open();
    for name in ["a", "b"] {
        let made: Result<_, CatalogError> = catalog
            .write(move |tx| snapshots::insert(tx, samples::snapshot(name)))
            .await;
        made.expect("it is kept");
    }
    change(&folder, "UPDATE snapshots SET body = '{}' WHERE name = 'a'");
    let get = |name: &'static str| {
        catalog.read(move |tx| {
            let sample = samples::snapshot(name);
            snapshots::get(tx, &sample.region, &sample.account, &sample.name)
        })
    };
    let error: CatalogError = get("a").await.expect_err("it is damaged");
    assert!(matches!(error, CatalogError::Damaged { .. }), "{error}");
    assert!(get("b").await.expect("it reads").is_some());
}

/// A full disk refuses what does not fit, loses nothing that was kept, and passes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_passes() {
    let folder = Folder::new();
    let catalog = folder.open();
    let limit = |pages: i64| {
        let catalog = Arc::clone(&catalog);
        async move {
            let set: Result<i64, CatalogError> = catalog
                .write(move |tx| {
                    let now = tx.query("PRAGMA page_count", &[])?[0].int(0)?;
                    let pages = now.saturating_add(pages);
                    tx.query(&format!("PRAGMA max_page_count = {pages}"), &[])?[0].int(0)
                })
                .await;
            set.expect("it is set");
        }
    };
    let write = |row: u32| {
        let catalog = Arc::clone(&catalog);
        async move {
            let outcome: Result<(), CatalogError> = catalog
                .write(move |tx| meta::set(tx, &format!("row{row}"), &"x".repeat(3_000)))
                .await;
            outcome
        }
    };
    limit(10).await;
    let mut tasks = tokio::task::JoinSet::new();
    for row in 0..64 {
        let write = write(row);
        tasks.spawn(async move { (row, write.await) });
    }
    let (mut kept, mut refused) = (Vec::new(), 0);
    for (row, outcome) in tasks.join_all().await {
        match outcome {
            Ok(()) => kept.push(row),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Repair, "{error}");
                refused += 1;
            }
        }
    }
    assert!(0 < refused && kept.len() < 15, "{kept:?} fitted");
    limit(1_000).await;
    write(64).await.expect("there is room again");
    kept.push(64);
    let rows: Result<Vec<u32>, CatalogError> = catalog
        .read(|tx| {
            let rows = tx.query(
                "SELECT substr(name, 4) FROM meta WHERE name LIKE 'row%'",
                &[],
            )?;
            rows.iter().map(|row| row.parsed(0)).collect()
        })
        .await;
    let mut rows = rows.expect("it reads");
    rows.sort_unstable();
    kept.sort_unstable();
    assert_eq!(
        rows, kept,
        "what was answered well is there, and nothing else"
    );
}

/// Another process that holds the write lock makes requests wait, not fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_is_waited_for() {
    let folder = Folder::new();
    let catalog = folder.open();
    let other = rusqlite::Connection::open(folder.file()).expect("it opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("it locks");
    let write = tokio::spawn({
        let catalog = Arc::clone(&catalog);
        async move {
            let outcome: Result<(), CatalogError> =
                catalog.write(|tx| meta::set(tx, "a", "b")).await;
            outcome
        }
    });
    let seen: Result<_, CatalogError> = catalog.read(|tx| meta::get(tx, "a")).await;
    assert_eq!(seen.expect("readers do not wait"), None);
    assert!(!write.is_finished());
    other.execute_batch("COMMIT").expect("it unlocks");
    write.await.expect("no panic").expect("it had only to wait");
}

/// Asks SQLite for the plan of each query before it is run.
struct Explaining<'a> {
    tx: &'a mut dyn Tx,
    plans: Vec<String>,
}

impl Tx for Explaining<'_> {
    fn now(&self) -> model::Timestamp {
        self.tx.now()
    }

    fn execute(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<u64, CatalogError> {
        self.tx.execute(sql, args)
    }

    fn query(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<Vec<Row>, CatalogError> {
        for row in self.tx.query(&format!("EXPLAIN QUERY PLAN {sql}"), args)? {
            self.plans.push(format!("{} in {sql}", row.text(3)?));
        }
        self.tx.query(sql, args)
    }

    fn next_version(&mut self) -> Result<u64, CatalogError> {
        self.tx.next_version()
    }

    fn version(&mut self) -> Result<u64, CatalogError> {
        self.tx.version()
    }

    fn raise_version(&mut self, floor: u64) -> Result<(), CatalogError> {
        self.tx.raise_version(floor)
    }
}

/// What Describe and the sweep look for must not take longer as a region grows.
#[tokio::test]
async fn looks_go_through_indexes() {
    let folder = Folder::new();
    let catalog = folder.open();
    let plans: Result<Vec<String>, CatalogError> = catalog
        .read(|tx| {
            let tx = &mut Explaining {
                tx,
                plans: Vec::new(),
            };
            let (region, account, volume) =
                (samples::region(), samples::account(1), samples::volume());
            let sample = samples::snapshot("s");
            snapshots::get(tx, &region, &account, &sample.name)?;
            snapshots::count_manual(tx, &region, &account)?;
            snapshots::roots(tx, &region, &volume)?;
            let own = Selection {
                owned_by: Some(account.clone()),
                ..Selection::default()
            };
            for selection in [
                Selection {
                    shared_with: Some(account.clone()),
                    public: true,
                    ..own.clone()
                },
                Selection {
                    kinds: vec![model::SnapshotKind::Manual],
                    ..own.clone()
                },
                Selection {
                    clusters: vec![NameFilter::named("c")],
                    ..own.clone()
                },
                Selection {
                    resource_id: Some(sample.cluster_resource_id.clone()),
                    ..own.clone()
                },
                own,
            ] {
                let after = (account.clone(), sample.name.clone());
                snapshots::page(tx, &region, &selection, Some(&after), 20)?;
            }
            let cluster = samples::cluster("c");
            clusters::get(tx, &region, &account, &cluster.name)?;
            clusters::get_by_resource_id(tx, &cluster.resource_id)?;
            clusters::list(tx, &region, &account, None, 20)?;
            automated::of_cluster(tx, (&region, &account, &cluster.resource_id))?;
            retained_backups::get(tx, &region, &cluster.resource_id)?;
            retained_backups::of_cluster(tx, &cluster.resource_id)?;
            retained_backups::of_region(tx, &region)?;
            let (owner, kind) = ((&region, &account), model::BackupJobKind::Backup);
            let after = (model::Timestamp(1), "j".to_owned());
            backup_jobs::newest(tx, owner, kind, Some(&after), 20)?;
            let state = model::BackupJobState::Running;
            backup_jobs::in_state(tx, &region, state, Some(&after), 20)?;
            backup_jobs::of_token(tx, owner, kind, "token")?;
            backup_plans::due(tx, &region, model::Timestamp(1), 20)?;
            let arn = model::Arn::of(model::ArnKind::Cluster, &region, &account, "c");
            let (owner, vault) = ((&region, &account), samples::backup_vault("v").name);
            recovery_points::in_vault(tx, owner, &vault, Some(&sample.name), 20)?;
            let after = (model::Timestamp(1), "s".to_owned());
            recovery_points::of_resource(tx, owner, &arn, Some(&after), 20)?;
            recovery_points::newest_whole(tx, owner, &arn)?;
            backup_jobs::newest_of_resource(tx, owner, kind, &arn, state)?;
            restore_testing::due(tx, &region, model::Timestamp(1), 20)?;
            restore_testing::open(tx, &region, Some(&after), 20)?;
            restore_testing::newest(tx, owner, Some(&after), 20)?;
            restore_testing::over_before(tx, &region, model::Timestamp(1), 20)?;
            recovery_points::counts(tx, &region, &account)?;
            recovery_points::count(tx, owner, &vault)?;
            recovery_points::protected(tx, owner, None, "", 20)?;
            recovery_points::protected(tx, owner, Some(&vault), "", 20)?;
            instances::on_node(tx, "node-1")?;
            instances::writer(tx, &cluster.resource_id)?;
            instances::of_cluster(tx, &cluster.resource_id)?;
            let job = samples::job(model::JobKind::of("copy-snapshot"), "s");
            jobs::get(tx, job.id)?;
            jobs::count_open(tx, &region, &account, &job.kind)?;
            jobs::of_subject(tx, &job.subject, &job.kind)?;
            keys::get(tx, &region, &account, "k")?;
            keys::get_alias(tx, &region, &account, "alias/a")?;
            access_keys::get(tx, "AKIA1")?;
            pins::of_volume(tx, &region, &volume)?;
            tombstones::list(tx, &region, "v/")?;
            tombstones::waiting(tx, &region, "v/")?;
            dirty_volumes::get(tx, &region, &volume)?;
            dirty_volumes::due(tx, &region, Some(&volume), 10)?;
            Ok(std::mem::take(&mut tx.plans))
        })
        .await;
    let plans = plans.expect("they explain");
    assert!(20 < plans.len());
    // What a sweep needs is told by the index alone.
    let of_volume = |plan: &&String| plan.contains("USING COVERING INDEX snapshots_by_volume");
    assert_eq!(plans.iter().filter(of_volume).count(), 2);
    for plan in plans {
        // Only a union's own temporary table may be walked or sorted, what a recursion has found,
        // and few rows of a node.
        let sorts =
            plan.contains("USE TEMP B-TREE") && !plan.contains("UNION") && !plan.contains("node");
        let found = plan.starts_with("SCAN found ") || plan.starts_with("SCAN own ");
        assert!((found || !plan.starts_with("SCAN")) && !sorts, "{plan}");
    }
}
