//! Dumps under a running server, and what may come between.
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use engine::{Engine, EngineError, Home};
use model::ErrorKind;

use crate::bank::{CHANGES, audited, bank, turns};
use crate::support::{FolderSink, Known, Rig, wait_until};

/// Whatever was acknowledged before a dump began is in it, in one state of all tables, while tables come and go.
#[tokio::test(flavor = "multi_thread")]
async fn a_dump_under_writers_and_changing_tables_is_one_state() {
    let Some(rig) = Rig::new() else { return };
    let rig = Arc::new(rig);
    let home = rig.created("a").await;
    rig.sql(&home, &bank());
    let writers: Vec<_> = (1..=3)
        .map(|who| rig.repeating(&home, &format!("CALL bank.move_some({who}, 50)")))
        .collect();
    let changes = rig.repeating(&home, CHANGES);
    wait_until("all of them have begun", || {
        turns(&rig, &home).iter().all(|turns| 0 < *turns)
    });
    for round in ["d1", "d2"] {
        let before = turns(&rig, &home);
        let info = rig.dump(&home, round).await.expect("dumps");
        let after = turns(&rig, &home);
        let copy = rig.loaded(round, &info, &format!("copy-{round}")).await;
        let found = audited(&rig, &copy);
        for (who, turns) in found.iter().enumerate() {
            assert!(
                before[who] <= *turns,
                "acknowledged before: {before:?} {found:?}"
            );
            assert!(*turns <= after[who], "of the future: {after:?} {found:?}");
        }
        let odd = rig
            .try_sql(&copy, "CHECK TABLE bank.t, bank.u")
            .expect("answers");
        let is_odd = |line: &&str| {
            !line.ends_with("OK")
                && !line.contains("doesn't exist")
                && !line.contains("Operation failed")
        };
        assert_eq!(odd.lines().find(is_odd), None);
        rig.engine.remove(&copy).await.expect("removes");
    }
    assert!(0 < changes.end(), "tables were changed meanwhile");
    for writer in writers {
        writer.end();
    }
}

/// Everything that a dump forbids, survives and gives up for, on one cluster.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_between_a_dump_and_its_server() {
    let Some(rig) = Rig::new() else { return };
    let rig = Arc::new(rig);
    let home = rig.created("a").await;
    rig.sql(
        &home,
        "CREATE DATABASE d; CREATE TABLE d.t(a INT PRIMARY KEY); INSERT INTO d.t VALUES (1);",
    );

    rows_can_be_changed_and_tables_cannot(&rig, &home).await;

    // Two at once: one waits.
    let (one, two) = tokio::join!(rig.dump(&home, "d2"), rig.dump(&home, "d3"));
    one.expect("dumps");
    two.expect("dumps");

    a_lost_session_voids_the_dump(&rig, &home).await;
    another_program_reads_the_log(&rig, &home).await;

    // Without a redo log files are no state.
    rig.sql(&home, "ALTER INSTANCE DISABLE INNODB REDO_LOG");
    let refused = rig.dump(&home, "d6").await.expect_err("no log");
    assert_eq!(refused.kind(), ErrorKind::Refuse, "{refused}");
    rig.sql(&home, "ALTER INSTANCE ENABLE INNODB REDO_LOG");
    rig.dump(&home, "d7").await.expect("dumps again");

    // A server that was killed left no state that could be read.
    let pid = std::fs::read_to_string(home.socket_dir.join("mysqld.pid")).expect("a number");
    let pid =
        rustix::process::Pid::from_raw(pid.trim().parse().expect("a number")).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("a process");
    wait_until("it ends", || {
        rustix::process::test_kill_process(pid).is_err()
    });
    let refused = rig.dump(&home, "d8").await.expect_err("killed");
    assert!(
        matches!(refused, EngineError::NotShutDown { .. }),
        "{refused}"
    );
}
/// While a dump runs.
async fn rows_can_be_changed_and_tables_cannot(rig: &Arc<Rig>, home: &Home) {
    let answers = Arc::new(Mutex::new(Vec::new()));
    let mut sink = FolderSink::new(&rig.path("d1"));
    let (at, asked, kept) = (home.clone(), rig.clone(), answers.clone());
    sink.on_file = Some(Box::new(move |path| {
        if path == "ibdata1" {
            let alter = "SET SESSION lock_wait_timeout = 1; ALTER TABLE d.t ADD COLUMN b INT";
            let mut kept = kept.lock().expect("not poisoned");
            kept.push(asked.try_sql(&at, "INSERT INTO d.t VALUES (2)"));
            kept.push(asked.try_sql(&at, alter));
        }
    }));
    rig.dump_through(home, sink).await.0.expect("dumps");
    let answers = std::mem::take(&mut *answers.lock().expect("not poisoned"));
    assert!(
        matches!(&answers[..], [Ok(_), Err(why)] if why.contains("1205")),
        "{answers:?}"
    );
    rig.sql(home, "ALTER TABLE d.t ADD COLUMN b INT");
}

