//! Dumps under every statement that makes, rewrites, empties or removes relations and databases:
//! each that is kept loads, and holds together. `SNAPFERRY_SOAK_SNAPSHOTS` is how many are taken.
//! With `SNAPFERRY_SOAK_CHANGES` (`on` or `check`) each goes out from the one before by what the log
//! says of changes.
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use crate::support::{FolderSink, MASTER, PASSWORD, Rig, client_as, copy_tree};
use engine::{ChangeMaps, Engine, EngineError, Home};
use tokio_postgres::{Client, NoTls};

const SNAPSHOTS: u64 = 3;
/// Rows of a table that stays, whose rows change without changing their sum.
const STEADY: u64 = 30_000;
const WRITERS: u64 = 3;
/// How often a dump that is void is taken again, as a job's tries are.
const TRIES: u32 = 8;
/// Loads that are checked while the next dumps are taken.
const CHECKS_AT_ONCE: usize = 2;

/// Numbers that look random and are the same for the same seed.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A session of the administrator's, which may read everything.
pub(crate) async fn admin(home: &Home, database: &str) -> Client {
    let mut config = tokio_postgres::Config::new();
    config
        .host_path(&home.socket_dir)
        .port(home.port)
        .user("rdsadmin")
        .dbname(database);
    let (client, connection) = config.connect(NoTls).await.expect("connects");
    tokio::spawn(connection);
    client
}

/// A statement on one of a writer's relations.
pub(crate) fn statement(draw: &mut Draw, writer: u64) -> String {
    let name = format!("w{writer}_{}", draw.below(5));
    let rows = [0, 200, 5_000, 60_000][draw.below(4) as usize];
    let kept = ["", "UNLOGGED "][draw.below(2) as usize];
    let logged = ["LOGGED", "UNLOGGED"][draw.below(2) as usize];
    let now = ["", "CONCURRENTLY "][draw.below(2) as usize];
    let using = [
        "btree (a)",
        "btree (b)",
        "hash (a)",
        "brin (a)",
        "gin (to_tsvector('simple', b))",
        "spgist (b)",
        "gist (point(a, a))",
    ];
    let using = using[draw.below(7) as usize];
    let (from, to) = (draw.below(STEADY), draw.below(STEADY));
    let table = format!(
        "CREATE {kept}TABLE {name} AS SELECT g a, repeat(md5(g::text), 9) b FROM generate_series(1, {rows}) g"
    );
    match draw.below(38) {
        0..=3 => table,
        4 => format!(
            "BEGIN; CREATE {kept}TABLE passing_{name} (a int PRIMARY KEY, b text); INSERT INTO passing_{name} SELECT generate_series(1, 500); ROLLBACK"
        ),
        5..=7 => format!("CREATE INDEX {now}ON {name} USING {using}"),
        8 => format!("ALTER TABLE {name} ADD CONSTRAINT {name}_key PRIMARY KEY (a)"),
        9 => format!("ALTER TABLE {name} DROP CONSTRAINT {name}_key"),
        10 => format!("REINDEX TABLE {now}{name}"),
        11 => format!("VACUUM FULL {name}"),
        12 => format!("CLUSTER {name} USING {name}_key"),
        13..=15 => format!("ALTER TABLE {name} SET {logged}"),
        16 => format!("TRUNCATE {name}"),
        17..=18 => format!("DROP TABLE {name} CASCADE"),
        19 => format!("UPDATE {name} SET b = b || 'x' WHERE a % 7 = 0"),
        20 => format!("DELETE FROM {name} WHERE a % 3 = 0"),
        21 => format!("INSERT INTO {name} SELECT g + 1000000, 'y' FROM generate_series(1, 300) g"),
        22 => format!("VACUUM {name}"),
        23 => format!("CREATE {kept}SEQUENCE s{name}; SELECT nextval('s{name}')"),
        24 => format!("ALTER SEQUENCE s{name} SET {logged}; SELECT nextval('s{name}')"),
        25 => format!("DROP SEQUENCE s{name}"),
        26 => format!(
            "CREATE MATERIALIZED VIEW m{name} AS SELECT a, b FROM {name}; CREATE INDEX ON m{name} (a)"
        ),
        27 => format!("REFRESH MATERIALIZED VIEW m{name}"),
        28 => format!(
            "CREATE TEMP TABLE IF NOT EXISTS p{name} AS SELECT generate_series(1, 2000) a; CREATE INDEX ON p{name} (a)"
        ),
        29 => format!("DROP MATERIALIZED VIEW m{name}"),
        // Sums stay, rows and pages do not.
        30..=33 => format!(
            "UPDATE steady SET v = v + CASE a WHEN {from} THEN 1 ELSE -1 END WHERE a IN ({from}, {to}) AND {from} <> {to}"
        ),
        34 => format!("UPDATE steady SET b = md5(b) WHERE a BETWEEN {from} AND {from} + 99"),
        35 => "VACUUM steady".to_owned(),
        // Readers leave hints.
        36 => format!("SELECT count(*) FROM {name}"),
        _ => "SELECT sum(v) FROM steady".to_owned(),
    }
}

