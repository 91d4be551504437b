//! All that is known of one snapshot.
//!
//! It does not know what a copy or a restore makes of it.
use serde_json::{Value, json};

use super::{
    cost::{self, Which},
    rows::{parameters, status, text},
};
use crate::{
    client::Api,
    commands::{arguments::Format, failure::Failure, output::pairs},
};

/// A snapshot and what it costs, as far as the server tells.
pub(super) async fn look(api: &Api, name: &str) -> Result<Value, Failure> {
    let asked = parameters([("DBClusterSnapshotIdentifier", json!(name))]);
    let action = "DescribeDBClusterSnapshots";
    let mut found = api.call(api.region(), action, asked).await?;
    let which = Which {
        snapshot: Some(name.to_owned()),
        ..Which::default()
    };
    // A server of an earlier release does not know.
    let costs = cost::cost(api, which).await.ok();
    Ok(json!({
        "snapshot": found["items"][0].take(),
        "cost": costs.as_ref().and_then(cost::row),
    }))
}

/// The answer in lines, or as it is.
pub(super) fn shown(found: &Value, format: Format) -> String {
    if format == Format::Json {
        return format!("{found}\n");
    }
    let snapshot = &found["snapshot"];
    let plain = [
        ("Snapshot", "DBClusterSnapshotIdentifier"),
        ("ARN", "DBClusterSnapshotArn"),
        ("Cluster", "DBClusterIdentifier"),
        ("Type", "SnapshotType"),
        ("Created", "SnapshotCreateTime"),
        ("Engine", "Engine"),
        ("Version", "EngineVersion"),
        ("Copy of", "SourceDBClusterSnapshotArn"),
        ("Key", "KmsKeyId"),
    ];
    let mut lines: Vec<(&str, String)> = vec![("Status", status(snapshot))];
    let told = plain
        .into_iter()
        .map(|(word, name)| (word, text(snapshot, name).to_owned()));
    lines.splice(0..0, told.filter(|(_, value)| !value.is_empty()));
    for tag in snapshot["TagList"].as_array().into_iter().flatten() {
        lines.push((
            "Tag",
            format!("{} = {}", text(tag, "Key"), text(tag, "Value")),
        ));
    }
    lines.extend(cost::lines(&found["cost"]));
    pairs(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_is_told_and_no_more() {
        let found = json!({
            "snapshot": {"DBClusterSnapshotIdentifier": "a", "Status": "available", "TagList": [{"Key": "team", "Value": "shop"}]},
            "cost": {"BytesUnique": 2048},
        });
        let text = shown(&found, Format::Text);
        assert_eq!(
            text,
            "Snapshot  a\nStatus    available\nTag       team = shop\nUnique    2.0 KiB\n"
        );
    }
}
