//! Real clusters for tests: short-lived homes, a sink that writes a folder, and sessions by the server's own client.
use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    net::TcpListener,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use engine::{DumpInfo, DumpSink, Engine, EngineError, Home, NewCluster, SinkError, mysql::MySql};
use model::pages::{ChangeToken, Content, check_pages};

pub(crate) const PAGE_BYTES: usize = 16 << 10;
static NEXT_UID: AtomicU32 = AtomicU32::new(0);

/// A folder of clusters that are gone when the test is.
pub(crate) struct Rig {
    dir: tempfile::TempDir,
    pub(crate) engine: Arc<MySql>,
    version: String,
    client: PathBuf,
    homes: Mutex<Vec<Home>>,
}

impl Rig {
    /// Clusters of one template, which all tests share; none where no server is installed.
    pub(crate) fn new() -> Option<Self> {
        let engine = MySql::new(std::env::var_os("SNAPFERRY_TEST_MYSQL").map(PathBuf::from));
        let installed = engine.installed();
        let Some(version) = installed.first() else {
            eprintln!("skipped: MySQL is not installed");
            return None;
        };
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mysql-templates");
        engine.keep_templates(folder);
        let dir = tempfile::tempdir().expect("a folder");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).expect("a mode");
        Some(Self {
            dir,
            version: version.clone(),
            client: client_of(&engine),
            engine: Arc::new(engine),
            homes: Mutex::default(),
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A home that nothing is in yet.
    pub(crate) fn home(&self, name: &str) -> Home {
        let root = rustix::process::geteuid().is_root();
        let number = NEXT_UID.fetch_add(1, Ordering::Relaxed);
        let home = Home {
            dir: self.path(name),
            socket_dir: self.path(&format!("s-{name}")),
            host: "127.0.0.1".to_owned(),
            port: free_port(),
            // Apart from other test processes of this moment.
            os_uid: root.then(|| 1_889_048_192 + std::process::id() % 100_000 * 100 + number),
            os_uid_shared: false,
            version: self.version.clone(),
            replication: Default::default(),
        };
        self.homes.lock().expect("not poisoned").push(home.clone());
        home
    }

    pub(crate) async fn created(&self, name: &str) -> Home {
        let home = self.home(name);
        let spec = NewCluster {
            master_username: "captain".to_owned(),
            master_verifier: self.engine.verifier("correct horse"),
            database_name: Some("app".to_owned()),
        };
        self.engine.create(&home, &spec).await.expect("creates");
        home
    }

    /// Dumps into a folder, on a thread that may block.
    pub(crate) async fn dump(&self, home: &Home, into: &str) -> Result<DumpInfo, EngineError> {
        let sink = FolderSink::new(&self.path(into));
        self.dump_through(home, sink).await.0
    }

    pub(crate) async fn dump_through<S: DumpSink + 'static>(
        &self,
        home: &Home,
        mut sink: S,
    ) -> (Result<DumpInfo, EngineError>, S) {
        let (engine, home) = (self.engine.clone(), home.clone());
        tokio::task::spawn_blocking(move || {
            let result = engine.dump(&home, &mut sink);
            (result, sink)
        })
        .await
        .expect("does not panic")
    }

    /// Puts a dump's files where a load expects them.
    pub(crate) fn place(&self, dump: &str, name: &str) -> Home {
        let home = self.home(name);
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700).create(&home.dir).expect("a folder");
        copy_tree(&self.path(dump), &home.data());
        home
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
        let mut child = self.client(home);
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
        Command::new(&self.client)
            .args([
                "--no-defaults",
                "--batch",
                "--raw",
                "--skip-column-names",
                "--unbuffered",
            ])
            .args(["--default-character-set=utf8mb4", "--user=rdsadmin"])
            .arg(format!(
                "--socket={}",
                home.socket_dir.join("mysql.sock").display()
            ))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the client begins")
    }

    /// Runs statements over and over until the answer is dropped; those that fail are tried again.
    pub(crate) fn repeating(self: &Arc<Self>, home: &Home, sql: &str) -> Repeating {
        let halt = Arc::new(std::sync::atomic::AtomicBool::new(false));
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
    halt: Arc<std::sync::atomic::AtomicBool>,
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

impl Drop for Rig {
    fn drop(&mut self) {
        let homes = std::mem::take(&mut *self.homes.lock().expect("not poisoned"));
        let engine = self.engine.clone();
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            for home in homes {
                if let Err(error) = runtime.block_on(engine.remove(&home)) {
                    eprintln!("cannot remove {}: {error}", home.dir.display());
                }
            }
        });
        removed.join().expect("does not panic");
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

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) type OnFile = Box<dyn FnMut(&str) + Send>;
pub(crate) type Known = BTreeMap<String, (Option<ChangeToken>, u64)>;

/// Writes a dump into a folder.
pub(crate) struct FolderSink {
    pub(crate) dir: PathBuf,
    pub(crate) known: Known,
    /// Called before each file.
    pub(crate) on_file: Option<OnFile>,
    /// An earlier dump: what its change tokens say is unchanged is taken from there, unread.
    pub(crate) base: Option<(PathBuf, Known)>,
    /// Files that were.
    pub(crate) unread: Vec<String>,
}

impl FolderSink {
    pub(crate) fn new(dir: &Path) -> Self {
        fs::create_dir(dir).expect("a folder");
        Self {
            dir: dir.to_owned(),
            known: BTreeMap::new(),
            on_file: None,
            base: None,
            unread: Vec::new(),
        }
    }
}

impl DumpSink for FolderSink {
    fn expect_total(&mut self, _: u64) {}

    fn directory(&mut self, path: &str, mode: u32) -> Result<(), SinkError> {
        assert_eq!(mode, 0o700);
        fs::create_dir(self.dir.join(path))?;
        Ok(())
    }

    fn file(&mut self, path: &str, mode: u32, content: Arc<dyn Content>) -> Result<(), SinkError> {
        assert_eq!(mode, 0o600);
        if let Some(on_file) = &mut self.on_file {
            on_file(path);
        }
        let fact = (content.change_token(), content.size());
        self.known.insert(path.to_owned(), fact);
        if let Some((dir, known)) = &self.base
            && fact.0.is_some()
            && known.get(path) == Some(&fact)
        {
            let bytes = fs::copy(dir.join(path), self.dir.join(path))?;
            assert_eq!(bytes, content.size(), "{path}");
            self.unread.push(path.to_owned());
            return Ok(());
        }
        let mut file = fs::File::create_new(self.dir.join(path))?;
        let (mut buffer, mut at) = (vec![0; 16 * PAGE_BYTES], 0);
        loop {
            let got = content.read_at(&mut buffer, at)?;
            if let Some(pages) = content.pages() {
                check_pages(pages, &mut buffer[..got], at)?;
            }
            file.write_all(&buffer[..got])?;
            at += got as u64;
            if got < buffer.len() {
                break;
            }
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn leave_out(&mut self, path: &str) -> Result<(), SinkError> {
        panic!("{path} is taken back")
    }

    fn waits(&self, _: bool) {}

    fn stop_requested(&self) -> bool {
        false
    }
}

pub(crate) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copies");
        }
    }
}
