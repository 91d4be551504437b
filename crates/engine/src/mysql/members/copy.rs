//! The files of a server, copied from under it into another one's folder: what a dump reads, written down.
//!
//! It does not know what becomes of them.
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use model::pages::{Content, check_pages};

use super::super::{dump, handle::MySql};
use crate::{
    blocking::blocking,
    error::{EngineError, SinkError},
    home::Home,
    hosting::files::make_folder,
    interface::DumpSink,
    removal::remove_tree,
};

/// Bytes that are copied at once: whole pages.
const CHUNK_BYTES: usize = 1 << 20;

impl MySql {
    /// Copies what a server has by now into another home's data folder. Answers the dump's description of itself.
    ///
    /// # Errors
    /// As [`crate::Engine::dump`].
    pub(super) async fn copy_files(&self, from: &Home, to: &Home) -> Result<String, EngineError> {
        let terms = self.dump_terms(from)?;
        let (from, data) = (from.clone(), to.data());
        // A caller that goes away ends it.
        let wanted = Wanted(Arc::default());
        let is_over = Arc::clone(&wanted.0);
        blocking(move || {
            remove_tree(&data).map_err(EngineError::removal)?;
            make_folder(&data, 0o700)
                .map_err(|source| EngineError::io("make the folder", &data, source))?;
            let mut sink = FolderSink { data, is_over };
            Ok(dump::dump(&terms, &from, &mut sink)?.document)
        })
        .await
    }
}

/// Somebody waits for a copy.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes a dump into a folder of ours.
struct FolderSink {
    data: PathBuf,
    is_over: Arc<AtomicBool>,
}

impl DumpSink for FolderSink {
    fn expect_total(&mut self, _bytes: u64) {}

    fn directory(&mut self, path: &str, mode: u32) -> Result<(), SinkError> {
        Ok(make_folder(&self.data.join(path), mode)?)
    }

    fn file(&mut self, path: &str, _mode: u32, content: Arc<dyn Content>) -> Result<(), SinkError> {
        Ok(write(&self.data.join(path), &*content)?)
    }

    fn settle(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn leave_out(&mut self, path: &str) -> Result<(), SinkError> {
        Ok(std::fs::remove_file(self.data.join(path))?)
    }

    fn waits(&self, _waiting: bool) {}

    fn stop_requested(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// Writes a file whose pages hold; what is all zeros takes no room.
fn write(path: &Path, content: &dyn Content) -> io::Result<()> {
    let file = File::create_new(path)?;
    let (mut chunk, mut at) = (vec![0; CHUNK_BYTES], 0);
    loop {
        let got = content.read_at(&mut chunk, at)?;
        let read = &mut chunk[..got];
        if let Some(pages) = content.pages() {
            check_pages(pages, read, at)?;
        }
        if read.iter().any(|byte| *byte != 0) {
            file.write_all_at(read, at)?;
        }
        at += got as u64;
        if got < CHUNK_BYTES {
            return file.set_len(at);
        }
    }
}
