//! Where a catalog is, and the name of a node in it.
use std::{fmt, str::FromStr};

use serde::Deserialize;

/// The longest name of a node.
const NAME_CHARS_MAX: usize = 63;

/// A text names no catalog, or no node.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CatalogPlaceError {
    /// Not a URL of a catalog.
    #[error("a catalog's URL begins with postgres://")]
    NoUrl,
    /// Not a node's name.
    #[error("a node's name has 1 to 63 letters, digits, dots, dashes and underscores")]
    NodeName,
}

/// A `postgres://` URL, which may hold a password: shown nowhere.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct CatalogUrl(pub(crate) String);

impl fmt::Debug for CatalogUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a postgres:// URL")
    }
}

impl FromStr for CatalogUrl {
    type Err = CatalogPlaceError;

    fn from_str(text: &str) -> Result<Self, CatalogPlaceError> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            Ok(Self(text.to_owned()))
        } else {
            Err(CatalogPlaceError::NoUrl)
        }
    }
}

impl TryFrom<String> for CatalogUrl {
    type Error = CatalogPlaceError;

    fn try_from(text: String) -> Result<Self, CatalogPlaceError> {
        text.parse()
    }
}

/// A node's name: it is part of its leases' owner names, so a slash is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct NodeName(pub(crate) String);

impl FromStr for NodeName {
    type Err = CatalogPlaceError;

    fn from_str(text: &str) -> Result<Self, CatalogPlaceError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if !text.is_empty() && text.len() <= NAME_CHARS_MAX && text.bytes().all(legal) {
            Ok(Self(text.to_owned()))
        } else {
            Err(CatalogPlaceError::NodeName)
        }
    }
}

impl TryFrom<String> for NodeName {
    type Error = CatalogPlaceError;

    fn try_from(text: String) -> Result<Self, CatalogPlaceError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_urls_have_their_form() {
        for name in ["a", "node-1.example_x"] {
            assert!(name.parse::<NodeName>().is_ok(), "{name}");
        }
        for name in ["", "a/b", "a b", &"x".repeat(64)] {
            assert!(name.parse::<NodeName>().is_err(), "{name}");
        }
        assert!("mysql://x".parse::<CatalogUrl>().is_err());
        let url: CatalogUrl = "postgres://a:hush@b/c".parse().expect("a URL");
        assert!(!format!("{url:?}").contains("hush"));
    }
}
