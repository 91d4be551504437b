//! A consistent state of a cluster, running or stopped, read from its files.
//!
//! It does not know what becomes of the files.
mod content;
mod copy;
mod lock;
pub(super) mod names;
mod online;
pub(super) mod pages;
mod plan;
mod session;
pub(super) mod spool;
mod stopped;
mod tail;
mod terms;

use tokio::runtime::Handle;

use super::process::SERVER;
use crate::{
    DumpInfo, DumpSink, EngineError, Home,
    dump::{data_of, hold_stopped},
};
use copy::Copier;
use terms::Terms;

/// Reads the cluster into `sink`. Blocks; must be called inside a tokio runtime.
pub(super) fn dump(
    terms: &Terms,
    home: &Home,
    sink: &mut dyn DumpSink,
) -> Result<DumpInfo, EngineError> {
    let runtime = Handle::current();
    if home.replication.upstream.is_some() {
        // Its pages are not its writer's: the next snapshot would have to keep all of them again.
        return Err(EngineError::Behind);
    }
    let data = data_of(home)?;
    let mut copier = Copier::new(home, &data, sink);
    let has_server = || Ok::<_, EngineError>(SERVER.look(home)?.has_server());
    let document = match hold_stopped(&runtime, home, has_server)? {
        None => online::dump(&runtime, home, &data, &mut copier, terms, has_server)?,
        Some(_held) => {
            copier.look_at(home);
            stopped::dump(&data, &mut copier, &terms.version)?
        }
    };
    Ok(DumpInfo {
        in_log: None,
        document: document.to_json(),
        left_out: Vec::new(),
    })
}
