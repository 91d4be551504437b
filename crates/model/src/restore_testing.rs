//! Restore testing: plans that say when recovery points are restored for a test, which ones those are,
//! and what each test found.
use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    arn::Arn,
    backup_plan::{TagCondition, is_like},
    clock::Timestamp,
    drill_checks::WantedCheck,
    ids::{Account, Region},
    log::LogPlace,
    names::BackupVaultName,
    receipt::SignedReceipt,
    schedule::{Schedule, ScheduleError, Zone},
    snapshot::Snapshot,
    tag::Tag,
};

/// What the names of clusters that are restored for a test begin with.
pub const CLUSTER_PREFIX: &str = "awsbackup-restore-test-";
/// The key of the tag that such a cluster has: without it nobody deletes it but its owner.
pub const CLUSTER_TAG: &str = "awsbackup-restore-test";

/// Whether a cluster is one that is restored for a test.
pub fn is_tested(name: &str, tags: &[Tag]) -> bool {
    name.starts_with(CLUSTER_PREFIX) && tags.iter().any(|tag| tag.key == CLUSTER_TAG)
}

/// Which of several recovery points is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// The newest.
    Latest,
    /// Any.
    Random,
}

/// Which recovery points are tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointsToTest {
    /// Which one of a resource's.
    pub choice: Choice,
    /// The vaults that they are of: ARNs, which may have `*`, or `*`.
    pub include_vaults: Vec<String>,
    /// Vaults that are left out, alike.
    pub exclude_vaults: Vec<String>,
    /// Whether snapshots are among them; other recovery points are not here.
    pub snapshots: bool,
    /// Whether such as can be restored to any moment were asked for: kept, and answered again.
    pub continuous: bool,
    /// How old they are at most, days.
    pub window_days: u32,
}

impl PointsToTest {
    /// Whether a vault is one of theirs.
    pub fn has_vault(&self, vault: &Arn) -> bool {
        let arn = vault.to_string();
        let named = |patterns: &[String]| patterns.iter().any(|pattern| is_like(pattern, &arn));
        named(&self.include_vaults) && !named(&self.exclude_vaults)
    }

    /// Recovery points that were made before that are too old.
    pub fn since(&self, now: Timestamp) -> Timestamp {
        now.minus(Duration::from_secs(
            u64::from(self.window_days) * 24 * 3_600,
        ))
    }
}

/// A restore testing plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreTestingPlan {
    /// Its region.
    pub region: Region,
    /// Whose it is.
    pub account: Account,
    /// Its name, unique in region and account.
    pub name: String,
    /// `cron(…)` or `rate(…)`.
    pub schedule: String,
    /// The time zone of the schedule.
    pub time_zone: String,
    /// Since when its schedule is as it is: rates count from there, and nothing was due before.
    pub since: Timestamp,
    /// How long a test may wait for its beginning, hours.
    pub start_window_hours: u32,
    /// What is tested.
    pub points: PointsToTest,
    /// What its maker called the request.
    pub creator_request_id: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Option<Timestamp>,
    /// When it was due last.
    pub last_run: Option<Timestamp>,
    /// Up to when its times have become tests.
    pub looked_to: Timestamp,
    /// When it is due next.
    pub due: Option<Timestamp>,
    /// When a test of it passed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_passed: Option<Timestamp>,
}

impl RestoreTestingPlan {
    /// `arn:…:restore-testing-plan:<name>`.
    pub fn arn(&self) -> String {
        format!("{}{}", Self::arns(&self.region, &self.account), self.name)
    }

    /// What the ARNs of an account's plans in a region begin with.
    pub fn arns(region: &Region, account: &Account) -> String {
        format!(
            "arn:{}:backup:{region}:{account}:restore-testing-plan:",
            region.partition()
        )
    }

    /// The first time after a moment at which it is due.
    ///
    /// # Errors
    /// When its schedule does not read.
    pub fn next(&self, after: Timestamp) -> Result<Option<Timestamp>, ScheduleError> {
        let zone = Zone::parse(&self.time_zone)?;
        let schedule = Schedule::parse(&self.schedule)?;
        Ok(schedule.next(&zone, self.since, after.max(self.since)))
    }

    /// Reckons when it is due after what was looked at.
    pub fn reckon(&mut self) {
        // Only what reads is kept.
        self.due = self.next(self.looked_to).ok().flatten();
    }

    /// How long a test may wait for its beginning.
    pub fn start_window(&self) -> Duration {
        Duration::from_secs(u64::from(self.start_window_hours) * 3_600)
    }
}

