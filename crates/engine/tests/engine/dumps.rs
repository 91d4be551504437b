//! Dump and load: consistent under load, whole when stopped, void when damaged, safe when hostile.
use std::{
    fs,
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, PermissionsExt, symlink},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::support::{self, FolderSink, Rig, client, copy_tree, kill, number};
use engine::{Engine, EngineError, Home};
use model::ErrorKind;
use rustix::process::Signal;

const PATIENCE: Duration = Duration::from_secs(20);

/// Accounts, and a ledger of what was moved between them: their sums agree in every state between
/// two transactions.
const BANK: &str = "\
CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL, filler text);
INSERT INTO account SELECT n, 0, repeat('x', 100) FROM generate_series(1, 100000) n;
CREATE TABLE ledger (id bigserial PRIMARY KEY, writer int, turn bigint, amount bigint);
CREATE UNLOGGED TABLE scratch AS SELECT generate_series(1, 5000) n;
CREATE INDEX ON account (balance);";

/// Writes to the bank until told to stop, and tells which turns were committed.
async fn write_load(home: Home, writer: i32, stop: Arc<AtomicBool>, turns: Arc<[AtomicTurn; 2]>) {
    let session = client(&home).await;
    let mut turn = 0_i64;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let from = (turn * 7919 + i64::from(writer) * 104_729) % 100_000 + 1;
        let sql = format!(
            "BEGIN; UPDATE account SET balance = balance + {turn} WHERE id = {from}; \
             INSERT INTO ledger (writer, turn, amount) VALUES ({writer}, {turn}, {turn}); COMMIT"
        );
        session.batch_execute(&sql).await.expect("writes");
        turns[usize::try_from(writer).expect("small")].store(turn, Ordering::SeqCst);
    }
}

