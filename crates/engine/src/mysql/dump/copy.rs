//! Hands one file after another to the sink, each judged by its role.
//!
//! It does not know why these files are a consistent state.
use std::{
    fs::{File, Metadata},
    os::unix::fs::MetadataExt,
    sync::Arc,
};

use model::pages::Content;

use super::{
    names::Role,
    pages::{DataFile, Findings, layout_of},
    plan::{Item, join},
};
use crate::{
    DumpSink, EngineError, Home, SinkError,
    folder::Folder,
    hosting::{change_token::Witness, child::own_uid},
};

/// What tells change tokens of this engine from others.
const EVIDENCE: &str = "snapferry engine mysql evidence 1";
/// Modes of what a dump has; a load sets them again.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Files on their way to the sink.
pub(super) struct Copier<'a> {
    data: &'a Folder,
    /// Only files of this user are read: a link to another's file must not leak it.
    owner: u32,
    pub(super) sink: &'a mut dyn DumpSink,
    current: Option<(String, Folder)>,
    /// Tells unchanged files; set once the dump has begun.
    witness: Option<Witness>,
    findings: Arc<Findings>,
    /// The file that was given last, for errors of the sink.
    last: String,
}

impl<'a> Copier<'a> {
    pub(super) fn new(home: &Home, data: &'a Folder, sink: &'a mut dyn DumpSink) -> Self {
        Self {
            data,
            owner: home.os_uid.unwrap_or_else(own_uid),
            sink,
            current: None,
            witness: None,
            findings: Arc::default(),
            last: String::new(),
        }
    }

    /// Looks at what tells unchanged files, now that the dump has begun.
    pub(super) fn look_at(&mut self, home: &Home) {
        self.witness = Witness::of(home, self.data, EVIDENCE);
    }

    pub(super) fn check_stop(&self) -> Result<(), EngineError> {
        match self.sink.stop_requested() {
            true => Err(EngineError::StopRequested),
            false => Ok(()),
        }
    }

    pub(super) fn item(&mut self, item: &Item) -> Result<(), EngineError> {
        self.check_stop()?;
        match item {
            Item::Folder(path) => self.folder(path),
            Item::File { folder, name, role } => self.file(folder, name, *role),
        }
    }

    pub(super) fn folder(&mut self, path: &str) -> Result<(), EngineError> {
        self.sink
            .directory(path, FOLDER_MODE)
            .map_err(|source| EngineError::Sink {
                file: path.to_owned(),
                source,
            })
    }

    /// Hands over a file of the data folder as it lies.
    pub(super) fn file(&mut self, folder: &str, name: &str, role: Role) -> Result<(), EngineError> {
        let path = join(folder, name);
        let (file, facts) = self.open(folder, name)?;
        // Advice only: a file system that takes none reads as well.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential);
        let layout = match role {
            Role::Tablespace => Some(layout_of(&file, &path)?),
            Role::Plain | Role::Skip => None,
        };
        // A page that is just being added is in the log.
        let rest = layout.map_or(0, |layout| facts.len() % layout.page_bytes() as u64);
        let content = DataFile {
            size: facts.len() - rest,
            change_token: self.witness.as_ref().and_then(|w| w.of_file(&facts)),
            layout,
            findings: Arc::clone(&self.findings),
            file,
            path: path.clone(),
        };
        self.give(path, Arc::new(content))
    }

    /// Opens a file that must be the server's own.
    pub(super) fn open(
        &mut self,
        folder: &str,
        name: &str,
    ) -> Result<(File, Metadata), EngineError> {
        let path = || join(folder, name);
        let opened = self.enter(folder).and_then(|folder| {
            let file = folder.file(name)?;
            let facts = file.metadata()?;
            Ok((file, facts))
        });
        let (file, facts) = opened.map_err(|source| EngineError::io("open", path(), source))?;
        match facts.uid() == self.owner {
            true => Ok((file, facts)),
            false => Err(EngineError::Unexpected {
                file: path(),
                why: "belongs to another user",
            }),
        }
    }

    fn enter(&mut self, path: &str) -> std::io::Result<&Folder> {
        if self.current.as_ref().is_none_or(|(at, _)| at != path) {
            self.current = Some((path.to_owned(), self.data.descend(path)?));
        }
        let (_, folder) = self.current.as_ref().expect("entered above");
        Ok(folder)
    }

    /// Hands over a file, whatever its content is.
    pub(super) fn give(
        &mut self,
        path: String,
        content: Arc<dyn Content>,
    ) -> Result<(), EngineError> {
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
}
