//! A sink that keeps a dump in memory, and holds the engine to the order of things.
//!
//! It does not know any database.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    sync::Arc,
};

use model::{
    limits::BLOCK_BYTES,
    pages::{Content, can_be_checked, check_pages},
};

use crate::{error::SinkError, home::Home, interface::DumpSink};

/// A dump in memory.
#[derive(Default)]
pub(super) struct Sink {
    pub(super) expected: Option<u64>,
    pub(super) folders: Vec<(String, u32)>,
    pub(super) files: BTreeMap<String, (u32, Vec<u8>)>,
    pub(super) page_sizes: BTreeSet<usize>,
    /// What it says to the first file.
    pub(super) refuses: Option<SinkError>,
    /// Whether it wishes an end.
    pub(super) stops: bool,
}

impl Sink {
    /// Whether it got pages of that size.
    pub(super) fn has_pages(&self, bytes: usize) -> bool {
        self.page_sizes.contains(&bytes)
    }

    /// Puts the files where a load expects them.
    pub(super) fn write(&self, home: &Home) {
        let mut builder = fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o711)
            .create(&home.dir)
            .expect("a folder");
        fs::DirBuilder::new()
            .mode(0o700)
            .create(home.data())
            .expect("a folder");
        for (path, mode) in &self.folders {
            let folder = home.data().join(path);
            fs::DirBuilder::new()
                .mode(*mode)
                .create(folder)
                .expect("a folder");
        }
        for (path, (mode, bytes)) in &self.files {
            let mut options = fs::OpenOptions::new();
            let file = options.write(true).create_new(true).mode(*mode);
            let mut file = file.open(home.data().join(path)).expect("a file");
            std::io::Write::write_all(&mut file, bytes).expect("writes");
        }
    }

    fn check_path(&self, path: &str) {
        assert!(self.expected.is_some(), "the total is said before {path}");
        assert!(!path.starts_with('/') && !path.split('/').any(|part| part == ".."));
        assert!(!self.files.contains_key(path), "{path} comes once");
        let known = |folder: &str| self.folders.iter().any(|(known, _)| known == folder);
        assert!(!known(path), "{path} comes once");
        if let Some((parent, _)) = path.rsplit_once('/') {
            assert!(known(parent), "the folder of {path} comes before it");
        }
    }
}

impl DumpSink for Sink {
    fn expect_total(&mut self, bytes: u64) {
        self.expected = Some(bytes);
    }

    fn directory(&mut self, path: &str, mode: u32) -> Result<(), SinkError> {
        self.check_path(path);
        self.folders.push((path.to_owned(), mode));
        Ok(())
    }

    fn file(&mut self, path: &str, mode: u32, content: Arc<dyn Content>) -> Result<(), SinkError> {
        self.check_path(path);
        if let Some(refusal) = self.refuses.take() {
            return Err(refusal);
        }
        let mut bytes = vec![0; usize::try_from(content.size()).expect("it fits the memory")];
        let got = content.read_at(&mut bytes, 0)?;
        bytes.truncate(got);
        // Behind its end there is nothing.
        let end = content.size().next_multiple_of(BLOCK_BYTES as u64);
        assert_eq!(content.read_at(&mut [0; BLOCK_BYTES], end)?, 0, "{path}");
        assert_eq!(content.change_token(), content.change_token(), "{path}");
        if let Some(pages) = content.pages() {
            let size = pages.page_bytes();
            assert!(can_be_checked(size), "{path}: pages of {size} bytes");
            check_pages(pages, &mut bytes, 0)?;
            if size <= bytes.len() {
                self.page_sizes.insert(size);
                for wrong in [0, size - 1, size + 1] {
                    let part = &mut bytes.clone()[..wrong.min(got)];
                    if part.len() != size {
                        assert!(
                            pages.check(part, 0).is_err(),
                            "{path}: {wrong} bytes are no page"
                        );
                    }
                }
            }
        }
        self.files.insert(path.to_owned(), (mode, bytes));
        Ok(())
    }

    fn settle(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn leave_out(&mut self, path: &str) -> Result<(), SinkError> {
        assert!(self.files.remove(path).is_some(), "{path} was given");
        Ok(())
    }

    fn waits(&self, _: bool) {}

    fn stop_requested(&self) -> bool {
        self.stops
    }
}
