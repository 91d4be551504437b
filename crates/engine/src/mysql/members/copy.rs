//! The files of a server, copied from under it into another one's folder: what a dump reads, written down.
//!
//! It does not know what becomes of them. What the folder has goes when the first file comes: a copy that cannot
//! begin, while another dump is read for example, costs nothing.
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use model::pages::{Content, check_pages};

use tokio::runtime::Handle;

use super::super::{dump, handle::MySql, process::SERVER};
use crate::{
    blocking::blocking,
    error::{EngineError, SinkError},
    home::Home,
    hosting::{files::make_folder, whole::unmark_whole},
    interface::DumpSink,
    removal::remove_tree,
};

/// Bytes that are copied at once: whole pages.
const CHUNK_BYTES: usize = 1 << 20;

impl MySql {
    /// Copies what a server has by now into another home's data folder, whose own server is ended. Answers the
    /// dump's description of itself. Another dump of that server is waited for for as long as `busy_wait`, unless
    /// whoever asks goes away.
    ///
    /// # Errors
    /// As [`crate::Engine::dump`].
    pub(super) async fn copy_files(
        &self,
        from: &Home,
        to: &Home,
        busy_wait: Duration,
    ) -> Result<String, EngineError> {
        let mut terms = self.dump_terms(from)?;
        terms.busy_wait = busy_wait;
        let (from, to) = (from.clone(), to.clone());
        // A caller that goes away ends it.
        let wanted = Wanted(Arc::default());
        let is_over = Arc::clone(&wanted.0);
        blocking(move || {
            let mut sink = CopySink {
                to,
                has_begun: false,
                is_over,
            };
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

/// Writes a dump into a home's data folder.
struct CopySink {
    to: Home,
    has_begun: bool,
    is_over: Arc<AtomicBool>,
}

impl CopySink {
    /// Makes room before the first thing comes.
    fn begin(&mut self) -> Result<(), SinkError> {
        if self.has_begun {
            return Ok(());
        }
        self.make_room().map_err(|error| SinkError {
            kind: error.kind(),
            told: error.told(),
            source: error.into(),
        })?;
        self.has_begun = true;
        Ok(())
    }

    fn make_room(&self) -> Result<(), EngineError> {
        let data = self.to.data();
        Handle::current().block_on(SERVER.end(&self.to, Duration::ZERO))?;
        unmark_whole(&self.to)?;
        remove_tree(&data).map_err(EngineError::removal)?;
        make_folder(&data, 0o700)
            .map_err(|source| EngineError::io("make the folder", &data, source))
    }
}

impl DumpSink for CopySink {
    fn expect_total(&mut self, _bytes: u64) {}

    fn directory(&mut self, path: &str, mode: u32) -> Result<(), SinkError> {
        self.begin()?;
        Ok(make_folder(&self.to.data().join(path), mode)?)
    }

    fn file(&mut self, path: &str, _mode: u32, content: Arc<dyn Content>) -> Result<(), SinkError> {
        self.begin()?;
        Ok(write(&self.to.data().join(path), &*content)?)
    }

    fn settle(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn leave_out(&mut self, path: &str) -> Result<(), SinkError> {
        Ok(std::fs::remove_file(self.to.data().join(path))?)
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
