//! A real PostgreSQL server for tests: begun with the first that wants it, ended with the last.
#![allow(dead_code)]
#[path = "../../../engine/tests/clusters/folder.rs"]
mod folder;

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use folder::Folder;

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
static NEXT: AtomicU32 = AtomicU32::new(1);

/// A server on a port and in a folder of its own.
pub(crate) struct Server {
    dir: Folder,
    port: u16,
    process: Mutex<Option<Child>>,
}

/// PostgreSQL's programs: the newest major that is installed.
fn programs() -> PathBuf {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is not installed: run `make setup`")
        .map(|entry| entry.expect("an entry").path().join("bin"))
        .filter(|bin| std::fs::metadata(bin.join("initdb")).is_ok())
        .collect();
    found.sort();
    found.pop().expect("no version has an initdb")
}

/// A program of PostgreSQL's, which does not run as root.
fn program(name: &str) -> Command {
    let mut command = Command::new(programs().join(name));
    command
        .env_clear()
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC");
    if rustix::process::geteuid().is_root() {
        let (uid, gid) = user();
        command.uid(uid).gid(gid);
    }
    command
}

/// The user that Debian's packages make.
fn user() -> (u32, u32) {
    let passwd = fs::read_to_string("/etc/passwd").expect("it reads");
    let line = passwd.lines().find(|line| line.starts_with("postgres:"));
    let mut fields = line.expect("a user named postgres").split(':').skip(2);
    let mut number = || {
        fields
            .next()
            .and_then(|field| field.parse().ok())
            .expect("a number")
    };
    (number(), number())
}

/// Makes a server's data folder: by initdb once, and then as copies of what it left. Their servers
/// have one identity, which no test looks at.
fn make_data(dir: &Path) {
    let data = dir.join("data");
    let major = programs()
        .parent()
        .and_then(Path::file_name)
        .expect("a major")
        .to_owned();
    let template = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("postgres")
        .join(major);
    let copied = |from: &Path, to: &Path| {
        let mut cp = Command::new("cp");
        let done = cp.args(["-a", "--reflink=auto"]).args([from, to]).status();
        assert!(done.expect("cp runs").success(), "cp failed");
    };
    if fs::metadata(&template).is_ok() {
        return copied(&template, &data);
    }
    let made = program("initdb")
        .args([
            "--no-sync",
            "--auth=trust",
            "--username=ferry",
            "--encoding=UTF8",
            "-D",
        ])
        .arg(&data)
        .stdout(Stdio::null())
        .status()
        .expect("initdb runs");
    assert!(made.success(), "initdb failed");
    // Whole before it has its name. Another process's may have got there first, and is as good.
    let parent = template.parent().expect("a folder");
    fs::create_dir_all(parent).expect("a folder");
    let own = tempfile::tempdir_in(parent).expect("a folder");
    copied(&data, &own.path().join("data"));
    let _ = fs::rename(own.path().join("data"), &template);
}

impl Server {
    /// The server that this process's tests share.
    pub(crate) fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().expect("not poisoned");
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::begin());
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// A server of the caller's own.
    pub(crate) fn begin() -> Self {
        let dir = Folder::in_memory();
        if rustix::process::geteuid().is_root() {
            let (uid, gid) = user();
            chown(dir.path(), Some(uid), Some(gid)).expect("given to PostgreSQL's user");
        }
        make_data(dir.path());
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let server = Self {
            dir,
            port,
            process: Mutex::default(),
        };
        server.start();
        server
    }

    /// Lets it take TLS connections; answers the file of the authority that vouches for it.
    pub(crate) fn seal(&self) -> PathBuf {
        let (data, authority) = (self.dir.path().join("data"), self.dir.path().join("ca.pem"));
        let made = Command::new("openssl")
            .args([
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            ])
            .args([
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost",
            ])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(data.join("server.key"))
            .arg("-out")
            .arg(data.join("server.crt"))
            .stderr(Stdio::null())
            .status()
            .expect("openssl runs");
        assert!(made.success(), "openssl failed");
        fs::copy(data.join("server.crt"), &authority).expect("copied");
        if rustix::process::geteuid().is_root() {
            let (uid, gid) = user();
            for name in ["server.key", "server.crt"] {
                chown(data.join(name), Some(uid), Some(gid)).expect("given away");
            }
        }
        self.try_sql("postgres", "ALTER SYSTEM SET ssl = on")
            .expect("set");
        self.try_sql("postgres", "SELECT pg_reload_conf()")
            .expect("told");
        authority
    }

    pub(crate) fn start(&self) {
        let log = self.dir.path().join("log");
        let mut process = self.process.lock().expect("not poisoned");
        let began = Instant::now();
        while !self.answers() {
            assert!(began.elapsed() < Duration::from_secs(60), "{}", read(&log));
            // It refuses to begin for as long as a killed one's backends are on their way out.
            let ended = |child: &mut Child| child.try_wait().expect("it can be asked").is_some();
            if process.as_mut().is_none_or(ended) {
                *process = Some(self.spawn(&log));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn spawn(&self, log: &Path) -> Child {
        let stderr = fs::File::options().create(true).append(true).open(log);
        program("postgres")
            .arg("-D")
            .arg(self.dir.path().join("data"))
            .args([
                "-c",
                "fsync=off",
                "-c",
                "max_connections=300",
                "-c",
                "unix_socket_directories=",
            ])
            .args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                &format!("port={}", self.port),
            ])
            .stdout(Stdio::null())
            .stderr(stderr.expect("a log"))
            .spawn()
            .expect("postgres runs")
    }

    fn answers(&self) -> bool {
        self.try_sql("postgres", "SELECT 1").is_ok()
    }

    /// As a crash would: nothing is told to anyone.
    pub(crate) fn kill(&self) {
        let child = self.process.lock().expect("not poisoned").take();
        if let Some(mut child) = child {
            // Its backends notice, and leave; the new server waits for them.
            child.kill().expect("killed");
            child.wait().expect("gone");
        }
    }

    /// A fresh, empty database's URL.
    pub(crate) fn database(&self) -> String {
        let name = format!("d{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.try_sql(
            "postgres",
            &format!("CREATE DATABASE {name} TEMPLATE template0"),
        )
        .expect("a database");
        self.url(&name)
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!(
            "postgres://ferry@127.0.0.1:{}/{database}?sslmode=disable",
            self.port
        )
    }

    /// Runs SQL with psql and answers its output.
    pub(crate) fn try_sql(&self, database: &str, sql: &str) -> Result<String, String> {
        let done = program("psql")
            .args([
                "-X",
                "-A",
                "-t",
                "-q",
                "-h",
                "127.0.0.1",
                "-U",
                "ferry",
                "-p",
            ])
            .args([&self.port.to_string(), "-d", database, "-c", sql])
            .output()
            .expect("psql runs");
        match done.status.success() {
            true => Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

impl Drop for Server {
    fn drop(&mut self) {
        let process = self.process.get_mut().expect("not poisoned");
        if let Some(mut child) = process.take() {
            // SIGINT is PostgreSQL's fast shutdown.
            let pid = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(pid, rustix::process::Signal::INT).ok();
            child.wait().ok();
        }
    }
}
