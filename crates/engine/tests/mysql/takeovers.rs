//! Which servers may take the writes of another one, and what one that may not costs: against a real MySQL.
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    time::{Duration, Instant},
};

use engine::{Engine, EngineError, Home, Inheritance};

use crate::{
    members::{
        MUCH, MUCH_ROWS, as_writer, cell, cluster, identity, killed, rows, until_connected,
        until_rows,
    },
    support::{Rig, upstream, wait_until},
};

const PATIENCE: Duration = Duration::from_secs(20);

fn is_unable(error: &EngineError) -> bool {
    matches!(error, EngineError::CannotTakeOver { .. })
}

/// Tries to put a reader in the place of a writer, in vain: it is found before anything is ended, and again
/// when the writer has ended; both go on as what they were.
async fn cannot_take_over(rig: &Rig, writer: &Home, reader: &Home) {
    let told = rig.engine.inheritance(reader, writer).await;
    let error = told.expect_err("commits would be lost");
    assert!(is_unable(&error), "{error}");
    rig.engine.fence(writer, "1", PATIENCE).await.expect("ends");
    rig.engine.release(writer);
    rig.engine.release(reader);
    let new = as_writer(reader, writer);
    for _ in 0..2 {
        let error = rig.engine.promote(&new, Some(writer)).await;
        let error = error.expect_err("commits would be lost");
        assert!(is_unable(&error), "{error}");
        let error = rig.engine.start(&new).await.expect_err("it follows");
        assert!(matches!(error, EngineError::Fenced { .. }), "{error}");
    }
    rig.engine.unfence(writer, "1").await.expect("unfences");
    rig.engine.start(writer).await.expect("goes on");
    rig.engine.start(reader).await.expect("follows");
    assert!(rig.engine.replica(reader).await.expect("told").follows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_lacks_what_the_writer_deleted_follows_on() {
    let Some(rig) = Rig::new() else { return };
    let (writer, readers) = cluster(&rig, &["a"]).await;
    let reader = &readers[0];
    until_connected(&rig, reader).await;
    let all = rig.engine.inheritance(reader, &writer).await;
    assert_eq!(all.expect("it has all"), Inheritance::All);
    rig.engine.stop(reader, PATIENCE).await.expect("stops");
    rig.sql(&writer, MUCH);
    rig.sql(
        &writer,
        "FLUSH BINARY LOGS; INSERT INTO app.t(v) VALUES ('later')",
    );
    let current = "SHOW BINARY LOG STATUS";
    let current = cell(&rig, &writer, current);
    let current = current.split('\t').next().expect("a name");
    rig.sql(&writer, &format!("PURGE BINARY LOGS TO '{current}'"));
    rig.engine.start(reader).await.expect("starts");

    cannot_take_over(&rig, &writer, reader).await;
    assert_eq!(rows(&rig, &writer), MUCH_ROWS + 1);
    rig.engine
        .follow_again(reader)
        .await
        .expect("is made again");
    until_rows(&rig, reader, MUCH_ROWS + 1);
    let all = rig.engine.inheritance(reader, &writer).await;
    assert_eq!(all.expect("it has all"), Inheritance::All);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_cannot_do_what_it_is_told_follows_on() {
    let Some(rig) = Rig::new() else { return };
    let (writer, readers) = cluster(&rig, &["a"]).await;
    let reader = &readers[0];
    until_connected(&rig, reader).await;
    rig.sql(
        reader,
        "SET sql_log_bin = 0; SET GLOBAL super_read_only = OFF; INSERT INTO app.t VALUES (1, 'its own'); \
         SET GLOBAL super_read_only = ON",
    );
    rig.sql(&writer, "INSERT INTO app.t VALUES (1, 'the writer''s')");
    wait_until("it stops at that", || {
        cell(&rig, reader, "SHOW REPLICA STATUS").contains("failed executing transaction")
    });
    cannot_take_over(&rig, &writer, reader).await;
    assert_eq!(cell(&rig, &writer, "SELECT v FROM app.t"), "the writer's");
    // What it hears and does not do has a bound on the disk.
    let bound = "SELECT @@relay_log_space_limit";
    assert_eq!(cell(&rig, reader, bound), (4_u64 << 30).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_log_is_no_log_without_an_entry() {
    let Some(rig) = Rig::new() else { return };
    let (mut writer, readers) = cluster(&rig, &["a"]).await;
    let reader = &readers[0];
    until_connected(&rig, reader).await;
    rig.sql(&writer, MUCH);
    until_rows(&rig, reader, MUCH_ROWS);
    killed(&rig, &writer).await;
    rig.engine
        .fence(&writer, "1", Duration::ZERO)
        .await
        .expect("ends");
    rig.engine.release(&writer);
    let kept = rig.path("kept");
    fs::rename(writer.data(), &kept).expect("it is lost");
    for is_empty in [false, true] {
        if is_empty {
            fs::create_dir(writer.data()).expect("a folder");
        }
        let error = rig.engine.inheritance(reader, &writer).await;
        assert!(is_unable(&error.expect_err("nobody knows")));
        let new = as_writer(reader, &writer);
        let error = rig.engine.promote(&new, Some(&writer)).await;
        assert!(is_unable(&error.expect_err("nobody knows")));
        rig.engine.start(reader).await.expect("follows");
    }
    // One whose commits waited for readers had no other ones than they have.
    writer.replication.synchronous = vec![reader.replication.name.clone()];
    let own = rig.engine.inheritance(reader, &writer).await;
    assert_eq!(own.expect("it has what was told"), Inheritance::Own);
    // The last of its logs is gone, another one is not.
    fs::remove_dir(writer.data()).expect("it is empty");
    fs::rename(&kept, writer.data()).expect("it is back");
    let all = rig.engine.inheritance(reader, &writer).await;
    assert_eq!(all.expect("it has all"), Inheritance::All);
    let logs = fs::read_dir(writer.data()).expect("a folder").flatten();
    let last = logs
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().contains("/binlog.0"))
        .max()
        .expect("a log");
    fs::remove_file(last).expect("it is lost");
    let own = rig.engine.inheritance(reader, &writer).await;
    assert_eq!(own.expect("it has what was told"), Inheritance::Own);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_cannot_begin_costs_nothing() {
    let Some(rig) = Rig::new() else { return };
    let (writer, readers) = cluster(&rig, &["a"]).await;
    let reader = &readers[0];
    until_connected(&rig, reader).await;
    rig.sql(&writer, MUCH);
    until_rows(&rig, reader, MUCH_ROWS);
    let spool = writer.dir.join("spool");
    fs::create_dir_all(&spool).expect("a folder");
    let lock = fs::File::create(spool.join("lock")).expect("a file");
    lock.lock().expect("another dump");
    let before = identity(reader);
    let meanwhile = async {
        let error = rig.engine.follow_again(reader).await.expect_err("it waits");
        assert!(matches!(error, EngineError::Busy { .. }), "{error}");
        assert_eq!(identity(reader), before);
        assert_eq!(rows(&rig, reader), MUCH_ROWS, "it serves on");
        drop(lock);
    };
    // A new one has nothing to lose, and waits.
    let names = ["b"];
    let (_, made) = tokio::join!(meanwhile, rig.readers(&writer, &names));
    until_rows(&rig, &made[0], MUCH_ROWS);
    rig.engine
        .follow_again(reader)
        .await
        .expect("is made again");
    assert_ne!(identity(reader), before);
    until_rows(&rig, reader, MUCH_ROWS);
}

/// A writer whose commits wait for its readers, from here on.
async fn waiting(rig: &Rig) -> (Home, Vec<Home>) {
    let (mut writer, readers) = cluster(rig, &["a", "b"]).await;
    for reader in &readers {
        until_connected(rig, reader).await;
    }
    let names = readers.iter().map(|one| one.replication.name.clone());
    writer.replication.synchronous = names.collect();
    rig.engine.renew(&writer).await.expect("waits from here on");
    (writer, readers)
}

const INSERT: &[u8] = b"INSERT INTO app.t(v) VALUES ('waits'); SELECT 'told';\n";

fn sessions_that_wait(rig: &Rig, writer: &Home) -> String {
    let waiting = "SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_source_wait_sessions'";
    let shown = cell(rig, writer, waiting);
    shown.rsplit('\t').next().expect("a value").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_waits_for_a_reader_and_nobody_is_told_before() {
    let Some(rig) = Rig::new() else { return };
    let (writer, readers) = waiting(&rig).await;
    rig.sql(&writer, MUCH);
    for reader in &readers {
        until_rows(&rig, reader, MUCH_ROWS);
    }
    rig.engine.stop(&readers[0], PATIENCE).await.expect("stops");
    rig.sql(&writer, "INSERT INTO app.t(v) VALUES ('one is enough')");
    rig.engine.stop(&readers[1], PATIENCE).await.expect("stops");
    // A new start waits, too, before its first client.
    rig.engine.stop(&writer, PATIENCE).await.expect("stops");
    rig.engine.start(&writer).await.expect("starts");
    for is_stopped in [false, true] {
        let mut client = rig.client(&writer);
        client
            .stdin
            .take()
            .expect("a pipe")
            .write_all(INSERT)
            .expect("writes");
        wait_until("it waits", || sessions_that_wait(&rig, &writer) == "1");
        if is_stopped {
            // Told to stop in order, the server would answer.
            rig.engine.stop(&writer, PATIENCE).await.expect("ends");
        } else {
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert_eq!(sessions_that_wait(&rig, &writer), "1");
            rig.engine.start(&readers[1]).await.expect("is back");
            until_connected(&rig, &readers[1]).await;
        }
        let told = client.wait_with_output().expect("ends").stdout;
        let told = String::from_utf8_lossy(&told).into_owned();
        assert_eq!(told.trim(), if is_stopped { "" } else { "told" });
        if !is_stopped {
            rig.engine.stop(&readers[1], PATIENCE).await.expect("stops");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_begins_alone_keeps_what_it_heard() {
    let Some(rig) = Rig::new() else { return };
    let (writer, readers) = waiting(&rig).await;
    let reader = &readers[0];
    rig.engine.stop(&readers[1], PATIENCE).await.expect("stops");
    rig.sql(reader, "STOP REPLICA SQL_THREAD");
    rig.sql(&writer, MUCH);
    killed(&rig, &writer).await;
    rig.engine
        .fence(&writer, "1", Duration::ZERO)
        .await
        .expect("ends");
    fs::remove_dir_all(writer.data()).expect("it is lost");
    killed(&rig, reader).await;
    rig.engine.start(reader).await.expect("starts");
    let own = rig.engine.inheritance(reader, &writer).await;
    assert_eq!(own.expect("it has what was told"), Inheritance::Own);
    rig.engine.release(&writer);
    rig.engine.release(reader);
    let mut new = as_writer(reader, &writer);
    new.replication.synchronous = vec!["member_writer".to_owned()];
    rig.engine
        .promote(&new, Some(&writer))
        .await
        .expect("takes writes");
    assert_eq!(rows(&rig, &new), MUCH_ROWS);
    // The one that is lost is made anew.
    let mut old = writer.clone();
    (old.host, old.port) = (reader.host.clone(), reader.port);
    old.replication.synchronous = Vec::new();
    old.replication.upstream = Some(upstream(&new));
    rig.engine.start(&old).await.expect("comes back");
    until_rows(&rig, &old, MUCH_ROWS);
    rig.sql(&new, "INSERT INTO app.t(v) VALUES ('goes on')");
    until_rows(&rig, &old, MUCH_ROWS + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_logs_are_deleted_and_a_dump_holds_up_nobody() {
    let Some(rig) = Rig::new() else { return };
    let (writer, _readers) = cluster(&rig, &["a"]).await;
    rig.sql(&writer, "FLUSH BINARY LOGS");
    let oldest = writer.data().join("binlog.000001");
    let file = fs::File::options().write(true).open(&oldest);
    file.expect("a log").set_len(2 << 30).expect("it is long");
    let mut dump = rig.client(&writer);
    let mut input = dump.stdin.take().expect("a pipe");
    input
        .write_all(b"LOCK INSTANCE FOR BACKUP; SELECT 'locked';\n")
        .expect("writes");
    let mut told = String::new();
    let output = dump.stdout.take().expect("a pipe");
    BufReader::new(output).read_line(&mut told).expect("reads");
    assert_eq!(told.trim(), "locked");
    let begun = Instant::now();
    rig.engine.trim_log(&writer).await.expect("goes on");
    let took = begun.elapsed();
    assert!(
        oldest.exists() && took < Duration::from_secs(20),
        "{took:?}"
    );
    drop(input);
    dump.wait().expect("ends");
    // The server may not have seen its client's end yet; a reader may still read the log.
    let begun = Instant::now();
    while oldest.exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it stays");
        rig.engine.trim_log(&writer).await.expect("deletes");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_was_made_beforehand_gets_nothing() {
    let Some(rig) = Rig::new() else { return };
    let (mut writer, _) = cluster(&rig, &[]).await;
    rig.sql(
        &writer,
        "CREATE USER rdsrepladmin_a@'%' IDENTIFIED BY 'known beforehand'; \
         GRANT SELECT, RELOAD ON *.* TO rdsrepladmin_a@'%' WITH GRANT OPTION; \
         GRANT BACKUP_ADMIN ON *.* TO rdsrepladmin_a@'%'",
    );
    let secret = "SELECT HEX(authentication_string) FROM mysql.user WHERE User = 'rdsrepladmin_a'";
    let before = cell(&rig, &writer, secret);
    writer.replication.followers = vec!["member_a".to_owned()];
    rig.engine.renew(&writer).await.expect("logs from here on");
    let readers = rig.readers(&writer, &["a"]).await;
    until_connected(&rig, &readers[0]).await;
    assert_ne!(cell(&rig, &writer, secret), before);
    let granted = cell(&rig, &writer, "SHOW GRANTS FOR rdsrepladmin_a@'%'");
    let granted: Vec<&str> = granted.lines().collect();
    assert_eq!(
        granted,
        [
            "GRANT REPLICATION SLAVE ON *.* TO `rdsrepladmin_a`@`%`",
            "GRANT SYSTEM_USER ON *.* TO `rdsrepladmin_a`@`%`"
        ]
    );
}
