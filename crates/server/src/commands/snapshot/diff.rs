//! What changed between two snapshots, as the server tells it.
//!
//! It does not know how it is found out.
use serde_json::{Value, json};

use super::rows::{number, parameters, text};
use crate::{
    client::Api,
    commands::{arguments::Format, failure::Failure, output::table},
    units::size,
};

/// Asks what changed.
pub(super) async fn diff(
    api: &Api,
    base: &str,
    snapshot: &str,
    limit: u32,
) -> Result<Value, Failure> {
    let asked = parameters([
        ("BaseDBClusterSnapshotIdentifier", json!(base)),
        ("DBClusterSnapshotIdentifier", json!(snapshot)),
        ("MaxRecords", json!(limit)),
    ]);
    let action = "DescribeDBClusterSnapshotDiff";
    Ok(api.call(api.region(), action, asked).await?)
}

/// The answer as a table, or as it is.
pub(super) fn shown(diff: &Value, format: Format) -> String {
    match format {
        Format::Json => format!("{diff}\n"),
        Format::Text => as_text(diff),
    }
}

fn as_text(diff: &Value) -> String {
    let block = number(diff, "BlockBytes");
    let bytes = |blocks: &Value, name: &str| size(block * number(blocks, name));
    let total = &diff["Total"];
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut row = |database: String, relation: &str, fork: &str, blocks: &Value| {
        rows.push(vec![
            database,
            relation.to_owned(),
            fork.to_owned(),
            bytes(blocks, "Changed"),
            bytes(blocks, "Added"),
            bytes(blocks, "Removed"),
            bytes(blocks, "After"),
            share(blocks),
        ]);
    };
    for relation in diff["Relations"].as_array().into_iter().flatten() {
        let name = format!(
            "{}/{}",
            text(relation, "Database"),
            text(relation, "Relation")
        );
        let fork = text(relation, "Fork");
        row(database_of(relation), &name, fork, &relation["Blocks"]);
    }
    row(String::new(), "other files", "", &diff["Other"]);
    row(String::new(), "all", "", total);
    let mut shown = table(
        &[
            "DATABASE", "RELATION", "FORK", "CHANGED", "ADDED", "REMOVED", "OF", "SHARE",
        ],
        rows.into_iter(),
    );
    match number(diff, "RelationsLeftOut") {
        0 => {}
        more => shown.push_str(&format!(
            "{more} more relations changed: add --limit NUMBER\n"
        )),
    }
    shown
}

/// What it is called, else as its files name it.
fn database_of(of: &Value) -> String {
    let name = of.get("DatabaseName").and_then(Value::as_str);
    name.unwrap_or(text(of, "Database")).to_owned()
}

/// How much of what there was or is is not as it was.
fn share(blocks: &Value) -> String {
    let touched: u64 = ["Changed", "Added", "Removed"]
        .iter()
        .map(|name| number(blocks, name))
        .sum();
    let all = number(blocks, "Before").max(number(blocks, "After"));
    format!("{:.1} %", touched as f64 * 100.0 / all.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_a_table_with_sums() {
        let blocks = |before: u64, after: u64, changed: u64, added: u64| json!({"Before": before, "After": after, "Changed": changed, "Added": added, "Removed": 0});
        let diff = json!({
            "BlockBytes": 8192,
            "Relations": [
                {"Database": "5", "DatabaseName": "app", "Relation": "24601", "Fork": "main", "Blocks": blocks(128, 256, 64, 128)},
                {"Database": "9", "Relation": "1", "Fork": "vm", "Blocks": blocks(1, 1, 1, 0)},
            ],
            "RelationsLeftOut": 3,
            "Other": blocks(10, 10, 0, 0),
            "Total": blocks(1000, 1128, 65, 128),
        });
        let text = shown(&diff, Format::Text);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1].split_whitespace().collect::<Vec<_>>().join(" "),
            "app 5/24601 main 512.0 KiB 1.0 MiB 0 B 2.0 MiB 75.0 %"
        );
        assert!(
            lines[2].starts_with('9') && lines[2].ends_with("100.0 %"),
            "{text}"
        );
        assert!(
            lines[4].contains("all") && lines[4].ends_with("17.1 %"),
            "{text}"
        );
        assert!(lines[5].starts_with("3 more relations"), "{text}");
        let read: Value = serde_json::from_str(&shown(&diff, Format::Json)).expect("JSON");
        assert_eq!(read, diff);
    }
}
