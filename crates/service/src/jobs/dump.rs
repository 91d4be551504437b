//! Reads a cluster into the vault: the first of its servers that gives a dump.
//!
//! It does not know which servers these are, nor what becomes of the snapshot.
use std::sync::Arc;

use engine::{DumpSink, Engine, EngineError, Home, SinkError};
use model::{ErrorKind, LogPlace, VolumeRef, pages};
use vault::{Observer, Sealing, SnapshotWriter, Vault, VaultError, WriteOptions, Written};

use super::JobError;
use crate::{
    fault::chain,
    jobs::{progress::JobProgress, slots::JobSlot},
};

/// What was read.
pub(super) struct Dumped {
    pub(super) written: Written,
    /// What lay among the database's files and is none of them.
    pub(super) left_out: Vec<String>,
    /// Where in the cluster's log it lies, as the engine says.
    pub(super) in_log: Option<(LogPlace, LogPlace)>,
}

/// All that a dump needs beside the server that it reads.
pub(super) struct Dump {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) vault: Vault,
    pub(super) volume: VolumeRef,
    pub(super) sealing: Sealing,
    pub(super) base: Option<vault::Base>,
    pub(super) absent: vault::Condemned,
    pub(super) options: WriteOptions,
    pub(super) progress: Arc<JobProgress>,
    pub(super) slot: Arc<JobSlot>,
}

impl Dump {
    /// Reads the first of the servers that gives a dump.
    pub(super) fn first_of(&self, sources: &[Home]) -> Result<Dumped, JobError> {
        let Some((last, others)) = sources.split_last() else {
            return Err(JobError::fail("the cluster has no server"));
        };
        for home in others {
            tracing::info!(home = %home.dir.display(), "the snapshot is read from a reader");
            match self.of(home) {
                Err(DumpError::Engine(error)) if may_be_anothers(&error) => {
                    tracing::warn!(home = %home.dir.display(), cause = %chain(&error), "no snapshot is read from the reader, so it is from the writer");
                }
                done => return Ok(done?),
            }
        }
        Ok(self.of(last)?)
    }

    fn of(&self, home: &Home) -> Result<Dumped, DumpError> {
        let writer = begin(
            &self.vault,
            &self.volume,
            &self.sealing,
            self.base.clone(),
            &self.absent,
            &self.options,
        )?;
        let mut sink = VaultSink {
            writer,
            progress: Arc::clone(&self.progress),
            slot: Arc::clone(&self.slot),
        };
        let info = self.engine.dump(home, &mut sink)?;
        Ok(Dumped {
            written: sink.writer.finish(info.document)?,
            left_out: info.left_out,
            in_log: info.in_log,
        })
    }
}

/// Why a dump failed: at the server that was read, or at the vault.
#[derive(Debug, thiserror::Error)]
enum DumpError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl From<DumpError> for JobError {
    fn from(error: DumpError) -> Self {
        match error {
            DumpError::Engine(error) => error.into(),
            DumpError::Vault(error) => error.into(),
        }
    }
}

/// Whether a dump that failed so may succeed at another server of the cluster.
fn may_be_anothers(error: &EngineError) -> bool {
    !matches!(error, EngineError::Sink { .. } | EngineError::StopRequested)
}

/// A base that is gone or damaged costs reuse, not the snapshot.
fn begin(
    vault: &Vault,
    volume: &VolumeRef,
    sealing: &Sealing,
    base: Option<vault::Base>,
    absent: &vault::Condemned,
    options: &WriteOptions,
) -> Result<SnapshotWriter, VaultError> {
    let lost = base.is_some();
    match SnapshotWriter::begin(
        vault,
        volume,
        sealing.clone(),
        base,
        absent,
        options.clone(),
    ) {
        Err(error) if lost && error.kind() == ErrorKind::Repair => {
            tracing::warn!(%volume, %error, "the base cannot be read: the snapshot is a full one");
            SnapshotWriter::begin(
                vault,
                volume,
                sealing.clone(),
                None,
                absent,
                options.clone(),
            )
        }
        other => other,
    }
}

/// Hands an engine's files to the vault.
struct VaultSink {
    writer: SnapshotWriter,
    progress: Arc<JobProgress>,
    slot: Arc<JobSlot>,
}

impl DumpSink for VaultSink {
    fn base_document(&self) -> Option<&str> {
        self.writer.base_document()
    }

    fn expect_total(&mut self, bytes: u64) {
        self.progress.total(bytes);
    }

    fn directory(&mut self, path: &str, mode: u32) -> Result<(), SinkError> {
        self.writer.directory(path, mode).map_err(not_taken)
    }

    fn file(
        &mut self,
        path: &str,
        mode: u32,
        content: Arc<dyn pages::Content>,
    ) -> Result<(), SinkError> {
        self.writer.file(path, mode, content).map_err(not_taken)
    }

    fn settle(&mut self) -> Result<(), SinkError> {
        self.writer.settle().map_err(not_taken)
    }

    fn leave_out(&mut self, path: &str) -> Result<(), SinkError> {
        self.writer.leave_out(path).map_err(not_taken)
    }

    fn waits(&self, waiting: bool) {
        match waiting {
            true => self.slot.put_down(),
            false => self
                .slot
                .take_up_blocking(|| self.progress.stop_requested()),
        }
    }

    fn stop_requested(&self) -> bool {
        self.progress.stop_requested()
    }
}

/// What the vault said decides what becomes of the dump.
fn not_taken(error: VaultError) -> SinkError {
    SinkError {
        kind: error.kind(),
        told: error.told(),
        source: error.into(),
    }
}
