//! The map of what a cluster's log changes, against what did change on its disk between two
//! checkpoints. `SNAPFERRY_SOAK_MAPS` is how many times.
use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::Path,
    time::Duration,
};

use crate::{
    churn::{Draw, admin, furnish, of_databases, pass_log, statement},
    members::{as_writer, cluster},
    support::{FolderSink, MASTER, PASSWORD, Rig, client_as, copy_tree, kill, number, postmaster},
};
use engine::{
    ChangeMaps, Engine, EngineError, Home,
    postgres::{changes_between, page_checksum},
};
use rustix::process::Signal;
use tokio_postgres::Client;

const ROUNDS: u64 = 1;
const STATEMENTS: u64 = 25;
const PAGE: usize = 8192;
const QUIET_BLOCKS: u32 = 300;

/// What has broken such maps before, each a session's statements: the first before a checkpoint, the
/// second behind it. Those of the database `postgres` are the administrator's.
const ATTACKS: &[(&str, &str, &str)] = &[
    // Readers leave hints in rows that nobody changed since.
    (
        "app",
        "CREATE TABLE hinted AS SELECT g a FROM generate_series(1, 3000) g",
        "SELECT count(*) FROM hinted",
    ),
    // Cut at its end, and grown again by other rows.
    (
        "app",
        "CREATE TABLE cut AS SELECT g a, repeat('x', 90) b FROM generate_series(1, 9000) g",
        "DELETE FROM cut WHERE a > 3000; VACUUM cut; INSERT INTO cut SELECT g, 'y' FROM generate_series(1, 20000) g",
    ),
    (
        "app",
        "CREATE TABLE full_ AS SELECT g a, repeat('x', 90) b FROM generate_series(1, 9000) g; DELETE FROM full_ WHERE a % 2 = 0",
        "VACUUM FULL full_",
    ),
    (
        "app",
        "CREATE UNLOGGED TABLE turns AS SELECT g a FROM generate_series(1, 9000) g",
        "ALTER TABLE turns SET LOGGED; UPDATE turns SET a = a + 1 WHERE a % 5 = 0",
    ),
    (
        "app",
        "CREATE TABLE seen AS SELECT g a FROM generate_series(1, 9000) g; VACUUM seen",
        "UPDATE seen SET a = 1 WHERE a = 7000; VACUUM FREEZE seen",
    ),
    (
        "app",
        "CREATE SEQUENCE counts",
        "SELECT nextval('counts') FROM generate_series(1, 100)",
    ),
    (
        "app",
        "CREATE TABLE many (a int, b text)",
        "INSERT INTO many SELECT g, repeat('x', 100) FROM generate_series(1, 60000) g; CREATE INDEX ON many USING gist (point(a, a)); CREATE INDEX ON many USING spgist (b); CREATE INDEX ON many USING hash (a)",
    ),
    (
        "app",
        "CREATE TABLE killed AS SELECT g a FROM generate_series(1, 9000) g; CREATE INDEX ON killed (a); DELETE FROM killed WHERE a < 5000",
        "SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM killed WHERE a < 6000; SELECT count(*) FROM killed WHERE a < 6000",
    ),
    // A database under the number of one that went.
    (
        "postgres",
        "DROP DATABASE IF EXISTS same; CREATE DATABASE same TEMPLATE tmpl OID 40000 STRATEGY file_copy",
        "SELECT 1",
    ),
    ("postgres", "SELECT 1", "DROP DATABASE same"),
    ("tmpl", "SELECT 1", "UPDATE kept SET b = b || 'z'"),
    (
        "postgres",
        "SELECT 1",
        "CREATE DATABASE same TEMPLATE tmpl OID 40000 STRATEGY file_copy",
    ),
    (
        "postgres",
        "DROP DATABASE IF EXISTS other; CREATE DATABASE other TEMPLATE tmpl OID 40001 STRATEGY wal_log",
        "DROP DATABASE other",
    ),
    (
        "postgres",
        "SELECT 1",
        "CREATE DATABASE other TEMPLATE tmpl OID 40001 STRATEGY wal_log",
    ),
];
const ATTACK_TABLES: &str = "DROP TABLE IF EXISTS hinted, cut, full_, turns, seen, many, killed; DROP SEQUENCE IF EXISTS counts";

