//! What happens in a cluster while it is dumped: a dump that is kept loads, with the rows of its
//! moment.
use std::{process::Command, time::Duration};

use crate::support::{self, FolderSink, Rig, client, client_as, number};
use engine::{Engine, EngineError, Home};
use model::ErrorKind;
use tokio::task::JoinHandle;

/// An index that is being built holds its table's rows until the lock is free: the build lasts
/// as long as a test wants.
const SLOW_INDEX: &str = "\
CREATE FUNCTION slow(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS \
    $$BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN n; END$$;
CREATE UNLOGGED TABLE quick (n int);
INSERT INTO quick SELECT generate_series(1, 3000);
CREATE INDEX old_index ON quick (slow(n));
CREATE TABLE kept (n int PRIMARY KEY);
INSERT INTO kept SELECT generate_series(1, 3000);";

/// Begins a statement that waits for the lock, which `gate` holds.
async fn begin_build(home: &Home, gate: &tokio_postgres::Client, sql: &str) -> JoinHandle<()> {
    gate.batch_execute("SELECT pg_advisory_lock(7)")
        .await
        .expect("locks");
    let (builder, sql) = (client(home).await, sql.to_owned());
    let build = tokio::spawn(async move { builder.batch_execute(&sql).await.expect("builds") });
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    while number(gate, waiting).await == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    build
}

/// Dumps the cluster, and lets the build end once the relations were read.
async fn dump_over(
    rig: &Rig,
    home: &Home,
    sql: &str,
    name: &str,
    takes_back: bool,
) -> (String, FolderSink) {
    let gate = client(home).await;
    let build = begin_build(home, &gate, sql).await;
    let mut sink = FolderSink::new(&rig.path().join(name));
    sink.takes_back = takes_back;
    let (runtime, mut waiting) = (tokio::runtime::Handle::current(), Some((gate, build)));
    sink.on_file = Some(Box::new(move |path| {
        if path.starts_with("pg_xact/")
            && let Some((gate, build)) = waiting.take()
        {
            runtime.block_on(async {
                gate.batch_execute("SELECT pg_advisory_unlock(7)")
                    .await
                    .expect("unlocks");
                build.await.expect("ends");
            });
        }
    }));
    let (info, sink) = rig.dump_through(home, sink).await;
    (info.expect("dumps").document, sink)
}

