//! Tags as AWS Backup spells them: a map of keys and values.
use std::collections::BTreeMap;

use model::{
    Tag,
    tag::{self, TagError},
};

use super::faults::{invalid, limit};
use service::fault::Fault;

/// Tags by their keys.
pub(crate) type TagMap = BTreeMap<String, String>;

/// Reads the tags that a caller gave.
///
/// # Errors
/// `InvalidParameterValueException` with the rule that is broken; `LimitExceededException`.
pub(crate) fn records(given: &TagMap) -> Result<Vec<Tag>, Fault> {
    let tags = given.iter().map(|(key, value)| Tag {
        key: key.clone(),
        value: value.clone(),
    });
    let tags: Vec<Tag> = tags.collect();
    tag::validate(&tags).map_err(fault)?;
    let mut records = Vec::new();
    merge(&mut records, &tags)?;
    Ok(records)
}

/// Lays tags over others.
///
/// # Errors
/// `LimitExceededException`.
pub(crate) fn merge(tags: &mut Vec<Tag>, added: &[Tag]) -> Result<(), Fault> {
    tag::merge(tags, added).map_err(fault)
}

/// The tags of a record.
pub(crate) fn map(tags: &[Tag]) -> TagMap {
    let pairs = tags.iter();
    pairs
        .map(|tag| (tag.key.clone(), tag.value.clone()))
        .collect()
}

fn fault(error: TagError) -> Fault {
    let mut text = error.to_string();
    text[..1].make_ascii_uppercase();
    let message = text + ".";
    match error {
        TagError::TooMany => limit("Tags", message),
        _ => invalid("Tags", message),
    }
}
