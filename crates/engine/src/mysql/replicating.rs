//! What a server is begun for, and what that and its place in its cluster make of its settings.
//!
//! It does not know how settings become options.
use std::io;

use crate::{error::EngineError, folder::Folder, home::Home};

/// What the server is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Serve clients.
    Serve,
    /// Serve clients as soon as it is known to be what it should: as one that serves, but nobody but the
    /// administrator is let in, and no event runs, until it is opened.
    Confirm,
    /// Recover from the files of a dump: nobody but the administrator is let in, and no event runs.
    Recover,
    /// Recover as a member of a cluster, and take over what another member had logged: it has no address, and
    /// nobody writes.
    Alone,
    /// Answer the administrator what it is: it has no address.
    Ask,
    /// Recover from the files of a dump and do what the log behind it says: it has no address, no event runs, and
    /// nothing of it is on the disk until it is told to write that down.
    Replay,
}

impl Purpose {
    /// Whether clients reach it.
    pub(super) fn has_address(self) -> bool {
        matches!(self, Self::Serve | Self::Confirm | Self::Recover)
    }

    /// Whether it has all settings of one that clients use.
    pub(super) fn serves(self) -> bool {
        matches!(self, Self::Serve | Self::Confirm)
    }
}

/// What the names of a server's logs for its followers begin with, and of those that it has of another one.
const LOG: &str = "binlog";
pub(super) const RELAY_LOG: &str = "relay";
/// The list of a server's logs: where there is one, the server has logged.
pub(super) const LOGS: &str = "binlog.index";
/// The list of the logs that a server has of another one.
pub(super) const HEARD: &str = "relay.index";

/// The settings of a server whose cluster has several, or had: what is committed is in the log first.
const LOGGING: &[(&str, &str)] = &[
    ("log_bin", LOG),
    ("sync_binlog", "1"),
    ("gtid_mode", "ON"),
    ("enforce_gtid_consistency", "ON"),
    // Rows are logged, so it does not matter what a function does.
    ("log_bin_trust_function_creators", "ON"),
    // It goes by size: see `purge`.
    ("binlog_expire_logs_seconds", "0"),
    ("max_binlog_size", "33554432"),
    ("relay_log", RELAY_LOG),
    ("max_relay_log_size", "33554432"),
    // What one that does nothing of what it hears may take of the disk: it is copied anew then.
    ("relay_log_space_limit", "4294967296"),
    ("replica_net_timeout", "20"),
];
/// The settings of one that follows.
const FOLLOWING: &[(&str, &str)] = &[
    ("read_only", "ON"),
    ("super_read_only", "ON"),
    ("event_scheduler", "OFF"),
];

/// The settings of one that does what a log says: the numbers of its transactions are those of the log.
const REPLAYING: &[(&str, &str)] = &[
    ("gtid_mode", "ON"),
    ("enforce_gtid_consistency", "ON"),
    ("relay_log", RELAY_LOG),
    // It may have the number of the server whose log it is.
    ("replicate_same_server_id", "ON"),
    ("innodb_flush_log_at_trx_commit", "0"),
];

/// Whether a server logs what it commits, for others to follow or to be kept. One that did goes on: after a crash its log
/// decides what was committed.
///
/// # Errors
/// When its folder cannot be read.
pub(super) fn logs(home: &Home) -> Result<bool, EngineError> {
    Ok(home.replication.is_shared() || home.replication.is_logged || has_logged(home)?)
}

/// Whether a server has a log of what it committed.
///
/// # Errors
/// When its folder cannot be read.
pub(super) fn has_logged(home: &Home) -> Result<bool, EngineError> {
    let data = home.data();
    let found = Folder::open(&data).and_then(|data| data.has_file(LOGS));
    found.map_err(|source| EngineError::io("look into", data, source))
}

/// The name of a log by its number.
pub(super) fn log_name(number: u32) -> String {
    format!("{LOG}.{number:06}")
}

/// The number of a log by its name.
pub(super) fn log_number(name: &str) -> Option<u64> {
    name.strip_prefix(LOG)?.strip_prefix('.')?.parse().ok()
}

/// A log of what a server committed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LogFile {
    pub(super) number: u64,
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// The logs in a data folder, in their order.
///
/// # Errors
/// The system's.
pub(super) fn log_files(data: &Folder) -> io::Result<Vec<LogFile>> {
    let entries = data.entries()?.into_iter();
    let mut files: Vec<LogFile> = entries
        .filter_map(|entry| {
            Some(LogFile {
                number: log_number(&entry.name)?,
                bytes: u64::try_from(entry.stat.st_size).unwrap_or(0),
                name: entry.name,
            })
        })
        .collect();
    files.sort_unstable();
    Ok(files)
}

/// A server's number, another one than those of its cluster's others.
fn server_number(home: &Home) -> u32 {
    crc32c::crc32c(home.replication.name.as_bytes()).max(1)
}

/// The settings by which a server is to the others of its cluster what it is. Nothing that was chosen for it counts
/// for more. `has_source` says whether the one that it follows, if it does, is there.
///
/// # Errors
/// When its folder cannot be read.
pub(super) fn replicating(
    home: &Home,
    purpose: Purpose,
    has_source: bool,
) -> Result<Vec<(&'static str, String)>, EngineError> {
    let fixed = |settings: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
        let pairs = settings.iter();
        pairs
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect()
    };
    let has_log = match purpose {
        Purpose::Serve | Purpose::Confirm | Purpose::Alone => logs(home)?,
        // It goes on to serve. One that has others is started once more for them.
        Purpose::Recover => home.replication.is_logged && !home.replication.is_shared(),
        Purpose::Ask | Purpose::Replay => false,
    };
    let mut settings = match has_log {
        true => fixed(LOGGING),
        false => fixed(&[("skip_log_bin", "1")]),
    };
    settings.push(("server_id", server_number(home).to_string()));
    // A follower that crashed asks anew for what it had not come to, but where nobody is there to be asked: what it
    // heard may be all that is left of a commit.
    let asks_anew = match purpose {
        Purpose::Alone | Purpose::Replay => false,
        Purpose::Serve | Purpose::Confirm | Purpose::Recover | Purpose::Ask => has_source,
    };
    let asks_anew = if asks_anew { "ON" } else { "OFF" };
    settings.push(("relay_log_recovery", asks_anew.to_owned()));
    if purpose == Purpose::Replay {
        settings.extend(fixed(REPLAYING));
    }
    if purpose == Purpose::Alone || home.replication.upstream.is_some() {
        settings.extend(fixed(FOLLOWING));
    }
    Ok(settings)
}