/// A statement that makes, removes or changes a database.
pub(crate) fn of_databases(draw: &mut Draw) -> (&'static str, String) {
    let name = format!("d{}", draw.below(2));
    let strategy = ["wal_log", "file_copy"][draw.below(2) as usize];
    match draw.below(8) {
        0..=2 => (
            "app",
            format!("CREATE DATABASE {name} TEMPLATE tmpl STRATEGY {strategy}"),
        ),
        3..=6 => ("app", format!("DROP DATABASE IF EXISTS {name}")),
        _ => (
            "tmpl",
            "INSERT INTO kept SELECT generate_series(1, 50), 'z'".to_owned(),
        ),
    }
}

/// What the writers have done.
#[derive(Default)]
struct Done {
    stop: AtomicBool,
    /// The last turn that each has committed.
    turns: [AtomicI64; WRITERS as usize],
    worked: AtomicU64,
    refused: AtomicU64,
}

async fn write(home: Home, writer: u64, seed: u64, done: Arc<Done>) {
    let mut draw = Draw(seed * 7_919 + writer * 104_729 + 1);
    let session = client_as(&home, MASTER, PASSWORD, "app")
        .await
        .expect("connects");
    while !done.stop.load(SeqCst) {
        let result = if writer == 0 && draw.below(4) == 0 {
            let (database, sql) = of_databases(&mut draw);
            let other = client_as(&home, MASTER, PASSWORD, database)
                .await
                .expect("connects");
            other.batch_execute(&sql).await
        } else {
            session.batch_execute(&statement(&mut draw, writer)).await
        };
        match result {
            Ok(()) => done.worked.fetch_add(1, SeqCst),
            // Much of it cannot be done just then.
            Err(error) => {
                assert!(error.code().is_some(), "the server is gone: {error}");
                let _ = session.batch_execute("ROLLBACK").await;
                done.refused.fetch_add(1, SeqCst)
            }
        };
        let turn = done.turns[writer as usize].load(SeqCst) + 1;
        let sql = format!("INSERT INTO ledger VALUES ({writer}, {turn})");
        session.batch_execute(&sql).await.expect("the ledger");
        done.turns[writer as usize].store(turn, SeqCst);
    }
}

fn good<T>(what: &str, result: Result<T, tokio_postgres::Error>) -> T {
    result.unwrap_or_else(|error| panic!("{what}: {error:?}"))
}

/// Reads every relation of a database, lays every index beside its table, and writes into what
/// came back empty.
async fn check_database(home: &Home, database: &str) {
    let session = admin(home, database).await;
    let sql = "SELECT c.oid::regclass::text, c.relkind::text, c.relpersistence::text, c.oid::int8 \
               FROM pg_class c WHERE c.relkind IN ('r', 'm', 't', 'S', 'i') AND c.relpersistence <> 't' \
               AND (c.relkind <> 'i' OR EXISTS (SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid \
                    JOIN pg_am m ON m.oid = x.relam WHERE i.indexrelid = c.oid AND i.indisvalid AND m.amname = 'btree'))";
    for row in session.query(sql, &[]).await.expect("lists relations") {
        let (name, kind, kept): (&str, &str, &str) = (row.get(0), row.get(1), row.get(2));
        let oid: i64 = row.get(3);
        let what = format!("{database}: {name} ({kind}{kept})");
        if kind == "i" {
            let sql = format!("SELECT bt_index_check({oid}::oid::regclass, true)");
            good(&what, session.query(&sql, &[]).await);
            continue;
        }
        let rows = session
            .query_one(&format!("SELECT count(*) FROM {name}"), &[])
            .await;
        let rows: i64 = good(&what, rows).get(0);
        if kind != "S" {
            let sql = format!("SELECT count(*) FROM verify_heapam({oid}::oid::regclass)");
            let faults: i64 = good(&what, session.query_one(&sql, &[]).await).get(0);
            assert_eq!(faults, 0, "{database}: {name}");
        }
        if kept == "u" && kind == "r" {
            assert_eq!(rows, 0, "{database}: {name} is unlogged");
            let sql = format!("INSERT INTO {name} SELECT g, 'x' FROM generate_series(1, 300) g");
            good(&what, session.batch_execute(&sql).await);
        }
    }
}

