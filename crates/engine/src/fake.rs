//! An engine without a database, for tests of what is built upon engines.
//!
//! Its clusters are a file of pages in their folder, of which one is new in every dump. What every
//! engine owes it owes too: it passes the same suite.
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use model::{
    Entropy, SystemEntropy,
    pages::{ChangeToken, Content, PageCheck, Pages, whole_page},
};
use tokio::sync::Notify;

use crate::{
    certify::Tls,
    client_call::ClientCall,
    error::EngineError,
    home::Home,
    interface::{DumpInfo, DumpSink, Engine, Examined, NewCluster, Replica, ServerState},
    parameters::{Configured, Parameter, ParameterType, WantedParameters},
    profile::{NameRules, Profile},
    registry,
    removal::remove_tree,
};

/// Two blocks of a vault.
const PAGE_BYTES: usize = 16 << 10;
/// Pages of a cluster.
const PAGES: usize = 3;
/// Bytes at a page's end that are the hash of the others.
const HASH_BYTES: usize = 32;
/// The only document.
const DOCUMENT: &str = r#"{"engine":"fake"}"#;
/// The file that is a cluster's.
const FILE: &str = "base/pages";
/// The mark of a cluster that is whole.
const WHOLE: &str = "whole";

static PROFILE: Profile = Profile {
    title: "Fake",
    names: &["fake"],
    series: |version| version.split('.').next().unwrap_or_default(),
    part_of: |_| None,
    databases_in: |_| BTreeMap::new(),
    default_port: 1_024,
    license_model: "general-public-license",
    page_bytes: PAGE_BYTES,
    program: "fake",
    log_file: "fake.log",
    log_types: &["fake"],
    user_names: NameRules {
        bytes_max: 16,
        reserved: &[&["rdsadmin"]],
        reserved_prefix: None,
    },
    database_names: NameRules {
        bytes_max: 64,
        reserved: &[],
        reserved_prefix: None,
    },
    password_chars: 8..=41,
    wanted: "fake",
    install: "true",
    client: |_| ClientCall {
        program: "true",
        package: "true",
        arguments: Vec::new(),
        variables: Vec::new(),
    },
    client_password: str::to_owned,
    replicates: false,
    waits_for_followers: false,
};

/// The engine without a database.
#[derive(Debug)]
pub struct FakeEngine {
    profile: &'static Profile,
    /// Whether every home counts as a whole, running cluster, and no folder is touched.
    all_whole: bool,
    state: Mutex<State>,
    dumps: AtomicU64,
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    running: HashSet<PathBuf>,
    /// Whose an address is.
    held: HashMap<(String, u16), PathBuf>,
}

impl Default for FakeEngine {
    fn default() -> Self {
        Self {
            profile: &PROFILE,
            all_whole: false,
            state: Mutex::default(),
            dumps: AtomicU64::new(0),
            ended: Notify::new(),
        }
    }
}

