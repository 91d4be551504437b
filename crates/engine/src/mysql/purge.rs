//! Keeps the logs of what a server committed within their bounds.
//!
//! It does not know what others still need of them: a follower that lacks more is copied anew. What is read on and on
//! to be kept elsewhere goes once it is there, or when it is far too much.
use super::{
    points::kept::Kept,
    quoted::quoted_text,
    replicating::{LogFile, has_logged, log_files},
    session::Session,
};
use crate::{blocking::blocking, error::EngineError, folder::Folder, home::Home};

/// Bytes of logs that a server keeps when its cluster has others, and without them.
const KEPT_BYTES_MAX: u64 = 1 << 30;
const KEPT_ALONE_BYTES_MAX: u64 = 64 << 20;
/// The same of logs that are not kept elsewhere yet, though they are to be.
const UNKEPT_BYTES_MAX: u64 = 32 << 30;
/// Seconds that a deletion waits for a dump, which forbids it.
const LOCK_WAIT_SECS: u8 = 1;

/// Has the server delete its oldest logs where it has more than it may.
///
/// # Errors
/// When they cannot be listed; what the server answers.
pub(super) async fn purge(home: &Home) -> Result<(), EngineError> {
    let most = match home.replication.is_shared() {
        true => KEPT_BYTES_MAX,
        false => KEPT_ALONE_BYTES_MAX,
    };
    if !has_logged(home)? {
        return Ok(());
    }
    let at = home.clone();
    let listed = blocking(move || {
        let data = at.data();
        let listed = Folder::open(&data).and_then(|folder| log_files(&folder));
        listed.map_err(|source| EngineError::io("look into", data, source))
    });
    let logs = listed.await?;
    let at = home.clone();
    let kept = blocking(move || Kept::of(&at)).await?;
    let Some(first) = first_kept(&logs, most, kept.map(|kept| u64::from(kept.number))) else {
        return Ok(());
    };
    let mut session = Session::open(home).await?;
    // The look that this is part of sees to the server: it is not held up by a dump. The next one tries again.
    let bound = format!("SET SESSION lock_wait_timeout = {LOCK_WAIT_SECS}");
    session.run("bound a session", &bound).await?;
    let purge = format!("PURGE BINARY LOGS TO {}", quoted_text(first));
    if let Err(error) = session.run("delete its oldest logs", &purge).await {
        // While a dump is read, for example.
        tracing::debug!(home = %home.dir.display(), %error, "the server does not delete its oldest logs now");
    }
    session.close().await;
    Ok(())
}

/// The oldest log that stays, when some go. `read_from` is the first one that is not kept elsewhere yet.
fn first_kept(logs: &[LogFile], most: u64, read_from: Option<u64>) -> Option<&str> {
    let unkept = read_from.map_or(0, |first| {
        let unkept = logs.iter().filter(|log| first <= log.number);
        unkept.map(|log| log.bytes).sum()
    });
    match unkept <= UNKEPT_BYTES_MAX {
        true => first_within(logs, most.max(unkept)),
        false => first_within(logs, UNKEPT_BYTES_MAX),
    }
}

/// The oldest of the last logs that are not more than so many bytes, when some are. The one that is written to always
/// stays.
fn first_within(logs: &[LogFile], most: u64) -> Option<&str> {
    let mut bytes = 0_u64;
    let kept = logs.iter().rev().take_while(|log| {
        let fits = bytes == 0 || bytes + log.bytes <= most;
        bytes += log.bytes;
        fits
    });
    let first = kept.last().map(|log| log.name.as_str());
    first.filter(|name| logs.first().is_some_and(|oldest| oldest.name != *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(sizes: &[u64]) -> Vec<LogFile> {
        let named = (1..).zip(sizes);
        named
            .map(|(number, bytes)| LogFile {
                number,
                name: format!("binlog.{number:06}"),
                bytes: *bytes,
            })
            .collect()
    }

    #[test]
    fn logs_that_are_not_kept_elsewhere_stay() {
        let small = logs(&[40, 40, 40, 40]);
        let first = |read_from| first_kept(&small, 50, Some(read_from));
        assert_eq!(first(1), None);
        assert_eq!(first(2), Some("binlog.000002"));
        assert_eq!(first(4), Some("binlog.000004"));
        // Nothing more than the disk may take.
        let large = logs(&[UNKEPT_BYTES_MAX / 2, UNKEPT_BYTES_MAX / 2, 1]);
        assert_eq!(first_kept(&large, 50, Some(1)), Some("binlog.000002"));
    }

    #[test]
    fn the_oldest_logs_go_and_the_latest_stays() {
        for (sizes, expected) in [
            (&[][..], None),
            (&[900], None),
            (&[40, 40], None),
            (&[40, 40, 40], Some("binlog.000002")),
            (&[10, 90, 11], Some("binlog.000003")),
            (&[10, 900], Some("binlog.000002")),
        ] {
            let logs = logs(sizes);
            assert_eq!(first_kept(&logs, 100, None), expected, "{sizes:?}");
        }
    }
}
