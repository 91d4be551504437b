//! The events of a cluster's databases that its followers switched off as they came to know them.
//!
//! It does not know what they do.
use super::super::{
    quoted::{quoted_name, quoted_text},
    session::Session,
};
use crate::error::EngineError;

/// Those that are off because a follower made them, and what an event keeps of the session that made it.
const OFF: &str = "SELECT EVENT_SCHEMA, EVENT_NAME, DEFINER, SQL_MODE, TIME_ZONE, CHARACTER_SET_CLIENT, \
    COLLATION_CONNECTION FROM information_schema.EVENTS \
    WHERE STATUS IN ('REPLICA_SIDE_DISABLED', 'SLAVESIDE_DISABLED')";

/// Switches them on, as they were made; one that cannot be is told of and left off. The session is good
/// for nothing else from here on.
///
/// # Errors
/// When they cannot be listed.
pub(in crate::mysql) async fn switch_on(mut session: Session) -> Result<(), EngineError> {
    let doing = "switch its events on";
    let events = session.rows(doing, OFF).await?;
    session.run(doing, "SET SESSION sql_log_bin = 0").await?;
    for event in events {
        let Ok([database, name, definer, mode, zone, characters, collation]) =
            <[Option<String>; 7]>::try_from(event)
        else {
            continue;
        };
        let of = |cell: Option<String>| cell.unwrap_or_default();
        let definer = of(definer);
        let (user, host) = definer.rsplit_once('@').unwrap_or((&definer, "%"));
        let (database, name) = (of(database), of(name));
        let characters = of(characters);
        // The server reads the statement by this: names that are more than ASCII would be others.
        let is_plain = [user, host, &database, &name]
            .iter()
            .all(|part| part.is_ascii());
        let characters = if is_plain { &characters } else { "utf8mb4" };
        let alike = format!(
            "SET SESSION character_set_client = {}, collation_connection = {}, time_zone = {}, sql_mode = {}",
            quoted_text(characters),
            quoted_text(&of(collation)),
            quoted_text(&of(zone)),
            quoted_text(&of(mode)),
        );
        let switch = format!(
            "ALTER DEFINER = {}@{} EVENT {}.{} ENABLE",
            quoted_name(user),
            quoted_name(host),
            quoted_name(&database),
            quoted_name(&name),
        );
        for statement in [&alike, &switch] {
            if let Err(error) = session.run(doing, statement).await {
                tracing::warn!(%error, database, name, "an event stays off");
                break;
            }
        }
    }
    session.close().await;
    Ok(())
}