impl FakeEngine {
    /// In place of the first engine, whose profile it has. Every home counts as a whole, running cluster,
    /// and no folder is touched.
    pub fn of_whole_clusters() -> Self {
        Self {
            profile: registry::first(),
            all_whole: true,
            ..Self::default()
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_running(&self, home: &Home) -> bool {
        self.all_whole || self.state().running.contains(&home.dir)
    }

    fn begin(&self, home: &Home) -> Result<(), EngineError> {
        self.hold(home)?;
        self.state().running.insert(home.dir.clone());
        Ok(())
    }

    fn end(&self, home: &Home) {
        if self.state().running.remove(&home.dir) {
            self.ended.notify_waiters();
        }
    }

    /// Every home is a whole, running server, whatever it is to others; otherwise there is no such thing.
    fn check_replicates(&self) -> Result<(), EngineError> {
        match self.all_whole {
            true => Ok(()),
            false => Err(EngineError::BadValue {
                what: "the server to follow",
                value: String::new(),
                why: "is of an engine whose servers do not follow one another",
            }),
        }
    }

    fn check_whole(&self, home: &Home) -> Result<(), EngineError> {
        match self.all_whole || is_whole(home)? {
            true => Ok(()),
            false => Err(EngineError::NotWhole {
                home: home.dir.clone(),
            }),
        }
    }

    fn check_name(&self, master_username: &str) -> Result<(), EngineError> {
        match self.profile.user_names.is_reserved(master_username) {
            true => Err(EngineError::BadValue {
                what: "the master user's name",
                value: master_username.to_owned(),
                why: "is reserved",
            }),
            false => Ok(()),
        }
    }

    /// The cluster's pages, of which the last one is new: a server works.
    fn pages(&self, home: &Home) -> Result<Vec<u8>, EngineError> {
        let number = self.dumps.fetch_add(1, Ordering::Relaxed);
        let path = home.data().join(FILE);
        let failed = |source| EngineError::io("read", &path, source);
        let mut bytes = match self.all_whole {
            true => new_pages(),
            false => fs::read(&path).map_err(failed)?,
        };
        if self.is_running(home) {
            let last = bytes.len() - PAGE_BYTES;
            bytes.splice(last.., page(1_000 + number));
            if !self.all_whole {
                fs::write(&path, &bytes).map_err(failed)?;
            }
        }
        Ok(bytes)
    }
}

fn is_whole(home: &Home) -> Result<bool, EngineError> {
    let mark = home.dir.join(WHOLE);
    mark.try_exists()
        .map_err(|source| EngineError::io("look at", mark, source))
}

/// A page that says its number, with the hash of that.
fn page(number: u64) -> Vec<u8> {
    let mut page = vec![0; PAGE_BYTES];
    for word in page.chunks_exact_mut(8) {
        word.copy_from_slice(&number.to_le_bytes());
    }
    let (content, hash) = page.split_at_mut(PAGE_BYTES - HASH_BYTES);
    hash.copy_from_slice(blake3::hash(content).as_bytes());
    page
}

fn new_pages() -> Vec<u8> {
    (1..).take(PAGES).flat_map(page).collect()
}

fn is_good(page: &[u8; PAGE_BYTES]) -> bool {
    let (content, hash) = page.split_at(PAGE_BYTES - HASH_BYTES);
    blake3::hash(content).as_bytes() == hash
}

/// A cluster's file in a dump.
struct File(Vec<u8>);

impl Content for File {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn pages(&self) -> Option<&dyn Pages> {
        Some(self)
    }

    fn change_token(&self) -> Option<ChangeToken> {
        blake3::hash(&self.0).as_bytes().first_chunk().copied()
    }
}

impl Pages for File {
    fn page_bytes(&self) -> usize {
        PAGE_BYTES
    }

    fn check(&self, page: &mut [u8], offset: u64) -> io::Result<PageCheck> {
        match is_good(whole_page(page, offset)?) {
            true => Ok(PageCheck::Ok),
            false => Err(io::Error::other(format!("the page at {offset} is damaged"))),
        }
    }
}

fn give(sink: &mut dyn DumpSink, pages: Vec<u8>) -> Result<(), EngineError> {
    let told = |file: &'static str| {
        move |source| EngineError::Sink {
            file: file.to_owned(),
            source,
        }
    };
    let (folder, _) = FILE.split_once('/').expect("it lies in a folder");
    sink.expect_total(pages.len() as u64);
    sink.directory(folder, 0o700).map_err(told(folder))?;
    if sink.stop_requested() {
        return Err(EngineError::StopRequested);
    }
    let taken = sink.file(FILE, 0o600, Arc::new(File(pages)));
    taken.and_then(|()| sink.settle()).map_err(told(FILE))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), EngineError> {
    let failed = |source| EngineError::io("write", path, source);
    let folder = path.parent().expect("it lies in a folder");
    fs::create_dir_all(folder).map_err(failed)?;
    fs::write(path, bytes).map_err(failed)
}

fn check_dump(home: &Home, document: &str) -> Result<(), EngineError> {
    if document != DOCUMENT {
        return Err(EngineError::bad_dump("its document is another engine's"));
    }
    let path = home.data().join(FILE);
    let mut bytes = fs::read(&path).map_err(|error| EngineError::bad_dump(error.to_string()))?;
    let pages = bytes.len() / PAGE_BYTES * PAGE_BYTES;
    let (whole, rest) = bytes.split_at_mut(pages);
    let mut whole = whole.chunks_exact(PAGE_BYTES);
    let good = |page: &[u8]| page.as_array().is_some_and(is_good);
    match rest.is_empty() && 0 < pages && whole.all(good) {
        true => Ok(()),
        false => Err(EngineError::bad_dump("its pages are damaged")),
    }
}

#[async_trait]
impl Engine for FakeEngine {
    fn profile(&self) -> &'static Profile {
        self.profile
    }

    fn installed(&self) -> Vec<String> {
        vec!["2.1".to_owned(), "2.0".to_owned(), "1.9".to_owned()]
    }

