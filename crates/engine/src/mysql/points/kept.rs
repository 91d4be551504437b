//! From which log on a server keeps what it committed, for whoever reads it on and on.
//!
//! It does not know who that is. A mark in the home's folder says it: the log's number, and a number by which that
//! log can be told from another of its name.
use crate::{error::EngineError, home::Home, hosting::mark::Mark};

/// Says from which log on they are kept.
pub(in crate::mysql) const KEPT: Mark = Mark("log_kept");

/// From which log on they are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mysql) struct Kept {
    /// The log's number.
    pub(in crate::mysql) number: u32,
    /// Of how it begins.
    pub(super) beginning: u32,
}

impl Kept {
    /// What a home's mark says; none where nobody reads its logs. Blocks.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(in crate::mysql) fn of(home: &Home) -> Result<Option<Self>, EngineError> {
        Ok(KEPT.read(home)?.as_deref().and_then(Self::parse))
    }

    /// Writes the mark.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) async fn set(self, home: &Home) -> Result<(), EngineError> {
        KEPT.set(home, &format!("{} {:08x}", self.number, self.beginning))
            .await
    }

    fn parse(text: &str) -> Option<Self> {
        let (number, beginning) = text.trim().split_once(' ')?;
        Some(Self {
            number: number.parse().ok()?,
            beginning: u32::from_str_radix(beginning, 16).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_says_a_log_or_nothing() {
        let kept = |number, beginning| Some(Kept { number, beginning });
        assert_eq!(Kept::parse("12 0000beef"), kept(12, 0xBEEF));
        for odd in ["", "12", "x 1", "12 xyz"] {
            assert_eq!(Kept::parse(odd), None, "{odd}");
        }
    }
}
