//! The mark of a server that has left its writer on another node: it does not follow that one again, nor
//! one before it, whoever starts it.
//!
//! It does not know why it left.
use crate::{error::EngineError, home::Home, hosting::mark::Mark};

/// Holds the term of the last writer that the server has left.
const LEFT: Mark = Mark("left");

/// The term of the last writer that the server has left for good; none when it left none. Blocks.
///
/// # Errors
/// When that cannot be read.
pub(super) fn last(home: &Home) -> Result<Option<u64>, EngineError> {
    let text = LEFT.read(home)?;
    // One that is no number follows nobody.
    Ok(text.map(|text| text.trim().parse().unwrap_or(u64::MAX)))
}

/// Notes, durably, that the server follows the writer of that term, and those before it, no more.
///
/// # Errors
/// When it cannot be written.
pub(super) async fn note(home: &Home, term: u64) -> Result<(), EngineError> {
    let text = LEFT.text(home).await?;
    let last: Option<u64> = text.and_then(|text| text.trim().parse().ok());
    match last {
        Some(last) if term <= last => Ok(()),
        _ => LEFT.set(home, &term.to_string()).await,
    }
}
