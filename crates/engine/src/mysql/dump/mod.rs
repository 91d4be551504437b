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

use model::LogPlace;
use tokio::runtime::Handle;

use super::{process::SERVER, replicating::log_files};
use crate::{
    DumpInfo, DumpSink, EngineError, Home,
    dump::{data_of, hold_stopped},
    folder::Folder,
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
    // Asked first: all that lies in earlier logs is in what is read from here on.
    let place = place_in_log(home, &data)?;
    let document = match hold_stopped(&runtime, home, has_server)? {
        None => online::dump(&runtime, home, &data, &mut copier, terms, has_server)?,
        Some(_held) => {
            copier.look_at(home);
            stopped::dump(&data, &mut copier, &terms.version)?
        }
    };
    Ok(DumpInfo {
        in_log: place.map(|place| (place, place)),
        document: document.to_json(),
        left_out: Vec::new(),
    })
}

/// Where the log of a dump begins that is about to be read: with the log that is being written. A log is not ended
/// before all of its transactions are done, so those of the ones before it are in the files; of this one some may be
/// in the log alone. None where nothing is logged.
fn place_in_log(home: &Home, data: &Folder) -> Result<Option<LogPlace>, EngineError> {
    let logs = log_files(data);
    let logs = logs.map_err(|source| EngineError::io("look into", home.data(), source))?;
    let number = logs.last().and_then(|log| u32::try_from(log.number).ok());
    Ok(number.map(|timeline| LogPlace {
        timeline,
        position: 0,
    }))
}
