//! `snapferry drill`: restore tests and their receipts, over the API of a server anywhere.
//!
//! It does not know what is tested.
use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCandidates;
use serde_json::{Map, Value, json};

use crate::{
    client::{Api, Remote},
    commands::{
        arguments::{Format, ListFormat},
        completion,
        failure::Failure,
        invocation::{Invocation, Outcome, Run},
        output::{lines_of_json, pairs, print, run, table},
    },
};

/// Look at restore tests of recovery points, and at their receipts, over the API
///
/// Restore testing plans of AWS Backup (CreateRestoreTestingPlan) say what is tested, and when. The receipt of
/// a test says what was restored, how long that took, what was read of it and what was found.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    snapferry drill list\n  \
    snapferry drill list --plan weekly --json\n  \
    snapferry drill run weekly\n  \
    snapferry drill show 0f8fad5b-d9cb-469f-a165-70867728950e"
)]
pub(crate) struct Drill {
    #[command(subcommand)]
    verb: DrillVerb,
}

/// `snapferry drill ...`.
#[derive(Debug, Subcommand)]
enum DrillVerb {
    /// List restore tests, the newest first, and what each found
    #[command(after_help = "Examples:\n  \
        snapferry drill list\n  \
        snapferry drill list --plan weekly --region eu-west-1 --json")]
    List {
        /// Only those of the restore testing plan of this name
        #[arg(long, value_name = "NAME")]
        plan: Option<String>,
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        format: ListFormat,
    },
    /// Have what a restore testing plan tests be tested now, as if it were due
    #[command(after_help = "Examples:\n  \
        snapferry drill run weekly\n  \
        snapferry drill run weekly --json")]
    Run {
        /// The plan's name
        #[arg(value_name = "PLAN")]
        plan: String,
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        format: Format,
    },
    /// Show the receipt of a restore test
    #[command(after_help = "Examples:\n  \
        snapferry drill show 0f8fad5b-d9cb-469f-a165-70867728950e\n  \
        snapferry drill show 0f8fad5b-d9cb-469f-a165-70867728950e --json > receipt.json")]
    Show {
        /// The id of the drill, which is that of its restore job
        #[arg(value_name = "ID", add = ArgValueCandidates::new(completion::drills))]
        id: String,
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        format: Format,
    },
}

