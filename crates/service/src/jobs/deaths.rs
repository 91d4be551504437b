//! Jobs under which this process died: a job that ends it each time must not end it for ever.
//!
//! A mark lies in the data folder while a job runs. One that a start finds there says that the last
//! process died with the job under way. It does not know why: a job is blamed only after several
//! deaths without progress, since a power cut kills innocent ones, too.
use std::{
    collections::HashMap,
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use model::JobId;

use crate::fault::chain;

/// After so many deaths a job is set aside.
pub const DEATHS_MAX: u32 = 3;

/// What is known of one job: how often the process died under it, and how many bytes it had moved
/// at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Record {
    deaths: u32,
    bytes: u64,
}

impl Record {
    fn text(self, state: &str) -> String {
        format!("{state} {} {}", self.deaths, self.bytes)
    }
}

/// The first word of a mark: the job runs, or it waits with what is known of it.
const UNDER_WAY: &str = "under-way";
const WAITS: &str = "waits";

/// The marks of a data folder.
#[derive(Debug)]
pub struct Deaths {
    folder: PathBuf,
    known: Mutex<HashMap<String, Record>>,
}

impl Deaths {
    /// Reads what the last process left, and counts one more death for each job that it died under.
    pub fn read(data_dir: &Path) -> Self {
        let folder = data_dir.join("running");
        let known = count(&folder).unwrap_or_else(|error| {
            tracing::warn!(folder = %folder.display(), cause = %chain(&error), "it is not known which jobs ran when the last process ended");
            HashMap::new()
        });
        Self {
            folder,
            known: Mutex::new(known),
        }
    }

    /// How often the process died under a job.
    pub fn of(&self, job: &JobId) -> u32 {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&job.to_string()).map_or(0, |one| one.deaths)
    }

    /// Marks a job as under way, until the mark is dropped.
    pub fn mark(self: &Arc<Self>, job: &JobId) -> Mark {
        let name = job.to_string();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let record = known.get(&name).copied().unwrap_or_default();
        drop(known);
        self.write(&name, UNDER_WAY, record);
        Mark {
            deaths: Arc::clone(self),
            name,
            record: Mutex::new(record),
        }
    }

    fn write(&self, name: &str, state: &str, record: Record) {
        let path = self.folder.join(name);
        let made = fs::create_dir_all(&self.folder);
        let written = made.and_then(|()| fs::write(&path, record.text(state)));
        if let Err(error) = written {
            tracing::warn!(path = %path.display(), %error, "a job is not marked as under way");
        }
    }
}

/// A job that is under way.
#[derive(Debug)]
pub struct Mark {
    deaths: Arc<Deaths>,
    name: String,
    record: Mutex<Record>,
}

impl Mark {
    /// Notes how many bytes the job has moved. One that comes clearly farther than it did before is
    /// not blamed for earlier deaths.
    pub fn moved(&self, bytes: u64) {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        if record.bytes + record.bytes / 10 < bytes {
            *record = Record { deaths: 0, bytes };
            self.deaths.write(&self.name, UNDER_WAY, *record);
        }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        let path = self.deaths.folder.join(&self.name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "a job that has ended stays marked as under way");
            }
            _ => {}
        }
        let known = &self.deaths.known;
        known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.name);
    }
}

fn count(folder: &Path) -> io::Result<HashMap<String, Record>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(HashMap::new()),
        entries => entries?,
    };
    let mut known = HashMap::new();
    for entry in entries {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        // A mark that was cut short still says that the job was under way.
        let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
        let (waited, numbers) = match text.strip_prefix(WAITS) {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix(UNDER_WAY).unwrap_or("")),
        };
        let mut numbers = numbers.split_whitespace().map(str::parse::<u64>);
        let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
        let mut record = Record {
            deaths: u32::try_from(next()).unwrap_or(u32::MAX),
            bytes: next(),
        };
        if !waited {
            record.deaths = record.deaths.saturating_add(1);
            let deaths = record.deaths;
            tracing::warn!(
                job = name,
                deaths,
                "the last process ended while this job ran"
            );
            // A start that does not get as far as the job must not count once more.
            fs::write(&path, record.text(WAITS))?;
        }
        known.insert(name.to_owned(), record);
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use model::{Entropy, SystemEntropy};

    use super::*;

    fn job() -> JobId {
        let entropy: &dyn Entropy = &SystemEntropy;
        JobId::draw(entropy)
    }

    /// As a kill does: the mark is never dropped.
    fn die(mark: Mark) {
        std::mem::forget(mark);
    }

    #[test]
    fn deaths_are_counted_until_the_job_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let start = || Arc::new(Deaths::read(folder.path()));
        let (killer, other) = (job(), job());
        for deaths in 0..3 {
            let found = start();
            assert_eq!((found.of(&killer), found.of(&other)), (deaths, 0));
            die(found.mark(&killer));
            drop(found.mark(&other));
        }
        assert_eq!(start().of(&killer), DEATHS_MAX);
        assert_eq!(start().of(&killer), DEATHS_MAX, "a start is no death");
        let found = start();
        drop(found.mark(&killer));
        assert_eq!((found.of(&killer), start().of(&killer)), (0, 0));
    }

    #[test]
    fn a_job_that_comes_farther_each_time_is_not_blamed() {
        let folder = tempfile::tempdir().expect("a folder");
        let start = || Arc::new(Deaths::read(folder.path()));
        let (copy, stuck) = (job(), job());
        for round in 1..6 {
            let found = start();
            assert!(found.of(&copy) <= 1, "round {round}");
            let (copying, stays) = (found.mark(&copy), found.mark(&stuck));
            copying.moved(round * 1_000);
            stays.moved(1_000 + round);
            die(copying);
            die(stays);
        }
        assert!(DEATHS_MAX <= start().of(&stuck));
    }
}
