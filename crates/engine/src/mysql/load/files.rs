//! The tablespaces of a dump, checked before a server sees them: a damaged page is found here, and not by a user
//! a year later.
//!
//! It does not know the redo log.
use std::{
    fs::File,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use super::super::{
    dump::{
        names::{self, Role},
        pages::read_beginning,
    },
    page::{Layout, LayoutFault, Verdict},
    redo,
};
use crate::{
    EngineError,
    dump::FirstFailure,
    folder::{Folder, Kind, read_full},
};

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 1 << 20;
/// Threads at most: reading is soon as fast as the disk.
const THREADS_MAX: usize = 4;

/// Checks all names, and every page of every tablespace. Answers how many files those have.
pub(super) fn check(data: &Folder) -> Result<u64, EngineError> {
    let mut tablespaces = Vec::new();
    walk(data, "", &mut tablespaces)?;
    let (next, failure) = (AtomicUsize::new(0), FirstFailure::default());
    let work = || {
        while let Some((folder, name)) = tablespaces.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = check_one(data, folder, name) {
                // No sink hears of it.
                let _ = failure.keep(error);
                next.store(tablespaces.len(), Ordering::Relaxed);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, |count| count.get().min(THREADS_MAX));
    thread::scope(|scope| {
        for _ in 1..threads {
            let name = "tablespace check".to_owned();
            // This thread does what others cannot.
            let _ = thread::Builder::new().name(name).spawn_scoped(scope, work);
        }
        work();
    });
    match failure.take() {
        Some(error) => Err(error),
        None => Ok(tablespaces.len() as u64),
    }
}

/// Refuses names that no dump of this engine has, and all that is neither folder nor file.
fn walk(
    folder: &Folder,
    path: &str,
    tablespaces: &mut Vec<(String, String)>,
) -> Result<(), EngineError> {
    let failed = |source| EngineError::io("read", path, source);
    for entry in folder.entries().map_err(failed)? {
        let name = entry.name.as_str();
        match (entry.kind, path) {
            (Kind::Folder, "") if name == redo::FOLDER => {}
            (Kind::Folder, "") if names::has_folder(name) == Some(true) => {
                walk(&folder.enter(name).map_err(failed)?, name, tablespaces)?;
            }
            (Kind::File, _) => match names::judge_file(path, name) {
                Some(Role::Tablespace) => tablespaces.push((path.to_owned(), entry.name)),
                Some(Role::Plain) => {}
                Some(Role::Skip) | None => return Err(odd(path, name)),
            },
            _ => return Err(odd(path, name)),
        }
    }
    Ok(())
}

fn odd(path: &str, name: &str) -> EngineError {
    let name = format!("{path}/{name}");
    EngineError::bad_dump(format!(
        "{:?} is not expected in it",
        name.trim_start_matches('/')
    ))
}

fn check_one(data: &Folder, folder: &str, name: &str) -> Result<(), EngineError> {
    let bad = |why: String| EngineError::bad_dump(format!("{folder}/{name}: {why}"));
    let failed = |source| EngineError::io("read", format!("{folder}/{name}"), source);
    let file = data.descend(folder).and_then(|folder| folder.file(name));
    let file = file.map_err(failed)?;
    let beginning = read_beginning(&file).map_err(failed)?;
    let layout = Layout::of(&beginning).map_err(|fault| match fault {
        LayoutFault::Damaged => bad("page 0 is damaged".to_owned()),
        LayoutFault::Unsupported(why) => bad(why.to_owned()),
    })?;
    match first_bad_page(&file, layout).map_err(failed)? {
        Some(number) => Err(bad(format!("page {number} is damaged"))),
        None => Ok(()),
    }
}

/// The first page that does not hold, or a rest that is none.
fn first_bad_page(file: &File, layout: Layout) -> std::io::Result<Option<u32>> {
    let page_bytes = layout.page_bytes();
    let mut chunk = vec![0; CHUNK_BYTES];
    let (mut number, mut offset) = (0_u32, 0_u64);
    loop {
        let got = read_full(file, &mut chunk, offset)?;
        for page in chunk[..got].chunks(page_bytes) {
            if page.len() != page_bytes || layout.judge(page, number) != Verdict::Good {
                return Ok(Some(number));
            }
            number = number.wrapping_add(1);
        }
        if got < chunk.len() {
            return Ok(None);
        }
        offset += got as u64;
    }
}
