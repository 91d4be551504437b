//! Which clusters are backed up, and how long ago.
//!
//! It does not know where the server is.
use std::collections::HashMap;

use model::{Clock, SystemClock, Timestamp};
use serde_json::{Map, Value, json};

use crate::{
    client::{Api, Remote},
    commands::{
        arguments::ListFormat,
        failure::Failure,
        output::{lines_of_json, print, run, table},
    },
};

/// Lists the clusters of the region that a profile is for.
pub(super) fn list(remote: &Remote, format: ListFormat) -> Result<(), Failure> {
    let (clusters, snapshots) = run(async {
        let api = Api::open(remote)?;
        let none = Map::new();
        let clusters = api.list(api.region(), "DescribeDBClusters", &none).await?;
        let snapshots = api
            .list(api.region(), "DescribeDBClusterSnapshots", &none)
            .await?;
        Ok((clusters, snapshots))
    })?;
    let rows = rows(&clusters, &snapshots);
    print(&shown(&rows, format, SystemClock.now()))
}

/// A cluster, and its newest snapshot that is there.
struct Row<'a> {
    cluster: &'a Value,
    newest: Option<(&'a str, Timestamp)>,
}

fn rows<'a>(clusters: &'a [Value], snapshots: &'a [Value]) -> Vec<Row<'a>> {
    let mut newest: HashMap<&str, (&str, Timestamp)> = HashMap::new();
    let text = |of: &'a Value, name: &str| of.get(name).and_then(Value::as_str);
    for snapshot in snapshots {
        // A resource id, since another cluster may have had the name; copies are of the rows of their source's moment.
        let (Some("available"), Some(of), Some(id), Some(at)) = (
            text(snapshot, "Status"),
            text(snapshot, "DbClusterResourceId"),
            text(snapshot, "DBClusterSnapshotIdentifier"),
            text(snapshot, "SnapshotCreateTime").and_then(Timestamp::parse),
        ) else {
            continue;
        };
        let best = newest.entry(of).or_insert((id, at));
        if best.1 < at {
            *best = (id, at);
        }
    }
    let of = |cluster| text(cluster, "DbClusterResourceId").and_then(|id| newest.get(id).copied());
    clusters
        .iter()
        .map(|cluster| Row {
            cluster,
            newest: of(cluster),
        })
        .collect()
}

/// Clusters without any snapshot first, then by the age of the newest one: what to look at stands on top.
fn shown(rows: &[Row<'_>], format: ListFormat, now: Timestamp) -> String {
    let mut rows: Vec<&Row<'_>> = rows.iter().collect();
    rows.sort_by_key(|row| row.newest.map(|(_, at)| at));
    let text = |of: &Value, name: &str| {
        let found = of.get(name).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let address = |of: &Value| match of.get("Port").and_then(Value::as_u64) {
        Some(port) => format!("{}:{port}", text(of, "Endpoint")),
        None => text(of, "Endpoint"),
    };
    match format {
        ListFormat::Text => table(
            &[
                "CLUSTER",
                "STATUS",
                "ENGINE",
                "VERSION",
                "ENDPOINT",
                "NEWEST SNAPSHOT",
                "AGE",
            ],
            rows.iter().map(|row| {
                let (snapshot, age) = match row.newest {
                    Some((id, at)) => (id.to_owned(), age(now, at)),
                    None => ("none".to_owned(), String::new()),
                };
                vec![
                    text(row.cluster, "DBClusterIdentifier"),
                    text(row.cluster, "Status"),
                    text(row.cluster, "Engine"),
                    text(row.cluster, "EngineVersion"),
                    address(row.cluster),
                    snapshot,
                    age,
                ]
            }),
        ),
        ListFormat::Json => lines_of_json(rows.iter().map(|row| {
            json!({
                "cluster": text(row.cluster, "DBClusterIdentifier"),
                "arn": text(row.cluster, "DBClusterArn"),
                "status": text(row.cluster, "Status"),
                "engine": text(row.cluster, "Engine"),
                "engine_version": text(row.cluster, "EngineVersion"),
                "endpoint": address(row.cluster),
                "newest_snapshot": row.newest.map(|(id, _)| id),
                "newest_snapshot_age_seconds": row.newest.map(|(_, at)| now.since(at).as_secs()),
            })
        })),
    }
}

/// `3 d 4 h`: the two largest units.
fn age(now: Timestamp, at: Timestamp) -> String {
    let seconds = now.since(at).as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let first = units.iter().position(|(unit, _)| *unit <= seconds);
    let Some(first) = first else {
        return "0 s".to_owned();
    };
    let (unit, word) = units[first];
    let rest = units
        .get(first + 1)
        .map(|(below, word)| (seconds % unit / below, word));
    match rest {
        Some((count, below)) if count != 0 => format!("{} {word} {count} {below}", seconds / unit),
        _ => format!("{} {word}", seconds / unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clusters_that_are_not_backed_up_come_first() {
        let cluster = |name: &str| json!({"DBClusterIdentifier": name, "DbClusterResourceId": format!("r-{name}"), "Endpoint": "e", "Port": 1});
        let snapshot = |of: &str, id: &str, status: &str, at: &str| {
            json!({
                "DbClusterResourceId": format!("r-{of}"), "DBClusterSnapshotIdentifier": id,
                "Status": status, "SnapshotCreateTime": at,
            })
        };
        let clusters = ["fresh", "never", "old"].map(cluster);
        let snapshots = [
            snapshot("fresh", "f1", "available", "2026-01-01T00:00:00Z"),
            snapshot("fresh", "f2", "available", "2026-01-03T00:00:00Z"),
            snapshot("never", "n1", "creating", "2026-01-03T00:00:00Z"),
            snapshot("old", "o1", "available", "2026-01-01T12:00:00Z"),
        ];
        let now = Timestamp::parse("2026-01-03T00:01:05Z").expect("a moment");
        let text = shown(&rows(&clusters, &snapshots), ListFormat::Text, now);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert!(
            lines[0].starts_with("never") && lines[0].ends_with("none"),
            "{text}"
        );
        assert!(
            lines[1].starts_with("old") && lines[1].ends_with("o1               1 d 12 h"),
            "{text}"
        );
        assert!(
            lines[2].starts_with("fresh") && lines[2].ends_with("1 min 5 s"),
            "{text}"
        );
        let listed = shown(&rows(&clusters, &snapshots), ListFormat::Json, now);
        let read: Vec<Value> = serde_json::from_str(&listed).expect("JSON");
        assert_eq!(read[2]["newest_snapshot_age_seconds"], 65);
        assert_eq!(read[0]["newest_snapshot"], Value::Null);
    }

    #[test]
    fn ages_have_two_units() {
        let at = Timestamp(0);
        let after = |seconds: i64| age(Timestamp(seconds * 1_000_000), at);
        assert_eq!(
            [after(0), after(59), after(60), after(3_661), after(172_800)],
            ["0 s", "59 s", "1 min", "1 h 1 min", "2 d"]
        );
    }
}
