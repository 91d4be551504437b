//! Real clusters for tests: short-lived homes, a sink that writes a folder, and sessions.
#![allow(
    dead_code,
    unused_imports,
    reason = "each file that has this module needs some of it"
)]
#[path = "../clusters/mod.rs"]
mod clusters;

use std::{
    fs,
    ops::Deref,
    path::{Path, PathBuf},
    time::Duration,
};

use engine::{Engine, Home, postgres::Postgres};

pub(crate) use clusters::{
    Clusters, Folder, FolderSink, MASTER, PASSWORD, copy_tree, free_port, upstream,
};

/// The first number of the users that servers run as.
const FIRST_UID: u32 = 1_879_048_192;

/// A folder of clusters that are gone when the test is.
pub(crate) struct Rig(Clusters<Postgres>);

impl Deref for Rig {
    type Target = Clusters<Postgres>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Rig {
    /// Clusters of one template, which all tests share.
    pub(crate) fn new() -> Self {
        let rig = Self::apart();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("templates");
        rig.engine.keep_templates(folder);
        rig
    }

    /// Without a template.
    pub(crate) fn apart() -> Self {
        // Another major's programs can be tested by naming their folder.
        let engine = Postgres::new(std::env::var_os("SNAPFERRY_TEST_POSTGRES").map(PathBuf::from));
        let version = engine
            .installed()
            .first()
            .cloned()
            .expect("PostgreSQL is not installed: run `make setup`");
        let folder = Folder::in_memory();
        Self(Clusters::new(folder, engine, version, FIRST_UID))
    }

    /// A program of the version that is tested, wherever that lies.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        let major = self.version.split('.').next().expect("a major");
        let named = std::env::var_os("SNAPFERRY_TEST_POSTGRES");
        let folders = named
            .iter()
            .map(|folder| Path::new(folder).join("bin"))
            .chain([PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"))]);
        let mut programs = folders.map(|folder| folder.join(name));
        programs
            .find(|program| program.exists())
            .unwrap_or_else(|| panic!("there is no {name} of PostgreSQL {major}"))
    }
}

pub(crate) async fn is_running(engine: &Postgres, home: &Home) -> bool {
    let state = engine.state(home).await.expect("it can be told");
    state != engine::ServerState::Ended
}

/// A client's session over TCP, as a user's program would have it.
pub(crate) async fn client(home: &Home) -> tokio_postgres::Client {
    client_as(home, MASTER, PASSWORD, "app")
        .await
        .expect("connects")
}

pub(crate) async fn client_as(
    home: &Home,
    user: &str,
    password: &str,
    database: &str,
) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::Config::new()
        .host("127.0.0.1")
        .port(home.port)
        .user(user)
        .password(password)
        .dbname(database)
        .connect_timeout(Duration::from_secs(10))
        .connect(tokio_postgres::NoTls)
        .await?;
    tokio::spawn(connection);
    Ok(client)
}

pub(crate) async fn number(client: &tokio_postgres::Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.expect("answers").get(0)
}

/// The server's own number for itself.
pub(crate) fn postmaster(home: &Home) -> i32 {
    let text = fs::read_to_string(home.data().join("postmaster.pid")).expect("a server");
    text.lines()
        .next()
        .expect("a line")
        .parse()
        .expect("a number")
}

pub(crate) fn kill(pid: i32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a process");
    rustix::process::kill_process(pid, signal).expect("a process");
}

/// How many postgres processes work in the home's data folder.
pub(crate) fn processes(home: &Home) -> usize {
    let Ok(data) = fs::canonicalize(home.data()) else {
        return 0;
    };
    let entries = fs::read_dir("/proc").expect("proc").flatten();
    entries
        .filter(|entry| fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == data))
        .count()
}
