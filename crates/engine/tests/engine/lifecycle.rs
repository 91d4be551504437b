//! Create, start, adopt, stop, crash, remove: against real PostgreSQL.
use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use crate::support::{
    self, MASTER, PASSWORD, Rig, client, client_as, free_port, kill, number, postmaster,
};
use engine::{Confinement, Engine, EngineError, Limits};
use model::ErrorKind;
use rustix::process::Signal;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_new_cluster_serves_its_master_and_nobody_else() {
    let rig = Rig::new();
    let home = rig.created("a").await;
    let master = client(&home).await;
    master
        .batch_execute("CREATE TABLE t (x int); INSERT INTO t VALUES (1)")
        .await
        .expect("owns");
    let row = master
        .query_one(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, \
                    current_setting('data_checksums'), current_setting('server_encoding'), \
                    (SELECT datcollate FROM pg_database WHERE datname = current_database()) \
             FROM pg_roles WHERE rolname = current_user",
            &[],
        )
        .await
        .expect("answers");
    let flags: Vec<bool> = (0..5).map(|at| row.get(at)).collect();
    assert_eq!(flags, [false, true, true, false, false]);
    let words: Vec<&str> = (5..8).map(|at| row.get(at)).collect();
    assert_eq!(words, ["on", "UTF8", "C.UTF-8"]);

    assert!(client_as(&home, MASTER, "wrong", "app").await.is_err());
    assert!(
        client_as(&home, "rdsadmin", PASSWORD, "postgres")
            .await
            .is_err()
    );
    assert!(
        client_as(&home, MASTER, PASSWORD, "rdsadmin")
            .await
            .is_err()
    );
    assert!(client_as(&home, MASTER, PASSWORD, "postgres").await.is_ok());

    // The password's verifier is all there is, and the log has no statement.
    let log = fs::read_to_string(home.log_file(rig.engine.profile())).expect("a log");
    assert!(!log.contains("SCRAM"), "{log}");
    let mode = fs::metadata(home.data())
        .expect("data")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_cluster_is_never_made_again() {
    let rig = Rig::new();
    let home = rig.created("a").await;
    let error = rig
        .engine
        .create(&home, &rig.spec())
        .await
        .expect_err("whole");
    assert!(matches!(error, EngineError::AlreadyWhole { .. }), "{error}");
    let error = rig.engine.load(&home, "{}").await.expect_err("no document");
    assert_eq!(error.kind(), ErrorKind::Refuse);
    assert!(support::is_running(&rig.engine, &home).await);
    assert_eq!(number(&client(&home).await, "SELECT 1::int8").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cut_short_create_left_is_cleared() {
    let rig = Rig::new();
    let home = rig.created("a").await;
    // As if the process had ended just before the end: a server runs on files that are not whole.
    fs::remove_file(home.dir.join("whole")).expect("the mark");
    let old = postmaster(&home);
    let error = rig.engine.start(&home).await.expect_err("not whole");
    assert!(matches!(error, EngineError::NotWhole { .. }), "{error}");
    rig.engine
        .create(&home, &rig.spec())
        .await
        .expect("creates anew");
    assert_ne!(postmaster(&home), old);
    assert_eq!(number(&client(&home).await, "SELECT 1::int8").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_is_adopted_and_a_stopped_one_started() {
    let rig = Rig::new();
    let home = rig.created("a").await;
    let first = postmaster(&home);
    // What ends this process's group does not end the server.
    let server = rustix::process::Pid::from_raw(first);
    assert_eq!(rustix::process::getpgid(server).ok(), server);
    // Another engine, as after a restart of this program.
    let other = Rig::new().engine.clone();
    other.start(&home).await.expect("adopts");
    assert_eq!(postmaster(&home), first);
    let (a, b) = tokio::join!(other.start(&home), rig.engine.start(&home));
    a.and(b).expect("both adopt");
    assert_eq!(postmaster(&home), first);

    // A program that has ended holds nothing; two that live would both take the address back.
    other.release(&home);
    let held = client(&home).await;
    rig.engine.stop(&home, PATIENCE).await.expect("stops");
    assert!(!support::is_running(&rig.engine, &home).await);
    assert_eq!(support::processes(&home), 0);
    assert!(held.simple_query("SELECT 1").await.is_err());
    rig.engine
        .stop(&home, PATIENCE)
        .await
        .expect("stopping what is stopped");

    let (a, b) = tokio::join!(rig.engine.start(&home), rig.engine.start(&home));
    a.and(b).expect("one starts, the other adopts");
    assert_ne!(postmaster(&home), first);
    assert_eq!(number(&client(&home).await, "SELECT 1::int8").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_recovers() {
    let rig = Rig::new();
    let home = rig.created("a").await;
    let master = client(&home).await;
    master
        .batch_execute("CREATE TABLE t AS SELECT generate_series(1, 1000) x")
        .await
        .expect("t");
    // A session that does not notice its postmaster's end by itself for a while.
    let busy = client(&home).await;
    let work = tokio::spawn(async move {
        busy.simple_query("SELECT count(*) FROM generate_series(1, 1000000000)")
            .await
    });
    let first = postmaster(&home);
    kill(first, Signal::KILL);
    rig.engine.start(&home).await.expect("recovers");
    assert_ne!(postmaster(&home), first);
    assert!(work.await.expect("ends").is_err());
    assert_eq!(
        number(&client(&home).await, "SELECT count(*) FROM t").await,
        1000
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_lock_file_of_another_process_does_not_mislead() {
    let rig = Rig::new();
    let home = rig.created("a").await;
    rig.engine.stop(&home, PATIENCE).await.expect("stops");
    // This test's own number: alive, but no server.
    let stale = format!(
        "{}\n{}\n0\n1\n/x\n",
        std::process::id(),
        home.data().display()
    );
    fs::write(home.data().join("postmaster.pid"), stale).expect("writes");
    assert!(!support::is_running(&rig.engine, &home).await);
    rig.engine
        .stop(&home, PATIENCE)
        .await
        .expect("nothing to stop");
    rig.engine.start(&home).await.expect("starts");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_patience_a_server_ends_at_once() {
    let rig = Rig::new();
    let home = rig.created("a").await;
    rig.engine.stop(&home, Duration::ZERO).await.expect("ends");
    assert_eq!(support::processes(&home), 0);
    rig.engine.start(&home).await.expect("recovers");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_in_the_data_folder_count_for_nothing() {
    let rig = Rig::new();
    let home = rig.created("a").await;
    rig.engine.stop(&home, PATIENCE).await.expect("stops");
    let port = free_port();
    let data = home.data();
    for (name, text) in [
        (
            "postgresql.auto.conf",
            format!("port = {port}\nfsync = off\n"),
        ),
        ("postgresql.conf", format!("port = {port}\n")),
        ("pg_hba.conf", "host all all all trust\n".to_owned()),
        ("recovery.signal", String::new()),
    ] {
        fs::write(data.join(name), text).expect("writes");
    }
    rig.engine.start(&home).await.expect("starts");
    let master = client(&home).await;
    let row = master
        .query_one("SELECT current_setting('fsync')", &[])
        .await
        .expect("answers");
    assert_eq!(row.get::<_, &str>(0), "on");
    assert!(client_as(&home, "rdsadmin", "", "postgres").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named() {
    let rig = Rig::new();
    let home = rig.home("a");
    let _taken = std::net::TcpListener::bind(("127.0.0.1", home.port)).expect("binds");
    let error = rig
        .engine
        .create(&home, &rig.spec())
        .await
        .expect_err("taken");
    assert!(matches!(error, EngineError::PortInUse { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Retry);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_not_there_is_named() {
    let rig = Rig::new();
    let mut home = rig.home("a");
    home.version = "9.6".to_owned();
    let error = rig
        .engine
        .create(&home, &rig.spec())
        .await
        .expect_err("too old");
    assert!(matches!(error, EngineError::NotInstalled { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_folder_is_named() {
    let rig = Rig::new();
    let home = rig.home("a");
    if home.os_uid.is_none() {
        // Without root the server has this process's own rights.
        return;
    }
    fs::set_permissions(rig.path(), fs::Permissions::from_mode(0o700)).expect("a mode");
    let error = rig
        .engine
        .create(&home, &rig.spec())
        .await
        .expect_err("closed");
    assert!(matches!(error, EngineError::Unreachable { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_cluster_leaves_nothing() {
    let rig = Rig::new();
    let home = rig.created("a").await;
    rig.engine.remove(&home).await.expect("removes");
    assert_eq!(support::processes(&home), 0);
    for folder in [&home.dir, &home.socket_dir] {
        assert!(fs::symlink_metadata(folder).is_err());
    }
    rig.engine
        .remove(&home)
        .await
        .expect("removing what is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_is_cut_under_a_running_server() {
    let rig = Rig::new();
    let home = rig.created("a").await;
    let line = "x".repeat(1023) + "\n";
    let long = line.repeat(9 << 10);
    let mut log = fs::OpenOptions::new()
        .append(true)
        .open(home.log_file(rig.engine.profile()))
        .expect("the log");
    std::io::Write::write_all(&mut log, long.as_bytes()).expect("writes");
    rig.engine.trim_log(&home).await.expect("cuts");
    assert_eq!(
        fs::metadata(home.log_file(rig.engine.profile()))
            .expect("the log")
            .len(),
        0
    );
    // The server goes on writing at the new end.
    let wrong = client_as(&home, MASTER, "wrong", "app").await;
    assert!(wrong.is_err());
    let log = fs::read_to_string(home.log_file(rig.engine.profile())).expect("the log");
    assert!(log.contains("password authentication failed"), "{log}");
}

/// A control group of the kernel's that this test may divide; none where it may not, or where there are none.
fn group_of_its_own() -> Option<std::path::PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("it reads");
    let groups = fs::read_to_string("/proc/self/cgroup").expect("it reads");
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let at = mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let at = mount.split(' ').nth(4)?;
        kind.starts_with("cgroup2 ").then(|| at.to_owned())
    })?;
    let name = format!("snapferry-test-cluster-{}", std::process::id());
    let group = std::path::Path::new(&at).join(own).join(name);
    fs::create_dir(&group).is_ok().then_some(group)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_whole_in_its_control_group_and_the_group_ends_with_it() {
    let Some(above) = group_of_its_own() else {
        eprintln!("not tried: no control group can be made here");
        return;
    };
    let rig = Rig::new();
    rig.engine.confine(Confinement::Groups {
        above: above.clone(),
        limits: Limits::default(),
    });
    let home = rig.created("bounded").await;
    let session = client(&home).await;
    let own = number(&session, "SELECT pg_backend_pid()::bigint").await;
    let name = home.socket_dir.file_name().expect("a name");
    let group = above.join(format!("cluster-{}", name.display()));
    let inside = || -> Vec<i64> {
        let text = fs::read_to_string(group.join("cgroup.procs")).expect("it is there");
        text.lines()
            .map(|pid| pid.parse().expect("a number"))
            .collect()
    };
    let found = inside();
    assert!(
        found.contains(&i64::from(postmaster(&home))) && found.contains(&own),
        "{found:?}"
    );
    // Workers come and go between the two looks.
    let all_are = || inside().len() == support::processes(&home);
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while !all_are() {
        assert!(
            std::time::Instant::now() < end,
            "some of it is elsewhere: {:?}",
            inside()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(session);
    rig.engine.remove(&home).await.expect("removes");
    assert!(!group.exists(), "the group is gone");
    fs::remove_dir(&above).expect("nothing is left in it");
}

/// The system has room for few segments, and nobody but a next start would remove one.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_servers_shared_memory_goes_with_its_cluster() {
    let rig = Rig::new();
    let home = rig.created("killed").await;
    let lock = fs::read_to_string(home.data().join("postmaster.pid")).expect("it runs");
    let line = lock.lines().nth(6).expect("a line of shared memory");
    let segment = line.split_whitespace().nth(1).expect("an id").to_owned();
    let is_there = || {
        let listed = fs::read_to_string("/proc/sysvipc/shm").expect("a list");
        let mut rows = listed.lines();
        rows.any(|row| row.split_whitespace().nth(1) == Some(&segment))
    };
    kill(postmaster(&home), Signal::KILL);
    assert!(is_there());
    rig.engine.remove(&home).await.expect("removes");
    assert!(!is_there(), "segment {segment} stays");
}
