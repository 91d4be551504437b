//! Where a follower reads on in what it heard.
//!
//! It does not know what it is to do with it.
use super::super::{quoted::quoted_text, replicating::RELAY_LOG, session::Session};
use crate::{error::EngineError, folder::Folder, home::Home};

/// Has a server whose follower is stopped read what it heard from the first log that is there. After a start that
/// asked anew it would read on behind all of them. Transactions that it has it passes over.
///
/// # Errors
/// When its folder cannot be read; what the server answers.
pub(super) async fn read_from_first(session: &mut Session, home: &Home) -> Result<(), EngineError> {
    let Some(first) = first_log(home)? else {
        return Ok(());
    };
    let doing = "read what it heard once more";
    session.run(doing, "STOP REPLICA SQL_THREAD").await?;
    let change = format!(
        "CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION = 0, RELAY_LOG_FILE = {}, RELAY_LOG_POS = 4",
        quoted_text(&first)
    );
    session.run(doing, &change).await?;
    session.run(doing, "START REPLICA SQL_THREAD").await
}

fn first_log(home: &Home) -> Result<Option<String>, EngineError> {
    let data = home.data();
    let entries = Folder::open(&data)
        .and_then(|folder| folder.entries())
        .map_err(|source| EngineError::io("read the folder", &data, source))?;
    let number = |name: &str| -> Option<u64> {
        let rest = name.strip_prefix(RELAY_LOG)?.strip_prefix('.')?;
        rest.parse().ok()
    };
    let numbered = entries
        .into_iter()
        .filter_map(|entry| Some((number(&entry.name)?, entry.name)));
    Ok(numbered.min().map(|(_, name)| name))
}