type AtomicTurn = std::sync::atomic::AtomicI64;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_dump_under_load_is_consistent_and_has_all_that_was_committed() {
    let rig = Rig::new();
    let source = rig.created("source").await;
    let session = client(&source).await;
    session.batch_execute(BANK).await.expect("the bank");

    let (stop, turns) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let writers: Vec<_> = (0..2)
        .map(|writer| {
            let (stop, turns) = (Arc::clone(&stop), Arc::clone(&turns));
            tokio::spawn(write_load(source.clone(), writer, stop, turns))
        })
        .collect();
    // The load is on its way.
    while turns.iter().any(|turn| turn.load(Ordering::SeqCst) < 50) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let before: Vec<i64> = turns
        .iter()
        .map(|turn| turn.load(Ordering::SeqCst))
        .collect();
    let dump = rig.path().join("dump");
    let mut sink = FolderSink::new(&dump);
    // A slow taker, so that pages, tables and the log change under the dump.
    let churn = source.clone();
    let (runtime, mut count) = (tokio::runtime::Handle::current(), 0);
    sink.on_file = Some(Box::new(move |_| {
        count += 1;
        if count % 200 == 0 {
            let churn = churn.clone();
            runtime.block_on(async move {
                let session = client(&churn).await;
                session
                    .batch_execute(
                        "DROP TABLE IF EXISTS passing; \
                         CREATE TABLE passing AS SELECT generate_series(1, 20000) n",
                    )
                    .await
                    .expect("churns");
            });
        }
    }));
    let (info, sink) = rig.dump_through(&source, sink).await;
    let info = info.expect("dumps");
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("ends");
    }

    assert!(sink.expected_bytes.is_some_and(|bytes| 10 << 20 < bytes));
    assert_eq!(
        sink.files.last().map(String::as_str),
        Some("global/pg_control")
    );
    for name in [
        "postmaster.pid",
        "postgresql.auto.conf",
        "pg_hba.conf",
        "recovery.signal",
    ] {
        assert!(fs::symlink_metadata(dump.join(name)).is_err(), "{name}");
    }
    assert!(
        info.document.contains("\"method\":\"online\""),
        "{}",
        info.document
    );
    // No slot stays behind, and the source goes on. A session's own goes once the server has seen its end.
    let left = async {
        while number(&session, "SELECT count(*) FROM pg_replication_slots").await != 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let gone = tokio::time::timeout(Duration::from_secs(60), left).await;
    gone.expect("no slot is left");

    let copy = rig.place(&dump, "copy");
    rig.engine.load(&copy, &info.document).await.expect("loads");
    let loaded = client(&copy).await;
    let sums =
        "SELECT (SELECT sum(balance) FROM account)::int8 - (SELECT sum(amount) FROM ledger)::int8";
    assert_eq!(number(&loaded, sums).await, 0);
    for (writer, before) in before.iter().enumerate() {
        let turns = format!("SELECT count(*) FROM ledger WHERE writer = {writer}");
        let last = format!("SELECT max(turn) FROM ledger WHERE writer = {writer}");
        let kept = number(&loaded, &turns).await;
        assert!(
            *before <= kept,
            "writer {writer}: {before} before the dump, {kept} kept"
        );
        assert_eq!(
            kept,
            number(&loaded, &last).await,
            "no turn is missing between"
        );
    }
    // The index agrees with the table, and unlogged content is gone but its table is there.
    let by_index = "SET enable_seqscan = off; SET enable_bitmapscan = off";
    loaded.batch_execute(by_index).await.expect("sets");
    assert_eq!(
        number(&loaded, "SELECT count(*) FROM account WHERE id > 0").await,
        100_000
    );
    assert_eq!(number(&loaded, "SELECT count(*) FROM scratch").await, 0);
    // It is a cluster of its own from here: it writes, stops and starts.
    loaded
        .batch_execute("INSERT INTO scratch VALUES (1); DELETE FROM ledger")
        .await
        .expect("writes");
    rig.engine.stop(&copy, PATIENCE).await.expect("stops");
    rig.engine.start(&copy).await.expect("starts");
    assert_eq!(
        number(&client(&copy).await, "SELECT count(*) FROM ledger").await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_cluster_is_dumped_and_cannot_start_meanwhile() {
    let rig = Rig::new();
    let source = rig.created("source").await;
    let session = client(&source).await;
    session
        .batch_execute("CREATE TABLE t AS SELECT generate_series(1, 3000) n")
        .await
        .expect("t");
    rig.engine.stop(&source, PATIENCE).await.expect("stops");

    let dump = rig.path().join("dump");
    let mut sink = FolderSink::new(&dump);
    let (engine, home, runtime) = (
        rig.engine.clone(),
        source.clone(),
        tokio::runtime::Handle::current(),
    );
    let mut asked = false;
    sink.on_file = Some(Box::new(move |_| {
        if !std::mem::replace(&mut asked, true) {
            let error = runtime.block_on(engine.start(&home)).expect_err("held");
            assert!(matches!(error, EngineError::Busy { .. }), "{error}");
        }
    }));
    let (info, sink) = rig.dump_through(&source, sink).await;
    let info = info.expect("dumps");
    assert!(
        info.document.contains("\"method\":\"stopped\""),
        "{}",
        info.document
    );
    assert!(
        sink.files
            .iter()
            .any(|file| file.starts_with("pg_wal/0000"))
    );
    rig.engine.start(&source).await.expect("starts again");

    let copy = rig.place(&dump, "copy");
    rig.engine.load(&copy, &info.document).await.expect("loads");
    let loaded = client(&copy).await;
    assert_eq!(number(&loaded, "SELECT count(*) FROM t").await, 3000);
    // Its own dump, on the new timeline, with the history of how it came there.
    let second = rig.path().join("second");
    let info = rig.dump(&copy, &second).await.expect("dumps");
    assert!(fs::metadata(second.join("pg_wal/00000002.history")).is_ok());
    let third = rig.place(&second, "third");
    rig.engine
        .load(&third, &info.document)
        .await
        .expect("loads");
    assert_eq!(
        number(&client(&third).await, "SELECT count(*) FROM t").await,
        3000
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_crashed_must_recover_before_its_dump() {
    let rig = Rig::new();
    let home = rig.created("a").await;
    rig.engine.stop(&home, Duration::ZERO).await.expect("ends");
    let error = rig
        .dump(&home, &rig.path().join("dump"))
        .await
        .expect_err("crashed");
    assert!(matches!(error, EngineError::NotShutDown { .. }), "{error}");
}

/// Changes every row of a table and makes the server write its file.
async fn change(home: &Home, table: &str) {
    let session = client(home).await;
    session
        .batch_execute(&format!("UPDATE {table} SET v = v + 1"))
        .await
        .expect("changes");
    let admin = format!(
        "host={} port={} user=rdsadmin dbname=rdsadmin",
        home.socket_dir.display(),
        home.port
    );
    let (admin, connection) = tokio_postgres::connect(&admin, tokio_postgres::NoTls)
        .await
        .expect("connects");
    tokio::spawn(connection);
    admin.batch_execute("CHECKPOINT").await.expect("writes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_between_look_and_read_never_goes_unseen() {
    let rig = Rig::new();
    let source = rig.created("source").await;
    let session = client(&source).await;
    session
        .batch_execute(
            "CREATE TABLE cold AS SELECT n, 0 AS v FROM generate_series(1, 5000) n;
             CREATE TABLE hot AS SELECT n, 0 AS v FROM generate_series(1, 5000) n;",
        )
        .await
        .expect("tables");
    let path_of = async |table: &str| -> String {
        let sql = format!("SELECT pg_relation_filepath('{table}')");
        session.query_one(&sql, &[]).await.expect("answers").get(0)
    };
    let (cold, hot) = (path_of("cold").await, path_of("hot").await);
    change(&source, "cold").await;
    let first = FolderSink::new(&rig.path().join("first"));
    let (_, first) = rig.dump_through(&source, first).await;
    assert_eq!(first.change_token[&cold], None, "it was changed just now");

    // Old enough to have change tokens. The hot table is changed once the first look is over, before
    // it is read; the cold one during the next dump.
    tokio::time::sleep(Duration::from_secs(11)).await;
    let changing = |sink: &mut FolderSink, path: String, table: &'static str| {
        let (home, runtime) = (source.clone(), tokio::runtime::Handle::current());
        sink.on_file = Some(Box::new(move |file| {
            if file == path {
                runtime.block_on(change(&home, table));
            }
        }));
    };
    let mut second = FolderSink::new(&rig.path().join("second"));
    changing(&mut second, hot.clone(), "hot");
    let (info, second) = rig.dump_through(&source, second).await;
    info.expect("dumps");
    assert!(second.change_token[&cold].is_some() && second.change_token[&hot].is_some());

    let mut third = FolderSink::new(&rig.path().join("third"));
    third.base = Some((second.dir, second.change_token));
    changing(&mut third, cold.clone(), "cold");
    let (info, third) = rig.dump_through(&source, third).await;
    let third_info = info.expect("dumps");
    assert!(
        third.unread.contains(&cold),
        "nothing was written before the look"
    );
    assert!(
        !third.unread.contains(&hot),
        "it was written after the look"
    );
    assert!(100 < third.unread.len(), "most files never change");

    let mut fourth = FolderSink::new(&rig.path().join("fourth"));
    fourth.base = Some((third.dir.clone(), third.change_token));
    let (info, fourth) = rig.dump_through(&source, fourth).await;
    let fourth_info = info.expect("dumps");
    assert!(!fourth.unread.contains(&cold) && !fourth.unread.contains(&hot));

    for (name, dump, info) in [("a", third.dir, third_info), ("b", fourth.dir, fourth_info)] {
        let copy = rig.place(&dump, name);
        rig.engine.load(&copy, &info.document).await.expect("loads");
        let loaded = client(&copy).await;
        for (table, sum) in [("cold", 10_000), ("hot", 5_000)] {
            let found = number(&loaded, &format!("SELECT sum(v) FROM {table}")).await;
            assert_eq!(found, sum, "{table} of dump {name}");
        }
    }
}

/// Flips a byte in the middle of a table's second page; the table is not in the server's memory.
async fn damage(rig: &Rig, home: &Home) -> String {
    let session = client(home).await;
    session
        .batch_execute(
            "CREATE TABLE t AS SELECT n, repeat('y', 200) y FROM generate_series(1, 5000) n",
        )
        .await
        .expect("t");
    let row = session
        .query_one("SELECT pg_relation_filepath('t')", &[])
        .await
        .expect("answers");
    let path: String = row.get(0);
    rig.engine.stop(home, PATIENCE).await.expect("stops");
    let options = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(home.data().join(&path));
    let file = options.expect("the table's file");
    let mut byte = [0];
    file.read_exact_at(&mut byte, 8192 + 4000).expect("reads");
    file.write_all_at(&[byte[0] ^ 0xFF], 8192 + 4000)
        .expect("writes");
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_page_is_found_running_or_stopped() {
    let rig = Rig::new();
    let home = rig.created("a").await;
    let path = damage(&rig, &home).await;
    for (dump, start) in [("stopped", false), ("running", true)] {
        if start {
            rig.engine.start(&home).await.expect("starts");
        }
        let error = rig
            .dump(&home, &rig.path().join(dump))
            .await
            .expect_err("damaged");
        assert_eq!(error.kind(), ErrorKind::Repair);
        let EngineError::PageDamaged { file, block, .. } = error else {
            panic!("{error}")
        };
        assert_eq!((file.as_str(), block), (path.as_str(), 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_session_makes_the_dump_void() {
    let rig = Rig::new();
    let home = rig.created("a").await;
    let mut sink = FolderSink::new(&rig.path().join("dump"));
    let pid = support::postmaster(&home);
    let (home_again, runtime, engine) = (
        home.clone(),
        tokio::runtime::Handle::current(),
        rig.engine.clone(),
    );
    let mut done = false;
    sink.on_file = Some(Box::new(move |_| {
        if !std::mem::replace(&mut done, true) {
            kill(pid, Signal::QUIT);
            while runtime.block_on(support::is_running(&engine, &home_again)) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }));
    let (result, _) = rig.dump_through(&home, sink).await;
    let error = result.expect_err("void");
    assert!(matches!(error, EngineError::SessionLost { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Retry);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_ends_when_told_to() {
    let rig = Rig::new();
    let home = rig.created("a").await;
    let mut sink = FolderSink::new(&rig.path().join("dump"));
    sink.stop = true;
    let (result, _) = rig.dump_through(&home, sink).await;
    assert!(matches!(result, Err(EngineError::StopRequested)));
    // The backup ended with its session: the next one is not hindered.
    rig.dump(&home, &rig.path().join("again"))
        .await
        .expect("dumps");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_and_files_of_others_are_not_read() {
    let rig = Rig::new();
    let home = rig.created("a").await;
    let secret = rig.path().join("secret");
    fs::write(&secret, "the master key").expect("writes");
    let planted = home.data().join("base/1/99999");
    symlink(&secret, &planted).expect("a link");
    let error = rig
        .dump(&home, &rig.path().join("linked"))
        .await
        .expect_err("a link");
    assert!(matches!(error, EngineError::Unexpected { .. }), "{error}");
    fs::remove_file(&planted).expect("removes");
    if home.os_uid.is_some() {
        fs::hard_link(&secret, &planted).expect("a second name");
        let error = rig
            .dump(&home, &rig.path().join("named"))
            .await
            .expect_err("another's");
        assert!(matches!(error, EngineError::Unexpected { .. }), "{error}");
        fs::remove_file(&planted).expect("removes");
    }
    let space = home.data().join("pg_tblspc/5");
    symlink(rig.path(), &space).expect("a link");
    let error = rig
        .dump(&home, &rig.path().join("spaced"))
        .await
        .expect_err("a tablespace");
    assert!(error.to_string().contains("tablespace"), "{error}");
}

type Spoil<'a> = &'a dyn Fn(&Path);

/// A dump of a small cluster, to be spoilt.
async fn small_dump(rig: &Rig) -> (std::path::PathBuf, String) {
    let home = rig.created("source").await;
    let dump = rig.path().join("dump");
    let info = rig.dump(&home, &dump).await.expect("dumps");
    rig.engine.remove(&home).await.expect("removes");
    (dump, info.document)
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_dumps_are_refused() {
    let rig = Rig::new();
    let (dump, document) = small_dump(&rig).await;
    let control = |path: &Path, at: u64| {
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(path.join("global/pg_control"))
            .expect("pg_control");
        let mut byte = [0];
        file.seek(SeekFrom::Start(at)).expect("seeks");
        file.read_exact(&mut byte).expect("reads");
        file.seek(SeekFrom::Start(at)).expect("seeks");
        file.write_all(&[byte[0] ^ 1]).expect("writes");
    };
    let spoil: [(&str, Spoil); 8] = [
        ("no label", &|path| {
            fs::remove_file(path.join("backup_label")).expect("removes")
        }),
        ("auto.conf", &|path| {
            fs::write(path.join("postgresql.auto.conf"), "archive_command = 'x'").expect("writes");
        }),
        ("standby", &|path| {
            fs::write(path.join("standby.signal"), "").expect("writes")
        }),
        ("map", &|path| {
            fs::write(path.join("tablespace_map"), "5 /etc\n").expect("writes")
        }),
        ("tablespace", &|path| {
            symlink("/etc", path.join("pg_tblspc/5")).expect("links")
        }),
        ("link", &|path| {
            symlink("/etc/passwd", path.join("base/77")).expect("links")
        }),
        ("pipe", &|path| {
            let status = std::process::Command::new("mkfifo")
                .arg(path.join("pg_xact/p"))
                .status();
            assert!(status.expect("mkfifo").success());
        }),
        ("control", &|path| control(path, 0)),
    ];
    for (name, change) in spoil {
        let home = rig.place(&dump, name);
        change(&home.data());
        let error = rig.engine.load(&home, &document).await.expect_err(name);
        assert!(
            matches!(error, EngineError::BadDump { .. }),
            "{name}: {error}"
        );
        assert!(!support::is_running(&rig.engine, &home).await);
    }
    for (name, from, to) in [
        ("engine", "postgres\"", "mysql\""),
        ("major", "\"major\":15", "\"major\":14"),
        (
            "identifier",
            "\"system_identifier\":\"",
            "\"system_identifier\":\"1",
        ),
        ("method", "online", "stopped"),
        ("json", "{", "["),
    ] {
        let changed = document.replacen(from, to, 1);
        if changed == document {
            assert_eq!(name, "major", "the document has changed: {document}");
            continue;
        }
        let home = rig.place(&dump, name);
        let error = rig.engine.load(&home, &changed).await.expect_err(name);
        assert!(
            matches!(error, EngineError::BadDump { .. }),
            "{name}: {error}"
        );
    }
    // The same dump, left as it is, loads.
    let home = rig.place(&dump, "honest");
    rig.engine.load(&home, &document).await.expect("loads");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_whose_log_is_missing_fails_and_leaves_nothing_running() {
    let rig = Rig::new();
    let (dump, document) = small_dump(&rig).await;
    let home = rig.place(&dump, "copy");
    for entry in fs::read_dir(home.data().join("pg_wal"))
        .expect("a folder")
        .flatten()
    {
        if entry.file_type().expect("a type").is_file() {
            fs::remove_file(entry.path()).expect("removes");
        }
    }
    let error = rig.engine.load(&home, &document).await.expect_err("no log");
    let EngineError::ServerEnded { log, .. } = &error else {
        panic!("{error}")
    };
    assert!(log.contains("checkpoint record"), "{log}");
    assert_eq!(support::processes(&home), 0);
    let error = rig.engine.start(&home).await.expect_err("not whole");
    assert!(matches!(error, EngineError::NotWhole { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_user_owns_its_data_and_nothing_else() {
    let rig = Rig::new();
    let (dump, document) = small_dump(&rig).await;
    let home = rig.place(&dump, "copy");
    let keep = rig.path().join("again");
    copy_tree(&home.data(), &keep);
    rig.engine.load(&home, &document).await.expect("loads");
    let Some(uid) = home.os_uid else { return };
    let facts = |path: &Path| {
        use std::os::unix::fs::MetadataExt;
        let facts = fs::metadata(path).expect("is there");
        (facts.uid(), facts.permissions().mode() & 0o777)
    };
    assert_eq!(facts(&home.data()), (uid, 0o700));
    assert_eq!(facts(&home.data().join("base")), (uid, 0o700));
    assert_eq!(facts(&home.data().join("global/pg_control")), (uid, 0o600));
    assert_eq!(facts(&home.socket_dir), (uid, 0o700));
    assert_eq!(facts(&home.dir), (0, 0o711));
    assert_eq!(facts(&home.dir.join("conf/postgresql.conf")), (0, 0o640));
    assert_eq!(facts(&home.dir.join("log")), (0, 0o700));
}
