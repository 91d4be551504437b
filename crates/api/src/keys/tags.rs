//! Tags as KMS spells and checks them.
//!
//! Source: the AWS KMS API reference.
use std::collections::HashSet;

use serde::Serialize;

use super::checks::bound;
use service::fault::{Code, Fault};

/// A tag's key and value, characters at most.
const TAG_KEY_CHARS_MAX: usize = 128;
const TAG_VALUE_CHARS_MAX: usize = 256;

/// Tags as KMS spells them.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct KmsTag {
    tag_key: String,
    #[serde(default)]
    tag_value: String,
}

/// A tag in an answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ShownTag {
    tag_key: String,
    tag_value: String,
}

impl ShownTag {
    pub(crate) fn of(tag: &model::Tag) -> Self {
        Self {
            tag_key: tag.key.clone(),
            tag_value: tag.value.clone(),
        }
    }
}

/// Checks tags that a caller gave: lengths as the model has them, the rest as KMS has it, whose
/// only reserved prefix is `aws:`.
pub(crate) fn tags(given: &[KmsTag]) -> Result<Vec<model::Tag>, Fault> {
    let wrong = |message: &'static str| Err(Fault::new(Code::KmsTag, message));
    let mut seen = HashSet::new();
    for (number, KmsTag { tag_key, tag_value }) in (1..).zip(given) {
        let member = |name: &str| format!("tags.{number}.member.{name}");
        let at_most = |most: usize| format!("have length less than or equal to {most}");
        if tag_key.is_empty() {
            let rule = "have length greater than or equal to 1";
            return Err(bound(tag_key, &member("tagKey"), rule));
        }
        if TAG_KEY_CHARS_MAX < tag_key.chars().count() {
            let rule = at_most(TAG_KEY_CHARS_MAX);
            return Err(bound(tag_key, &member("tagKey"), &rule));
        }
        if TAG_VALUE_CHARS_MAX < tag_value.chars().count() {
            let rule = at_most(TAG_VALUE_CHARS_MAX);
            return Err(bound(tag_value, &member("tagValue"), &rule));
        }
        if tag_key.to_ascii_lowercase().starts_with("aws:") {
            return wrong("Tags beginning with aws: are reserved");
        }
        if !model::tag::is_legal(tag_key) || !model::tag::is_legal(tag_value) {
            return wrong("The tag has a character that tags cannot have");
        }
        if !seen.insert(tag_key) {
            return wrong("Duplicate tag keys");
        }
    }
    if model::limits::TAGS_MAX < given.len() {
        return wrong("Too many tags");
    }
    let tag = |tag: &KmsTag| model::Tag {
        key: tag.tag_key.clone(),
        value: tag.tag_value.clone(),
    };
    Ok(given.iter().map(tag).collect())
}