/// Where the last checkpoint lets a recovery begin.
async fn checkpoint(session: &Client) -> u64 {
    session
        .batch_execute("CHECKPOINT")
        .await
        .expect("a checkpoint");
    let sql = "SELECT (redo_lsn - '0/0')::int8 FROM pg_control_checkpoint()";
    number(session, sql).await as u64
}

/// The main forks of all relations that keep their rows, by database and file number.
fn relations(data: &Path) -> BTreeMap<(u32, u32), Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut databases = vec![(0, data.join("global"))];
    for entry in fs::read_dir(data.join("base"))
        .expect("databases")
        .flatten()
    {
        if let Some(database) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        {
            databases.push((database, entry.path()));
        }
    }
    for (database, folder) in databases {
        let names: HashSet<String> = fs::read_dir(&folder)
            .expect("a folder")
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        for name in &names {
            if let Ok(number) = name.parse()
                && !names.contains(&format!("{name}_init"))
                && let Ok(bytes) = fs::read(folder.join(name))
            {
                found.insert((database, number), bytes);
            }
        }
    }
    found
}

fn lsn(page: &[u8]) -> u64 {
    let half = |at: usize| u64::from(u32::from_ne_bytes(page[at..at + 4].try_into().expect("4")));
    half(0) << 32 | half(4)
}

async fn attack(home: &Home, which: impl Fn(&(&str, &str, &str)) -> String) {
    for one in ATTACKS {
        let sql = which(one);
        let session = match one.0 {
            "postgres" => admin(home, "postgres").await,
            database => client_as(home, MASTER, PASSWORD, database)
                .await
                .expect("connects"),
        };
        // One by one: some cannot be in a transaction.
        for sql in sql.split("; ") {
            let done = session.batch_execute(sql).await;
            done.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        }
    }
}

async fn churn(home: &Home, draw: &mut Draw) {
    let session = client_as(home, MASTER, PASSWORD, "app")
        .await
        .expect("connects");
    for _ in 0..STATEMENTS {
        if draw.below(6) == 0 {
            let (database, sql) = of_databases(draw);
            let other = client_as(home, MASTER, PASSWORD, database)
                .await
                .expect("connects");
            let _ = other.batch_execute(&sql).await;
        } else {
            let writer = draw.below(2);
            // Much of it cannot be done just then.
            let _ = session.batch_execute(&statement(draw, writer)).await;
            let _ = session.batch_execute("ROLLBACK").await;
        }
    }
}

/// What a round saw.
#[derive(Debug, Default)]
struct Seen {
    same: u64,
    changed: u64,
    /// Other bytes, as the map says.
    differ: u64,
}

