//! The verb about KMS keys, over the API of a server anywhere: what would be unreadable without one.
//!
//! It does not know where the server is.
use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCandidates;
use serde_json::{Map, Value, json};

use crate::{
    client::{Api, ApiError, Remote},
    commands::{
        arguments::Format,
        completion,
        failure::Failure,
        invocation::{Invocation, Outcome, Run},
        output::{pairs, print, run, table},
    },
    units::counted,
};

/// Look at what needs a KMS key, over the API
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    snapferry key why alias/backup"
)]
pub(crate) struct Key {
    #[command(subcommand)]
    verb: KeyVerb,
}

/// `snapferry key ...`.
#[derive(Debug, Subcommand)]
enum KeyVerb {
    /// Tell what becomes unreadable without a key: before it is disabled or deleted
    ///
    /// The caller's snapshots and clusters of the region. Other accounts that use the key have their own; a copy under
    /// another key stays readable.
    #[command(after_help = "Examples:\n  \
        snapferry key why alias/backup\n  \
        snapferry key why arn:aws:kms:eu-west-1:123456789012:key/0d8f6f6c-0000-4000-8000-000000000000 --region eu-west-1 --json")]
    Why {
        /// The key's id, ARN or alias
        #[arg(value_name = "KEY", add = ArgValueCandidates::new(completion::keys))]
        key: String,
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        format: Format,
    },
}

impl Run for Key {
    fn run(self, _: &Invocation) -> Result<Outcome, Failure> {
        let KeyVerb::Why {
            key,
            remote,
            format,
        } = self.verb;
        let found = run(async { why(&Api::open(&remote)?, &key).await })?;
        print(&shown(&found, format))?;
        Ok(Outcome::Done)
    }
}

/// A key, and what is under it.
async fn why(api: &Api, given: &str) -> Result<Value, Failure> {
    let none = Map::new();
    let clusters = api.list(api.region(), "DescribeDBClusters", &none).await?;
    let snapshots = api.list(api.region(), "DescribeDBClusterSnapshots", &none);
    let snapshots = snapshots.await?;
    let asked = Map::from_iter([("KeyId".to_owned(), json!(given))]);
    let key = match api.call(api.region(), "DescribeKey", asked).await {
        Ok(mut answer) => answer["KeyMetadata"].take(),
        // What is under a key that is gone, or is another KMS's, names it all the same.
        Err(error @ ApiError::Refused { .. }) => match known_as(given, &clusters, &snapshots) {
            Some(arn) => json!({"Arn": arn, "KeyState": Value::Null}),
            None => return Err(error.into()),
        },
        Err(error) => return Err(error.into()),
    };
    let arn = text(&key, "Arn").to_owned();
    let under = |rows: Vec<Value>, members: &[&str]| -> Vec<Value> {
        let is_under = |row: &Value| {
            members
                .iter()
                .any(|path| row.pointer(path) == Some(&json!(arn)))
        };
        rows.into_iter().filter(is_under).collect()
    };
    Ok(json!({
        "key": {
            "arn": arn,
            "state": key["KeyState"],
            "manager": key["KeyManager"],
            "deletion_date": key["DeletionDate"],
        },
        "snapshots": under(snapshots, &["/KmsKeyId"]).iter().map(|row| json!({
            "name": text(row, "DBClusterSnapshotIdentifier"),
            "arn": text(row, "DBClusterSnapshotArn"),
            "cluster": text(row, "DBClusterIdentifier"),
            "created": text(row, "SnapshotCreateTime"),
        })).collect::<Vec<_>>(),
        "clusters": under(clusters, &["/KmsKeyId", "/MasterUserSecret/KmsKeyId"]).iter().map(|row| json!({
            "name": text(row, "DBClusterIdentifier"),
            "arn": text(row, "DBClusterArn"),
            "only_password": row.get("KmsKeyId") != Some(&json!(arn)),
        })).collect::<Vec<_>>(),
    }))
}

fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The ARN of a key that is given by its ARN or id, if anything is under it.
fn known_as<'a>(given: &str, clusters: &'a [Value], snapshots: &'a [Value]) -> Option<&'a str> {
    let mut keys = clusters
        .iter()
        .chain(snapshots)
        .map(|row| text(row, "KmsKeyId"));
    keys.find(|arn| *arn == given || arn.rsplit_once(":key/").is_some_and(|(_, id)| id == given))
}

fn shown(found: &Value, format: Format) -> String {
    if format == Format::Json {
        return format!("{found}\n");
    }
    let key = &found["key"];
    let rows = |name: &str| found[name].as_array().cloned().unwrap_or_default();
    let (snapshots, clusters) = (rows("snapshots"), rows("clusters"));
    let state = key["state"]
        .as_str()
        .unwrap_or("not known to this server's KMS");
    let mut told = pairs(&[
        ("Key", text(key, "arn").to_owned()),
        ("State", state.to_owned()),
    ]);
    if snapshots.is_empty() && clusters.is_empty() {
        return told + "Nothing of this account in the region needs it.\n";
    }
    told.push_str(&format!(
        "Without it {} and {} of this account in the region cannot be read:\n\n",
        counted(snapshots.len() as u64, "snapshot"),
        counted(clusters.len() as u64, "cluster"),
    ));
    let clusters = clusters.iter().map(|row| {
        let what = match row["only_password"] == json!(true) {
            true => "cluster: its master user's password",
            false => "cluster",
        };
        vec![text(row, "name").to_owned(), what.to_owned(), String::new()]
    });
    let snapshots = snapshots.iter().map(|row| {
        let of = format!("snapshot of {}", text(row, "cluster"));
        vec![
            text(row, "name").to_owned(),
            of,
            text(row, "created").to_owned(),
        ]
    });
    told + &table(&["NAME", "WHAT", "CREATED"], clusters.chain(snapshots))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_key_is_told() {
        let found = json!({
            "key": {"arn": "arn:k", "state": "Enabled"},
            "snapshots": [{"name": "s", "cluster": "c", "created": "2026-01-01T00:00:00Z"}],
            "clusters": [{"name": "c", "only_password": false}, {"name": "d", "only_password": true}],
        });
        let text = shown(&found, Format::Text);
        assert!(
            text.contains("Without it 1 snapshot and 2 clusters"),
            "{text}"
        );
        assert!(
            text.contains("snapshot of c") && text.contains("password"),
            "{text}"
        );
        let none = json!({"key": {"arn": "arn:k", "state": null}, "snapshots": [], "clusters": []});
        assert!(shown(&none, Format::Text).contains("Nothing of this account"));
    }

    #[test]
    fn a_key_that_is_gone_is_found_by_what_is_under_it() {
        let arn = "arn:aws:kms:us-east-1:1:key/abc";
        let rows = [json!({"KmsKeyId": arn}), json!({})];
        assert_eq!(known_as("abc", &rows, &[]), Some(arn));
        assert_eq!(known_as(arn, &[], &rows), Some(arn));
        assert_eq!(known_as("bc", &rows, &[]), None);
    }
}
