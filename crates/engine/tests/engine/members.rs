//! Servers that follow, and one that takes the writes of another: against real PostgreSQL.
use std::time::Duration;

use crate::support::{MASTER, PASSWORD, Rig, client, kill, number, postmaster, upstream};
use engine::{Engine, EngineError, Home, ServerState};
use model::ErrorKind;
use rustix::process::Signal;

const PATIENCE: Duration = Duration::from_secs(20);
/// More than a socket holds: 16 MiB of log.
const MUCH: &str =
    "INSERT INTO t SELECT i, repeat(md5(i::text), 64) FROM generate_series(1, 8000) i";

/// A writer with a table, and readers that follow it.
pub(crate) async fn cluster(rig: &Rig, readers: &[&str]) -> (Home, Vec<Home>) {
    let mut writer = rig.home("writer");
    writer.os_uid_shared = !readers.is_empty();
    writer.replication.name = "member_writer".to_owned();
    let names = readers.iter().map(|name| format!("member_{name}"));
    writer.replication.followers = names.collect();
    let spec = rig.spec();
    rig.engine.create(&writer, &spec).await.expect("creates");
    client(&writer)
        .await
        .batch_execute("CREATE TABLE t (i bigint, filler text)")
        .await
        .expect("a table");
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

async fn rows(home: &Home) -> i64 {
    number(&client(home).await, "SELECT count(*) FROM t").await
}

async fn until(home: &Home, question: &str) {
    for _ in 0..1_200 {
        if number(&client(home).await, question).await == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never is: {question}");
}

async fn until_rows(home: &Home, wanted: i64) {
    for _ in 0..200 {
        if rows(home).await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the reader has {} rows", rows(home).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_follows_and_does_not_take_writes() {
    let rig = Rig::new();
    let (writer, readers) = cluster(&rig, &["a"]).await;
    let reader = &readers[0];
    client(&writer)
        .await
        .batch_execute(MUCH)
        .await
        .expect("writes");
    until_rows(reader, 8_000).await;
    let refused = client(reader).await.batch_execute("DELETE FROM t").await;
    assert!(refused.is_err(), "it follows");
    let replica = rig.engine.replica(reader).await.expect("answers");
    assert!(replica.follows && replica.is_connected && 0 < replica.position);
    // Nobody gets in as the role that followers have, but at the socket.
    let (role, database) = ("rdsrepladmin", "rdsadmin");
    assert!(
        crate::support::client_as(&writer, role, "", database)
            .await
            .is_err()
    );
    // Nor into the database where our own sessions are, with whatever that role may do. (From PostgreSQL
    // 16 on nobody is given it.)
    let _ = client(&writer)
        .await
        .batch_execute("GRANT rdsrepladmin TO captain")
        .await;
    let entered = crate::support::client_as(&writer, MASTER, PASSWORD, database).await;
    assert!(entered.is_err());

    rig.engine.stop(reader, PATIENCE).await.expect("stops");
    client(&writer)
        .await
        .batch_execute(MUCH)
        .await
        .expect("writes");
    assert_eq!(
        rig.engine.state(&writer).await.expect("told"),
        ServerState::Answers,
        "its user's other server runs on"
    );
    let stale = as_writer(reader, reader);
    let error = rig.engine.start(&stale).await.expect_err("it follows");
    assert!(matches!(error, EngineError::Fenced { .. }), "{error}");
    rig.engine.start(reader).await.expect("starts");
    until_rows(reader, 16_000).await;
    rig.engine
        .follow_again(reader)
        .await
        .expect("is made again");
    assert_eq!(rows(reader).await, 16_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_dead_writer_had_not_sent_is_not_lost() {
    let rig = Rig::new();
    let (writer, readers) = cluster(&rig, &["told", "untold"]).await;
    for reader in &readers {
        rig.engine.stop(reader, PATIENCE).await.expect("stops");
    }
    client(&writer)
        .await
        .batch_execute(MUCH)
        .await
        .expect("writes");
    kill(postmaster(&writer), Signal::KILL);
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
    assert_eq!(rows(&new).await, 8_000);
    client(&new)
        .await
        .batch_execute(MUCH)
        .await
        .expect("writes");
    // The same without the old writer's log.
    let less = as_writer(&readers[1], &readers[1]);
    rig.engine.promote(&less, None).await.expect("takes writes");
    assert_eq!(rows(&less).await, 0, "or the test shows nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_reader_takes_over_and_the_old_writer_comes_back() {
    let rig = Rig::new();
    let (writer, readers) = cluster(&rig, &["a"]).await;
    let reader = &readers[0];
    let receiver = child(reader, "walreceiver");
    kill(receiver, Signal::STOP);
    client(&writer)
        .await
        .batch_execute(MUCH)
        .await
        .expect("writes");
    rig.engine
        .fence(&writer, "1", Duration::ZERO)
        .await
        .expect("ends");
    kill(receiver, Signal::CONT);
    let old_address = (reader.host.clone(), reader.port);
    rig.engine.release(&writer);
    rig.engine.release(reader);
    let mut new = as_writer(reader, &writer);
    new.replication.followers = vec!["member_writer".to_owned()];
    rig.engine
        .promote(&new, Some(&writer))
        .await
        .expect("takes writes");
    rig.engine.renew(&new).await.expect("its settings");
    assert_eq!(rows(&new).await, 8_000);
    client(&new)
        .await
        .batch_execute("INSERT INTO t VALUES (0)")
        .await
        .expect("writes");

    // Whoever still takes the new writer for a reader does it no harm.
    for asked in [
        rig.engine.start(reader).await,
        rig.engine.follow_again(reader).await,
    ] {
        let error = asked.expect_err("it takes writes");
        assert!(matches!(error, EngineError::TakesWrites { .. }), "{error}");
    }
    assert_eq!(rows(&new).await, 8_001);

    let mut old = writer.clone();
    (old.host, old.port) = old_address;
    old.replication.followers = Vec::new();
    old.replication.upstream = Some(upstream(&new));
    rig.engine.start(&old).await.expect("comes back");
    until_rows(&old, 8_001).await;
    assert!(rig.engine.replica(&old).await.expect("answers").follows);
    rig.engine.unfence(&old, "2").await.expect("another time's");
    assert_eq!(
        rig.engine.fenced(&old).await.expect("told").as_deref(),
        Some("1")
    );
}

/// Waits until the server was told to take writes, or was asked more than once how far it is.
async fn until_told_or_waited_for(reader: &Home) {
    let watch = client(reader).await;
    let mut asked = std::collections::BTreeSet::new();
    for _ in 0..3_000 {
        let seen = watch
            .query(
                "SELECT query LIKE '%pg_promote%', query_start::text FROM pg_stat_activity \
                 WHERE pid <> pg_backend_pid() AND query LIKE '%SELECT pg_%' \
                   AND (query LIKE '%pg_promote%' OR query LIKE '%replay_lsn%')",
                &[],
            )
            .await
            .expect("answers");
        asked.extend(seen.iter().map(|row| row.get::<_, String>(1)));
        if 2 < asked.len() || seen.iter().any(|row| row.get(0)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
}

/// A server that replays reads ahead, as far as the log goes then. What it is given while a reader's
/// session holds replay up lies behind that.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_reader_gets_behind_the_end_that_it_saw_is_replayed() {
    takes_over_while_replay_is_held_up(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_holds_replay_up_is_ended() {
    takes_over_while_replay_is_held_up(false).await;
}

async fn takes_over_while_replay_is_held_up(is_let_go: bool) {
    let rig = Rig::new();
    let (writer, readers) = cluster(&rig, &["a"]).await;
    let reader = &readers[0];
    let writes = client(&writer).await;
    writes
        .batch_execute("CREATE TABLE held (i bigint); INSERT INTO held VALUES (1)")
        .await
        .expect("a table");
    until(
        reader,
        "SELECT count(*) FROM pg_class WHERE relname = 'held'",
    )
    .await;
    let holds = client(reader).await;
    holds
        .batch_execute("BEGIN; SELECT count(*) FROM held")
        .await
        .expect("reads");

    // It has the lock's record before it replays it, and lacks the row's.
    let replay = child(reader, "startup");
    kill(replay, Signal::STOP);
    writes
        .batch_execute("BEGIN; LOCK TABLE held; COMMIT")
        .await
        .expect("writes");
    let sent =
        "SELECT count(*) FROM pg_stat_replication WHERE flush_lsn = pg_current_wal_flush_lsn()";
    until(&writer, sent).await;
    let receiver = child(reader, "walreceiver");
    kill(receiver, Signal::STOP);
    writes
        .batch_execute("INSERT INTO t VALUES (0)")
        .await
        .expect("writes");
    rig.engine
        .fence(&writer, "1", Duration::ZERO)
        .await
        .expect("ends");
    kill(receiver, Signal::TERM);
    kill(receiver, Signal::CONT);
    while child_or_none(reader, "walreceiver").is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    kill(replay, Signal::CONT);
    let held_up = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
        AND backend_type = 'startup'";
    until(reader, held_up).await;

    let (new, mut holds) = (as_writer(reader, reader), Some(holds));
    let (promoted, ()) = tokio::join!(rig.engine.promote(&new, Some(&writer)), async {
        until_told_or_waited_for(reader).await;
        if is_let_go {
            drop(holds.take());
        }
    });
    promoted.expect("takes writes");
    assert_eq!(rows(&new).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_of_a_reader_has_all_that_its_writer_had() {
    let rig = Rig::new();
    let (writer, readers) = cluster(&rig, &["a"]).await;
    let reader = &readers[0];
    client(&writer)
        .await
        .batch_execute(MUCH)
        .await
        .expect("writes");
    // What it was asked for while its log does not come is waited for.
    let receiver = child(reader, "walreceiver");
    kill(receiver, Signal::STOP);
    client(&writer)
        .await
        .batch_execute("INSERT INTO t VALUES (0); CREATE TABLE late AS SELECT 1")
        .await
        .expect("writes");
    let dumped = rig.path().join("dump");
    let (info, ()) = tokio::join!(rig.dump(reader, &dumped), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        kill(receiver, Signal::CONT);
    });
    let info = info.expect("dumps");
    let loaded = rig.place(&dumped, "loaded");
    rig.engine
        .load(&loaded, &info.document)
        .await
        .expect("loads");
    assert_eq!(rows(&loaded).await, 8_001);
    let late = number(&client(&loaded).await, "SELECT count(*) FROM late").await;
    assert_eq!(late, 1);
    client(&loaded)
        .await
        .batch_execute("INSERT INTO t VALUES (0)")
        .await
        .expect("it is a cluster of its own");

    // Without its writer nobody can tell what it lacks.
    kill(postmaster(&writer), Signal::KILL);
    let dumped = rig.dump(reader, &rig.path().join("none")).await;
    assert_eq!(dumped.expect_err("no writer").kind(), ErrorKind::Retry);
}

/// A process of the home's server, by its title.
pub(crate) fn child(home: &Home, title: &str) -> i32 {
    child_or_none(home, title).expect("it runs")
}

pub(crate) fn child_or_none(home: &Home, title: &str) -> Option<i32> {
    let parent = postmaster(home);
    std::fs::read_dir("/proc")
        .expect("a list")
        .flatten()
        .find_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let (_, rest) = stat.rsplit_once(')')?;
            let of: i32 = rest.split_whitespace().nth(1)?.parse().ok()?;
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            let named = String::from_utf8_lossy(&line).contains(title);
            (of == parent && named).then_some(pid)
        })
}
