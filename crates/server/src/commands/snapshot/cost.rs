//! What snapshots cost, as the server tells it.
//!
//! It does not know how it is found out.
use serde_json::{Value, json};

use super::rows::{name_of, number, parameters};
use crate::{
    client::Api,
    commands::{arguments::Format, failure::Failure, output::table},
    units::{counted, size},
};

/// Of which snapshots it is asked.
#[derive(Debug, Default)]
pub(super) struct Which {
    pub(super) snapshot: Option<String>,
    pub(super) cluster: Option<String>,
    pub(super) tag: Option<String>,
}

/// Asks what they cost.
pub(super) async fn cost(api: &Api, which: Which) -> Result<Value, Failure> {
    let asked = parameters([
        ("DBClusterSnapshotIdentifier", json!(which.snapshot)),
        ("DBClusterIdentifier", json!(which.cluster)),
        ("TagKey", json!(which.tag)),
    ]);
    let action = "DescribeDBClusterSnapshotCosts";
    Ok(api.call(api.region(), action, asked).await?)
}

/// The answer as tables, or as it is; `price` is for a GiB and month.
pub(super) fn shown(costs: &Value, price: Option<f64>, format: Format) -> String {
    match format {
        Format::Json => format!("{costs}\n"),
        Format::Text => as_text(costs, price),
    }
}

fn as_text(costs: &Value, price: Option<f64>) -> String {
    let rows = |of: &Value| of.as_array().cloned().unwrap_or_default();
    let bytes = |of: &Value, name: &str| match of.get(name).and_then(Value::as_u64) {
        Some(bytes) => size(bytes),
        None => String::new(),
    };
    let snapshots = rows(&costs["Snapshots"]).into_iter().map(|row| {
        let note = match row.get("IsBaseOfCluster").and_then(Value::as_bool) {
            Some(true) => "its cluster's next snapshot needs it",
            _ => "",
        };
        vec![
            name_of(&row).to_owned(),
            bytes(&row, "BytesLogical"),
            bytes(&row, "BytesReferenced"),
            bytes(&row, "BytesUnique"),
            bytes(&row, "BytesFreed"),
            note.to_owned(),
        ]
    });
    let mut shown = table(
        &[
            "SNAPSHOT",
            "LOGICAL",
            "REFERENCED",
            "UNIQUE",
            "FREED IF DELETED",
            "NOTE",
        ],
        snapshots,
    );
    let sets = rows(&costs["Sets"]);
    if !sets.is_empty() {
        let rows = sets.iter().map(|set| {
            let value = set.get("TagValue").and_then(Value::as_str);
            vec![
                value.unwrap_or("(none)").to_owned(),
                number(set, "SnapshotCount").to_string(),
                bytes(set, "BytesReferenced"),
                bytes(set, "BytesFreed"),
            ]
        });
        shown.push('\n');
        shown.push_str(&table(
            &[
                "TAG'S VALUE",
                "SNAPSHOTS",
                "REFERENCED",
                "FREED IF ALL ARE DELETED",
            ],
            rows,
        ));
    }
    let total = &costs["Total"];
    shown.push_str(&format!(
        "\n{}: {} together, {} freed if all are deleted\n",
        counted(number(total, "SnapshotCount"), "snapshot"),
        bytes(total, "BytesReferenced"),
        bytes(total, "BytesFreed"),
    ));
    if let Some(price) = price {
        let gib = number(total, "BytesReferenced") as f64 / f64::from(1 << 30);
        shown.push_str(&format!(
            "{:.2} a month at {price} for a GiB\n",
            gib * price
        ));
    }
    shown
}

/// One snapshot's row, if the answer has it.
pub(super) fn row(costs: &Value) -> Option<&Value> {
    costs["Snapshots"].get(0)
}

/// What is told of one snapshot among what else there is of it.
pub(super) fn lines(row: &Value) -> Vec<(&'static str, String)> {
    let all = [
        ("Logical", "BytesLogical"),
        ("Referenced", "BytesReferenced"),
        ("Unique", "BytesUnique"),
        ("Freed if deleted", "BytesFreed"),
    ];
    let told = all.into_iter().filter_map(|(word, name)| {
        let bytes = row.get(name).and_then(Value::as_u64)?;
        Some((word, size(bytes)))
    });
    let is_base = row.get("IsBaseOfCluster").and_then(Value::as_bool);
    let base = ("Needed by", "its cluster's next snapshot".to_owned());
    told.chain((is_base == Some(true)).then_some(base))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_tables_with_a_sum_and_a_price() {
        let costs = json!({
            "Snapshots": [
                {"DBClusterSnapshotIdentifier": "a", "BytesLogical": 4096, "BytesReferenced": 2048, "BytesUnique": 1024, "BytesFreed": 0, "IsBaseOfCluster": true},
                {"DBClusterSnapshotIdentifier": "b"},
            ],
            "Sets": [{"SnapshotCount": 1, "BytesReferenced": 1, "BytesFreed": 1}, {"TagValue": "shop", "SnapshotCount": 1, "BytesReferenced": 1, "BytesFreed": 1}],
            "Total": {"SnapshotCount": 2, "BytesReferenced": 3_u64 << 30, "BytesFreed": 1024},
        });
        let text = shown(&costs, Some(0.5), Format::Text);
        assert!(text.contains("next snapshot needs it"), "{text}");
        assert!(text.contains("(none)") && text.contains("shop"), "{text}");
        let end = "2 snapshots: 3.0 GiB together, 1.0 KiB freed if all are deleted\n1.50 a month at 0.5 for a GiB\n";
        assert!(text.ends_with(end), "{text}");
        assert_eq!(lines(&costs["Snapshots"][0]).len(), 5);
        assert!(lines(&costs["Snapshots"][1]).is_empty());
    }
}
