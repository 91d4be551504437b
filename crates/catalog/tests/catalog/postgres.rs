//! The PostgreSQL catalog passes the suite, survives its server, and never answers falsely.
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use crate::support::Server;
use catalog::{
    Catalog, CatalogError, CatalogExt, PostgresCatalog, SqliteCatalog, Tx,
    conformance::{Fixture, samples},
    conformance_tests,
    copy::{self, CopyError},
    meta, snapshots,
};
use model::SystemClock;

struct Database {
    server: Arc<Server>,
    url: String,
}

impl Database {
    fn name(&self) -> &str {
        let end = self.url.rsplit('/').next().expect("a name");
        end.split('?').next().expect("a name")
    }

    fn sql(&self, sql: &str) -> String {
        self.server.try_sql(self.name(), sql).expect("good SQL")
    }
}

impl Fixture for Database {
    fn new() -> Self {
        let server = Server::shared();
        let url = server.database();
        Self { server, url }
    }

    fn open(&self) -> Arc<dyn Catalog> {
        Arc::new(PostgresCatalog::open(&self.url).expect("the catalog opens"))
    }
}

conformance_tests!(Database);

#[test]
fn foreign_and_newer_databases_are_refused() {
    let database = Database::new();
    database.sql("CREATE TABLE letters (a int)");
    let error = PostgresCatalog::open(&database.url).expect_err("foreign");
    assert!(matches!(error, CatalogError::Foreign { .. }), "{error:?}");
    database.sql("DROP TABLE letters");
    drop(database.open());
    database.sql("UPDATE meta SET value = '999' WHERE name = 'schema'");
    let error = PostgresCatalog::open(&database.url).expect_err("newer");
    assert!(
        matches!(error, CatalogError::NewerSchema { found: 999, .. }),
        "{error:?}"
    );
    let error = PostgresCatalog::open("postgres://ferry@127.0.0.1:1/none?sslmode=disable")
        .expect_err("nobody there");
    assert_eq!(error.kind(), catalog::ErrorKind::Retry, "{error:?}");
}

/// Two writers that read what the other writes: one order of them explains all results.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_skew_is_impossible() {
    let database = Database::new();
    let (one, other) = (database.open(), database.open());
    for round in 0..30 {
        let take = move |own: &'static str, others: &'static str| {
            move |tx: &mut dyn Tx| -> Result<bool, CatalogError> {
                if meta::get(tx, &format!("{others}{round}"))?.is_some() {
                    return Ok(false);
                }
                meta::set(tx, &format!("{own}{round}"), "on duty")?;
                Ok(true)
            }
        };
        let (left, right) = tokio::join!(one.write(take("l", "r")), other.write(take("r", "l")));
        assert_ne!(left.expect("kept"), right.expect("kept"), "round {round}");
    }
}

/// What a server shows of versions and has not written down yet is lost with it; what was answered
/// as durable is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_durable_version_outlives_the_server() {
    let server = Arc::new(Server::begin());
    let url = server.database();
    let database = Database {
        server: Arc::clone(&server),
        url,
    };
    let catalog = database.open();
    // Nothing is written down but by commits.
    database.sql("ALTER SYSTEM SET wal_writer_delay = '10s'");
    database.sql("SELECT pg_reload_conf()");
    for round in 0..5 {
        let before = catalog.read(meta::version).await.expect("read");
        // Drawn by another node in a transaction that has not committed yet.
        let (other, name) = (Arc::clone(&server), database.name().to_owned());
        let drawing = std::thread::spawn(move || {
            let draw = "SELECT count(nextval('versions')) FROM generate_series(1, 60)";
            other.try_sql(&name, &format!("BEGIN; {draw}; SELECT pg_sleep(60)"))
        });
        let mut seen = before;
        while seen < before + 50 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            seen = catalog.read(meta::version).await.expect("read");
        }
        let durable = catalog
            .write(meta::durable_version)
            .await
            .expect("committed");
        assert!(seen <= durable, "round {round}: {seen} {durable}");
        server.kill();
        server.start();
        drawing
            .join()
            .expect("no panic")
            .expect_err("it never committed");
        let known = catalog.read(meta::version).await.expect("it is back");
        assert!(durable <= known, "round {round}: {durable} {known}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_fails_is_not_kept_silently() {
    let database = Database::new();
    let catalog = database.open();
    let outcome: Result<(), CatalogError> = catalog
        .write(|tx| {
            meta::set(tx, "a", "b")?;
            let _ = tx.execute("INSERT INTO nowhere VALUES (1)", &[]);
            Ok(())
        })
        .await;
    assert!(
        matches!(outcome, Err(CatalogError::Failed { .. })),
        "{outcome:?}"
    );
    let found = catalog.read(|tx| meta::get(tx, "a")).await;
    assert_eq!(found.expect("it reads"), None);
}

