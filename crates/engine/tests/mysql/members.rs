//! Servers that follow, and one that takes the writes of another: against a real MySQL.
use std::time::Duration;

use engine::{Engine, EngineError, Home, ServerState};
use model::ErrorKind;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Rig, upstream, wait_until};

const PATIENCE: Duration = Duration::from_secs(20);
const DUE: Duration = Duration::from_secs(60);

/// Many transactions of one row each, and one of many.
pub(crate) const MUCH: &str = "CALL app.fill(300); INSERT INTO app.t(v) WITH RECURSIVE s(n) AS \
    (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 700) SELECT REPEAT('x', 500) FROM s;";
pub(crate) const MUCH_ROWS: u64 = 1_000;

const SCHEMA: &str = "CREATE TABLE app.t(i BIGINT AUTO_INCREMENT PRIMARY KEY, v TEXT);\n\
    DELIMITER //\n\
    CREATE PROCEDURE app.fill(n INT) BEGIN WHILE 0 < n DO INSERT INTO app.t(v) VALUES (n); SET n = n - 1; END WHILE; END//\n\
    DELIMITER ;\n";

/// A writer with a table, and readers that follow it.
pub(crate) async fn cluster(rig: &Rig, readers: &[&str]) -> (Home, Vec<Home>) {
    let mut writer = rig.home("writer");
    writer.os_uid_shared = true;
    writer.replication.name = "member_writer".to_owned();
    rig.engine
        .create(&writer, &rig.spec())
        .await
        .expect("creates");
    rig.sql(&writer, SCHEMA);
    let names = readers.iter().map(|name| format!("member_{name}"));
    writer.replication.followers = names.collect();
    rig.engine.renew(&writer).await.expect("logs from here on");
    let made = rig.readers(&writer, readers).await;
    (writer, made)
}

/// The same home as a writer, at another one's address.
pub(crate) fn as_writer(home: &Home, at: &Home) -> Home {
    let mut writer = home.clone();
    writer.replication.upstream = None;
    (writer.host, writer.port) = (at.host.clone(), at.port);
    writer
}

pub(crate) fn cell(rig: &Rig, home: &Home, sql: &str) -> String {
    rig.sql(home, sql).trim().to_owned()
}

pub(crate) fn rows(rig: &Rig, home: &Home) -> u64 {
    cell(rig, home, "SELECT COUNT(*) FROM app.t")
        .parse()
        .expect("a number")
}

pub(crate) fn until_rows(rig: &Rig, home: &Home, wanted: u64) {
    wait_until("the follower has its rows", || rows(rig, home) == wanted);
}

/// The first process of a server.
fn pid_of(home: &Home) -> Pid {
    let text = std::fs::read_to_string(home.socket_dir.join("mysqld.pid")).expect("its number");
    Pid::from_raw(text.trim().parse().expect("a number")).expect("a process")
}

