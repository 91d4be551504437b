//! Tags of clusters, snapshots and keys.
use serde::{Deserialize, Serialize};

/// A tag: a key of 1 to 128 characters and a value of up to 256.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Unique on its resource.
    pub key: String,
    /// May be empty.
    pub value: String,
}

/// What is wrong with a list of tags.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// A key starts with a prefix that AWS keeps for itself.
    #[error("tag keys cannot start with the reserved prefix {0:?}")]
    Reserved(&'static str),
    /// A key's length is not 1 to 128.
    #[error("the tag key {0:?} does not have 1 to 128 characters")]
    KeyLength(String),
    /// A value's length is over 256.
    #[error("the value of the tag {0:?} has over 256 characters")]
    ValueLength(String),
    /// A character that tags cannot have.
    #[error(
        "the tag {0:?} has a character that is not a letter, a number, a space or one of _.:/=+-@"
    )]
    Character(String),
    /// More than 50 on one resource.
    #[error("a resource has at most {} tags", crate::limits::TAGS_MAX)]
    TooMany,
}

/// Whether a key or a value has only characters that tags can have.
pub fn is_legal(text: &str) -> bool {
    text.chars().all(|c| {
        c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || "_.:/=+-@".contains(c)
    })
}

/// Checks tags that a caller gave, by the rules of "Tagging Amazon RDS resources".
///
/// # Errors
/// The first rule that is broken.
pub fn validate(tags: &[Tag]) -> Result<(), TagError> {
    for tag in tags {
        for prefix in ["aws:", "rds:"] {
            if tag.key.to_ascii_lowercase().starts_with(prefix) {
                return Err(TagError::Reserved(prefix));
            }
        }
        let shown = || crate::limits::echo(&tag.key);
        if !(1..=128).contains(&tag.key.chars().count()) {
            return Err(TagError::KeyLength(shown()));
        }
        if 256 < tag.value.chars().count() {
            return Err(TagError::ValueLength(shown()));
        }
        if !is_legal(&tag.key) || !is_legal(&tag.value) {
            return Err(TagError::Character(shown()));
        }
    }
    Ok(())
}

/// Lays `added` over `tags`: the same key is replaced in place, a new one goes to the end.
///
/// # Errors
/// When the result would have more than 50.
pub fn merge(tags: &mut Vec<Tag>, added: &[Tag]) -> Result<(), TagError> {
    let mut merged = tags.clone();
    for tag in added {
        match merged.iter_mut().find(|old| old.key == tag.key) {
            Some(old) => old.value.clone_from(&tag.value),
            None => merged.push(tag.clone()),
        }
    }
    if crate::limits::TAGS_MAX < merged.len() {
        return Err(TagError::TooMany);
    }
    *tags = merged;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> Tag {
        Tag {
            key: key.to_owned(),
            value: value.to_owned(),
        }
    }

    #[test]
    fn rules_hold() {
        assert_eq!(validate(&[tag("a b", ""), tag("é_.:/=+-@", "x")]), Ok(()));
        assert_eq!(
            validate(&[tag("aws:x", "")]),
            Err(TagError::Reserved("aws:"))
        );
        assert_eq!(
            validate(&[tag("", "")]),
            Err(TagError::KeyLength(String::new()))
        );
        assert!(matches!(
            validate(&[tag("k", &"v".repeat(257))]),
            Err(TagError::ValueLength(_))
        ));
        assert!(matches!(
            validate(&[tag("k", "a\u{1}")]),
            Err(TagError::Character(_))
        ));
    }

    #[test]
    fn the_later_value_wins_and_fifty_is_the_end() {
        let mut tags = vec![tag("a", "1")];
        merge(&mut tags, &[tag("a", "2"), tag("b", "3")]).expect("fits");
        assert_eq!(tags, [tag("a", "2"), tag("b", "3")]);
        let many: Vec<Tag> = (0..49).map(|i| tag(&format!("k{i}"), "")).collect();
        assert_eq!(merge(&mut tags, &many), Err(TagError::TooMany));
        assert_eq!(tags.len(), 2);
    }
}
