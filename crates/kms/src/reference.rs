//! How callers name keys: by id, key ARN, alias name or alias ARN.
//!
//! It does not know which keys exist. Source: "Key identifiers (KeyId)", AWS KMS Developer Guide.
use std::fmt;

use model::{Account, Arn, ArnKind, Region, limits::echo};

/// An alias's prefix.
const ALIAS: &str = "alias/";
/// The prefix of aliases that belong to services.
const RESERVED: &str = "alias/aws/";
/// An alias's length at most, its prefix included.
const ALIAS_BYTES_MAX: usize = 256;

/// A key as a caller named it, with the account and region it is to be looked for in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyRef {
    /// By its id.
    Id {
        /// Where to look.
        region: Region,
        /// Whose it is.
        account: Account,
        /// A UUID, or `mrk-` and 32 digits.
        id: String,
    },
    /// By an alias.
    Alias {
        /// Where to look.
        region: Region,
        /// Whose it is.
        account: Account,
        /// With its prefix, `alias/…`.
        name: String,
    },
}

/// Why a text names no key. Texts are cut to what may be echoed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefError {
    /// Neither an id nor an alias.
    #[error("invalid key id {0:?}")]
    Id(String),
    /// Begins as an ARN, but is no key's or alias's.
    #[error("invalid ARN {0:?}")]
    Arn(String),
}

/// Why a text cannot be an alias's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AliasError {
    /// It lacks the prefix.
    #[error("an alias begins with \"alias/\"")]
    Prefix,
    /// It is empty behind its prefix, or too long.
    #[error("an alias has 1 to 250 characters behind \"alias/\"")]
    Length,
    /// It has a character that aliases cannot have.
    #[error("an alias has only letters, digits, \"/\", \"_\" and \"-\"")]
    Character,
    /// The prefix is kept for services.
    #[error("aliases that begin with \"alias/aws/\" are reserved")]
    Reserved,
}

impl KeyRef {
    /// Reads any of the four forms. An id or alias name means the caller's own account and the
    /// region that was asked; an ARN says both itself.
    ///
    /// # Errors
    /// When it is none of the four.
    pub fn parse(text: &str, caller: &Account, region: &Region) -> Result<Self, KeyRefError> {
        let shown = || echo(text);
        if text.starts_with("arn:") {
            let arn = Arn::parse(text).map_err(|_| KeyRefError::Arn(shown()))?;
            return Self::from_arn(&arn).ok_or_else(|| KeyRefError::Arn(shown()));
        }
        let (region, account) = (region.clone(), caller.clone());
        if is_alias(text) {
            Ok(Self::Alias {
                region,
                account,
                name: text.to_owned(),
            })
        } else if is_id(text) {
            Ok(Self::Id {
                region,
                account,
                id: text.to_owned(),
            })
        } else {
            Err(KeyRefError::Id(shown()))
        }
    }

    /// The key or alias that an ARN names.
    pub fn from_arn(arn: &Arn) -> Option<Self> {
        let (region, account) = (arn.region.clone(), arn.account.clone());
        if let Some(key) = arn.locate(ArnKind::Key) {
            return is_id(key.name).then(|| Self::Id {
                region,
                account,
                id: key.name.to_owned(),
            });
        }
        let name = format!("{ALIAS}{}", arn.locate(ArnKind::Alias)?.name);
        is_alias(&name).then_some(Self::Alias {
            region,
            account,
            name,
        })
    }

    /// Where to look.
    pub fn region(&self) -> &Region {
        match self {
            Self::Id { region, .. } | Self::Alias { region, .. } => region,
        }
    }

    /// Whose it is.
    pub fn account(&self) -> &Account {
        match self {
            Self::Id { account, .. } | Self::Alias { account, .. } => account,
        }
    }

    /// `arn:…:key/…` or `arn:…:alias/…`.
    pub fn arn(&self) -> Arn {
        match self {
            Self::Id {
                region,
                account,
                id,
            } => Arn::kms(region, account, &format!("key/{id}")),
            Self::Alias {
                region,
                account,
                name,
            } => Arn::kms(region, account, name),
        }
    }
}

impl fmt::Display for KeyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.arn().fmt(f)
    }
}

/// Checks the name of an alias that a caller wants to make, change or delete.
///
/// # Errors
/// The rule that is broken.
pub fn check_alias(name: &str) -> Result<(), AliasError> {
    let tail = name.strip_prefix(ALIAS).ok_or(AliasError::Prefix)?;
    if tail.is_empty() || ALIAS_BYTES_MAX < name.len() {
        return Err(AliasError::Length);
    }
    if !tail
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-'))
    {
        return Err(AliasError::Character);
    }
    if name.starts_with(RESERVED) {
        return Err(AliasError::Reserved);
    }
    Ok(())
}

fn is_alias(text: &str) -> bool {
    matches!(check_alias(text), Ok(()) | Err(AliasError::Reserved))
}

fn is_id(text: &str) -> bool {
    let hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if let Some(digits) = text.strip_prefix("mrk-") {
        return digits.len() == 32 && hex(digits);
    }
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.split('-').all(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

    fn parse(text: &str) -> Result<KeyRef, KeyRefError> {
        let account = "111122223333".parse().expect("legal");
        let region = "us-east-1".parse().expect("legal");
        KeyRef::parse(text, &account, &region)
    }

    #[test]
    fn four_forms_are_read() {
        let key = parse(ID).expect("legal");
        assert_eq!(
            key.to_string(),
            format!("arn:aws:kms:us-east-1:111122223333:key/{ID}")
        );
        let alias = parse("alias/aws/rds").expect("legal");
        assert_eq!(
            alias.to_string(),
            "arn:aws:kms:us-east-1:111122223333:alias/aws/rds"
        );
        for other in [
            &format!("arn:aws:kms:eu-west-1:444455556666:key/{ID}"),
            "arn:aws:kms:eu-west-1:444455556666:alias/team/rds-key_1",
            "arn:aws:kms:eu-west-1:444455556666:key/mrk-1234abcd12ab34cd56ef1234567890ab",
        ] {
            let read = parse(other).expect("legal");
            assert_eq!(read.to_string(), *other);
            assert_eq!(read.account().as_str(), "444455556666");
            assert_eq!(read.region().as_str(), "eu-west-1");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for wrong in [
            "",
            "x",
            "alias/",
            "alias/a b",
            "key/x",
            "1234ABCD-12ab-34cd-56ef-1234567890ab",
            "../etc",
        ] {
            assert_eq!(parse(wrong), Err(KeyRefError::Id(wrong.to_owned())));
        }
        for wrong in [
            "arn:aws:rds:us-east-1:111122223333:key/x",
            "arn:aws:kms:us-east-1:111122223333:key/../x",
            "arn:aws:kms:us-east-1:111122223333:grant/x",
            "arn:aws-cn:kms:us-east-1:111122223333:alias/x",
            "arn:aws:kms:us-east-1::alias/x",
        ] {
            assert_eq!(parse(wrong), Err(KeyRefError::Arn(wrong.to_owned())));
        }
        let long = format!("alias/{}", "a".repeat(251));
        assert!(parse(&long).is_err());
    }

    #[test]
    fn aliases_of_services_are_reserved() {
        assert_eq!(check_alias("alias/rds"), Ok(()));
        assert_eq!(check_alias("alias/aws/rds"), Err(AliasError::Reserved));
        assert_eq!(check_alias("rds"), Err(AliasError::Prefix));
        assert_eq!(check_alias("alias/"), Err(AliasError::Length));
        assert_eq!(check_alias("alias/a:b"), Err(AliasError::Character));
    }
}
