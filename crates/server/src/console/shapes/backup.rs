//! AWS Backup's answers, as far as pages show them.
use serde::Deserialize;
use serde_json::{Map, Value};

/// A page of backup plans.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct Plans {
    #[serde(default)]
    pub(in crate::console) next_token: Option<String>,
    #[serde(rename = "BackupPlansList")]
    pub(in crate::console) plans: Vec<ListedPlan>,
}

/// One of them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct ListedPlan {
    pub(in crate::console) backup_plan_id: String,
}

/// A backup plan, and when it is due.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct Plan {
    #[serde(rename = "BackupPlan")]
    pub(in crate::console) body: PlanBody,
    #[serde(rename = "BackupPlanId")]
    pub(in crate::console) id: String,
    #[serde(rename = "BackupPlanArn")]
    pub(in crate::console) arn: String,
    pub(in crate::console) creation_date: f64,
    #[serde(default)]
    pub(in crate::console) last_execution_date: Option<f64>,
    #[serde(rename = "ScheduledRunsPreview", default)]
    pub(in crate::console) runs: Vec<Due>,
}

/// A time that a rule is due.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct Due {
    pub(in crate::console) execution_time: f64,
    pub(in crate::console) rule_id: String,
}

/// What a plan says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct PlanBody {
    #[serde(rename = "BackupPlanName")]
    pub(in crate::console) name: String,
    pub(in crate::console) rules: Vec<Rule>,
}

/// When it backs up, and where to.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct Rule {
    #[serde(rename = "RuleId")]
    pub(in crate::console) id: String,
    #[serde(rename = "RuleName")]
    pub(in crate::console) name: String,
    #[serde(rename = "TargetBackupVaultName")]
    pub(in crate::console) vault: String,
    #[serde(rename = "ScheduleExpression", default)]
    pub(in crate::console) schedule: String,
    #[serde(rename = "ScheduleExpressionTimezone", default)]
    pub(in crate::console) time_zone: String,
    #[serde(default)]
    pub(in crate::console) start_window_minutes: Option<i64>,
    #[serde(default)]
    pub(in crate::console) completion_window_minutes: Option<i64>,
    #[serde(default)]
    pub(in crate::console) lifecycle: Option<Value>,
    #[serde(default)]
    pub(in crate::console) recovery_point_tags: Map<String, Value>,
    #[serde(rename = "CopyActions", default)]
    pub(in crate::console) copies: Vec<CopyAction>,
}

/// Another vault that recovery points are copied to.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct CopyAction {
    pub(in crate::console) destination_backup_vault_arn: String,
    #[serde(default)]
    pub(in crate::console) lifecycle: Option<Value>,
}

/// A page of a plan's selections.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct Selections {
    #[serde(default)]
    pub(in crate::console) next_token: Option<String>,
    #[serde(rename = "BackupSelectionsList")]
    pub(in crate::console) selections: Vec<ListedSelection>,
}

/// One of them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct ListedSelection {
    pub(in crate::console) selection_id: String,
    pub(in crate::console) iam_role_arn: String,
}

/// What one selects.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct ShownSelection {
    #[serde(rename = "BackupSelection")]
    pub(in crate::console) selection: Map<String, Value>,
}

/// A page of backup jobs, the newest first.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct BackupJobs {
    #[serde(default)]
    pub(in crate::console) next_token: Option<String>,
    #[serde(rename = "BackupJobs")]
    pub(in crate::console) jobs: Vec<BackupJob>,
}

/// A backup job.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct BackupJob {
    pub(in crate::console) recovery_point_arn: String,
    pub(in crate::console) resource_name: String,
    pub(in crate::console) creation_date: f64,
    pub(in crate::console) state: String,
    #[serde(default)]
    pub(in crate::console) status_message: Option<String>,
    #[serde(rename = "BackupSizeInBytes", default)]
    pub(in crate::console) bytes: Option<u64>,
    #[serde(default)]
    pub(in crate::console) created_by: Option<MadeBy>,
}

/// The rule that asked for a job.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct MadeBy {
    #[serde(rename = "BackupPlanId")]
    pub(in crate::console) plan: String,
    #[serde(rename = "BackupRuleName")]
    pub(in crate::console) rule: String,
}

/// A page of restore testing plans.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct TestingPlans {
    #[serde(default)]
    pub(in crate::console) next_token: Option<String>,
    #[serde(rename = "RestoreTestingPlans")]
    pub(in crate::console) plans: Vec<TestingPlan>,
}

/// A restore testing plan by its name.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct ShownTestingPlan {
    #[serde(rename = "RestoreTestingPlan")]
    pub(in crate::console) plan: TestingPlan,
}

/// When recovery points are restored for a test, and which.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct TestingPlan {
    #[serde(rename = "RestoreTestingPlanName")]
    pub(in crate::console) name: String,
    #[serde(rename = "RestoreTestingPlanArn")]
    pub(in crate::console) arn: String,
    pub(in crate::console) creation_time: f64,
    #[serde(rename = "ScheduleExpression")]
    pub(in crate::console) schedule: String,
    #[serde(rename = "ScheduleExpressionTimezone")]
    pub(in crate::console) time_zone: String,
    pub(in crate::console) start_window_hours: u32,
    #[serde(default)]
    pub(in crate::console) last_execution_time: Option<f64>,
    /// Only where one is asked for by its name.
    #[serde(rename = "RecoveryPointSelection", default)]
    pub(in crate::console) points: Map<String, Value>,
}

/// A page of a restore testing plan's selections.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct TestingSelections {
    #[serde(default)]
    pub(in crate::console) next_token: Option<String>,
    #[serde(rename = "RestoreTestingSelections")]
    pub(in crate::console) selections: Vec<ListedTestingSelection>,
}

/// One of them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct ListedTestingSelection {
    pub(in crate::console) restore_testing_selection_name: String,
}

/// What one selects.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct ShownTestingSelection {
    #[serde(rename = "RestoreTestingSelection")]
    pub(in crate::console) selection: Map<String, Value>,
}

/// A page of restore tests, the newest first. Pages show whatever their receipts hold.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct Drills {
    #[serde(default)]
    pub(in crate::console) marker: Option<String>,
    pub(in crate::console) drills: Vec<Map<String, Value>>,
}