/// The loaded cluster's unlogged table is empty and can be written, by its index too.
async fn check_loaded(rig: &Rig, home: &Home, document: &str, what: &str) {
    rig.engine
        .load(home, document)
        .await
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let loaded = client(home).await;
    assert_eq!(
        number(&loaded, "SELECT count(*) FROM kept").await,
        3000,
        "{what}"
    );
    assert_eq!(
        number(&loaded, "SELECT count(*) FROM quick").await,
        0,
        "{what}"
    );
    let write = "INSERT INTO quick SELECT generate_series(1, 500); SET enable_seqscan = off";
    loaded.batch_execute(write).await.expect("writes");
    let by_index = "SELECT count(*) FROM quick WHERE slow(n) = 77 OR n = 77";
    assert_eq!(number(&loaded, by_index).await, 1, "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_index_of_an_unlogged_table_that_ends_during_a_dump_does_not_spoil_it() {
    let rig = Rig::new();
    let home = rig.created("source").await;
    client(&home)
        .await
        .batch_execute(SLOW_INDEX)
        .await
        .expect("tables");
    for (n, sql) in [
        "CREATE INDEX new_index ON quick (slow(n))",
        "REINDEX TABLE quick",
        "VACUUM FULL quick",
    ]
    .into_iter()
    .enumerate()
    {
        let (document, sink) = dump_over(&rig, &home, sql, &format!("dump{n}"), true).await;
        assert!(
            !sink.left_out.is_empty(),
            "{sql}: the build was within the dump"
        );
        check_loaded(
            &rig,
            &rig.place(&sink.dir, &format!("copy{n}")),
            &document,
            sql,
        )
        .await;
        // A dump of an earlier release has the file still: it is mended by its own log.
        let (document, sink) = dump_over(
            &rig,
            &home,
            sql.replace("new_", "newer_").as_str(),
            &format!("old{n}"),
            false,
        )
        .await;
        for path in &sink.left_out {
            assert!(std::fs::metadata(sink.dir.join(path)).is_ok(), "{path}");
        }
        let copy = rig.place(&sink.dir, &format!("mended{n}"));
        check_loaded(&rig, &copy, &document, sql).await;
    }
}

/// Runs statements while a dump reads its first relation.
async fn dump_during(
    rig: &Rig,
    home: &Home,
    name: &str,
    statements: &'static [(&'static str, &'static str)],
) -> (Result<engine::DumpInfo, EngineError>, FolderSink) {
    let mut sink = FolderSink::new(&rig.path().join(name));
    let (runtime, source, mut done) = (tokio::runtime::Handle::current(), home.clone(), false);
    sink.on_file = Some(Box::new(move |path| {
        if path.starts_with("base/") && !std::mem::replace(&mut done, true) {
            for (database, sql) in statements {
                runtime.block_on(async {
                    let session = client_as(&source, support::MASTER, support::PASSWORD, database);
                    let session = session.await.expect("connects");
                    session
                        .batch_execute(sql)
                        .await
                        .unwrap_or_else(|error| panic!("{sql}: {error}"));
                });
            }
        }
    }));
    rig.dump_through(home, sink).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_dump_over_which_a_copied_template_changes_is_void() {
    let rig = Rig::new();
    let home = rig.created("source").await;
    let session = client(&home).await;
    session
        .batch_execute("CREATE DATABASE tmpl")
        .await
        .expect("makes");
    let template = client_as(&home, support::MASTER, support::PASSWORD, "tmpl")
        .await
        .expect("connects");
    let rows = "CREATE TABLE t AS SELECT generate_series(1, 1000) n";
    template.batch_execute(rows).await.expect("rows");
    drop(template);
    const COPY: &str = "CREATE DATABASE d TEMPLATE tmpl STRATEGY file_copy";
    type Case = (&'static str, &'static [(&'static str, &'static str)], bool);
    let cases: [Case; 6] = [
        (
            "rows",
            &[("app", COPY), ("tmpl", "INSERT INTO t VALUES (1)")],
            true,
        ),
        (
            "a table",
            &[("app", COPY), ("tmpl", "CREATE TABLE u (n int)")],
            true,
        ),
        (
            "a table that goes",
            &[("app", COPY), ("tmpl", "DROP TABLE u")],
            true,
        ),
        (
            "the template goes",
            &[
                ("app", COPY),
                ("app", "CREATE DATABASE other TEMPLATE tmpl"),
                ("app", "DROP DATABASE tmpl"),
                ("app", "ALTER DATABASE other RENAME TO tmpl"),
            ],
            true,
        ),
        ("nothing", &[("app", COPY)], false),
        (
            "the copy goes",
            &[
                ("app", COPY),
                ("tmpl", "INSERT INTO t VALUES (2)"),
                ("app", "DROP DATABASE d"),
            ],
            false,
        ),
    ];
    for (n, (what, statements, is_void)) in cases.into_iter().enumerate() {
        session
            .batch_execute("DROP DATABASE IF EXISTS d")
            .await
            .expect("drops");
        let (result, sink) = dump_during(&rig, &home, &format!("dump{n}"), statements).await;
        if is_void {
            let error = result.expect_err(what);
            let is_disturbed = matches!(error, EngineError::Disturbed { .. });
            let names_the_copy = error.to_string().contains("by file copy");
            assert!(is_disturbed && names_the_copy, "{what}: {error}");
            assert_eq!(error.kind(), ErrorKind::Retry, "{what}");
            continue;
        }
        let info = result.unwrap_or_else(|error| panic!("{what}: {error}"));
        let copy = rig.place(&sink.dir, &format!("copy{n}"));
        rig.engine.load(&copy, &info.document).await.expect("loads");
        let there = client_as(&copy, support::MASTER, support::PASSWORD, "d").await;
        match what {
            "nothing" => {
                let rows = number(&there.expect("connects"), "SELECT count(*) FROM t").await;
                assert_eq!(rows, 1001);
            }
            _ => assert!(there.is_err(), "{what}"),
        }
    }
}

/// The place that a document gives.
fn place(document: &str, key: &str) -> u64 {
    let value: serde_json::Value = serde_json::from_str(document).expect("JSON");
    let (high, low) = value[key]
        .as_str()
        .and_then(|text| text.split_once('/'))
        .expect("a place");
    let part = |text| u64::from_str_radix(text, 16).expect("a number");
    part(high) << 32 | part(low)
}

/// One line of pg_waldump as [`engine::postgres::list_log`] has it, without the manager.
fn as_listed(line: &str) -> String {
    let after = |what: &str| {
        line.split_once(what)
            .map(|(_, rest)| rest.trim_start())
            .unwrap_or_default()
    };
    let upto = |text: &str, end: &str| text.split(end).next().unwrap_or_default().trim().to_owned();
    let place = after("lsn: ").split(',').next().unwrap_or_default();
    let (high, low) = place.split_once('/').expect("a place");
    let low = u32::from_str_radix(low, 16).expect("a number");
    let bytes = upto(
        after("len (rec/tot): ")
            .split_once('/')
            .expect("two lengths")
            .1,
        ",",
    );
    let mut listed = format!("{high}/{low:X} {bytes} {}", upto(after("tx: "), ","));
    let text = after("desc: ");
    if let Some(path) = text.strip_prefix("CREATE base/") {
        let (stem, fork) = path.split_once('_').unwrap_or((path, "main"));
        let fork = ["main", "fsm", "vm", "init"]
            .iter()
            .position(|known| *known == fork.trim());
        listed += &format!(" made {}.{}", stem.trim(), fork.expect("a fork"));
    }
    if let Some(rest) = text.strip_prefix("CREATE_FILE_COPY copy dir 1663/") {
        let (from, to) = rest.trim().split_once(" to 1663/").expect("two databases");
        listed += &format!(" copied {from} {to}");
    }
    if let Some(rest) = text.strip_prefix("DROP dir 1663/") {
        listed += &format!(" dropped {}", rest.trim());
    }
    for block in line.split("blkref #").skip(1) {
        let block = block.split_once("rel ").expect("a relation").1;
        let relation = block.split_whitespace().next().expect("a relation");
        let fork = ["fork fsm", "fork vm", "fork init"]
            .iter()
            .position(|name| block.contains(name));
        let number = upto(
            block.split_once("blk ").expect("a block").1.trim_start(),
            " ",
        );
        listed += &format!(
            " {relation}.{}:{}",
            fork.map_or(0, |at| at + 1),
            number.trim_end_matches([',', ';'])
        );
    }
    listed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_log_is_read_as_pg_waldump_reads_it() {
    let rig = Rig::new();
    let program = rig.program("pg_waldump");
    let home = rig.created("source").await;
    let (result, sink) = dump_during(&rig, &home, "dump", &[
        ("app", "CREATE TABLE t AS SELECT n, repeat('x', 500) x FROM generate_series(1, 20000) n; CREATE INDEX ON t (n)"),
        ("app", "CREATE INDEX ON t USING gin (to_tsvector('simple', x)); CREATE INDEX ON t USING hash (n); CREATE INDEX ON t USING brin (n)"),
        ("app", "CREATE UNLOGGED TABLE u (id serial PRIMARY KEY, x text); INSERT INTO u (x) SELECT x FROM t LIMIT 10"),
        ("app", "UPDATE t SET x = x || n WHERE n % 7 = 0; DELETE FROM t WHERE n % 3 = 0"),
        ("app", "VACUUM FULL t"), ("app", "VACUUM t"), ("app", "TRUNCATE u"), ("app", "DROP TABLE u"),
        ("app", "SELECT pg_logical_emit_message(true, 'p', repeat('m', 3000000))"),
        ("app", "CREATE DATABASE f STRATEGY file_copy"), ("app", "CREATE DATABASE w STRATEGY wal_log"), ("app", "DROP DATABASE f"),
    ]).await;
    let document = result.expect("dumps").document;
    let (start, stop) = (place(&document, "start_lsn"), place(&document, "stop_lsn"));
    let listed = engine::postgres::list_log(&sink.dir, start, stop).expect("reads");
    let listed: Vec<String> = listed
        .iter()
        .map(|line| {
            // The third word is the manager's number, which pg_waldump gives by name.
            let mut words: Vec<&str> = line.split(' ').collect();
            words.remove(3);
            words.join(" ")
        })
        .collect();
    let text = |place: u64| format!("{:X}/{:X}", place >> 32, place & 0xFFFF_FFFF);
    let output = Command::new(&program)
        .args(["--path", &sink.dir.join("pg_wal").display().to_string()])
        .args(["--start", &text(start), "--end", &text(stop)])
        .output()
        .expect("runs");
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected: Vec<String> = output
        .lines()
        .filter(|line| line.starts_with("rmgr:"))
        .map(as_listed)
        .collect();
    assert!(2000 < expected.len(), "{} records", expected.len());
    for word in [" made ", " copied ", " dropped "] {
        assert!(expected.iter().any(|line| line.contains(word)), "{word}");
    }
    for (ours, theirs) in listed.iter().zip(&expected) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(listed.len(), expected.len());
}