/// What a restore testing plan tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreTestingSelection {
    /// Its region.
    pub region: Region,
    /// Whose it is.
    pub account: Account,
    /// The plan's name.
    pub plan: String,
    /// Its own, unique in the plan.
    pub name: String,
    /// `Aurora` or `RDS`.
    pub resource_type: String,
    /// ARNs of resources, or `*` for all.
    pub resources: Vec<String>,
    /// Conditions on a resource's tags, which all have to hold; their keys are as the caller wrote them.
    pub conditions: Vec<TagCondition>,
    /// What the restore is told instead of what is inferred, and which checks are made.
    pub overrides: BTreeMap<String, String>,
    /// How long the restored cluster stays for others to look at, hours.
    pub validation_window_hours: u32,
    /// The role that the caller named.
    pub iam_role: String,
    /// What its maker called the request.
    pub creator_request_id: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Option<Timestamp>,
}

impl RestoreTestingSelection {
    /// What it is called in errors.
    pub fn arn(&self) -> String {
        format!("{}/{} of {}", self.plan, self.name, self.account)
    }

    /// Whether it has a resource, of these tags.
    pub fn has(&self, resource: &Arn, resource_type: &str, tags: &[Tag]) -> bool {
        let arn = resource.to_string();
        self.resource_type == resource_type
            && self.resources.iter().any(|one| one == "*" || *one == arn)
            && self.conditions.iter().all(|one| of_tag(one).holds(tags))
    }
}

/// A condition on a tag's key, which callers write with what stands before it in policies or without.
fn of_tag(condition: &TagCondition) -> TagCondition {
    let key = condition.key.as_str();
    TagCondition {
        key: key
            .strip_prefix("aws:ResourceTag/")
            .unwrap_or(key)
            .to_owned(),
        ..condition.clone()
    }
}

/// How far a drill is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Its restore has not begun.
    Waiting,
    /// Its cluster is being made.
    Restoring,
    /// Its cluster is being read.
    Checking,
    /// Its cluster stays for others to look at.
    Held,
    /// Its cluster is being deleted.
    Deleting,
    /// All is known of it.
    Over,
}

impl Stage {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Restoring => "restoring",
            Self::Checking => "checking",
            Self::Held => "held",
            Self::Deleting => "deleting",
            Self::Over => "over",
        }
    }
}

/// What a restore was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ValidationStatus {
    /// Somebody is at it.
    Validating,
    /// It is good.
    Successful,
    /// It is not.
    Failed,
    /// Nobody said so in time.
    TimedOut,
}

impl ValidationStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Validating,
        Self::Successful,
        Self::Failed,
        Self::TimedOut,
    ];

    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Validating => "VALIDATING",
            Self::Successful => "SUCCESSFUL",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
        }
    }

    /// Whether nothing else is said of it any more.
    pub fn is_final(self) -> bool {
        self != Self::Validating
    }
}

/// What was said of a restore, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validation {
    /// What.
    pub status: ValidationStatus,
    /// Why.
    pub message: Option<String>,
}

/// What becomes of a test's cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeletionStatus {
    /// It is being deleted.
    Deleting,
    /// It is left alone.
    Failed,
    /// It is gone.
    Successful,
}

impl DeletionStatus {
    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deleting => "DELETING",
            Self::Failed => "FAILED",
            Self::Successful => "SUCCESSFUL",
        }
    }
}

/// What becomes of a test's cluster, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// What.
    pub status: DeletionStatus,
    /// Why.
    pub message: Option<String>,
}

/// One thing that was looked at in a restored cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its word, such as `relations`.
    pub name: String,
    /// Whether it is as it should be.
    pub passed: bool,
    /// What was found.
    pub found: String,
    /// What was asked, of a check of one's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
}

/// What a recovery point is of, as its receipt tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The engine.
    pub engine: String,
    /// Its version.
    pub engine_version: String,
    /// Where its bytes lie; none of what never became whole.
    pub volume: Option<String>,
    /// The key that they are sealed by.
    pub kms_key: Option<Arn>,
    /// From where to where in its cluster's log it was read, where that log is kept.
    pub in_log: Option<(LogPlace, LogPlace)>,
}

impl Origin {
    /// A snapshot's.
    pub fn of(snapshot: &Snapshot) -> Self {
        let content = snapshot.content.as_ref();
        Self {
            engine: snapshot.engine.clone(),
            engine_version: snapshot.engine_version.clone(),
            volume: content.map(|content| content.volume.to_string()),
            kms_key: snapshot.kms_key.clone(),
            in_log: snapshot.in_log.map(|log| (log.start, log.end)),
        }
    }
}

