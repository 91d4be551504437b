//! The mark of a server whose writes another one takes: it is not started as a writer while the mark
//! is there, whoever asks, and whatever they knew before.
//!
//! It does not know who takes them.
use std::time::Duration;

use super::{hold::Hold, mark::Mark, processes::ServerKind, whole::is_whole};
use crate::{error::EngineError, home::Home};

/// Says what was said when the server was fenced.
pub(crate) const FENCED: Mark = Mark("fenced");

impl ServerKind {
    /// Marks the server, durably, and ends it. A start that is under way ends it with it.
    ///
    /// # Errors
    /// As [`crate::Engine::fence`].
    pub(crate) async fn fence(
        &'static self,
        home: &Home,
        token: &str,
        patience: Duration,
    ) -> Result<(), EngineError> {
        FENCED.set(home, token).await?;
        self.end(home, patience).await?;
        if let Some(_held) = Hold::take_if_there(home).await? {
            // A start that held the lock meanwhile may have got to its process.
            self.end(home, Duration::ZERO).await?;
            self.check_ended(home)?;
        }
        Ok(())
    }

    /// Holds a server that is to take writes, and takes its mark away. `fenced` took them before, and has
    /// ended.
    ///
    /// # Errors
    /// As [`crate::Engine::promote`].
    pub(crate) async fn hold_to_promote(
        &self,
        home: &Home,
        fenced: Option<&Home>,
    ) -> Result<Hold, EngineError> {
        if !is_whole(home)? {
            return Err(EngineError::NotWhole {
                home: home.dir.clone(),
            });
        }
        let held = Hold::take(home).await?;
        if let Some(fenced) = fenced {
            self.check_ended(fenced)?;
        }
        FENCED.clear(home).await?;
        Ok(held)
    }
}

/// Takes the mark away that has this token.
///
/// # Errors
/// As [`crate::Engine::unfence`].
pub(crate) async fn unfence(home: &Home, token: &str) -> Result<(), EngineError> {
    match FENCED.text(home).await? {
        Some(found) if found == token => FENCED.clear(home).await,
        _ => Ok(()),
    }
}
