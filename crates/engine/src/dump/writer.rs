//! Files of a data folder on their way to the sink.
//!
//! It does not know what they are to the database.
use std::{
    fs::{File, Metadata},
    future::Future,
    io,
    os::unix::fs::MetadataExt,
    sync::Arc,
    time::Duration,
};

use model::pages::{ChangeToken, Content};
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};

use super::{FirstFailure, join};
use crate::{
    DumpSink, Home, SinkError,
    error::EngineError,
    folder::Folder,
    hosting::{change_token::Witness, child::own_uid, serving::Refusal},
};

/// Modes of what a dump has; a load sets them again.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// How often a wait looks whether it should end.
pub(crate) const STOP_POLL: Duration = Duration::from_millis(250);
/// How long a server that is just starting may take to give a session.
const SESSION_WAIT: Duration = Duration::from_secs(60);

/// Hands one file after another to the sink.
pub(crate) struct DumpWriter<'a> {
    data: &'a Folder,
    /// Only files of this user are read: a link to another's file must not leak it.
    owner: u32,
    sink: &'a mut dyn DumpSink,
    current: Option<(String, Folder)>,
    /// Tells unchanged files; set once the dump has begun.
    witness: Option<Witness>,
    failure: Arc<FirstFailure>,
    /// The file that was given last, for errors of the sink.
    last: String,
}

impl<'a> DumpWriter<'a> {
    pub(crate) fn new(home: &Home, data: &'a Folder, sink: &'a mut dyn DumpSink) -> Self {
        Self {
            data,
            owner: home.os_uid.unwrap_or_else(own_uid),
            sink,
            current: None,
            witness: None,
            failure: Arc::default(),
            last: String::new(),
        }
    }

    /// Looks at what tells unchanged files, now that the dump has begun. `evidence` tells the engine's change
    /// tokens from others.
    pub(crate) fn look_at(&mut self, home: &Home, evidence: &'static str) {
        self.witness = Witness::of(home, self.data, evidence);
    }

    /// What tells whether a file is as it is now; none when nothing would be certain.
    pub(crate) fn change_token(&self, facts: &Metadata) -> Option<ChangeToken> {
        self.witness.as_ref().and_then(|w| w.of_file(facts))
    }

    /// Where files that are given keep what goes wrong with their content.
    pub(crate) fn failure(&self) -> Arc<FirstFailure> {
        Arc::clone(&self.failure)
    }

    pub(crate) fn data(&self) -> &'a Folder {
        self.data
    }

    pub(crate) fn base_document(&self) -> Option<&str> {
        self.sink.base_document()
    }

    pub(crate) fn expect_total(&mut self, bytes: u64) {
        self.sink.expect_total(bytes);
    }

    pub(crate) fn check_stop(&self) -> Result<(), EngineError> {
        match self.sink.stop_requested() {
            true => Err(EngineError::StopRequested),
            false => Ok(()),
        }
    }

    pub(crate) fn folder(&mut self, path: &str) -> Result<(), EngineError> {
        self.sink
            .directory(path, FOLDER_MODE)
            .map_err(|source| EngineError::Sink {
                file: path.to_owned(),
                source,
            })
    }

    /// Opens a file that must be the server's own.
    pub(crate) fn open(
        &mut self,
        folder: &str,
        name: &str,
    ) -> Result<(File, Metadata), EngineError> {
        let missing = || io::Error::from(rustix::io::Errno::NOENT);
        let found = self.find(folder, name)?;
        found.ok_or_else(|| EngineError::io("open", join(folder, name), missing()))
    }

    /// The same; none when there is none.
    pub(crate) fn find(
        &mut self,
        folder: &str,
        name: &str,
    ) -> Result<Option<(File, Metadata)>, EngineError> {
        let path = || join(folder, name);
        let opened = self.enter(folder).and_then(|folder| {
            let file = folder.file(name)?;
            let facts = file.metadata()?;
            Ok((file, facts))
        });
        match opened {
            Ok((_, facts)) if facts.uid() != self.owner => Err(EngineError::Unexpected {
                file: path(),
                why: "belongs to another user",
            }),
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(EngineError::io("open", path(), source)),
        }
    }

    /// A folder of the data folder.
    pub(crate) fn enter(&mut self, path: &str) -> io::Result<&Folder> {
        if self.current.as_ref().is_none_or(|(at, _)| at != path) {
            self.current = Some((path.to_owned(), self.data.descend(path)?));
        }
        let (_, folder) = self.current.as_ref().expect("entered above");
        Ok(folder)
    }

    /// Hands over a file, whatever its content is.
    pub(crate) fn give(
        &mut self,
        path: String,
        content: Arc<dyn Content>,
    ) -> Result<(), EngineError> {
        let result = self.sink.file(&path, FILE_MODE, content);
        self.last = path;
        self.judge(result)
    }

    /// Takes back a file that was given.
    pub(crate) fn leave_out(&mut self, path: String) -> Result<(), EngineError> {
        let result = self.sink.leave_out(&path);
        self.last = path;
        self.judge(result)
    }

    /// Waits until every file given so far was read.
    pub(crate) fn settle(&mut self) -> Result<(), EngineError> {
        let result = self.sink.settle();
        self.judge(result)
    }

    /// What went wrong with a file's content comes before what the sink makes of it.
    fn judge(&self, result: Result<(), SinkError>) -> Result<(), EngineError> {
        match (result, self.failure.take()) {
            (_, Some(failure)) => Err(failure),
            (Ok(()), None) => Ok(()),
            (Err(source), None) => Err(EngineError::Sink {
                file: self.last.clone(),
                source,
            }),
        }
    }

    /// Waits for the server, and looks now and then whether the dump should stop.
    pub(crate) fn wait<F: Future>(
        &self,
        runtime: &Handle,
        future: F,
    ) -> Result<F::Output, EngineError> {
        let mut waits = false;
        let output = runtime.block_on(async {
            let mut future = std::pin::pin!(future);
            loop {
                match timeout(STOP_POLL, &mut future).await {
                    Ok(output) => return Ok::<_, EngineError>(output),
                    Err(_) => self.check_stop()?,
                }
                if !waits {
                    waits = true;
                    self.sink.waits(true);
                }
            }
        })?;
        if waits {
            self.sink.waits(false);
        }
        Ok(output)
    }

    /// Opens a session with a server that may have just begun, for as long as `is_there` says that it runs.
    pub(crate) fn open_session<S, R: Refusal>(
        &self,
        runtime: &Handle,
        open: impl AsyncFn() -> Result<S, R>,
        is_there: impl Fn() -> Result<bool, EngineError>,
    ) -> Result<S, EngineError> {
        let patient = async {
            loop {
                match open().await {
                    Ok(session) => return Ok(session),
                    // One that is gone will not come back.
                    Err(refusal) if refusal.is_passing() && is_there()? => sleep(STOP_POLL).await,
                    Err(refusal) => return Err(refusal.into()),
                }
            }
        };
        match self.wait(runtime, async { timeout(SESSION_WAIT, patient).await })? {
            Ok(result) => result,
            Err(_) => Err(EngineError::SqlTimeout {
                doing: "take a connection",
                secs: SESSION_WAIT.as_secs(),
            }),
        }
    }
}
