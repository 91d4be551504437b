//! Real clusters for tests, whichever their engine: short-lived homes in a folder of their own, and a sink that
//! writes a dump into a folder.
mod folder;

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    net::TcpListener,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use engine::{DumpInfo, DumpSink, Engine, EngineError, Home, NewCluster, SinkError, Upstream};
use model::pages::{ChangeToken, Content, Pages, SinceBase, check_pages};

pub(crate) use folder::Folder;

pub(crate) const MASTER: &str = "captain";
pub(crate) const PASSWORD: &str = "correct horse";

static NEXT_UID: AtomicU32 = AtomicU32::new(0);

/// A folder of clusters that are gone when the test is.
pub(crate) struct Clusters<E: Engine + 'static> {
    folder: Folder,
    pub(crate) engine: Arc<E>,
    pub(crate) version: String,
    /// The first number of the users that its servers run as.
    first_uid: u32,
    homes: Mutex<Vec<Home>>,
}

impl<E: Engine + 'static> Clusters<E> {
    pub(crate) fn new(folder: Folder, engine: E, version: String, first_uid: u32) -> Self {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).expect("a mode");
        Self {
            folder,
            engine: engine.into(),
            version,
            first_uid,
            homes: Mutex::default(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A home that nothing is in yet.
    pub(crate) fn home(&self, name: &str) -> Home {
        let root = rustix::process::geteuid().is_root();
        let number = NEXT_UID.fetch_add(1, Ordering::Relaxed);
        let home = Home {
            dir: self.path().join(name),
            socket_dir: self.path().join(format!("s-{name}")),
            host: "127.0.0.1".to_owned(),
            port: free_port(),
            // Apart from other test processes of this moment.
            os_uid: root.then(|| self.first_uid + std::process::id() % 100_000 * 100 + number),
            os_uid_shared: false,
            version: self.version.clone(),
            replication: Default::default(),
        };
        self.homes.lock().expect("not poisoned").push(home.clone());
        home
    }

    /// What a cluster of the tests is to be.
    pub(crate) fn spec(&self) -> NewCluster {
        NewCluster {
            master_username: MASTER.to_owned(),
            master_verifier: self.engine.verifier(PASSWORD),
            database_name: Some("app".to_owned()),
        }
    }

    pub(crate) async fn created(&self, name: &str) -> Home {
        let (home, spec) = (self.home(name), self.spec());
        self.engine.create(&home, &spec).await.expect("creates");
        home
    }

    /// Readers that follow a writer on its node.
    pub(crate) async fn readers(&self, writer: &Home, names: &[&str]) -> Vec<Home> {
        let mut made = Vec::new();
        for name in names {
            let mut reader = self.home(name);
            reader.os_uid = writer.os_uid;
            reader.os_uid_shared = true;
            reader.replication.name = format!("member_{name}");
            reader.replication.upstream = Some(upstream(writer));
            self.engine.follow(&reader).await.expect("follows");
            made.push(reader);
        }
        made
    }

    /// Dumps into a folder, on a thread that may block.
    pub(crate) async fn dump(&self, home: &Home, into: &Path) -> Result<DumpInfo, EngineError> {
        self.dump_through(home, FolderSink::new(into)).await.0
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
    pub(crate) fn place(&self, dump: &Path, name: &str) -> Home {
        let home = self.home(name);
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700).create(&home.dir).expect("a folder");
        copy_tree(dump, &home.data());
        home
    }
}

impl<E: Engine + 'static> Drop for Clusters<E> {
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

/// A writer, as those on its node follow it.
pub(crate) fn upstream(writer: &Home) -> Upstream {
    Upstream {
        socket_dir: writer.socket_dir.clone(),
        port: writer.port,
        host: writer.host.clone(),
        dir: writer.dir.clone(),
        term: None,
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

pub(crate) type OnFile = Box<dyn FnMut(&str) + Send>;
/// What a dump's files said of themselves.
pub(crate) type Known = BTreeMap<String, Option<ChangeToken>>;

/// Writes a dump into a folder.
pub(crate) struct FolderSink {
    pub(crate) dir: PathBuf,
    pub(crate) files: Vec<String>,
    pub(crate) change_token: Known,
    pub(crate) expected_bytes: Option<u64>,
    /// Called before each file.
    pub(crate) on_file: Option<OnFile>,
    pub(crate) stop: bool,
    /// An earlier dump: what its change tokens say is unchanged is taken from there, unread.
    pub(crate) base: Option<(PathBuf, Known)>,
    /// Files that were.
    pub(crate) unread: Vec<String>,
    /// The folder and document of an earlier dump: pages that are known to be as they were there are
    /// taken from there, unread.
    pub(crate) earlier: Option<(PathBuf, String)>,
    /// Pages that were, or are said to be the same.
    pub(crate) same: u64,
    /// Files that were taken back.
    pub(crate) left_out: Vec<String>,
    /// Whether it does what it is told of them; earlier releases had no such word.
    pub(crate) takes_back: bool,
}

impl FolderSink {
    pub(crate) fn new(dir: &Path) -> Self {
        fs::create_dir(dir).expect("a folder");
        Self {
            dir: dir.to_owned(),
            files: Vec::new(),
            change_token: BTreeMap::new(),
            expected_bytes: None,
            on_file: None,
            stop: false,
            base: None,
            unread: Vec::new(),
            earlier: None,
            same: 0,
            left_out: Vec::new(),
            takes_back: true,
        }
    }

    /// As [`FolderSink::new`], with an earlier dump.
    pub(crate) fn behind(dir: &Path, earlier: Option<&(PathBuf, String)>) -> Self {
        Self {
            earlier: earlier.cloned(),
            ..Self::new(dir)
        }
    }

    /// The earlier dump's file, or nothing.
    fn earlier_bytes(&self, path: &str) -> Vec<u8> {
        let earlier = self.earlier.as_ref();
        let bytes = earlier.map(|(dir, _)| fs::read(dir.join(path)));
        bytes.and_then(Result::ok).unwrap_or_default()
    }

    /// Puts pages of the earlier dump in the place of those that are known to be the same, as a vault
    /// does: where it has all of them, and they are not of zeros alone.
    fn leave_same(&mut self, pages: &dyn Pages, buffer: &mut [u8], at: u64, earlier: &[u8]) {
        let bytes = pages.page_bytes();
        for (page, offset) in buffer.chunks_exact_mut(bytes).zip((at..).step_by(bytes)) {
            let start = usize::try_from(offset).expect("fits");
            let Some(before) = earlier.get(start..start + bytes) else {
                return;
            };
            let known = pages.since_base(offset);
            if known == SinceBase::Unknown || before.iter().all(|byte| *byte == 0) {
                continue;
            }
            self.same += 1;
            match known {
                SinceBase::Same => page.copy_from_slice(before),
                _ if page != before => pages.contradict(offset),
                _ => {}
            }
        }
    }
}

impl DumpSink for FolderSink {
    fn base_document(&self) -> Option<&str> {
        let earlier = self.earlier.as_ref();
        earlier.map(|(_, document)| document.as_str())
    }

    fn expect_total(&mut self, bytes: u64) {
        match self.expected_bytes.replace(bytes) {
            None => assert!(self.files.is_empty(), "said before the first file"),
            Some(before) => assert!(before <= bytes, "what is known later adds to it"),
        }
    }

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
        let change_token = content.change_token();
        self.change_token.insert(path.to_owned(), change_token);
        self.files.push(path.to_owned());
        if let Some((dir, known)) = &self.base
            && change_token.is_some()
            && known.get(path) == Some(&change_token)
        {
            let bytes = fs::copy(dir.join(path), self.dir.join(path))?;
            assert_eq!(bytes, content.size(), "{path}");
            self.unread.push(path.to_owned());
            return Ok(());
        }
        let mut file = fs::File::create_new(self.dir.join(path))?;
        let earlier = self.earlier_bytes(path);
        // Whole pages of every engine.
        let (mut buffer, mut at) = (vec![0; 5 * (16 << 10)], 0);
        loop {
            let got = content.read_at(&mut buffer, at)?;
            if let Some(pages) = content.pages() {
                check_pages(pages, &mut buffer[..got], at)?;
                self.leave_same(pages, &mut buffer[..got], at, &earlier);
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
        self.left_out.push(path.to_owned());
        if self.takes_back {
            fs::remove_file(self.dir.join(path))?;
        }
        Ok(())
    }

    fn waits(&self, _waiting: bool) {}

    fn stop_requested(&self) -> bool {
        self.stop
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