/// What was read is void, and the server is free at once.
async fn a_lost_session_voids_the_dump(rig: &Arc<Rig>, home: &Home) {
    let mut sink = FolderSink::new(&rig.path("d4"));
    let (at, killer) = (home.clone(), rig.clone());
    sink.on_file = Some(Box::new(move |path| {
        if path == "ibdata1" {
            let ids = "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND user = 'rdsadmin'";
            for id in killer.sql(&at, ids).lines() {
                let _ = killer.try_sql(&at, &format!("KILL {id}"));
            }
            killer.sql(
                &at,
                "SET SESSION lock_wait_timeout = 5; ALTER TABLE d.t DROP COLUMN b",
            );
        }
    }));
    let lost = rig.dump_through(home, sink).await.0.expect_err("void");
    assert!(matches!(lost, EngineError::SessionLost { .. }), "{lost}");
    assert_eq!(lost.kind(), ErrorKind::Retry);
}

/// There is one consumer: the dump says that it must wait.
async fn another_program_reads_the_log(rig: &Arc<Rig>, home: &Home) {
    let mut client = rig.client(home);
    use std::io::Write;
    let input = client.stdin.as_mut().expect("a pipe");
    input
        .write_all(b"SELECT innodb_redo_log_consumer_register();\n")
        .expect("writes");
    wait_until("another program reads the log", || {
        rig.sql(
            home,
            "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'rdsadmin'",
        ) != "1\n"
    });
    std::thread::sleep(Duration::from_millis(300));
    let busy = rig.dump(home, "d5").await.expect_err("one at a time");
    assert_eq!(busy.kind(), ErrorKind::Wait, "{busy}");
    drop(client.stdin.take());
    client.wait().expect("ends");
}

/// A dump that would hold up changes of tables for too long gives up, and they go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_takes_too_long_lets_go() {
    let Some(rig) = Rig::new() else { return };
    let rig = Arc::new(rig);
    rig.engine.bound_dumps(Duration::from_millis(500));
    let home = rig.created("a").await;
    let mut sink = FolderSink::new(&rig.path("d"));
    let (at, other) = (home.clone(), rig.clone());
    sink.on_file = Some(Box::new(move |path| {
        if path == "ibdata1" {
            let begun = Instant::now();
            other.sql(&at, "SET SESSION lock_wait_timeout = 30; CREATE DATABASE d");
            let waited = begun.elapsed();
            assert!(waited < Duration::from_secs(20), "{waited:?}");
        }
    }));
    let void = rig.dump_through(&home, sink).await.0.expect_err("void");
    assert!(matches!(void, EngineError::Disturbed { .. }), "{void}");
    assert_eq!(void.kind(), ErrorKind::Retry);
}