impl Run for Drill {
    fn run(self, _: &Invocation) -> Result<Outcome, Failure> {
        match self.verb {
            DrillVerb::List {
                plan,
                remote,
                format,
            } => {
                let rows = ask(&remote, "RestoreTestingPlanName", plan)?;
                print(&match format {
                    ListFormat::Json => lines_of_json(rows.into_iter()),
                    ListFormat::Text => table(&HEAD, rows.iter().map(cells)),
                })?;
            }
            DrillVerb::Run {
                plan,
                remote,
                format,
            } => begin(plan, &remote, format)?,
            DrillVerb::Show { id, remote, format } => {
                let rows = ask(&remote, "DrillIdentifier", Some(id))?;
                let drill = rows.into_iter().next().unwrap_or_default();
                print(&match format {
                    Format::Json => format!("{drill}\n"),
                    Format::Text => pairs(&receipt(&drill)),
                })?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn begin(plan: String, remote: &Remote, format: Format) -> Result<(), Failure> {
    let api = Api::open(remote)?;
    let asked = Map::from_iter([("RestoreTestingPlanName".to_owned(), json!(plan))]);
    let begun = api.call(api.region(), "RunRestoreTestingPlan", asked);
    let begun = run(async { Ok(begun.await?) })?;
    let drills = begun["Drills"].as_array().cloned().unwrap_or_default();
    let row = |drill: &Value| {
        let names = ["SourceResourceArn", "RecoveryPointArn", "DrillIdentifier"];
        names.map(|name| text(drill, name).to_owned()).to_vec()
    };
    print(&match format {
        Format::Json => lines_of_json(drills.into_iter()),
        Format::Text => table(&["CLUSTER", "RECOVERY POINT", "ID"], drills.iter().map(row)),
    })
}

/// A signed receipt in a few words.
fn signed(drill: &Value) -> Option<String> {
    let receipt = &drill["Receipt"];
    if receipt.is_null() {
        let is_over = text(drill, "Status") == "over";
        return is_over.then(|| "unsigned: it is of before receipts were signed".to_owned());
    }
    let (number, hash) = (&receipt["Number"], text(receipt, "Sha256"));
    Some(format!("{number}, signed, SHA-256 {hash}"))
}

fn ask(remote: &Remote, member: &str, value: Option<String>) -> Result<Vec<Value>, Failure> {
    let api = Api::open(remote)?;
    let asked = value.map(|value| (member.to_owned(), json!(value)));
    let asked: Map<String, Value> = asked.into_iter().collect();
    run(async { Ok(api.list(api.region(), "DescribeDrills", &asked).await?) })
}

const HEAD: [&str; 7] = [
    "PLANNED",
    "PLAN",
    "RECOVERY POINT",
    "STATUS",
    "OUTCOME",
    "RESTORED IN",
    "ID",
];

fn text<'a>(drill: &'a Value, name: &str) -> &'a str {
    drill.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// How long the restore took.
fn took(drill: &Value) -> String {
    let seconds = drill.get("RestoreSeconds").and_then(Value::as_f64);
    seconds.map_or(String::new(), |seconds| format!("{seconds:.1} s"))
}

fn cells(drill: &Value) -> Vec<String> {
    let point = text(drill, "RecoveryPointArn");
    let name = point
        .split_once("cluster-snapshot:")
        .map_or(point, |parts| parts.1);
    vec![
        text(drill, "PlannedTime").to_owned(),
        text(drill, "RestoreTestingPlanName").to_owned(),
        name.to_owned(),
        text(drill, "Status").to_owned(),
        text(drill, "Outcome").to_owned(),
        took(drill),
        text(drill, "DrillIdentifier").to_owned(),
    ]
}

/// The receipt, line by line.
fn receipt(drill: &Value) -> Vec<(&'static str, String)> {
    let plain = [
        ("Drill", "DrillIdentifier"),
        ("Plan", "RestoreTestingPlanName"),
        ("Selection", "RestoreTestingSelectionName"),
        ("Resource", "SourceResourceArn"),
        ("Recovery point", "RecoveryPointArn"),
        ("Vault", "BackupVaultName"),
        ("Made", "RecoveryPointCreateTime"),
        ("Manifest", "Manifest"),
        ("Planned", "PlannedTime"),
        ("Began", "StartTime"),
        ("Restored", "RestoreTime"),
        ("Checked", "CheckTime"),
        ("Over", "EndTime"),
        ("Status", "Status"),
        ("Outcome", "Outcome"),
        ("Why", "OutcomeMessage"),
        ("Cluster", "DBClusterArn"),
        ("Deletion", "DeletionStatus"),
        ("Because", "DeletionStatusMessage"),
    ];
    let told = plain
        .into_iter()
        .map(|(word, name)| (word, text(drill, name).to_owned()));
    let mut lines: Vec<(&str, String)> = told.filter(|(_, value)| !value.is_empty()).collect();
    lines.extend(signed(drill).map(|told| ("Receipt", told)));
    if !took(drill).is_empty() {
        lines.push(("Restored in", took(drill)));
    }
    for check in drill["Checks"].as_array().into_iter().flatten() {
        let word = match check["Passed"] == json!(true) {
            true => "passed",
            false => "FAILED",
        };
        let (name, found) = (text(check, "Name"), text(check, "Found"));
        lines.push(("Check", format!("{name} {word}: {found}")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_tells_what_is_known() {
        let drill = json!({
            "DrillIdentifier": "a", "Outcome": "FAILED", "RestoreSeconds": 1.25,
            "Checks": [{"Name": "rows", "Passed": false, "Found": "3 rows of at least 4"}],
        });
        assert_eq!(
            pairs(&receipt(&drill)),
            "Drill        a\nOutcome      FAILED\nRestored in  1.2 s\nCheck        rows FAILED: 3 rows of at least 4\n"
        );
        let point = json!({"RecoveryPointArn": "arn:aws:rds:r:1:cluster-snapshot:awsbackup:job-x"});
        assert_eq!(cells(&point)[2], "awsbackup:job-x");
    }
}
