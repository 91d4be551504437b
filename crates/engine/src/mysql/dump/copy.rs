//! Hands one file after another to the sink, each judged by its role.
//!
//! It does not know why these files are a consistent state.
use std::sync::Arc;

use super::{
    names::Role,
    pages::{DataFile, layout_of},
    plan::Item,
};
use crate::{
    DumpSink, EngineError, Home,
    dump::{DumpWriter, join},
    folder::Folder,
};

/// What tells change tokens of this engine from others.
const EVIDENCE: &str = "snapferry engine mysql evidence 1";

/// Files on their way to the sink.
pub(super) struct Copier<'a> {
    pub(super) writer: DumpWriter<'a>,
}

impl<'a> Copier<'a> {
    pub(super) fn new(home: &Home, data: &'a Folder, sink: &'a mut dyn DumpSink) -> Self {
        Self {
            writer: DumpWriter::new(home, data, sink),
        }
    }

    /// Looks at what tells unchanged files, now that the dump has begun.
    pub(super) fn look_at(&mut self, home: &Home) {
        self.writer.look_at(home, EVIDENCE);
    }

    pub(super) fn item(&mut self, item: &Item) -> Result<(), EngineError> {
        self.writer.check_stop()?;
        match item {
            Item::Folder(path) => self.writer.folder(path),
            Item::File { folder, name, role } => self.file(folder, name, *role),
        }
    }

    /// Hands over a file of the data folder as it lies.
    pub(super) fn file(&mut self, folder: &str, name: &str, role: Role) -> Result<(), EngineError> {
        let path = join(folder, name);
        let (file, facts) = self.writer.open(folder, name)?;
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
            change_token: self.writer.change_token(&facts),
            layout,
            failure: self.writer.failure(),
            file,
            path: path.clone(),
        };
        self.writer.give(path, Arc::new(content))
    }
}
