//! Keeps the logs of what a server committed within their bounds.
//!
//! It does not know what others still need of them: one that lacks more is copied anew.
use super::{
    quoted::quoted_text,
    replicating::{has_logged, log_number},
    session::Session,
};
use crate::{blocking::blocking, error::EngineError, folder::Folder, home::Home};

/// Bytes of logs that a server keeps when its cluster has others, and without them.
const KEPT_BYTES_MAX: u64 = 1 << 30;
const KEPT_ALONE_BYTES_MAX: u64 = 64 << 20;

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
    let logs = blocking(move || list(&at)).await?;
    let Some(first) = first_kept(&logs, most) else {
        return Ok(());
    };
    let mut session = Session::open(home).await?;
    let purge = format!("PURGE BINARY LOGS TO {}", quoted_text(first));
    if let Err(error) = session.run("delete its oldest logs", &purge).await {
        // While a dump is read, for example.
        tracing::debug!(home = %home.dir.display(), %error, "the server does not delete its oldest logs now");
    }
    session.close().await;
    Ok(())
}

/// The logs in their order, with their sizes.
fn list(home: &Home) -> Result<Vec<(String, u64)>, EngineError> {
    let data = home.data();
    let failed = |source| EngineError::io("look into", &data, source);
    let entries = Folder::open(&data).and_then(|folder| folder.entries());
    let mut logs = Vec::new();
    for entry in entries.map_err(failed)? {
        let bytes = u64::try_from(entry.stat.st_size).unwrap_or(0);
        logs.extend(log_number(&entry.name).map(|number| (number, entry.name, bytes)));
    }
    logs.sort_unstable();
    let logs = logs.into_iter();
    Ok(logs.map(|(_, name, bytes)| (name, bytes)).collect())
}

/// The oldest log that stays, when some go. The one that is written to always stays.
fn first_kept(logs: &[(String, u64)], most: u64) -> Option<&str> {
    let mut bytes = 0_u64;
    let mut kept = logs.iter().rev().take_while(|(_, size)| {
        let fits = bytes == 0 || bytes + size <= most;
        bytes += size;
        fits
    });
    let (first, count) = (kept.by_ref().last(), logs.len());
    first
        .map(|(name, _)| name.as_str())
        .filter(|name| count != 0 && logs[0].0 != *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_logs_go_and_the_latest_stays() {
        let logs = |sizes: &[u64]| -> Vec<(String, u64)> {
            let named = (1..).zip(sizes);
            named
                .map(|(number, size)| (format!("binlog.{number:06}"), *size))
                .collect()
        };
        for (sizes, expected) in [
            (&[][..], None),
            (&[900], None),
            (&[40, 40], None),
            (&[40, 40, 40], Some("binlog.000002")),
            (&[10, 90, 11], Some("binlog.000003")),
            (&[10, 900], Some("binlog.000002")),
        ] {
            let logs = logs(sizes);
            assert_eq!(first_kept(&logs, 100), expected, "{sizes:?}");
        }
    }
}