/// Files that did not change go unread, dump after dump, and what comes of them is right. Files are only
/// believed when they are ten seconds old. Those of the first two dumps are, also one that changed between
/// them; what changed before the third one may not even be written yet.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_did_not_change_go_unread() {
    let Some(rig) = Rig::new() else { return };
    let home = rig.created("a").await;
    rig.sql(&home, &bank());
    rig.sql(&home, "CREATE TABLE bank.still SELECT * FROM bank.account");
    let ledger = home.data().join("bank/ledger.ibd");
    let changed = || std::fs::metadata(&ledger).and_then(|facts| facts.modified());
    let mut written = None;
    let mut base: Option<(std::path::PathBuf, Known)> = None;
    for round in 0..3 {
        let is_settled = round < 2;
        if is_settled {
            // The server writes pages down some time after their change.
            wait_until("its pages are written, and old", || {
                let now = changed().expect("a file");
                let age = now.elapsed().unwrap_or_default();
                written != Some(now) && Duration::from_secs(11) < age
            });
            written = changed().ok();
        }
        let name = format!("d{round}");
        let mut sink = FolderSink::new(&rig.path(&name));
        sink.base = base.take();
        let (info, sink) = rig.dump_through(&home, sink).await;
        let info = info.expect("dumps");
        let is_unread = |path: &str| sink.unread.iter().any(|unread| unread == path);
        assert_eq!(is_unread("bank/still.ibd"), 0 < round, "{round}");
        if is_settled {
            assert!(sink.change_token["bank/ledger.ibd"].is_some(), "{round}");
            assert!(!is_unread("bank/ledger.ibd"), "{round}");
        }
        let copy = rig.loaded(&name, &info, &format!("copy{round}")).await;
        assert_eq!(audited(&rig, &copy)[0], round * 10);
        rig.engine.remove(&copy).await.expect("removes");
        base = Some((sink.dir, sink.change_token));
        rig.sql(&home, "CALL bank.move_some(1, 10)");
    }
}

const FROZEN: &str = "SNAPFERRY_TEST_FROZEN";

/// The process that [`a_dumper_that_hangs_sets_the_server_free`] freezes; of its own it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_dumper_to_be_frozen() {
    let (Some(rig), Ok(folders)) = (Rig::new(), std::env::var(FROZEN)) else {
        return;
    };
    let (dir, socket_dir) = folders.split_once(':').expect("two folders");
    let mut home = rig.home("theirs");
    home.dir = dir.into();
    home.socket_dir = socket_dir.into();
    home.os_uid =
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(home.data()).expect("a folder"))
            .into();
    let mut sink = FolderSink::new(&rig.path("d"));
    sink.on_file = Some(Box::new(|path| {
        if path == "ibdata1" {
            println!("frozen from here on");
            std::thread::sleep(Duration::from_secs(2));
        }
    }));
    let lost = rig.dump_through(&home, sink).await.0.expect_err("void");
    assert!(matches!(lost, EngineError::SessionLost { .. }), "{lost}");
    println!("it knows");
    // The other process removes it.
    std::mem::forget(rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dumper_that_hangs_sets_the_server_free() {
    use std::io::{BufRead, BufReader};
    let Some(rig) = Rig::new() else { return };
    let home = rig.created("a").await;
    rig.sql(
        &home,
        "CREATE DATABASE d; CREATE TABLE d.t(a INT PRIMARY KEY)",
    );
    let mut dumper = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "dumps::a_dumper_to_be_frozen", "--nocapture"])
        .env(
            FROZEN,
            format!("{}:{}", home.dir.display(), home.socket_dir.display()),
        )
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("begins");
    let pid = rustix::process::Pid::from_child(&dumper);
    let mut lines = BufReader::new(dumper.stdout.take().expect("a pipe")).lines();
    let reads =
        |line: &std::io::Result<String>| line.as_ref().is_ok_and(|line| line.contains("frozen"));
    assert!(lines.any(|line| reads(&line)), "it dumps");
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("a process");
    let begun = Instant::now();
    rig.sql(
        &home,
        "SET SESSION lock_wait_timeout = 30; ALTER TABLE d.t ADD COLUMN b INT",
    );
    let waited = begun.elapsed();
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).expect("a process");
    assert!(
        lines.any(|line| line.is_ok_and(|line| line.contains("it knows"))),
        "the dump is void"
    );
    assert!(dumper.wait().expect("ends").success());
    assert!(
        Duration::from_secs(1) < waited && waited < Duration::from_secs(10),
        "{waited:?}"
    );
}
