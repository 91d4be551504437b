//! A listing of a dump's log, to be laid beside `pg_waldump`'s.
use std::{fmt::Write, path::Path};

use super::{Event, Files, LogFault, Reader, Record};
use crate::{
    folder::Folder,
    postgres::{control::Control, document::lsn_text, review},
};

/// Lists the records of the log in a data folder from a place to another, one line each: place,
/// bytes, transaction, resource manager, what it does to files, and its blocks.
///
/// # Errors
/// What is wrong with the log.
pub fn list_log(data: &Path, start: u64, stop: u64) -> Result<Vec<String>, String> {
    let io = |error: std::io::Error| error.to_string();
    let control = std::fs::read(data.join("global/pg_control")).map_err(io)?;
    let control = Control::read(&control).map_err(|fault| fault.to_string())?;
    let segments = review::segments(&control, control.timeline).ok_or("no size of segments")?;
    let pg_wal = Folder::open(&data.join("pg_wal")).map_err(io)?;
    let last = segments.number(stop.saturating_sub(1));
    let mut reader = Reader::new(Files::new(&pg_wal, segments, last), segments, start);
    let mut lines = Vec::new();
    while reader.at() < stop {
        let record = reader.next().map_err(|fault: LogFault| fault.to_string())?;
        lines.push(line(&record)?);
    }
    Ok(lines)
}

fn line(record: &Record<'_>) -> Result<String, String> {
    let mut line = format!(
        "{} {} {} {}",
        lsn_text(record.lsn),
        record.total_bytes,
        record.xid,
        record.manager
    );
    match record.event()? {
        Event::Made { relation, fork } => {
            let (database, number) = (relation.database, relation.number);
            let _ = write!(line, " made {database}/{number}.{fork}");
        }
        Event::Copied { database, from, .. } => {
            let _ = write!(line, " copied {from} {database}");
        }
        Event::Dropped { database } => {
            let _ = write!(line, " dropped {database}");
        }
        _ => {}
    }
    for block in &record.blocks {
        let _ = write!(
            line,
            " {}/{}/{}.{}:{}",
            block.relation.tablespace,
            block.relation.database,
            block.relation.number,
            block.fork,
            block.number
        );
    }
    Ok(line)
}