/// A drill: one recovery point restored for a test. Once it is over it is the receipt of what the
/// test found, which outlasts the restore's job and the recovery point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drill {
    /// Its region.
    pub region: Region,
    /// Whose it is.
    pub account: Account,
    /// The id of the restore job.
    pub id: String,
    /// The plan's name.
    pub plan: String,
    /// The selection's name.
    pub selection: String,
    /// What was backed up.
    pub resource: Arn,
    /// `Aurora` or `RDS`.
    pub resource_type: String,
    /// The recovery point.
    pub point: Arn,
    /// Its vault.
    pub vault: BackupVaultName,
    /// When it was made.
    pub point_made_at: Timestamp,
    /// The bytes of the recovery point's files, as they are restored.
    pub bytes: u64,
    /// The manifest that was restored: it names all bytes that were.
    pub manifest: Option<String>,
    /// The cluster that it is restored into.
    pub cluster: Arn,
    /// When the plan was due.
    pub planned_at: Timestamp,
    /// When it has to have begun.
    pub start_by: Timestamp,
    /// How long the cluster stays for others to look at, hours.
    pub validation_window_hours: u32,
    /// Rows that tables have to have together; none: any number.
    pub rows_min: Option<u64>,
    /// Checks of one's own, and built-in ones, that are to be made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wanted: Vec<WantedCheck>,
    /// How far it is.
    pub stage: Stage,
    /// When the restore began.
    pub started_at: Option<Timestamp>,
    /// When the cluster took connections.
    pub restored_at: Option<Timestamp>,
    /// When all checks had been made.
    pub checked_at: Option<Timestamp>,
    /// What was looked at.
    pub checks: Vec<Check>,
    /// What it was found to be.
    pub validation: Option<Validation>,
    /// What became of the cluster.
    pub deletion: Option<Deletion>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// What the recovery point is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What was signed of it once it was over; none of what was over before receipts were signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<SignedReceipt>,
}

impl Drill {
    /// What it is called in errors.
    pub fn arn(&self) -> String {
        format!("{} of {}", self.id, self.account)
    }

    /// How long the restore took, once it is through.
    pub fn restore_time(&self) -> Option<Duration> {
        Some(self.restored_at?.since(self.started_at?))
    }

    /// Until when the cluster stays for others to look at, once it takes connections.
    pub fn held_until(&self) -> Option<Timestamp> {
        let window = Duration::from_secs(u64::from(self.validation_window_hours) * 3_600);
        self.restored_at.map(|at| at.plus(window))
    }

    /// What it found, in one word.
    pub fn outcome(&self) -> Option<ValidationStatus> {
        let said = self.validation.as_ref().map(|said| said.status);
        said.filter(|status| status.is_final())
    }
}

/// The point among a resource's, from the newest to the oldest, that is tested. `draw` is any number.
pub fn choose(choice: Choice, points: Vec<Snapshot>, draw: u64) -> Option<Snapshot> {
    let count = points.len() as u64;
    let place = match choice {
        Choice::Latest => 0,
        Choice::Random => draw.checked_rem(count)?,
    };
    points.into_iter().nth(usize::try_from(place).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(include: &[&str], exclude: &[&str]) -> PointsToTest {
        let texts = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        PointsToTest {
            choice: Choice::Latest,
            include_vaults: texts(include),
            exclude_vaults: texts(exclude),
            snapshots: true,
            continuous: false,
            window_days: 30,
        }
    }

    #[test]
    fn vaults_are_named_by_patterns() {
        let arn = |name: &str| {
            let text = format!("arn:aws:backup:us-east-1:111122223333:backup-vault:{name}");
            Arn::parse(&text).expect("an ARN")
        };
        let all = points(&["*"], &["arn:aws:backup:*:*:backup-vault:old-*"]);
        assert!(all.has_vault(&arn("new")) && !all.has_vault(&arn("old-1")));
        let one = points(&[&arn("new").to_string()], &[]);
        assert!(one.has_vault(&arn("new")) && !one.has_vault(&arn("newer")));
        assert!(!points(&[], &[]).has_vault(&arn("new")));
        assert_eq!(one.since(Timestamp(30 * 86_400_000_000)), Timestamp(0));
    }

    #[test]
    fn a_cluster_without_its_tag_is_its_owners() {
        let tag = Tag {
            key: CLUSTER_TAG.to_owned(),
            value: String::new(),
        };
        assert!(is_tested(
            "awsbackup-restore-test-1",
            std::slice::from_ref(&tag)
        ));
        assert!(!is_tested("awsbackup-restore-test-1", &[]));
        assert!(!is_tested("shop", &[tag]));
    }
}
