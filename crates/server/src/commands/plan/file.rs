//! A file of plans, as people write it: AWS Backup's own members, by name.
//!
//! It does not know what is there by now.
use std::{collections::BTreeMap, path::Path};

use model::schedule::{Schedule, Zone};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::commands::failure::Failure;

/// Bytes of a file at most.
const BYTES_MAX: u64 = 1 << 20;

/// What a file wants to be there.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) vaults: Vec<Vault>,
    #[serde(default)]
    pub(super) plans: Vec<Plan>,
    #[serde(default)]
    pub(super) restore_testing_plans: Vec<TestingPlan>,
}

type Tags = BTreeMap<String, String>;

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Vault {
    pub(super) backup_vault_name: String,
    pub(super) encryption_key_arn: Option<String>,
    #[serde(default)]
    pub(super) backup_vault_tags: Tags,
    pub(super) lock: Option<Lock>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Lock {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) min_retention_days: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_retention_days: Option<i64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Plan {
    pub(super) backup_plan_name: String,
    pub(super) rules: Vec<Rule>,
    #[serde(default)]
    pub(super) selections: Vec<Selection>,
    #[serde(default)]
    pub(super) backup_plan_tags: Tags,
}

fn schedule() -> String {
    "cron(0 5 ? * * *)".to_owned()
}

fn time_zone() -> String {
    "Etc/UTC".to_owned()
}

fn start_window() -> i64 {
    8 * 60
}

fn completion_window() -> i64 {
    7 * 24 * 60
}

/// A rule, with what AWS Backup says of what is not given.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) rule_name: String,
    pub(super) target_backup_vault_name: String,
    #[serde(default = "schedule")]
    pub(super) schedule_expression: String,
    #[serde(default = "time_zone")]
    pub(super) schedule_expression_timezone: String,
    #[serde(default = "start_window")]
    start_window_minutes: i64,
    #[serde(default = "completion_window")]
    completion_window_minutes: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifecycle: Option<Lifecycle>,
    #[serde(default)]
    recovery_point_tags: Tags,
    #[serde(default)]
    copy_actions: Vec<CopyAction>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Lifecycle {
    #[serde(skip_serializing_if = "Option::is_none")]
    delete_after_days: Option<i64>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CopyAction {
    destination_backup_vault_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifecycle: Option<Lifecycle>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Selection {
    pub(super) selection_name: String,
    iam_role_arn: String,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    not_resources: Vec<String>,
    #[serde(default)]
    list_of_tags: Vec<OfTag>,
    #[serde(default)]
    conditions: Conditions,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct OfTag {
    condition_type: String,
    condition_key: String,
    condition_value: String,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Conditions {
    #[serde(default)]
    string_equals: Vec<Condition>,
    #[serde(default)]
    string_not_equals: Vec<Condition>,
    #[serde(default)]
    string_like: Vec<Condition>,
    #[serde(default)]
    string_not_like: Vec<Condition>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Condition {
    condition_key: String,
    condition_value: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct TestingPlan {
    pub(super) restore_testing_plan_name: String,
    #[serde(default = "schedule")]
    schedule_expression: String,
    #[serde(default = "time_zone")]
    schedule_expression_timezone: String,
    #[serde(default = "testing_window")]
    start_window_hours: i64,
    recovery_point_selection: Points,
    #[serde(default)]
    pub(super) selections: Vec<TestingSelection>,
    #[serde(default)]
    pub(super) tags: Tags,
}

fn testing_window() -> i64 {
    24
}

fn days() -> i64 {
    30
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Points {
    algorithm: String,
    include_vaults: Vec<String>,
    #[serde(default)]
    exclude_vaults: Vec<String>,
    recovery_point_types: Vec<String>,
    #[serde(default = "days")]
    selection_window_days: i64,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct TestingSelection {
    pub(super) restore_testing_selection_name: String,
    protected_resource_type: String,
    iam_role_arn: String,
    #[serde(default)]
    protected_resource_arns: Vec<String>,
    #[serde(default)]
    protected_resource_conditions: TestingConditions,
    #[serde(default)]
    restore_metadata_overrides: Tags,
    #[serde(default)]
    validation_window_hours: i64,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct TestingConditions {
    #[serde(default)]
    string_equals: Vec<KeyValue>,
    #[serde(default)]
    string_not_equals: Vec<KeyValue>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct KeyValue {
    key: String,
    value: String,
}

/// What something of a file says, as the API takes and answers it.
pub(super) fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).expect("texts and numbers serialize")
}

impl Plan {
    /// `BackupPlan`.
    pub(super) fn value(&self) -> Value {
        serde_json::json!({"BackupPlanName": self.backup_plan_name, "Rules": value(&self.rules)})
    }
}

impl Rule {
    /// How many days what it makes is kept; none: for ever.
    pub(super) fn days_kept(&self) -> Option<i64> {
        self.lifecycle.as_ref()?.delete_after_days
    }
}

impl TestingPlan {
    /// When it is due, and in which time zone.
    pub(super) fn schedule(&self) -> (&str, &str) {
        (
            &self.schedule_expression,
            &self.schedule_expression_timezone,
        )
    }

    /// `RestoreTestingPlan`.
    pub(super) fn value(&self) -> Value {
        serde_json::json!({
            "RestoreTestingPlanName": self.restore_testing_plan_name,
            "ScheduleExpression": self.schedule_expression,
            "ScheduleExpressionTimezone": self.schedule_expression_timezone,
            "StartWindowHours": self.start_window_hours,
            "RecoveryPointSelection": value(&self.recovery_point_selection),
        })
    }
}

/// Reads a file: TOML by its name, else JSON. It is looked through before anything is asked.
///
/// # Errors
/// [`Failure::PlanFile`] with the line.
pub(super) fn read(path: &Path) -> Result<File, Failure> {
    let wrong = |why: String| Failure::PlanFile {
        path: path.to_owned(),
        why,
    };
    let size = std::fs::metadata(path).map(|facts| facts.len());
    if size.map_err(|error| wrong(error.to_string()))? > BYTES_MAX {
        return Err(wrong(format!("it has more than {BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let is_toml = path.extension().is_some_and(|word| word == "toml");
    let file: File = match is_toml {
        true => toml::from_str(&text).map_err(|error| wrong(error.to_string()))?,
        false => serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?,
    };
    check(&file).map_err(wrong)?;
    Ok(file)
}

/// What a reader of the file alone can tell is wrong.
fn check(file: &File) -> Result<(), String> {
    let rules = file.plans.iter().flat_map(|plan| {
        let name = &plan.backup_plan_name;
        plan.rules.iter().map(move |rule| {
            let what = format!("the rule {} of the plan {name}", rule.rule_name);
            (
                what,
                &rule.schedule_expression,
                &rule.schedule_expression_timezone,
            )
        })
    });
    let tests = file.restore_testing_plans.iter().map(|plan| {
        let what = format!(
            "the restore testing plan {}",
            plan.restore_testing_plan_name
        );
        (
            what,
            &plan.schedule_expression,
            &plan.schedule_expression_timezone,
        )
    });
    for (what, schedule, zone) in rules.chain(tests) {
        Schedule::parse(schedule).map_err(|error| format!("{what}: {schedule:?}: {error}"))?;
        Zone::parse(zone).map_err(|error| format!("{what}: {zone:?}: {error}"))?;
    }
    let plans = file.plans.iter().map(|plan| &plan.backup_plan_name);
    unique("plans", plans)?;
    unique(
        "vaults",
        file.vaults.iter().map(|vault| &vault.backup_vault_name),
    )?;
    let tests = file.restore_testing_plans.iter();
    unique(
        "restore testing plans",
        tests.map(|plan| &plan.restore_testing_plan_name),
    )?;
    for plan in &file.plans {
        unique("rules", plan.rules.iter().map(|rule| &rule.rule_name))?;
        unique(
            "selections",
            plan.selections.iter().map(|one| &one.selection_name),
        )?;
    }
    for plan in &file.restore_testing_plans {
        let names = plan.selections.iter();
        unique(
            "selections",
            names.map(|one| &one.restore_testing_selection_name),
        )?;
    }
    Ok(())
}

fn unique<'a>(what: &str, names: impl Iterator<Item = &'a String>) -> Result<(), String> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(format!("two {what} have the name {name}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str, text: &str) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("it is written");
        match read(&path) {
            Ok(file) => format!("{} plans", file.plans.len()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_wrong_file_is_refused_with_its_line() {
        let good = "[[Plans]]\nBackupPlanName = \"a\"\n[[Plans.Rules]]\nRuleName = \"r\"\nTargetBackupVaultName = \"v\"\n";
        assert_eq!(said("a.toml", good), "1 plans");
        let misspelled = good.replace("RuleName", "RuelName");
        let told = said("a.toml", &misspelled);
        assert!(
            told.contains("line 4") && told.contains("RuleName"),
            "{told}"
        );
        let told = said("a.json", "{\n  \"Planz\": []\n}");
        assert!(
            told.contains("line 2") && told.contains("`Plans`"),
            "{told}"
        );
        let told = said("a.toml", &format!("{good}ScheduleExpression = \"daily\"\n"));
        assert!(told.contains("the rule r of the plan a"), "{told}");
        assert!(said("a.toml", &format!("{good}{good}")).contains("two plans have the name a"));
    }
}
