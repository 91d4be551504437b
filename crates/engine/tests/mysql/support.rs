//! Real clusters for tests: short-lived homes, a sink that writes a folder, and sessions by the server's own client.
#![allow(
    dead_code,
    reason = "what one engine's tests do not need, another's do"
)]
#[path = "../clusters/mod.rs"]
mod clusters;

use std::{
    io::Write,
    ops::Deref,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use engine::{DumpInfo, Engine, EngineError, Home, mysql::MySql};

pub(crate) use clusters::{Clusters, Folder, FolderSink, Known, MASTER, PASSWORD, upstream};

pub(crate) const PAGE_BYTES: usize = 16 << 10;
/// The first number of the users that servers run as: others than PostgreSQL's.
const FIRST_UID: u32 = 1_889_048_192;

/// A folder of clusters that are gone when the test is.
pub(crate) struct Rig {
    clusters: Clusters<MySql>,
    client: PathBuf,
}

impl Deref for Rig {
    type Target = Clusters<MySql>;

    fn deref(&self) -> &Self::Target {
        &self.clusters
    }
}

impl Rig {
    /// Clusters of one template, which all tests share; none where no server is installed.
    pub(crate) fn new() -> Option<Self> {
        Self::within(Folder::in_memory)
    }

    /// The same, in a folder of the caller's choice.
    pub(crate) fn within(folder: fn() -> Folder) -> Option<Self> {
        let engine = MySql::new(std::env::var_os("SNAPFERRY_TEST_MYSQL").map(PathBuf::from));
        let installed = engine.installed();
        let Some(version) = installed.first() else {
            eprintln!("skipped: MySQL is not installed");
            return None;
        };
        let templates = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mysql-templates");
        engine.keep_templates(templates);
        Some(Self {
            client: client_of(&engine),
            clusters: Clusters::new(folder(), engine, version.clone(), FIRST_UID),
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.clusters.path().join(name)
    }

    /// Dumps into a folder, on a thread that may block.
    pub(crate) async fn dump(&self, home: &Home, into: &str) -> Result<DumpInfo, EngineError> {
        self.clusters.dump(home, &self.path(into)).await
    }

    /// Puts a dump's files where a load expects them.
    pub(crate) fn place(&self, dump: &str, name: &str) -> Home {
        self.clusters.place(&self.path(dump), name)
    }

    /// Puts a dump's files in place and makes a cluster of them.
    pub(crate) async fn loaded(&self, dump: &str, info: &DumpInfo, name: &str) -> Home {
        let home = self.place(dump, name);
        self.engine
            .load(&home, &info.document)
            .await
            .expect("loads");
        home
    }

    /// What the server answers to the administrator, or what the client says against it.
    pub(crate) fn try_sql(&self, home: &Home, sql: &str) -> Result<String, String> {
        Self::answered(self.client(home), sql)
    }

    /// The same to another user of the server's.
    pub(crate) fn try_sql_as(
        &self,
        home: &Home,
        (user, password): (&str, &str),
        sql: &str,
    ) -> Result<String, String> {
        let child = self
            .client_of(home, user)
            .env("MYSQL_PWD", password)
            .spawn();
        Self::answered(child.expect("the client begins"), sql)
    }

    fn answered(mut child: Child, sql: &str) -> Result<String, String> {
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(sql.as_bytes()).expect("writes");
        drop(input);
        let output = child.wait_with_output().expect("ends");
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    pub(crate) fn sql(&self, home: &Home, sql: &str) -> String {
        self.try_sql(home, sql).expect("answers")
    }

    /// A client of the administrator that runs what is written to it; ended with the value.
    pub(crate) fn client(&self, home: &Home) -> Child {
        let mut command = self.client_of(home, "rdsadmin");
        command.spawn().expect("the client begins")
    }

    fn client_of(&self, home: &Home, user: &str) -> Command {
        let mut command = Command::new(&self.client);
        command
            .args([
                "--no-defaults",
                "--batch",
                "--raw",
                "--skip-column-names",
                "--unbuffered",
            ])
            .args(["--default-character-set=utf8mb4", "--user", user])
            .arg(format!(
                "--socket={}",
                home.socket_dir.join("mysql.sock").display()
            ))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs statements over and over until the answer is dropped; those that fail are tried again.
    pub(crate) fn repeating(self: &Arc<Self>, home: &Home, sql: &str) -> Repeating {
        let halt = Arc::new(AtomicBool::new(false));
        let (rig, home, sql, stop) = (self.clone(), home.clone(), sql.to_owned(), halt.clone());
        let thread = std::thread::spawn(move || {
            let mut rounds = 0;
            while !stop.load(Ordering::Relaxed) {
                rounds += u64::from(rig.try_sql(&home, &sql).is_ok());
            }
            rounds
        });
        Repeating {
            halt,
            thread: Some(thread),
        }
    }
}

/// Statements that run over and over.
pub(crate) struct Repeating {
    halt: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<u64>>,
}

impl Repeating {
    /// Ends it, and answers how often they ran.
    pub(crate) fn end(mut self) -> u64 {
        self.halt.store(true, Ordering::Relaxed);
        self.thread.take().expect("once").join().expect("no panic")
    }
}

impl Drop for Repeating {
    fn drop(&mut self) {
        self.halt.store(true, Ordering::Relaxed);
    }
}

/// The client program beside the server's.
fn client_of(engine: &MySql) -> PathBuf {
    let folders = engine
        .searched()
        .into_iter()
        .flat_map(|root| [root.join("bin"), root]);
    let usual = [PathBuf::from("/usr/bin")];
    folders
        .chain(usual)
        .map(|folder| folder.join("mysql"))
        .find(|program| program.is_file())
        .expect("the client is installed with the server")
}

pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
