//! What a server that ended had logged and others may lack, put where one that followed it finds it as if it had
//! been sent.
//!
//! It does not know which transactions are lacking but by what it is told.
use std::{
    fs::File,
    io::{self, Read},
};

use super::super::{
    binlog::{
        gtids::Gtids,
        read::{self, previous},
    },
    replicating::{HEARD, LOGS, LogFile, RELAY_LOG, log_files, log_number},
};
use crate::{
    blocking::blocking,
    error::EngineError,
    folder::{Folder, read_small},
    home::Home,
};

/// Bytes of the list of a server's logs that are read at most.
const LIST_BYTES_MAX: u64 = 1 << 20;

/// A log's name, and the transactions of all before it, where it says them.
type Left = (String, Option<Gtids>);

/// The logs that a server left.
#[derive(Debug)]
pub(super) struct LeftLog {
    home: Home,
    /// In order.
    files: Vec<Left>,
}

/// Logs that were put before a follower.
#[derive(Debug)]
pub(super) struct Put {
    /// The first one's name; none when there was nothing.
    pub(super) first: Option<String>,
    /// The transactions in them.
    pub(super) gtids: Gtids,
}

impl LeftLog {
    /// Finds what the server left in its folder, or has there while it runs. None when not all of it is there,
    /// from the oldest log to the one that it wrote last.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) async fn of(home: &Home) -> Result<Option<Self>, EngineError> {
        let home = home.clone();
        blocking(move || {
            let files = list(&home).map_err(|error| unreadable(&home, error))?;
            Ok(files.map(|files| Self { home, files }))
        })
        .await
    }

    /// For each of the logs, the latest first: the transactions of all before it, where it says them.
    pub(super) fn latest_first(&self) -> impl Iterator<Item = (usize, Option<&Gtids>)> {
        let files = self.files.iter().enumerate().rev();
        files.map(|(number, (_, previous))| (number, previous.as_ref()))
    }

    /// Puts them, from one of them on, before a server that hears nobody meanwhile, in the place of all that it
    /// heard. Of the last one it is as much as is whole.
    ///
    /// # Errors
    /// When they cannot be read or written.
    pub(super) async fn put(&self, from: usize, to: &Home) -> Result<Put, EngineError> {
        let names = self.files[from.min(self.files.len())..].iter();
        let names: Vec<String> = names.map(|(name, _)| name.clone()).collect();
        let (home, to) = (self.home.clone(), to.clone());
        blocking(move || put(&home, &names, &to).map_err(|error| unreadable(&home, error))).await
    }
}

fn unreadable(home: &Home, error: io::Error) -> EngineError {
    EngineError::io(
        "take over the log of the server that ended in",
        &home.dir,
        error,
    )
}

fn list(home: &Home) -> io::Result<Option<Vec<Left>>> {
    let Some(folder) = if_there(Folder::open(&home.data()))? else {
        return Ok(None);
    };
    // Read first: a log that the server makes meanwhile is in none of both, or in the second.
    let Some(last) = if_there(last_listed(&folder))?.flatten() else {
        return Ok(None);
    };
    let mut files = Vec::new();
    let mut numbers = Vec::new();
    for LogFile { number, name, .. } in log_files(&folder)? {
        // The server may delete the oldest meanwhile.
        let Some(file) = if_there(folder.file(&name))? else {
            continue;
        };
        files.push((name, previous(&file)?));
        numbers.push(number);
    }
    let has_gap = numbers.windows(2).any(|pair| pair[0] + 1 != pair[1]);
    let is_whole = !has_gap && numbers.contains(&last);
    Ok(is_whole.then_some(files))
}

/// What is there; none where nothing is.
fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The number of the log that the server's own list names last.
fn last_listed(folder: &Folder) -> io::Result<Option<u64>> {
    let list = read_small(&mut folder.file(LOGS)?, LIST_BYTES_MAX)?;
    let list = String::from_utf8_lossy(&list);
    let last = list.lines().next_back();
    Ok(last.and_then(|name| log_number(name.trim_start_matches("./"))))
}

fn put(from: &Home, names: &[String], to: &Home) -> io::Result<Put> {
    let (source, target) = (Folder::open(&from.data())?, Folder::open(&to.data())?);
    for entry in target.entries()? {
        let heard = entry.name.strip_prefix(RELAY_LOG);
        if heard.is_some_and(|rest| rest.starts_with('.')) {
            target.unlink(&entry.name)?;
        }
    }
    let (mut put, mut index) = (None, String::new());
    let mut gtids = Gtids::default();
    for (number, name) in (1_u32..).zip(names) {
        let file = source.file(name)?;
        let logged = read::read(&file, None)?;
        let heard = format!("{RELAY_LOG}.{number:06}");
        copy(&file, logged.end, &target.write(&heard, to.os_uid)?)?;
        gtids.join(logged.gtids);
        index.push_str(&format!("./{heard}\n"));
        put.get_or_insert(heard);
    }
    let mut list = target.write(HEARD, to.os_uid)?;
    io::Write::write_all(&mut list, index.as_bytes())?;
    list.sync_data()?;
    target.sync()?;
    Ok(Put { first: put, gtids })
}

fn copy(from: &File, bytes: u64, mut to: &File) -> io::Result<()> {
    io::copy(&mut from.take(bytes), &mut to)?;
    to.sync_data()
}
