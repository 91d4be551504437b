//! The redo log of a dump, checked before a server sees it: one ends its recovery without a word at a block that
//! does not hold.
//!
//! It does not know tablespaces.
use super::super::{
    document::Places,
    dump::spool::{RedoFile, read_head},
    redo::{self, HEAD_BYTES, Named, block_of, blocks_end, whole_blocks},
};
use crate::{
    EngineError,
    folder::{Folder, Kind, read_full},
};

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Checks that the files follow one another, that recovery begins where it should, and every block from there to
/// the end.
pub(super) fn check(data: &Folder, places: Places) -> Result<(), EngineError> {
    let bad = |why: &str| EngineError::bad_dump(format!("its redo log: {why}"));
    let failed = |source| EngineError::io("read", redo::FOLDER, source);
    let folder = match data.enter(redo::FOLDER) {
        Ok(folder) => folder,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(bad("it is not there"));
        }
        Err(error) => return Err(failed(error)),
    };
    let mut files = Vec::new();
    for entry in folder.entries().map_err(failed)? {
        let Named::File(number) = redo::judge_name(&entry.name) else {
            return Err(bad(&format!("{:?} is not expected in it", entry.name)));
        };
        if entry.kind != Kind::File {
            return Err(bad(&format!("{:?} is no file", entry.name)));
        }
        let file = folder.file(&entry.name).map_err(failed)?;
        let found = read_head(&file, number).map_err(failed)?;
        let found = found.map_err(|fault| bad(&format!("file {number}: {fault}")))?;
        if !found.head.is_whole() {
            return Err(bad(&format!("file {number}: its head is damaged")));
        }
        files.push((found, file));
    }
    files.sort_by_key(|(file, _)| file.number);
    check_order(
        &files.iter().map(|(file, _)| file).collect::<Vec<_>>(),
        places,
    )
    .map_err(bad)?;
    for (redo_file, file) in &files {
        check_blocks(redo_file, file, places)
            .map_err(failed)?
            .map_err(|why| bad(&why))?;
    }
    Ok(())
}

/// Checks that files, in the order of their numbers, are one log with these places in it.
fn check_order(files: &[&RedoFile], places: Places) -> Result<(), &'static str> {
    let (Some(first), Some(last)) = (files.first(), files.last()) else {
        return Err("it has no file");
    };
    for pair in files.windows(2) {
        if pair[0].number + 1 != pair[1].number || pair[0].end_lsn() != pair[1].head.start_lsn() {
            return Err("a file of it is not there");
        }
        if !pair[0].head.is_full() {
            return Err("it goes on behind its last file");
        }
    }
    if last.head.is_full() {
        return Err("its last file is not there");
    }
    if files.iter().filter_map(|file| file.head.checkpoint()).max() != Some(places.checkpoint) {
        return Err("it says that recovery begins elsewhere");
    }
    let has_start = first.head.start_lsn() <= places.checkpoint;
    match has_start && blocks_end(places.end) <= last.end_lsn() {
        true => Ok(()),
        false => Err("it does not have all that recovery needs"),
    }
}

/// Checks the blocks of one file that recovery needs.
fn check_blocks(
    of: &RedoFile,
    file: &std::fs::File,
    places: Places,
) -> std::io::Result<Result<(), String>> {
    let (start, end) = (
        of.head.start_lsn(),
        of.end_lsn().min(blocks_end(places.end)),
    );
    let mut at = block_of(places.checkpoint).max(start);
    let mut chunk = vec![0; CHUNK_BYTES];
    while at < end {
        let wanted = usize::try_from(end - at)
            .unwrap_or(usize::MAX)
            .min(CHUNK_BYTES);
        let offset = HEAD_BYTES as u64 + at - start;
        let got = read_full(file, &mut chunk[..wanted], offset)?;
        let (good, fault) = whole_blocks(&chunk[..got], at, places.end);
        if good < wanted {
            let why =
                fault.map_or_else(|| "it ends too early".to_owned(), |fault| fault.to_string());
            return Ok(Err(format!("its block at {}: {why}", at + good as u64)));
        }
        at += good as u64;
    }
    Ok(Ok(()))
}