/// Connections that are cut at any moment cost neither an answer nor a commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_are_healed_and_nothing_is_done_twice() {
    let database = Database::new();
    let catalog = database.open();
    let stop = Arc::new(AtomicBool::new(false));
    let cutter = {
        let (server, name, stop) = (
            Arc::clone(&database.server),
            database.name().to_owned(),
            Arc::clone(&stop),
        );
        std::thread::spawn(move || {
            let sql = format!(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE datname = '{name}' AND application_name = 'snapferry'"
            );
            // Uneven pauses, so that the cuts fall on different steps.
            for pause in [300, 511, 407, 613, 359] {
                std::thread::sleep(std::time::Duration::from_millis(pause));
                server.try_sql("postgres", &sql).expect("good SQL");
            }
            stop.store(true, Ordering::Relaxed);
        })
    };
    let mut rounds = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        write_counted(&catalog, rounds).await.expect("healed");
        rounds += 1;
    }
    cutter.join().expect("no panic");
    let counted = database.sql("SELECT value FROM counters WHERE name = 'test'");
    assert_eq!(counted, rounds.to_string());
}

/// Counts one up, and notes which round did so.
async fn write_counted(catalog: &Arc<dyn Catalog>, round: u32) -> Result<(), CatalogError> {
    catalog
        .write(move |tx| {
            tx.execute(
                "INSERT INTO counters (name, value) VALUES ('test', 1) \
                 ON CONFLICT (name) DO UPDATE SET value = counters.value + 1",
                &[],
            )?;
            meta::set(tx, &format!("round{round}"), "done")
        })
        .await
}

/// The server is killed several times under load: what was answered well is there, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_nothing_that_was_answered() {
    let server = Arc::new(Server::begin());
    let database = Database {
        url: server.database(),
        server,
    };
    let catalog = database.open();
    let stop = Arc::new(AtomicBool::new(false));
    let (next, well) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            let (catalog, stop) = (Arc::clone(&catalog), Arc::clone(&stop));
            let (next, well) = (Arc::clone(&next), Arc::clone(&well));
            tokio::spawn(async move {
                let mut answered = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let round = next.fetch_add(1, Ordering::Relaxed);
                    let good = write_counted(&catalog, round).await.is_ok();
                    well.fetch_add(u32::from(good), Ordering::Relaxed);
                    answered.push((round, good));
                }
                answered
            })
        })
        .collect();
    for pause in [137, 211, 83] {
        // However slow the machine is, there is something to lose.
        let (enough, begun) = (well.load(Ordering::Relaxed) + 8, std::time::Instant::now());
        while well.load(Ordering::Relaxed) < enough {
            assert!(begun.elapsed().as_secs() < 120, "writes are answered");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
        database.server.kill();
        database.server.start();
    }
    stop.store(true, Ordering::Relaxed);
    let mut answered = Vec::new();
    for task in tasks {
        answered.extend(task.await.expect("no panic"));
    }
    let kept = database.sql("SELECT name FROM meta WHERE name LIKE 'round%'");
    let kept: std::collections::HashSet<&str> = kept.lines().collect();
    for (round, good) in &answered {
        assert!(
            !good || kept.contains(format!("round{round}").as_str()),
            "{round} was lost"
        );
    }
    let counted = database.sql("SELECT value FROM counters WHERE name = 'test'");
    assert_eq!(
        counted,
        kept.len().to_string(),
        "a transaction was kept twice"
    );
    assert!(answered.iter().filter(|(_, good)| *good).count() > 20);
}

