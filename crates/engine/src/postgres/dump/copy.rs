//! Hands one file after another to the sink, each judged by its role.
//!
//! It does not know why these files are a consistent state.
use std::{
    collections::HashSet,
    fs::{File, Metadata},
    os::unix::fs::FileExt,
    sync::Arc,
    thread,
    time::Duration,
};

use super::{
    super::{
        changes::Changes,
        control::{CONTROL_BYTES, CONTROL_PATH, Control, ControlFault, relation_map_holds},
        review::{Place, Review},
        wal::{HEAD_BYTES, Segments, is_history},
    },
    names::{self, Role},
    pages::{DataFile, FileKind, TornPages},
    plan::{Item, Plan},
};
use crate::{
    DumpSink, EngineError, Home,
    dump::{DumpWriter, join},
    folder::{Folder, read_small},
};

/// How often a small file with a checksum of its own is read until that holds.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);
/// Bytes of a relation map or a history file at most.
const SMALL_BYTES_MAX: u64 = 1 << 20;

/// Files on their way to the sink.
pub(super) struct Copier<'a> {
    pub(super) writer: DumpWriter<'a>,
    /// Where the log that goes with the dump begins; none when no server writes.
    pub(super) start_lsn: Option<u64>,
    pub(super) torn: Arc<TornPages>,
    /// What changed since the base, where that is known.
    pub(super) changes: Option<Arc<Changes>>,
    /// What the plan left out and a person should hear of.
    pub(super) left_out: Vec<String>,
    /// Files of the plan that went before they were read.
    gone: HashSet<String>,
}

impl<'a> Copier<'a> {
    pub(super) fn new(home: &Home, data: &'a Folder, sink: &'a mut dyn DumpSink) -> Self {
        Self {
            writer: DumpWriter::new(home, data, sink),
            start_lsn: None,
            torn: Arc::default(),
            changes: None,
            left_out: Vec::new(),
            gone: HashSet::new(),
        }
    }

    pub(super) fn item(&mut self, item: &Item) -> Result<(), EngineError> {
        self.writer.check_stop()?;
        let (folder, name, role) = match item {
            Item::Folder(path) => return self.writer.folder(path),
            Item::File { folder, name, role } => (folder.as_str(), name.as_str(), *role),
        };
        let path = join(folder, name);
        let may_vanish = names::may_vanish(folder, role);
        let Some((file, facts)) = self.open(folder, name, may_vanish)? else {
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
            self.writer.leave_out(path)?;
            count += 1;
        }
        Ok(count)
    }

    /// Opens a file that must be the server's own; none when it may be gone and is.
    fn open(
        &mut self,
        folder: &str,
        name: &str,
        may_vanish: bool,
    ) -> Result<Option<(File, Metadata)>, EngineError> {
        match may_vanish {
            true => self.writer.find(folder, name),
            false => self.writer.open(folder, name).map(Some),
        }
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
            change_token: self.writer.change_token(facts),
            kind,
            changes,
            failure: self.writer.failure(),
            torn: Arc::clone(&self.torn),
            path,
        };
        let path = content.path.clone();
        self.writer.give(path, Arc::new(content))
    }

    /// Hands over bytes that do not come from a file as it lies.
    pub(super) fn bytes(&mut self, path: &str, bytes: &[u8]) -> Result<(), EngineError> {
        self.writer.give(path.to_owned(), Arc::new(bytes.to_vec()))
    }

    /// Reads pg_control until its checksum holds: a server may be writing it.
    pub(super) fn control(&mut self) -> Result<(Vec<u8>, Control), EngineError> {
        let mut fault = ControlFault::Torn;
        for _ in 0..TRIES {
            self.writer.check_stop()?;
            let (mut file, _) = self.writer.open("global", "pg_control")?;
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
        self.writer.check_stop()?;
        let name = of.name(number);
        let path = join("pg_wal", &name);
        let Some((file, facts)) = self.writer.find("pg_wal", &name)? else {
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
            .writer
            .enter("pg_wal")
            .and_then(Folder::entries)
            .map_err(failed)?;
        for entry in entries.iter().filter(|entry| is_history(&entry.name)) {
            let (file, facts) = self.writer.open("pg_wal", &entry.name)?;
            let (path, size) = (join("pg_wal", &entry.name), facts.len());
            let kind = FileKind::Plain { may_shrink: false };
            self.data_file(path, file, &facts, size.min(SMALL_BYTES_MAX), (kind, None))?;
        }
        Ok(())
    }
}