    fn searched(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn verifier(&self, password: &str) -> String {
        let salt = SystemEntropy.uuid().simple().to_string();
        let hash = blake3::hash(format!("{salt}{password}").as_bytes());
        format!("{salt}{}", hash.to_hex())
    }

    async fn set_master_password(
        &self,
        home: &Home,
        master_username: &str,
        _verifier: &str,
    ) -> Result<(), EngineError> {
        self.check_name(master_username)?;
        match self.is_running(home) {
            true => Ok(()),
            false => Err(EngineError::io(
                "connect to the server of",
                &home.dir,
                io::Error::from(io::ErrorKind::NotConnected),
            )),
        }
    }

    async fn create(&self, home: &Home, spec: &NewCluster) -> Result<(), EngineError> {
        if self.all_whole {
            return Ok(());
        }
        if is_whole(home)? {
            return Err(EngineError::AlreadyWhole {
                home: home.dir.clone(),
            });
        }
        self.check_name(&spec.master_username)?;
        write(&home.data().join(FILE), &new_pages())?;
        write(&home.log_file(self.profile), b"made\n")?;
        write(&home.dir.join(WHOLE), b"")?;
        self.begin(home)
    }

    async fn start(&self, home: &Home) -> Result<(), EngineError> {
        self.check_whole(home)?;
        match self.all_whole {
            true => Ok(()),
            false => self.begin(home),
        }
    }

    async fn fence(&self, home: &Home, _: &str, _: Duration) -> Result<(), EngineError> {
        self.end(home);
        Ok(())
    }

    async fn fenced(&self, _: &Home) -> Result<Option<String>, EngineError> {
        Ok(None)
    }

    async fn unfence(&self, _: &Home, _: &str) -> Result<(), EngineError> {
        Ok(())
    }

    async fn follow(&self, _: &Home) -> Result<(), EngineError> {
        self.check_replicates()
    }

    async fn follow_again(&self, _: &Home) -> Result<(), EngineError> {
        self.check_replicates()
    }

    async fn promote(&self, _: &Home, _: Option<&Home>) -> Result<(), EngineError> {
        self.check_replicates()
    }

    async fn is_whole(&self, home: &Home) -> Result<bool, EngineError> {
        Ok(self.all_whole || is_whole(home)?)
    }

    async fn replica(&self, _: &Home) -> Result<Replica, EngineError> {
        self.check_replicates()?;
        Ok(Replica {
            follows: false,
            position: 0,
            is_connected: false,
            heard_by: 0,
        })
    }

    async fn stop(&self, home: &Home, _: Duration) -> Result<(), EngineError> {
        self.end(home);
        Ok(())
    }

    async fn state(&self, home: &Home) -> Result<ServerState, EngineError> {
        Ok(match self.is_running(home) {
            true => ServerState::Answers,
            false => ServerState::Ended,
        })
    }

    fn dump(&self, home: &Home, sink: &mut dyn DumpSink) -> Result<DumpInfo, EngineError> {
        self.check_whole(home)?;
        give(sink, self.pages(home)?)?;
        Ok(DumpInfo {
            in_log: None,
            document: DOCUMENT.to_owned(),
            left_out: Vec::new(),
        })
    }

    async fn load(&self, home: &Home, document: &str) -> Result<(), EngineError> {
        if self.all_whole {
            return Ok(());
        }
        if is_whole(home)? {
            return Err(EngineError::AlreadyWhole {
                home: home.dir.clone(),
            });
        }
        check_dump(home, document)?;
        write(&home.log_file(self.profile), b"loaded\n")?;
        write(&home.dir.join(WHOLE), b"")?;
        self.begin(home)
    }

    async fn remove(&self, home: &Home) -> Result<(), EngineError> {
        self.end(home);
        match self.all_whole {
            true => Ok(()),
            false => remove_tree(&home.dir).map_err(EngineError::removal),
        }
    }

    async fn trim_log(&self, _: &Home) -> Result<(), EngineError> {
        Ok(())
    }

    fn hold(&self, home: &Home) -> Result<(), EngineError> {
        let mut state = self.state();
        let owner = state.held.entry((home.host.clone(), home.port));
        match self.all_whole || *owner.or_insert_with(|| home.dir.clone()) == home.dir {
            true => Ok(()),
            false => Err(EngineError::PortInUse {
                host: home.host.clone(),
                port: home.port,
            }),
        }
    }

    fn release(&self, home: &Home) {
        self.state().held.retain(|_, dir| *dir != home.dir);
    }

    async fn ended(&self) {
        self.ended.notified().await;
    }

    async fn examine(&self, _: &Home) -> Result<Examined, EngineError> {
        Ok(Examined {
            databases: 1,
            relations: 1,
            indexes: 0,
            rows: 0,
        })
    }

    fn use_tls(&self, _: Tls) {}

    async fn renew(&self, _: &Home) -> Result<(), EngineError> {
        Ok(())
    }

    async fn parameters(&self, version: &str) -> Result<Arc<Vec<Parameter>>, EngineError> {
        if self.installed().iter().all(|one| one != version) {
            return Err(EngineError::NotInstalled {
                title: self.profile.title,
                series: version.to_owned(),
                found: self.installed().join(", "),
            });
        }
        let one = |name: &str, is_static| Parameter {
            name: name.to_owned(),
            description: "A number.".to_owned(),
            values: ParameterType::Integer(1, 9),
            default: Some("1".to_owned()),
            own: None,
            is_static,
            kept: None,
        };
        Ok(Arc::new(vec![one("dynamic", false), one("static", true)]))
    }

    async fn check_parameters(
        &self,
        _: &str,
        values: &BTreeMap<String, String>,
    ) -> Result<Option<String>, EngineError> {
        let wrong = values.values().any(|value| value == "8");
        Ok(wrong.then(|| "8 is not for this server".to_owned()))
    }

    async fn configure(&self, _: &Home, _: &WantedParameters) -> Result<Configured, EngineError> {
        Ok(Configured::default())
    }

    fn helper_uids(&self) -> Vec<u32> {
        Vec::new()
    }
}