async fn check(home: &Home, before: &[i64], after: &[i64]) {
    let session = admin(home, "app").await;
    for (writer, (before, after)) in before.iter().zip(after).enumerate() {
        let sql =
            format!("SELECT count(*), COALESCE(max(turn), 0) FROM ledger WHERE writer = {writer}");
        let row = session.query_one(&sql, &[]).await.expect("the ledger");
        let (count, last): (i64, i64) = (row.get(0), row.get(1));
        assert_eq!(count, last, "writer {writer}: a turn is missing");
        // The last turn may be committed and not noted yet.
        assert!(
            (*before..=after + 1).contains(&last),
            "writer {writer}: {before} {last} {after}"
        );
    }
    let sums = "SELECT sum(v)::int8, count(*) FROM steady";
    let row = session.query_one(sums, &[]).await.expect("sums");
    let seen: (i64, i64) = (row.get(0), row.get(1));
    assert_eq!(seen, (0, STEADY as i64), "rows of several moments");
    let sql = "SELECT datname::text FROM pg_database WHERE datallowconn AND datconnlimit <> -2";
    for row in session.query(sql, &[]).await.expect("lists databases") {
        check_database(home, row.get(0)).await;
    }
}

pub(crate) async fn furnish(home: &Home) {
    // What template1 has, every database gets.
    let first = admin(home, "template1").await;
    first
        .batch_execute("CREATE EXTENSION amcheck")
        .await
        .expect("amcheck");
    for database in ["app", "postgres", "rdsadmin"] {
        let sql = "CREATE EXTENSION IF NOT EXISTS amcheck";
        admin(home, database)
            .await
            .batch_execute(sql)
            .await
            .expect("amcheck");
    }
    drop(first);
    let session = client_as(home, MASTER, PASSWORD, "app")
        .await
        .expect("connects");
    session
        .batch_execute("CREATE TABLE ledger (writer int, turn bigint, PRIMARY KEY (writer, turn))")
        .await
        .expect("ledger");
    let steady = format!(
        "CREATE TABLE steady AS SELECT g a, 0 v, repeat(md5(g::text), 9) b FROM generate_series(0, {STEADY} - 1) g; \
         CREATE UNIQUE INDEX ON steady (a)"
    );
    session
        .batch_execute(&steady)
        .await
        .expect("rows that stay");
    session
        .batch_execute("CREATE DATABASE tmpl")
        .await
        .expect("a template");
    let template = client_as(home, MASTER, PASSWORD, "tmpl")
        .await
        .expect("connects");
    template
        .batch_execute(
            "CREATE TABLE kept AS SELECT g a, 'r' || g b FROM generate_series(1, 2000) g; CREATE INDEX ON kept (a); \
             CREATE UNLOGGED TABLE quick AS SELECT g a, 'r' || g b FROM generate_series(1, 2000) g; CREATE INDEX ON quick (a)",
        )
        .await
        .expect("rows");
}

fn turns(done: &Done) -> Vec<i64> {
    done.turns.iter().map(|turn| turn.load(SeqCst)).collect()
}