pub(crate) async fn killed(rig: &Rig, home: &Home) {
    kill_process(pid_of(home), Signal::KILL).expect("it runs");
    for _ in 0..1_200 {
        if rig.engine.state(home).await.expect("told") == ServerState::Ended {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it does not end");
}

/// Waits until a follower hears from its writer.
pub(crate) async fn until_connected(rig: &Rig, home: &Home) {
    let followed = async {
        loop {
            rig.engine.renew(home).await.expect("looks");
            if rig
                .engine
                .replica(home)
                .await
                .is_ok_and(|replica| replica.is_connected)
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(DUE, followed)
        .await
        .expect("it follows");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_follows_and_does_not_take_writes() {
    let Some(rig) = Rig::new() else { return };
    let (writer, readers) = cluster(&rig, &["a"]).await;
    let reader = &readers[0];
    until_connected(&rig, reader).await;
    rig.sql(&writer, MUCH);
    until_rows(&rig, reader, MUCH_ROWS);
    let refused = rig
        .try_sql(reader, "DELETE FROM app.t")
        .expect_err("it follows");
    assert!(refused.contains("super-read-only"), "{refused}");
    let (of_writer, of_reader) = (
        rig.engine.replica(&writer).await.expect("answers"),
        rig.engine.replica(reader).await.expect("answers"),
    );
    assert!(!of_writer.follows && of_reader.follows && of_reader.is_connected);
    assert_eq!(of_reader.position, of_writer.position);
    assert_ne!(
        cell(
            &rig,
            reader,
            "SELECT CONCAT(@@server_uuid, ' ', @@server_id)"
        ),
        cell(
            &rig,
            &writer,
            "SELECT CONCAT(@@server_uuid, ' ', @@server_id)"
        )
    );
    // The secret by which it follows lies nowhere.
    let kept = "SELECT CONCAT(User_name, User_password) FROM mysql.slave_master_info";
    assert_eq!(cell(&rig, reader, kept), "");
    let admitted = "SELECT User FROM mysql.user WHERE User LIKE 'rdsrepladmin%'";
    assert_eq!(cell(&rig, &writer, admitted), "rdsrepladmin_a");

    rig.engine.stop(reader, PATIENCE).await.expect("stops");
    rig.sql(&writer, MUCH);
    assert_eq!(
        rig.engine.state(&writer).await.expect("told"),
        ServerState::Answers
    );
    let stale = as_writer(reader, reader);
    let error = rig.engine.start(&stale).await.expect_err("it follows");
    assert!(matches!(error, EngineError::Fenced { .. }), "{error}");
    rig.engine.start(reader).await.expect("starts");
    until_rows(&rig, reader, 2 * MUCH_ROWS);
    // Its writer's new start does not part them.
    rig.engine.stop(&writer, PATIENCE).await.expect("stops");
    rig.engine.start(&writer).await.expect("starts");
    rig.sql(&writer, MUCH);
    until_rows(&rig, reader, 3 * MUCH_ROWS);
    rig.engine
        .follow_again(reader)
        .await
        .expect("is made again");
    assert_eq!(rows(&rig, reader), 3 * MUCH_ROWS);
    let error = rig
        .dump(reader, "dump")
        .await
        .expect_err("its pages are its own");
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");

    snapshot_is_a_cluster_of_its_own(&rig, &writer, reader).await;
    // A follower that is gone is let in no more.
    writer_without(&rig, &writer, admitted).await;
}

async fn snapshot_is_a_cluster_of_its_own(rig: &Rig, writer: &Home, reader: &Home) {
    let info = rig.dump(writer, "of-writer").await.expect("dumps");
    let loaded = rig.loaded("of-writer", &info, "loaded").await;
    assert_eq!(rows(rig, &loaded), 3 * MUCH_ROWS);
    let executed = "SELECT @@GLOBAL.gtid_executed";
    assert_eq!(
        cell(rig, &loaded, executed),
        cell(rig, writer, executed),
        "its transactions are those of its rows"
    );
    let left = "SELECT COUNT(*) FROM mysql.user WHERE User LIKE 'rdsrepladmin%'";
    assert_eq!(cell(rig, &loaded, left), "0");
    rig.sql(&loaded, MUCH);
    assert_eq!(rows(rig, &loaded), 4 * MUCH_ROWS);
    until_rows(rig, reader, 3 * MUCH_ROWS);
}

async fn writer_without(rig: &Rig, writer: &Home, admitted: &str) {
    let mut alone = writer.clone();
    alone.replication.followers.clear();
    rig.engine.renew(&alone).await.expect("forgets");
    assert_eq!(cell(rig, writer, admitted), "");
    // It goes on to log: after a crash its log decides what was committed.
    rig.engine.stop(&alone, Duration::ZERO).await.expect("ends");
    rig.engine.start(&alone).await.expect("recovers");
    assert_eq!(cell(rig, &alone, "SELECT @@log_bin"), "1");
    assert_eq!(rows(rig, &alone), 3 * MUCH_ROWS);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_dead_writer_had_not_sent_is_not_lost() {
    let Some(rig) = Rig::new() else { return };
    let (writer, readers) = cluster(&rig, &["told", "untold"]).await;
    rig.sql(
        &writer,
        "CREATE EVENT app.e ON SCHEDULE EVERY 1 YEAR DO DELETE FROM app.t WHERE i < 0",
    );
    for reader in &readers {
        wait_until("the event is there", || {
            cell(
                &rig,
                reader,
                "SELECT COUNT(*) FROM information_schema.EVENTS",
            ) == "1"
        });
        rig.engine.stop(reader, PATIENCE).await.expect("stops");
    }
    rig.sql(&writer, MUCH);
    rig.sql(&writer, "FLUSH BINARY LOGS; CREATE TABLE app.late(i INT)");
    killed(&rig, &writer).await;
    // It was killed while it wrote one more.
    let log = std::fs::read_dir(writer.data())
        .expect("a folder")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().contains("/binlog.0"))
        .max()
        .expect("a log");
    let whole = std::fs::read(&log).expect("reads");
    std::fs::write(&log, [&whole[..], &[0, 1, 2]].concat()).expect("writes");
    rig.engine
        .fence(&writer, "1", Duration::ZERO)
        .await
        .expect("ends");
    rig.engine.release(&writer);
    let error = rig.engine.start(&writer).await.expect_err("fenced");
    assert_eq!(error.kind(), ErrorKind::Wait, "{error}");

    let new = as_writer(&readers[0], &writer);
    rig.engine
        .promote(&new, Some(&writer))
        .await
        .expect("takes writes");
    rig.engine
        .promote(&new, Some(&writer))
        .await
        .expect("nothing");
    assert_eq!(rows(&rig, &new), MUCH_ROWS);
    assert_eq!(cell(&rig, &new, "SELECT COUNT(*) FROM app.late"), "0");
    let status = "SELECT CONCAT(STATUS, ' ', DEFINER) FROM information_schema.EVENTS";
    assert_eq!(cell(&rig, &new, status), "ENABLED rdsadmin@localhost");
    rig.sql(&new, MUCH);
    // One that is behind by more than the old writer kept does not take its place.
    let less = as_writer(&readers[1], &readers[1]);
    let mut pruned = writer.clone();
    pruned.dir = rig.path("pruned");
    std::fs::create_dir_all(pruned.data()).expect("a folder");
    let kept = pruned.data().join(log.file_name().expect("a name"));
    std::fs::copy(&log, kept).expect("copies");
    let list = "binlog.index";
    std::fs::copy(writer.data().join(list), pruned.data().join(list)).expect("copies");
    let error = rig.engine.promote(&less, Some(&pruned)).await;
    let error = error.expect_err("commits would be lost");
    let is_unable = matches!(error, EngineError::CannotTakeOver { .. });
    assert!(is_unable, "{error}");
    // The same without the old writer's log.
    rig.engine.promote(&less, None).await.expect("takes writes");
    assert_eq!(rows(&rig, &less), 0, "or the test shows nothing");

    // A writer with transactions of its own does not follow with them.
    rig.sql(&less, "INSERT INTO app.t(v) VALUES ('new')");
    let mut old = writer.clone();
    old.port = readers[0].port;
    old.replication.followers = Vec::new();
    old.replication.upstream = Some(upstream(&less));
    let before = identity(&old);
    rig.engine.release(&readers[0]);
    rig.engine.start(&old).await.expect("comes back");
    until_rows(&rig, &old, 1);
    assert_ne!(identity(&old), before, "a copy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_reader_takes_over_and_the_old_writer_comes_back() {
    let Some(rig) = Rig::new() else { return };
    let (writer, readers) = cluster(&rig, &["a", "b"]).await;
    let (reader, other) = (&readers[0], &readers[1]);
    until_connected(&rig, reader).await;
    // It hears of it, and does not do it: a session holds the lock that it needs.
    rig.sql(reader, "STOP REPLICA SQL_THREAD");
    rig.sql(&writer, MUCH);
    killed(&rig, &writer).await;
    rig.engine
        .fence(&writer, "1", Duration::ZERO)
        .await
        .expect("ends");
    let old_address = (reader.host.clone(), reader.port);
    rig.engine.release(&writer);
    rig.engine.release(reader);
    let mut new = as_writer(reader, &writer);
    new.replication.followers = vec!["member_writer".to_owned(), "member_b".to_owned()];
    rig.engine
        .promote(&new, Some(&writer))
        .await
        .expect("takes writes");
    rig.engine.renew(&new).await.expect("its followers");
    assert_eq!(rows(&rig, &new), MUCH_ROWS);
    rig.sql(&new, MUCH);

    // Whoever still takes the new writer for a reader does it no harm.
    for asked in [
        rig.engine.start(reader).await,
        rig.engine.follow_again(reader).await,
    ] {
        let error = asked.expect_err("it takes writes");
        assert!(matches!(error, EngineError::TakesWrites { .. }), "{error}");
    }
    let mut other = other.clone();
    other.replication.upstream = Some(upstream(&new));
    until_connected(&rig, &other).await;
    until_rows(&rig, &other, 2 * MUCH_ROWS);

    let mut old = writer.clone();
    (old.host, old.port) = old_address;
    old.replication.followers = Vec::new();
    old.replication.upstream = Some(upstream(&new));
    let before = identity(&old);
    // Somebody read its log while it took writes.
    let kept = old.dir.join("log_kept");
    std::fs::write(&kept, "1 0000beef").expect("a mark");
    rig.engine.start(&old).await.expect("comes back");
    assert!(!kept.exists(), "it keeps none for a reader any more");
    until_rows(&rig, &old, 2 * MUCH_ROWS);
    assert!(rig.engine.replica(&old).await.expect("answers").follows);
    assert_eq!(identity(&old), before, "with its own files");
    rig.engine.unfence(&old, "2").await.expect("another time's");
    assert_eq!(
        rig.engine.fenced(&old).await.expect("told").as_deref(),
        Some("1")
    );
}

pub(crate) fn identity(home: &Home) -> String {
    std::fs::read_to_string(home.data().join("auto.cnf")).expect("who it is")
}
