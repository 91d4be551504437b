//! Snapshots as the API tells them: what of them is shown, and in which words.
//!
//! It does not know which of them are asked for.
use serde_json::{Map, Value};

use crate::commands::{
    arguments::ListFormat,
    output::{lines_of_json, table},
};

pub(super) fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A whole number of an answer; 0 where it has none.
pub(super) fn number(of: &Value, name: &str) -> u64 {
    of.get(name).and_then(Value::as_u64).unwrap_or(0)
}

pub(super) fn parameters<const N: usize>(all: [(&str, Value); N]) -> Map<String, Value> {
    all.into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

pub(super) fn shown(rows: &[Value], format: ListFormat) -> String {
    match format {
        ListFormat::Json => lines_of_json(rows.iter().cloned()),
        ListFormat::Text => table(
            &[
                "SNAPSHOT", "CLUSTER", "TYPE", "STATUS", "CREATED", "ENGINE", "KEY",
            ],
            rows.iter().map(|row| {
                let created = text(row, "SnapshotCreateTime");
                let key = text(row, "KmsKeyId");
                vec![
                    name_of(row).to_owned(),
                    text(row, "DBClusterIdentifier").to_owned(),
                    text(row, "SnapshotType").to_owned(),
                    status(row),
                    match created.split_once('.') {
                        Some((seconds, _)) => format!("{seconds}Z"),
                        None => created.to_owned(),
                    },
                    text(row, "Engine").to_owned(),
                    key.rsplit('/').next().unwrap_or_default().to_owned(),
                ]
            }),
        ),
    }
}

/// Its name; the whole ARN of another account's, by which alone it can be named.
pub(super) fn name_of(row: &Value) -> &str {
    match text(row, "SnapshotType") {
        "shared" | "public" => text(row, "DBClusterSnapshotArn"),
        _ => text(row, "DBClusterSnapshotIdentifier"),
    }
}

pub(super) fn status(row: &Value) -> String {
    match text(row, "Status") {
        "available" => "available".to_owned(),
        other => format!("{other} {} %", percent(row)),
    }
}

pub(super) fn percent(row: &Value) -> u64 {
    number(row, "PercentProgress")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn another_accounts_snapshots_are_listed_by_arn() {
        let row = json!({
            "DBClusterSnapshotIdentifier": "x", "DBClusterSnapshotArn": "arn:x", "SnapshotType": "shared",
            "Status": "available", "SnapshotCreateTime": "2026-01-01T00:00:00.123456Z",
            "KmsKeyId": "arn:aws:kms:us-east-1:1:key/k",
        });
        let text = shown(&[row], ListFormat::Text);
        assert!(
            text.contains("\narn:x ") && text.contains("2026-01-01T00:00:00Z"),
            "{text}"
        );
        assert!(text.trim_end().ends_with(" k"), "{text}");
    }
}
