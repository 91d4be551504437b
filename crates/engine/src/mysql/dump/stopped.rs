//! A cluster's state, read from the files of one that was shut down in order.
//!
//! It does not know what becomes of the files.
use super::{
    super::{
        document::{Circumstances, Document, Method, Places},
        page, profile,
        redo::{self, Named},
    },
    copy::Copier,
    names::{Role, SYSTEM_TABLESPACE},
    pages::read_beginning,
    plan::Plan,
    spool::read_head,
};
use crate::{EngineError, folder::Folder};

/// Reads a cluster that was shut down: its files are its state.
pub(super) fn dump(
    data: &Folder,
    copier: &mut Copier,
    version: &str,
) -> Result<Document, EngineError> {
    let (checkpoint, redo_files) = look(data, copier)?;
    let plan = Plan::of(data)?;
    let redo_bytes: u64 = redo_files.iter().map(|(_, size)| size).sum();
    copier.writer.expect_total(plan.bytes + redo_bytes);
    for item in &plan.items {
        copier.item(item)?;
    }
    copier.writer.folder(redo::FOLDER)?;
    for (name, _) in &redo_files {
        copier.writer.check_stop()?;
        copier.file(redo::FOLDER, name, Role::Plain)?;
    }
    copier.writer.settle()?;
    if look(data, copier)?.0 != checkpoint {
        return Err(EngineError::FileDamaged {
            file: SYSTEM_TABLESPACE.to_owned(),
            why: "it changed though the server is stopped".to_owned(),
        });
    }
    Ok(Document::new(Circumstances {
        version: version.to_owned(),
        series: profile::series(version).to_owned(),
        method: Method::Stopped,
        places: Places {
            checkpoint,
            end: checkpoint,
        },
        tablespace_files: plan.tablespace_files,
        gtid_executed: String::new(),
    }))
}

/// Where the server that shut down left its log, and the files of that, with their sizes.
fn look(data: &Folder, copier: &mut Copier) -> Result<(u64, Vec<(String, u64)>), EngineError> {
    let failed = |source| EngineError::io("read", redo::FOLDER, source);
    let folder = data.enter(redo::FOLDER).map_err(failed)?;
    let mut files = Vec::new();
    let mut checkpoint = 0;
    for entry in folder.entries().map_err(failed)? {
        let number = match redo::judge_name(&entry.name) {
            Named::File(number) => number,
            Named::Spare => continue,
            Named::Other => {
                return Err(EngineError::Unexpected {
                    file: format!("{}/{}", redo::FOLDER, entry.name),
                    why: "is no file of the redo log",
                });
            }
        };
        let (file, _) = copier.writer.open(redo::FOLDER, &entry.name)?;
        let found = read_head(&file, number).map_err(failed)?;
        let found = found.map_err(|fault| EngineError::FileDamaged {
            file: format!("{}/{}", redo::FOLDER, entry.name),
            why: fault.to_string(),
        })?;
        checkpoint = checkpoint.max(found.head.checkpoint().unwrap_or(0));
        files.push((entry.name, found.size));
    }
    let (system, _) = copier.writer.open("", SYSTEM_TABLESPACE)?;
    let first = read_beginning(&system)
        .map_err(|source| EngineError::io("read", SYSTEM_TABLESPACE, source))?;
    match page::flush_lsn(&first) {
        Some(lsn) if lsn == checkpoint && lsn != 0 => Ok((checkpoint, files)),
        _ => Err(EngineError::NotShutDown {
            state: "not shut down in order",
        }),
    }
}