/// What a catalog of one kind holds is the same in one of the other kind, there and back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn catalogs_are_copied_and_compared() {
    let (database, folder) = (Database::new(), tempfile::tempdir().expect("a folder"));
    let sqlite = |name: &str| -> Arc<dyn Catalog> {
        let path = folder.path().join(name);
        Arc::new(SqliteCatalog::open(&path, Arc::new(SystemClock)).expect("it opens"))
    };
    let (first, middle, last) = (sqlite("first"), database.open(), sqlite("last"));
    for number in 0..620 {
        let filled: Result<(), CatalogError> = first
            .write(move |tx| {
                snapshots::insert(tx, samples::snapshot(&format!("s{number:04}")))?;
                Ok(())
            })
            .await;
        filled.expect("kept");
    }
    let there = copy::copy(&first, &*middle).await.expect("copied");
    let rows = |table: &str| {
        there
            .iter()
            .find(|one| one.table == table)
            .map(|one| one.rows)
    };
    assert_eq!((rows("snapshots"), rows("outbox")), (Some(620), Some(620)));
    let again = copy::copy(&first, &*middle).await;
    assert!(
        matches!(again, Err(CopyError::NotEmpty { .. })),
        "{again:?}"
    );
    // New rows and versions go on behind the old ones.
    let (old, new): (u64, u64) = (
        first.write(|tx| tx.next_version()).await.expect("drawn"),
        middle.write(|tx| tx.next_version()).await.expect("drawn"),
    );
    assert!(old <= new, "{old} {new}");
    let pushed: Result<(), CatalogError> = middle
        .write(|tx| snapshots::insert(tx, samples::snapshot("later")).map(drop))
        .await;
    pushed.expect("kept");
    let back = copy::copy(&middle, &*last).await.expect("copied back");
    for (there, back) in there
        .iter()
        .zip(&back)
        .filter(|(there, _)| !matches!(there.table, "outbox" | "snapshots" | "snapshot_tallies"))
    {
        assert_eq!(there, back);
    }
}

/// A table or column that a migration adds cannot be forgotten by the copy.
#[test]
fn every_table_and_column_is_copied() {
    let database = Database::new();
    drop(database.open());
    let found = database.sql(
        "SELECT table_name || '.' || column_name FROM information_schema.columns \
         WHERE table_schema = current_schema() AND table_name NOT IN ('nodes', 'node_tasks', 'writers') \
         ORDER BY 1",
    );
    let mut known: Vec<String> = copy::tables()
        .into_iter()
        .flat_map(|table| {
            table
                .columns
                .iter()
                .map(|column| format!("{}.{column}", table.name))
        })
        .collect();
    known.sort();
    let mut found: Vec<&str> = found.lines().collect();
    found.sort_unstable();
    assert_eq!(found, known);
}

/// What `sslmode` promises is kept.
#[test]
fn tls_is_used_and_names_are_checked() {
    let server = Server::begin();
    let url = server.database();
    let with = |host: &str, more: &str| {
        let url = url.replace("127.0.0.1", host);
        PostgresCatalog::open(&url.replace("sslmode=disable", more))
    };
    assert!(
        with("localhost", "sslmode=require").is_err(),
        "it is not sealed yet"
    );
    let authority = server.seal();
    let known = format!("sslmode=verify-full&sslrootcert={}", authority.display());
    let sealed = || with("localhost", "sslmode=require");
    // The server takes a moment to read its settings again.
    let began = std::time::Instant::now();
    while sealed().is_err() && began.elapsed().as_secs() < 10 {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let catalog = sealed().expect("whoever answers");
    let count = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                 WHERE ssl AND application_name = 'snapferry'";
    assert_eq!(server.try_sql("postgres", count).as_deref(), Ok("1"));
    drop(catalog);
    with("localhost", &known).expect("the name and the authority are right");
    let error = with("127.0.0.1", &known).expect_err("another name");
    assert!(matches!(error, CatalogError::Failed { .. }), "{error:?}");
    with("localhost", "sslmode=verify-full").expect_err("nobody vouches for it");
}
