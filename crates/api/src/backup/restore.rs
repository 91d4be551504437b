//! Restore metadata: what AWS Backup tells of a recovery point, and takes for its restore.
//!
//! All of it is texts by name. People give lists bare, with commas or as JSON, and names in any case:
//! all are read.
use std::collections::BTreeMap;

use model::{Arn, Snapshot};
use serde_json::{Map, Value};

use super::faults::{invalid, shown};
use service::fault::Fault;

/// Metadata by name.
pub(crate) type Metadata = BTreeMap<String, String>;

/// What a restore of a snapshot is given if nothing else is said.
pub(crate) fn metadata_of(snapshot: &Snapshot) -> Metadata {
    let zones = serde_json::to_string(&snapshot.availability_zones);
    let mut found = Metadata::from([
        (
            "DBClusterIdentifier".to_owned(),
            snapshot.cluster_name.to_string(),
        ),
        ("Engine".to_owned(), snapshot.engine.clone()),
        ("EngineVersion".to_owned(), snapshot.engine_version.clone()),
        ("EngineMode".to_owned(), snapshot.engine_mode.clone()),
        (
            "AvailabilityZones".to_owned(),
            zones.expect("texts serialize"),
        ),
        (
            "StorageEncrypted".to_owned(),
            snapshot.storage_encrypted.to_string(),
        ),
    ]);
    if let Some(port) = snapshot.cluster_port {
        found.insert("Port".to_owned(), port.to_string());
    }
    if let Some(key) = &snapshot.kms_key {
        found.insert("KmsKeyId".to_owned(), Arn::to_string(key));
    }
    found
}

/// What a restore for a test is told, but for the cluster's name: all but its source's port, which that
/// may have still.
pub(crate) fn inferred(snapshot: &Snapshot) -> Metadata {
    let mut found = metadata_of(snapshot);
    for name in ["DBClusterIdentifier", "Port", TOLD] {
        found.remove(name);
    }
    found
}

/// What is told and cannot be chosen.
const TOLD: &str = "StorageEncrypted";

/// The members of the request of RDS that metadata gives, as JSON. `schema` is that of the request: its
/// members are what may be given.
///
/// # Errors
/// `InvalidParameterValueException` for what is no member, or does not read as one.
pub(crate) fn members(
    given: &Metadata,
    schema: &schemars::Schema,
) -> Result<Map<String, Value>, Fault> {
    let members = schema.get("properties").and_then(Value::as_object);
    let mut request = Map::new();
    for (name, text) in given.iter().filter(|(_, text)| !text.is_empty()) {
        if name.eq_ignore_ascii_case(TOLD) {
            continue;
        }
        let member = members
            .into_iter()
            .flatten()
            .find(|(member, _)| member.eq_ignore_ascii_case(name));
        let (member, shape) = member.ok_or_else(|| {
            let message = format!(
                "The restore metadata has {}, which is none of a DB cluster.",
                shown(name)
            );
            invalid(name, message)
        })?;
        let value = value(text, shape).ok_or_else(|| {
            let message = format!(
                "The restore metadata's {member} is {}, which does not read.",
                shown(text)
            );
            invalid(member, message)
        })?;
        request.insert(member.clone(), value);
    }
    Ok(request)
}

/// The request of RDS that restores a snapshot by its metadata.
///
/// # Errors
/// As [`members`].
pub(crate) fn request(
    given: &Metadata,
    snapshot: &Snapshot,
    schema: &schemars::Schema,
) -> Result<Value, Fault> {
    let mut request = members(given, schema)?;
    let mut set = |name: &str, value: String| request.insert(name.to_owned(), Value::String(value));
    set("SnapshotIdentifier", snapshot.arn().to_string());
    if !given.keys().any(|name| name.eq_ignore_ascii_case("Engine")) {
        set("Engine", snapshot.engine.clone());
    }
    Ok(Value::Object(request))
}

/// A text as a member of that shape has it.
fn value(text: &str, shape: &Value) -> Option<Value> {
    let is = |wanted: &str| match shape.get("type") {
        Some(Value::String(word)) => word == wanted,
        Some(Value::Array(words)) => words.iter().any(|word| word == wanted),
        _ => false,
    };
    if is("array") {
        return list(text);
    }
    if is("integer") {
        return text.trim().parse::<i64>().ok().map(Value::from);
    }
    if is("boolean") {
        let word = text.trim().to_ascii_lowercase();
        return word.parse::<bool>().ok().map(Value::from);
    }
    if is("string") {
        return Some(Value::String(text.to_owned()));
    }
    serde_json::from_str(text).ok()
}

/// `a`, `a, b` or `["a", "b"]`.
fn list(text: &str) -> Option<Value> {
    if text.trim_start().starts_with('[') {
        let read: Value = serde_json::from_str(text).ok()?;
        return read.is_array().then_some(read);
    }
    let items = text
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty());
    Some(items.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_however_they_are_written() {
        let shape = serde_json::json!({"type": "array"});
        let wanted = serde_json::json!(["sg-1", "sg-2"]);
        for text in [r#"["sg-1","sg-2"]"#, "sg-1,sg-2", " sg-1 , sg-2 ,"] {
            assert_eq!(value(text, &shape), Some(wanted.clone()), "{text}");
        }
        assert_eq!(value("sg-1", &shape), Some(serde_json::json!(["sg-1"])));
        assert_eq!(value("[1", &shape), None);
        assert_eq!(value(r#"["#, &shape), None);
    }

    #[test]
    fn other_members_are_read_by_their_shapes() {
        let of = |word: &str| serde_json::json!({"type": [word, "null"]});
        assert_eq!(value(" 5433", &of("integer")), Some(Value::from(5433)));
        assert_eq!(value("five", &of("integer")), None);
        assert_eq!(value("TRUE", &of("boolean")), Some(Value::Bool(true)));
        assert_eq!(value("yes", &of("boolean")), None);
        assert_eq!(value("true", &of("string")), Some(Value::from("true")));
    }
}
