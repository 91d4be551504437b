//! Hands one file after another to the sink, each judged by its role.
//!
//! It does not know why these files are a consistent state.
use std::{
    collections::HashSet,
    fs::{File, Metadata},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    sync::Arc,
    thread,
    time::Duration,
};

use model::pages::Content;

use super::{
    super::{
        changes::Changes,
        control::{CONTROL_BYTES, CONTROL_PATH, Control, ControlFault, relation_map_holds},
        review::{Place, Review},
        wal::{HEAD_BYTES, Segments, is_history},
    },
    names::{self, Role},
    pages::{DataFile, FileKind, Findings},
    plan::{Item, Plan, join},
};
use crate::hosting::{change_token::Witness, child::own_uid};
use crate::{
    DumpSink, EngineError, Home, SinkError,
    folder::{Folder, read_small},
};

/// Modes of what a dump has; a load sets them again.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// How often a small file with a checksum of its own is read until that holds.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);
/// Bytes of a relation map or a history file at most.
const SMALL_BYTES_MAX: u64 = 1 << 20;

/// Files on their way to the sink.
pub(super) struct Copier<'a> {
    data: &'a Folder,
    /// Only files of this user are read: a link to another's file must not leak it.
    owner: u32,
    pub(super) sink: &'a mut dyn DumpSink,
    /// Where the log that goes with the dump begins; none when no server writes.
    pub(super) start_lsn: Option<u64>,
    current: Option<(String, Folder)>,
    /// Tells unchanged files; set once the dump has begun.
    pub(super) witness: Option<Witness>,
    pub(super) findings: Arc<Findings>,
    /// What changed since the base, where that is known.
    pub(super) changes: Option<Arc<Changes>>,
    /// The file that was given last, for errors of the sink.
    last: String,
    /// What the plan left out and a person should hear of.
    pub(super) left_out: Vec<String>,
    /// Files of the plan that went before they were read.
    gone: HashSet<String>,
}

impl<'a> Copier<'a> {
    pub(super) fn new(home: &Home, data: &'a Folder, sink: &'a mut dyn DumpSink) -> Self {
        Self {
            data,
            owner: home.os_uid.unwrap_or_else(own_uid),
            sink,
            start_lsn: None,
            current: None,
            witness: None,
            findings: Arc::default(),
            changes: None,
            last: String::new(),
            left_out: Vec::new(),
            gone: HashSet::new(),
        }
    }