/// Has a cluster's log pass from now on, as whoever ships it does.
pub(crate) async fn pass_log(rig: &Rig, home: &Home) -> tokio::task::JoinHandle<()> {
    let (engine, home) = (rig.engine.clone(), home.clone());
    let mut tail = engine.tail(&home, None).await.expect("has a log");
    tail.next(tail.place(), 8 << 20).await.expect("passes");
    let mut from = Some(tail.place());
    drop(tail);
    tokio::spawn(async move {
        loop {
            if let Ok(mut tail) = engine.tail(&home, from).await {
                while tail.next(tail.place(), 8 << 20).await.is_ok() {
                    from = Some(tail.place());
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_dump_under_churn_loads_and_holds_together() {
    let wanted = std::env::var("SNAPFERRY_SOAK_SNAPSHOTS").ok();
    let wanted = wanted.map_or(SNAPSHOTS, |text| text.parse().expect("a number"));
    let maps = match std::env::var("SNAPFERRY_SOAK_CHANGES").as_deref() {
        Err(_) => ChangeMaps::Off,
        Ok("on") => ChangeMaps::On,
        Ok("check") => ChangeMaps::Check,
        Ok(other) => panic!("{other} is neither on nor check"),
    };
    let seed = u64::from(std::process::id());
    let rig = Rig::new();
    rig.engine.know_changes(maps);
    let home = rig.created("source").await;
    furnish(&home).await;
    let passes = match maps {
        ChangeMaps::Off => None,
        ChangeMaps::On | ChangeMaps::Check => Some(pass_log(&rig, &home).await),
    };
    let (done, begun) = (Arc::new(Done::default()), Instant::now());
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(home.clone(), writer, seed, done.clone())))
        .collect();
    let (mut voids, mut taken_back, mut same) = (0, 0, 0);
    let (mut checks, mut earlier) = (tokio::task::JoinSet::new(), None);
    for number in 0..wanted {
        let mut tries = 0;
        let (document, sink, before) = loop {
            tries += 1;
            let before = turns(&done);
            let dir = rig.path().join(format!("dump{number}-{tries}"));
            let mut sink = FolderSink::behind(&dir, earlier.as_ref());
            // Every fifth is as an earlier release would have made it.
            sink.takes_back = number % 5 != 4;
            // A slow taker, so that much happens meanwhile.
            let mut count = 0;
            sink.on_file = Some(Box::new(move |_| {
                count += 1;
                if count % 40 == 0 {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }));
            let (result, sink) = rig.dump_through(&home, sink).await;
            match result {
                Ok(info) => break (info.document, sink, before),
                Err(error @ EngineError::Disturbed { .. }) if tries < TRIES => {
                    eprintln!("seed {seed}, dump {number}: {error}");
                    voids += 1;
                    engine::remove_tree(&sink.dir).expect("removes");
                }
                Err(error) => panic!("seed {seed}, dump {number}: {error}"),
            }
        };
        taken_back += sink.left_out.len();
        same += sink.same;
        let after = turns(&done);
        let copy = rig.home(&format!("copy{number}"));
        fs::create_dir(&copy.dir).expect("a folder");
        if maps == ChangeMaps::Off {
            fs::rename(&sink.dir, copy.data()).expect("moves");
        } else {
            copy_tree(&sink.dir, &copy.data());
            if let Some((dir, _)) = earlier.replace((sink.dir, document.clone())) {
                engine::remove_tree(&dir).expect("removes");
            }
        }
        while CHECKS_AT_ONCE <= checks.len() {
            checks
                .join_next()
                .await
                .expect("some")
                .expect("holds together");
        }
        // All of these was read and compared.
        if maps == ChangeMaps::Check && number % 5 != 0 {
            engine::remove_tree(&copy.dir).expect("removes");
            continue;
        }
        let engine = rig.engine.clone();
        checks.spawn(async move {
            let loaded = engine.load(&copy, &document).await;
            loaded.unwrap_or_else(|error| panic!("seed {seed}, dump {number}: {error}"));
            check(&copy, &before, &after).await;
            engine.remove(&copy).await.expect("removes");
        });
        if number % 20 == 19 {
            eprintln!("{} dumps in {:?}", number + 1, begun.elapsed());
        }
    }
    while let Some(checked) = checks.join_next().await {
        checked.expect("holds together");
    }
    done.stop.store(true, SeqCst);
    for writer in writers {
        writer.await.expect("ends");
    }
    if let Some(passes) = passes {
        passes.abort();
        assert!(500 < same, "{same} pages were known to be the same");
    }
    eprintln!(
        "{wanted} dumps in {:?}, each loaded and checked, under {} statements ({} more were refused); {voids} dumps were void, \
         {taken_back} files were taken back, {same} pages were known to be the same ({:?}); seed {seed}",
        begun.elapsed(),
        done.worked.load(SeqCst),
        done.refused.load(SeqCst),
        maps,
    );
}
