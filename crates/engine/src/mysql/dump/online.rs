//! A cluster's state, read under its running server.
//!
//! It does not know what becomes of the files.
//!
//! Invariant: all files are read while one session keeps the redo log and shuts out changes of tables. The log
//! goes with the dump from a checkpoint before the first read to a place behind the last one. When the session is
//! lost the log may go, so the dump is void.
use tokio::{runtime::Handle, time::sleep};

use super::{
    super::{
        document::{Circumstances, Document, Method, Places},
        profile, redo,
        session::Session,
    },
    copy::Copier,
    lock::DumpLock,
    plan::Plan,
    session::DumpSession,
    spool::Spool,
    tail::Tail,
    terms::Terms,
};
use crate::{EngineError, Home, dump::STOP_POLL, folder::Folder};

/// The folder beside the data folder for what a dump needs.
const SPOOL: &str = "spool";

/// Reads a cluster under its running server. Changes of tables and accounts are shut out for no longer than
/// the terms have it, or the dump is void. `is_there` tells whether that still runs.
pub(super) fn dump(
    runtime: &Handle,
    home: &Home,
    data: &Folder,
    copier: &mut Copier,
    terms: &Terms,
    is_there: impl Fn() -> Result<bool, EngineError>,
) -> Result<Document, EngineError> {
    let dir = home.dir.join(SPOOL);
    let _lock = copier.writer.wait(runtime, async {
        let deadline = tokio::time::Instant::now() + terms.busy_wait;
        loop {
            match DumpLock::try_take(home, &dir)? {
                Some(lock) => return Ok(lock),
                None if deadline < tokio::time::Instant::now() => {
                    return Err(EngineError::Busy {
                        home: home.dir.clone(),
                    });
                }
                None => sleep(STOP_POLL).await,
            }
        }
    })??;
    let session =
        copier
            .writer
            .open_session(runtime, async || Session::open(home).await, is_there)?;
    let session = copier.writer.wait(runtime, DumpSession::begin(session))??;
    let (checkpoint, version) = (session.checkpoint(), session.version().to_owned());
    let spool = Spool::begin(data, &dir, checkpoint)?;
    let mut tail = Tail::begin(runtime, session, spool, terms.lock_max);
    copier.look_at(home);
    let plan = Plan::of(data)?;
    copier.writer.expect_total(plan.bytes);
    for item in &plan.items {
        let result = copier.item(item);
        // What became of the session explains all else.
        if tail.has_failed() {
            copier.writer.wait(runtime, tail.finish())??;
        }
        result?;
    }
    copier.writer.settle()?;
    let tailed = copier.writer.wait(runtime, tail.finish())??;
    give_redo(copier, tailed.spool, checkpoint, plan.bytes)?;
    let series = profile::series(&version).to_owned();
    Ok(Document::new(Circumstances {
        series,
        version,
        method: Method::Online,
        places: Places {
            checkpoint,
            end: tailed.end,
        },
        tablespace_files: plan.tablespace_files,
        gtid_executed: tailed.gtid_executed,
    }))
}

fn give_redo(
    copier: &mut Copier,
    spool: Spool,
    checkpoint: u64,
    bytes: u64,
) -> Result<(), EngineError> {
    use model::pages::Content;
    let files = spool.into_files(checkpoint);
    let redo_bytes: u64 = files.iter().map(|(_, content)| content.size()).sum();
    copier.writer.expect_total(bytes + redo_bytes);
    copier.writer.folder(redo::FOLDER)?;
    for (name, content) in files {
        copier.writer.check_stop()?;
        let path = format!("{}/{name}", redo::FOLDER);
        copier.writer.give(path, std::sync::Arc::new(content))?;
    }
    copier.writer.settle()
}