    pub(super) fn data(&self) -> &'a Folder {
        self.data
    }

    pub(super) fn check_stop(&self) -> Result<(), EngineError> {
        match self.sink.stop_requested() {
            true => Err(EngineError::StopRequested),
            false => Ok(()),
        }
    }

    pub(super) fn item(&mut self, item: &Item) -> Result<(), EngineError> {
        self.check_stop()?;
        let (folder, name, role) = match item {
            Item::Folder(path) => return self.folder(path),
            Item::File { folder, name, role } => (folder.as_str(), name.as_str(), *role),
        };
        let path = join(folder, name);
        let Some((file, facts)) = self.open(folder, name, names::may_vanish(folder, role))? else {
            tracing::debug!(path, "a file went before it was read");
            self.gone.insert(path);
            return Ok(());
        };
        let kind = match role {
            Role::Skip => return Ok(()),
            Role::RelationMap => return self.relation_map(folder, name, &path),
            Role::Relation { first_block } => FileKind::Relation {
                first_block,
                start_lsn: self.start_lsn,
            },
            Role::Plain { may_vanish } => FileKind::Plain {
                may_shrink: may_vanish,
            },
        };
        let place = names::main_fork_of(folder, name);
        let changes = self.changes.clone().zip(place);
        self.data_file(path, file, &facts, facts.len(), (kind, changes))
    }

    /// Takes back what was given of relations that turned out to be unlogged, all but their
    /// templates. Answers how many files that were.
    pub(super) fn leave_out(&mut self, plan: &Plan, review: &Review) -> Result<u64, EngineError> {
        let mut count = 0;
        for item in &plan.items {
            let Item::File { folder, name, .. } = item else {
                continue;
            };
            let content = names::content_of(folder, name);
            if !content.is_some_and(|place| review.is_unlogged(place)) {
                continue;
            }
            let path = join(folder, name);
            if self.gone.contains(&path) {
                continue;
            }
            let result = self.sink.leave_out(&path);
            self.last = path;
            self.judge(result)?;
            count += 1;
        }
        Ok(count)
    }

    fn folder(&mut self, path: &str) -> Result<(), EngineError> {
        self.sink
            .directory(path, FOLDER_MODE)
            .map_err(|source| EngineError::Sink {
                file: path.to_owned(),
                source,
            })
    }

    /// Opens a file that must be the server's own; none when it may be gone and is.
    fn open(
        &mut self,
        folder: &str,
        name: &str,
        may_vanish: bool,
    ) -> Result<Option<(File, Metadata)>, EngineError> {
        let path = || join(folder, name);
        let opened = self.enter(folder).and_then(|folder| folder.file(name));
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && may_vanish => return Ok(None),
            Err(source) => return Err(EngineError::io("open", path(), source)),
        };
        let facts = file
            .metadata()
            .map_err(|source| EngineError::io("open", path(), source))?;
        if facts.uid() != self.owner {
            return Err(EngineError::Unexpected {
                file: path(),
                why: "belongs to another user",
            });
        }
        Ok(Some((file, facts)))
    }

    fn enter(&mut self, path: &str) -> io::Result<&Folder> {
        if self.current.as_ref().is_none_or(|(at, _)| at != path) {
            self.current = Some((path.to_owned(), self.data.descend(path)?));
        }
        let (_, folder) = self.current.as_ref().expect("entered above");
        Ok(folder)
    }

    fn relation_map(&mut self, folder: &str, name: &str, path: &str) -> Result<(), EngineError> {
        for _ in 0..TRIES {
            // Opened anew each time: newer servers replace it by a rename.
            let may_vanish = names::may_vanish(folder, Role::RelationMap);
            let Some((mut file, _)) = self.open(folder, name, may_vanish)? else {
                return Ok(());
            };
            let bytes = read_small(&mut file, SMALL_BYTES_MAX)
                .map_err(|source| EngineError::io("read", path, source))?;
            if relation_map_holds(&bytes) {
                return self.bytes(path, &bytes);
            }
            thread::sleep(PAUSE);
        }
        Err(EngineError::FileDamaged {
            file: path.to_owned(),
            why: "its checksum does not hold".to_owned(),
        })
    }

    fn data_file(
        &mut self,
        path: String,
        file: File,
        facts: &Metadata,
        size: u64,
        (kind, changes): (FileKind, Option<(Arc<Changes>, Place)>),
    ) -> Result<(), EngineError> {
        // Advice only: a file system that takes none reads as well.
        let advice = match &changes {
            Some((changes, _)) if !changes.is_checked => rustix::fs::Advice::Random,
            _ => rustix::fs::Advice::Sequential,
        };
        let _ = rustix::fs::fadvise(&file, 0, None, advice);
        let content = DataFile {
            file,
            size,
            change_token: self.witness.as_ref().and_then(|w| w.of_file(facts)),
            kind,
            changes,
            findings: Arc::clone(&self.findings),
            path,
        };
        let path = content.path.clone();
        self.give(path, Arc::new(content))
    }

    /// Hands over bytes that do not come from a file as it lies.
    pub(super) fn bytes(&mut self, path: &str, bytes: &[u8]) -> Result<(), EngineError> {
        self.give(path.to_owned(), Arc::new(bytes.to_vec()))
    }

    fn give(&mut self, path: String, content: Arc<dyn Content>) -> Result<(), EngineError> {
        let result = self.sink.file(&path, FILE_MODE, content);
        self.last = path;
        self.judge(result)
    }

    /// Waits until every file given so far was read.
    pub(super) fn settle(&mut self) -> Result<(), EngineError> {
        let result = self.sink.settle();
        self.judge(result)
    }

    /// What went wrong with a file's content comes before what the sink makes of it.
    fn judge(&self, result: Result<(), SinkError>) -> Result<(), EngineError> {
        match (result, self.findings.take_failure()) {
            (_, Some(failure)) => Err(failure),
            (Ok(()), None) => Ok(()),
            (Err(source), None) => Err(EngineError::Sink {
                file: self.last.clone(),
                source,
            }),
        }
    }

    /// Reads pg_control until its checksum holds: a server may be writing it.
    pub(super) fn control(&mut self) -> Result<(Vec<u8>, Control), EngineError> {
        let mut fault = ControlFault::Torn;
        for _ in 0..TRIES {
            self.check_stop()?;
            let opened = self.open("global", "pg_control", false)?;
            let (mut file, _) = opened.expect("it may not vanish");
            let bytes = read_small(&mut file, CONTROL_BYTES as u64 + 1)
                .map_err(|source| EngineError::io("read", CONTROL_PATH, source))?;
            match Control::read(&bytes) {
                Ok(control) => return Ok((bytes, control)),
                Err(found) => fault = found,
            }
            thread::sleep(PAUSE);
        }
        Err(EngineError::FileDamaged {
            file: CONTROL_PATH.to_owned(),
            why: fault.to_string(),
        })
    }

    /// Hands over one segment of the log, checked by its size and head. Whether it was there and
    /// was itself.
    pub(super) fn segment(&mut self, of: &Segments, number: u64) -> Result<bool, EngineError> {
        self.check_stop()?;
        let name = of.name(number);
        let path = join("pg_wal", &name);
        let Some((file, facts)) = self.open("pg_wal", &name, true)? else {
            return Ok(false);
        };
        let mut head = [0; HEAD_BYTES];
        let head_read = file.read_exact_at(&mut head, 0);
        if facts.len() != of.bytes || head_read.is_err() || !of.head_fits(number, &head) {
            return Ok(false);
        }
        let kind = FileKind::Plain { may_shrink: false };
        self.data_file(path, file, &facts, facts.len(), (kind, None))?;
        Ok(true)
    }

    /// Hands over the history of the cluster's timelines.
    pub(super) fn histories(&mut self) -> Result<(), EngineError> {
        let failed = |source| EngineError::io("list", "pg_wal", source);
        let entries = self
            .enter("pg_wal")
            .and_then(Folder::entries)
            .map_err(failed)?;
        for entry in entries.iter().filter(|entry| is_history(&entry.name)) {
            if let Some((file, facts)) = self.open("pg_wal", &entry.name, false)? {
                let (path, size) = (join("pg_wal", &entry.name), facts.len());
                let kind = FileKind::Plain { may_shrink: false };
                self.data_file(path, file, &facts, size.min(SMALL_BYTES_MAX), (kind, None))?;
            }
        }
        Ok(())
    }
}
