//! `Tag`, as RDS spells it; the rules are in `model::tag`.
use model::tag::{self, TagError};
use serde::{Deserialize, Serialize};

use service::fault::Fault;

/// A tag in a request or an answer.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    key: String,
    value: Option<String>,
}

impl Tag {
    /// A record's tag.
    pub fn of(record: &model::Tag) -> Self {
        Self {
            key: record.key.clone(),
            value: Some(record.value.clone()),
        }
    }
}

/// Reads the tags that a caller gave for a new resource: later values win over earlier ones.
///
/// # Errors
/// `InvalidParameterValue` with the rule that is broken.
pub fn to_records(tags: &[Tag]) -> Result<Vec<model::Tag>, Fault> {
    let given: Vec<model::Tag> = tags
        .iter()
        .map(|tag| model::Tag {
            key: tag.key.clone(),
            value: tag.value.clone().unwrap_or_default(),
        })
        .collect();
    tag::validate(&given).map_err(fault)?;
    let mut records = Vec::with_capacity(given.len());
    tag::merge(&mut records, &given).map_err(fault)?;
    Ok(records)
}

/// What a caller is told of a broken tag rule.
pub fn fault(error: TagError) -> Fault {
    match error {
        TagError::Reserved(prefix) => Fault::value(format!(
            "Tag keys cannot start with the reserved prefix \"{prefix}\"."
        )),
        other => {
            let mut text = other.to_string();
            text[..1].make_ascii_uppercase();
            Fault::value(text + ".")
        }
    }
}