/// Lays two states of the disk beside each other: where a block differs, the map must say so.
fn compare(
    old: &BTreeMap<(u32, u32), Vec<u8>>,
    new: &BTreeMap<(u32, u32), Vec<u8>>,
    stop: u64,
    is_changed: &dyn Fn(u32, u32, u32) -> bool,
) -> Seen {
    let mut seen = Seen::default();
    for ((database, relation), now) in new {
        let Some(before) = old.get(&(*database, *relation)) else {
            continue;
        };
        for ((before, now), block) in before.chunks(PAGE).zip(now.chunks(PAGE)).zip(0..) {
            let is_said = is_changed(*database, *relation, block);
            let differs = before != now;
            // What the server did behind the second checkpoint is in the log behind it.
            let is_later = now.len() == PAGE && stop <= lsn(now);
            assert!(
                is_said || is_later || !differs,
                "block {block} of {database}/{relation} differs, and no record says so"
            );
            seen.same += u64::from(!is_said);
            seen.changed += u64::from(is_said);
            seen.differ += u64::from(is_said && differs);
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_block_that_differs_on_the_disk_is_in_the_map() {
    let rounds = std::env::var("SNAPFERRY_SOAK_MAPS").ok();
    let rounds = rounds.map_or(ROUNDS, |text| text.parse().expect("a number"));
    let seed = u64::from(std::process::id());
    let mut draw = Draw(seed * 7_919 + 1);
    let rig = Rig::new();
    let home = rig.created("source").await;
    furnish(&home).await;
    let quiet = client_as(&home, MASTER, PASSWORD, "app")
        .await
        .expect("connects");
    quiet
        .batch_execute("CREATE TABLE quiet AS SELECT g a, repeat('q', 7000) b FROM generate_series(1, 400) g; ALTER TABLE quiet ALTER b SET STORAGE PLAIN; UPDATE quiet SET b = repeat('p', 7000)")
        .await
        .expect("rows");
    quiet
        .batch_execute("VACUUM (FREEZE, ANALYZE) quiet")
        .await
        .expect("settles");
    let quiet_number = number(&quiet, "SELECT pg_relation_filenode('quiet')::int8").await as u32;
    let app = number(
        &quiet,
        "SELECT oid::int8 FROM pg_database WHERE datname = 'app'",
    )
    .await as u32;
    let mut all = Seen::default();
    for round in 0..rounds {
        let session = admin(&home, "postgres").await;
        let slot = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'kept'; \
                    SELECT pg_create_physical_replication_slot('kept', true)";
        session.batch_execute(slot).await.expect("keeps the log");
        attack(&home, |(_, before, _)| (*before).to_owned()).await;
        let start = checkpoint(&session).await;
        let old = relations(&home.data());
        attack(&home, |(_, _, behind)| (*behind).to_owned()).await;
        churn(&home, &mut draw).await;
        let stop = checkpoint(&session).await;
        let new = relations(&home.data());
        let piece_bytes = [3_000_017, 8192, 777_777][(round % 3) as usize];
        let is_changed = changes_between(&home.data(), (start, stop), piece_bytes);
        let is_changed = is_changed.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let seen = compare(&old, &new, stop, &is_changed);
        let quiet_changed = (0..QUIET_BLOCKS).filter(|block| is_changed(app, quiet_number, *block));
        assert_eq!(quiet_changed.count(), 0, "nobody changes it");
        all.same += seen.same;
        all.changed += seen.changed;
        all.differ += seen.differ;
        let cleared = client_as(&home, MASTER, PASSWORD, "app")
            .await
            .expect("connects");
        cleared.batch_execute(ATTACK_TABLES).await.expect("goes");
    }
    eprintln!("{rounds} rounds: {all:?}; seed {seed}");
    assert!(1_000 * rounds < all.same && 1_000 < all.differ, "{all:?}");
}

/// A cluster whose log passes, with a table of 400 pages that nobody changes by itself.
struct Steady {
    rig: Rig,
    home: Home,
    passes: tokio::task::JoinHandle<()>,
    dumps: u32,
}

impl Drop for Steady {
    fn drop(&mut self) {
        self.passes.abort();
    }
}

impl Steady {
    async fn new(maps: ChangeMaps) -> Self {
        let rig = Rig::new();
        rig.engine.know_changes(maps);
        let home = rig.created("source").await;
        Self::of(rig, home).await
    }

    async fn of(rig: Rig, home: Home) -> Self {
        let passes = pass_log(&rig, &home).await;
        let steady = Self {
            rig,
            home,
            passes,
            dumps: 0,
        };
        steady
            .run("CREATE TABLE rows AS SELECT g a, repeat('q', 7000) b FROM generate_series(1, 1) g; \
                  ALTER TABLE rows ALTER b SET STORAGE PLAIN; \
                  INSERT INTO rows SELECT g, repeat('q', 7000) FROM generate_series(2, 400) g")
            .await;
        steady.run("VACUUM (FREEZE) rows").await;
        steady
    }

    async fn run(&self, sql: &str) {
        let session = client_as(&self.home, MASTER, PASSWORD, "app").await;
        let done = session.expect("connects").batch_execute(sql).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// A dump behind an earlier one: how it went, and how many pages of it were known.
    async fn dump(&mut self, earlier: Option<&Earlier>) -> (Result<Earlier, EngineError>, u64) {
        self.dumps += 1;
        let dir = self.rig.path().join(format!("dump{}", self.dumps));
        let sink = FolderSink::behind(&dir, earlier);
        let (result, sink) = self.rig.dump_through(&self.home, sink).await;
        (result.map(|info| (sink.dir, info.document)), sink.same)
    }

    /// A cluster made of a dump, and a session of it.
    async fn load(&self, name: &str, dump: &Earlier) -> (Home, Client) {
        let copy = self.rig.home(name);
        fs::create_dir(&copy.dir).expect("a folder");
        copy_tree(&dump.0, &copy.data());
        self.rig.engine.load(&copy, &dump.1).await.expect("loads");
        let session = client_as(&copy, MASTER, PASSWORD, "app").await;
        (copy, session.expect("connects"))
    }

    /// A dump behind this one or that knows pages: the log may have begun to pass a moment ago.
    async fn first_known(&mut self) -> Earlier {
        let mut earlier = self.dump(None).await.0.expect("dumps");
        for _ in 0..60 {
            let (next, same) = self.dump(Some(&earlier)).await;
            earlier = next.expect("dumps");
            if 0 < same {
                return earlier;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        panic!("no dump knows what the one before it has");
    }
}

type Earlier = (std::path::PathBuf, String);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_next_dump_takes_what_did_not_change_from_the_one_before_until_the_server_ends() {
    let mut steady = Steady::new(ChangeMaps::On).await;
    let earlier = steady.first_known().await;
    steady
        .run("UPDATE rows SET a = a + 1000 WHERE a BETWEEN 100 AND 109")
        .await;
    let (next, same) = steady.dump(Some(&earlier)).await;
    let next = next.expect("dumps");
    assert!((380..4000).contains(&same), "{same} pages were known");
    // What it has not read is what is there.
    let (copy, session) = steady.load("copy", &next).await;
    let sum = number(
        &session,
        "SELECT sum(a)::int8 FROM rows WHERE length(b) = 7000",
    )
    .await;
    assert_eq!(sum, 400 * 401 / 2 + 10 * 1000);
    // A dump of another cluster is none to go out from, though it has the same log up to here.
    let sink = FolderSink::behind(&steady.rig.path().join("other"), Some(&next));
    let (result, sink) = steady.rig.dump_through(&copy, sink).await;
    result.expect("dumps");
    assert_eq!(sink.same, 0, "of a cluster whose log does not pass");
    // Nor is one from before the server's end.
    kill(postmaster(&steady.home), Signal::KILL);
    steady
        .rig
        .engine
        .start(&steady.home)
        .await
        .expect("recovers");
    let (again, same) = steady.dump(Some(&next)).await;
    again.expect("dumps");
    assert_eq!(same, 0, "the server was killed meanwhile");
    steady.first_known().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_map_reaches_to_a_reader_nor_over_a_failover() {
    let rig = Rig::new();
    rig.engine.know_changes(ChangeMaps::On);
    let (writer, readers) = cluster(&rig, &["next"]).await;
    let mut steady = Steady::of(rig, writer.clone()).await;
    let known = steady.first_known().await;
    steady.home = readers[0].clone();
    let (of_reader, same) = steady.dump(Some(&known)).await;
    assert_eq!(same, 0, "its log is not the one that passes");
    steady.home = writer.clone();
    let (behind, same) = steady.dump(Some(&of_reader.expect("dumps"))).await;
    behind.expect("dumps");
    assert_eq!(same, 0, "behind a reader's");
    let (last, same) = steady.dump(Some(&known)).await;
    assert!(380 < same, "{same} pages were known");

    kill(postmaster(&writer), Signal::KILL);
    let engine = steady.rig.engine.clone();
    let fenced = engine.fence(&writer, "1", Duration::ZERO).await;
    fenced.expect("ends");
    engine.release(&writer);
    let new = as_writer(&readers[0], &writer);
    let promoted = engine.promote(&new, Some(&writer)).await;
    promoted.expect("takes writes");
    steady.passes.abort();
    steady.passes = pass_log(&steady.rig, &new).await;
    steady.home = new;
    let (over, same) = steady.dump(Some(&last.expect("dumps"))).await;
    over.expect("dumps");
    assert_eq!(same, 0, "of the writer that was");
    steady.first_known().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_page_that_changes_with_no_record_fails_a_dump_that_checks() {
    let mut steady = Steady::new(ChangeMaps::Check).await;
    let earlier = steady.first_known().await;
    let session = client_as(&steady.home, MASTER, PASSWORD, "app")
        .await
        .expect("connects");
    let path: String = session
        .query_one("SELECT pg_relation_filepath('rows')", &[])
        .await
        .expect("a path")
        .get(0);
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(steady.home.data().join(&path))
        .expect("a file");
    let mut page = [0; PAGE];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut page, 200 * PAGE as u64).expect("reads");
    page[PAGE - 100] ^= 1;
    let checksum = page_checksum(&page, 200);
    page[8..10].copy_from_slice(&checksum.to_ne_bytes());
    std::os::unix::fs::FileExt::write_all_at(&file, &page, 200 * PAGE as u64).expect("writes");
    let (next, _) = steady.dump(Some(&earlier)).await;
    let error = next.expect_err("a page is another");
    assert!(
        matches!(&error, EngineError::FileDamaged { file, .. } if *file == path)
            && error.to_string().contains("block 200"),
        "{error}"
    );
    // With a record that names it, it may be whatever it is.
    steady.run("UPDATE rows SET a = a").await;
    steady.dump(Some(&earlier)).await.0.expect("dumps");
}

/// An index of SP-GiST gets the records of its pages when all of it is built. This one waits at two of its rows.
const BUILT: [&str; 3] = [
    "CREATE FUNCTION waits(i int) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN \
         IF i IN (20000, 40000) THEN PERFORM pg_advisory_xact_lock_shared(i); END IF; RETURN md5(i::text); END $$",
    "CREATE TABLE words AS SELECT g a FROM generate_series(1, 50000) g",
    "CREATE INDEX built ON words USING spgist (waits(a))",
];
const WAITERS: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_index_that_is_built_through_two_dumps_is_whole_in_the_third() {
    let mut steady = Steady::new(ChangeMaps::On).await;
    let mut earlier = steady.first_known().await;
    let held = client_as(&steady.home, MASTER, PASSWORD, "app").await;
    let held = held.expect("connects");
    for sql in &BUILT[..2] {
        held.batch_execute(sql).await.expect("words");
    }
    held.batch_execute("SELECT pg_advisory_lock(20000), pg_advisory_lock(40000)")
        .await
        .expect("holds it up");
    let builder = client_as(&steady.home, MASTER, PASSWORD, "app").await;
    let builder = builder.expect("connects");
    let build = tokio::spawn(async move { builder.batch_execute(BUILT[2]).await });
    for row in [20_000, 40_000] {
        let waits = format!("{WAITERS} AND objid = {row}");
        while number(&held, &waits).await == 0 {
            assert!(!build.is_finished(), "it waits at {row}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (next, same) = steady.dump(Some(&earlier)).await;
        earlier = next.expect("dumps");
        assert!(300 < same, "{same} pages were known");
        let go = format!("SELECT pg_advisory_unlock({row})");
        held.batch_execute(&go).await.expect("goes on");
    }
    build.await.expect("ends").expect("builds");
    let (_, session) = steady.load("early", &earlier).await;
    let there = "SELECT count(*) FROM pg_class WHERE relname IN ('built', 'words')";
    assert_eq!(number(&session, there).await, 1, "the table alone");
    let (last, same) = steady.dump(Some(&earlier)).await;
    assert!(300 < same, "{same} pages were known");
    let (_, session) = steady.load("late", &last.expect("dumps")).await;
    let by_index = "SET enable_seqscan = off; SET enable_bitmapscan = off";
    session.batch_execute(by_index).await.expect("sets");
    let found = "SELECT count(*) FROM generate_series(1, 50000, 7) g WHERE EXISTS (SELECT FROM words WHERE waits(a) = md5(g::text))";
    assert_eq!(number(&session, found).await, 7143);
}
