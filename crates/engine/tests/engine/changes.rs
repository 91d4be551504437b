//! The map of what a cluster's log changes, against what did change on its disk between two
//! checkpoints. `SNAPFERRY_SOAK_MAPS` is how many times.
use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::Path,
};

use crate::{
    churn::{Draw, admin, furnish, of_databases, statement},
    support::{MASTER, PASSWORD, Rig, client_as, kill, number, postmaster},
};
use engine::{Engine, Home, postgres::changes_between};
use rustix::process::Signal;
use tokio_postgres::Client;

const ROUNDS: u64 = 4;
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
        let session = match round % 2 {
            0 => session,
            _ => {
                // Half of what is done is not on the disk, and some of it half-written.
                kill(postmaster(&home), Signal::KILL);
                rig.engine.start(&home).await.expect("recovers");
                churn(&home, &mut draw).await;
                admin(&home, "postgres").await
            }
        };
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
