//! Commits that leave a mark, so that a lost answer can be asked for again.
//!
//! It does not know what is committed.
//!
//! A writer has a row of its own. The last statement of each of its transactions counts that row
//! up, and goes out in one message with the COMMIT. When the answer is lost, a new session reads
//! the row under its lock: the old number means that the commit did not happen. It then writes a
//! further number over it, so that the old session, should it still be on its way, fails on a row
//! that was changed after its transaction began. What the row says is what the server that is now
//! the primary has, so this holds after a failover too.
use tokio_postgres::SimpleQueryMessage;

use super::{
    clock::CLOCK,
    error::{SessionError, in_words},
    session::Session,
};

/// Rows of writers that have not committed for this long are forgotten, microseconds: 30 days.
const MEMORY_MICROS: i64 = 30 * 24 * 3_600 * 1_000_000;

/// One writer's row.
pub(super) struct CommitMarker {
    /// Drawn by the server when the writer first enters: hexadecimal digits.
    id: Option<String>,
    mark: i64,
}

impl CommitMarker {
    pub(super) fn new() -> Self {
        Self { id: None, mark: 0 }
    }

    /// Makes sure that there is a row. Called on each new session, outside of transactions.
    pub(super) fn enter(&mut self, session: &Session) -> Result<(), SessionError> {
        let id = match &self.id {
            Some(id) => id.clone(),
            None => session.one_text("SELECT replace(gen_random_uuid()::text, '-', '')")?,
        };
        if !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(SessionError::Lost(in_words("the server drew an odd id")));
        }
        session.simple(&format!(
            "DELETE FROM writers WHERE seen_at < ({CLOCK}) - {MEMORY_MICROS} AND id <> '{id}'; \
             INSERT INTO writers (id, mark, seen_at) VALUES ('{id}', {}, ({CLOCK})) \
             ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at",
            self.mark
        ))?;
        self.id = Some(id);
        Ok(())
    }

    fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }

    /// Commits. On `Conflict` and `Failed` it did not happen and the transaction is to be rolled
    /// back; on anything else that is to be found out.
    pub(super) fn commit(&mut self, session: &Session) -> Result<(), SessionError> {
        self.mark += 1;
        let answer = session.simple(&format!(
            "UPDATE writers SET mark = {}, seen_at = ({CLOCK}) WHERE id = '{}'; COMMIT",
            self.mark,
            self.id()
        ))?;
        let marked = matches!(answer.first(), Some(SimpleQueryMessage::CommandComplete(1)));
        if !marked {
            // Kept, but the next lost answer could not be asked for: the row is made anew.
            tracing::warn!("the catalog's row of this writer was gone");
            self.enter(session).or_else(|trouble| match trouble {
                // The commit has happened; the session shows its trouble at the next one.
                SessionError::Lost(_) => Ok(()),
                other => Err(SessionError::Unknown(in_words(other.told().to_string()))),
            })?;
        }
        Ok(())
    }

    /// Whether the last commit happened, asked on a new session; none when the row is gone.
    /// When it did not, it cannot happen any more.
    pub(super) fn happened(&mut self, session: &Session) -> Result<Option<bool>, SessionError> {
        let answer = session.simple(&format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; \
             SELECT mark FROM writers WHERE id = '{}' FOR UPDATE",
            self.id()
        ))?;
        let found = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse::<i64>().ok(),
            _ => None,
        });
        let Some(found) = found else {
            session.simple("ROLLBACK")?;
            return Ok(None);
        };
        if found == self.mark {
            session.simple("ROLLBACK")?;
            return Ok(Some(true));
        }
        // Also above what an earlier asking of this question wrote, should its answer be lost.
        let fence = found.max(self.mark) + 1;
        session.simple(&format!(
            "UPDATE writers SET mark = {fence} WHERE id = '{}'; COMMIT",
            self.id()
        ))?;
        self.mark = fence;
        Ok(Some(false))
    }

    /// Removes the row of a writer that ends.
    pub(super) fn forget(&self, session: Option<&Session>) {
        if let (Some(session), Some(id)) = (session, &self.id)
            && let Err(error) = session.simple(&format!("DELETE FROM writers WHERE id = '{id}'"))
        {
            tracing::debug!(?error, "a writer's row stays");
        }
    }
}
