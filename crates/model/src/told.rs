//! What an account may read of a failure.
//!
//! The host's paths, a server's log, addresses and what is another account's never reach it:
//! there is no way to make a [`Told`] of a text that was put together where something failed.
//! The whole story goes to the operator's log.
use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

/// Words for the account that something failed for. Reading one back is for the catalog alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Told(Cow<'static, str>);

impl Told {
    /// For what the account can do nothing about.
    pub const INTERNAL: Self = Self::new("an internal failure, which the operator's log describes");

    /// A cause in words, without a full stop.
    pub const fn new(words: &'static str) -> Self {
        Self(Cow::Borrowed(words))
    }

    /// A cause whose parts are fixed words, with a space between them.
    pub fn of(words: &[&'static str]) -> Self {
        Self(Cow::Owned(words.join(" ")))
    }

    /// A text that accounts are answered anyway, such as the message of a fault.
    pub fn answered(text: impl Into<Cow<'static, str>>) -> Self {
        Self(text.into())
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
