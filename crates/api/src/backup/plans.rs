//! Backup plans as callers write them: read, checked, and shown again.
use std::collections::BTreeSet;

use catalog::{CatalogExt, Stored, Tx, keyed};
use model::{
    Account, Arn, ArnKind, BackupPlan, CopyAction, PlanBody, PlanRule, Region, Tag, Timestamp,
    schedule::{Schedule, ScheduleError, Zone},
};
use serde::{Deserialize, Serialize};

use super::{
    faults::{self, invalid, not_found, refused, shown},
    lifecycle::Lifecycle,
    tags::{self, TagMap},
    vaults,
};
use crate::{action::ActionContext, shapes::groups::Named};
use service::fault::{Code, Fault};

/// What a rule says that says nothing of it (CreateBackupPlan): the time, its zone, and the windows
/// in minutes.
const SCHEDULE: &str = "cron(0 5 ? * * *)";
const TIME_ZONE: &str = "Etc/UTC";
const START_WINDOW: i64 = 8 * 60;
const COMPLETION_WINDOW: i64 = 7 * 24 * 60;
/// The shortest window, and a window's longest: a hundred years.
const WINDOW_MIN: i64 = 60;
const WINDOW_MAX: i64 = 100 * 366 * 24 * 60;
/// Rules of a plan, and where one copies to.
const RULES_MAX: usize = 100;
const COPIES_MAX: usize = 20;

/// A plan as callers give it, and as it is answered.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Plan {
    backup_plan_name: String,
    rules: Vec<Rule>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    advanced_backup_settings: Vec<Unused>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    scan_settings: Vec<Unused>,
}

/// What is for resources of other types.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Unused {}

#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Rule {
    rule_name: String,
    target_backup_vault_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_logically_air_gapped_backup_vault_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule_expression: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_window_minutes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_window_minutes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifecycle: Option<Lifecycle>,
    #[serde(default)]
    recovery_point_tags: TagMap,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    rule_id: Option<String>,
    #[serde(default)]
    copy_actions: Vec<CopyTo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_continuous_backup: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule_expression_timezone: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    index_actions: Vec<Unused>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    scan_actions: Vec<Unused>,
}

#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct CopyTo {
    #[serde(skip_serializing_if = "Option::is_none")]
    lifecycle: Option<Lifecycle>,
    destination_backup_vault_arn: String,
}

impl Named for BackupPlan {
    fn name(&self) -> &str {
        &self.id
    }

    fn tags(&mut self) -> &mut Vec<Tag> {
        &mut self.tags
    }
}

/// A name of a plan, of its rules or of a selection.
///
/// # Errors
/// `InvalidParameterValueException`.
pub(crate) fn name(member: &str, given: &str) -> Result<String, Fault> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match (1..=50).contains(&given.len()) && given.chars().all(legal) {
        true => Ok(given.to_owned()),
        false => Err(invalid(
            member,
            format!(
                "{member} is {}: it has 1 to 50 letters, digits, hyphens, underscores and periods.",
                shown(given)
            ),
        )),
    }
}

impl Plan {
    /// Reads and checks a plan. A rule keeps its id and its times if there was one of its name that
    /// was due at the same times.
    ///
    /// # Errors
    /// `InvalidParameterValueException` for all that cannot be: the model has no other for it;
    /// `MissingParameterValueException`.
    pub(crate) async fn read(
        &self,
        cx: &ActionContext,
        before: &[PlanRule],
    ) -> Result<PlanBody, Fault> {
        let read = self.body(cx, before, cx.service.now()).await;
        read.map_err(|fault| match fault.code {
            Code::SecretNotFound | Code::SecretInvalidRequest => Fault {
                code: Code::BackupInvalidParameter,
                ..fault
            },
            _ => fault,
        })
    }

    async fn body(
        &self,
        cx: &ActionContext,
        before: &[PlanRule],
        now: Timestamp,
    ) -> Result<PlanBody, Fault> {
        if !self.advanced_backup_settings.is_empty() || !self.scan_settings.is_empty() {
            let message = "AdvancedBackupSettings and ScanSettings are not for DB clusters.";
            return Err(refused("AdvancedBackupSettings", message));
        }
        let name = name("BackupPlanName", &self.backup_plan_name)?;
        if self.rules.is_empty() {
            return Err(faults::missing("Rules"));
        }
        if RULES_MAX < self.rules.len() {
            let message = format!("A backup plan has at most {RULES_MAX} rules.");
            return Err(invalid("Rules", message));
        }
        let (mut names, mut rules) = (BTreeSet::new(), Vec::new());
        for given in &self.rules {
            let rule = given.read(cx, before, now).await?;
            if !names.insert(rule.name.clone()) {
                let message = format!("Two rules have the name {}.", rule.name);
                return Err(invalid("RuleName", message));
            }
            rules.push(rule);
        }
        Ok(PlanBody {
            version: cx.service.entropy.uuid().to_string(),
            written_at: now,
            name,
            rules,
        })
    }

    /// As it is answered.
    pub(crate) fn of(body: &PlanBody) -> Self {
        Self {
            backup_plan_name: body.name.clone(),
            rules: body.rules.iter().map(Rule::of).collect(),
            advanced_backup_settings: Vec::new(),
            scan_settings: Vec::new(),
        }
    }
}

fn malformed(member: &str, error: &ScheduleError) -> Fault {
    invalid(member, format!("Invalid {member}: {error}."))
}

impl Rule {
    async fn read(
        &self,
        cx: &ActionContext,
        before: &[PlanRule],
        now: Timestamp,
    ) -> Result<PlanRule, Fault> {
        self.only_what_is_here()?;
        let name = name("RuleName", &self.rule_name)?;
        let vault = vaults::name(&self.target_backup_vault_name)?;
        vaults::find_whatever_its_policy(cx, vault.as_str()).await?;
        let or = |given: &Option<String>, default: &str| {
            let given = given.as_deref().unwrap_or(default);
            given.to_owned()
        };
        let schedule = or(&self.schedule_expression, SCHEDULE);
        let time_zone = or(&self.schedule_expression_timezone, TIME_ZONE);
        Schedule::parse(&schedule).map_err(|error| malformed("ScheduleExpression", &error))?;
        Zone::parse(&time_zone).map_err(|error| malformed("ScheduleExpressionTimezone", &error))?;
        let (start_window_mins, completion_window_mins) = self.windows()?;
        let mut copies = Vec::new();
        for copy in &self.copy_actions {
            copies.push(copy.read(cx).await?);
        }
        let same = |old: &&PlanRule| {
            old.name == name && (&old.schedule, &old.time_zone) == (&schedule, &time_zone)
        };
        let old = before.iter().find(same);
        let id = || cx.service.entropy.uuid().to_string();
        Ok(PlanRule {
            id: old.map_or_else(id, |old| old.id.clone()),
            since: old.map_or(now, |old| old.since),
            name,
            vault,
            schedule,
            time_zone,
            start_window_mins,
            completion_window_mins,
            lifecycle: Lifecycle::read(self.lifecycle.as_ref())?,
            tags: tags::records(&self.recovery_point_tags)?,
            copies,
        })
    }

    /// Refuses what there is none of.
    fn only_what_is_here(&self) -> Result<(), Fault> {
        let told = if self.target_logically_air_gapped_backup_vault_arn.is_some() {
            (
                "TargetLogicallyAirGappedBackupVaultArn",
                "There are no logically air-gapped vaults here.",
            )
        } else if self.enable_continuous_backup == Some(true) {
            (
                "EnableContinuousBackup",
                "AWS Backup keeps no continuous backups here: a DB cluster's BackupRetentionPeriod does.",
            )
        } else if !self.index_actions.is_empty() || !self.scan_actions.is_empty() {
            (
                "IndexActions",
                "IndexActions and ScanActions are not for DB clusters.",
            )
        } else if COPIES_MAX < self.copy_actions.len() {
            let message = format!("A rule has at most {COPIES_MAX} copy actions.");
            return Err(invalid("CopyActions", message));
        } else {
            return Ok(());
        };
        Err(refused(told.0, told.1))
    }

    /// The two windows, in minutes.
    fn windows(&self) -> Result<(u64, u64), Fault> {
        let start = self.start_window_minutes.unwrap_or(START_WINDOW);
        let completion = self.completion_window_minutes.unwrap_or(COMPLETION_WINDOW);
        if !(WINDOW_MIN..=WINDOW_MAX).contains(&start) {
            let message = format!("StartWindowMinutes must be at least {WINDOW_MIN}.");
            return Err(invalid("StartWindowMinutes", message));
        }
        if !(start + WINDOW_MIN..=WINDOW_MAX).contains(&completion) {
            return Err(invalid(
                "CompletionWindowMinutes",
                format!(
                    "CompletionWindowMinutes must be at least {WINDOW_MIN} minutes greater than StartWindowMinutes."
                ),
            ));
        }
        Ok((start.unsigned_abs(), completion.unsigned_abs()))
    }

    fn of(rule: &PlanRule) -> Self {
        Self {
            rule_name: rule.name.clone(),
            target_backup_vault_name: rule.vault.to_string(),
            target_logically_air_gapped_backup_vault_arn: None,
            schedule_expression: Some(rule.schedule.clone()),
            start_window_minutes: i64::try_from(rule.start_window_mins).ok(),
            completion_window_minutes: i64::try_from(rule.completion_window_mins).ok(),
            lifecycle: Lifecycle::of(&rule.lifecycle),
            recovery_point_tags: tags::map(&rule.tags),
            rule_id: Some(rule.id.clone()),
            copy_actions: rule.copies.iter().map(CopyTo::of).collect(),
            enable_continuous_backup: Some(false),
            schedule_expression_timezone: Some(rule.time_zone.clone()),
            index_actions: Vec::new(),
            scan_actions: Vec::new(),
        }
    }
}

impl CopyTo {
    async fn read(&self, cx: &ActionContext) -> Result<CopyAction, Fault> {
        let (to, _) = vaults::destination(cx, &self.destination_backup_vault_arn).await?;
        let lifecycle = self.lifecycle.as_ref();
        let lifecycle = lifecycle.map(|given| Lifecycle::read(Some(given)));
        Ok(CopyAction {
            to,
            lifecycle: lifecycle.transpose()?,
        })
    }

    fn of(action: &CopyAction) -> Self {
        Self {
            lifecycle: action.lifecycle.as_ref().and_then(Lifecycle::of),
            destination_backup_vault_arn: action.to.to_string(),
        }
    }
}

/// What is said of a plan that is not there.
pub(crate) fn missing(id: &str) -> Fault {
    not_found(
        id,
        format!("Cannot find Backup plan with ID {}.", shown(id)),
    )
}

/// A caller's plan that was not deleted.
///
/// # Errors
/// `ResourceNotFoundException`.
pub(crate) fn get(
    tx: &mut dyn Tx,
    (region, account): (&Region, &Account),
    id: &str,
) -> Result<Stored<BackupPlan>, Fault> {
    let found = keyed::get::<BackupPlan>(tx, region, &[account.as_str(), id])?;
    let found = found.filter(|stored| stored.value.deleted_at.is_none());
    found.ok_or_else(|| missing(id))
}

/// The same for a request.
pub(crate) async fn find(cx: &ActionContext, id: &str) -> Result<BackupPlan, Fault> {
    let (account, region, id) = (cx.caller.account.clone(), cx.region.clone(), id.to_owned());
    let found = cx
        .service
        .catalog
        .read(move |tx| get(tx, (&region, &account), &id));
    Ok(found.await?.value)
}

/// Changes a caller's plan; what it has due is reckoned anew.
pub(crate) async fn change(
    cx: &ActionContext,
    id: &str,
    change: impl Fn(&mut dyn Tx, &mut BackupPlan) -> Result<(), Fault> + Send + Sync + 'static,
) -> Result<BackupPlan, Fault> {
    let (account, region, id) = (cx.caller.account.clone(), cx.region.clone(), id.to_owned());
    let changed = cx.service.catalog.write(move |tx| {
        let mut stored = get(tx, (&region, &account), &id)?;
        change(tx, &mut stored.value)?;
        stored.value.reckon();
        Ok::<_, Fault>(keyed::update(tx, stored)?.value)
    });
    changed.await
}

/// The id of the caller's plan that an ARN names, in the asked region; none: it names no plan.
///
/// # Errors
/// `ResourceNotFoundException` for one of elsewhere.
pub(crate) fn of_arn(cx: &ActionContext, given: &str) -> Result<Option<String>, Fault> {
    let arn = Arn::parse(given).ok();
    let located = arn.as_ref().and_then(|arn| arn.locate(ArnKind::BackupPlan));
    match located {
        None => Ok(None),
        Some(of) if *of.account == cx.caller.account && *of.region == cx.region => {
            Ok(Some(of.name.to_owned()))
        }
        Some(of) => Err(missing(of.name)),
    }
}

/// Changes a plan's tags.
pub(crate) async fn retag(
    cx: &ActionContext,
    id: &str,
    retag: impl Fn(&mut Vec<Tag>) -> Result<(), Fault> + Send + Sync + 'static,
) -> Result<(), Fault> {
    change(cx, id, move |_, plan| retag(&mut plan.tags))
        .await
        .map(drop)
}

/// The next times of a plan's rules, soonest first: the moment and the rule's id.
pub(crate) fn preview(plan: &BackupPlan, now: Timestamp, count: usize) -> Vec<(Timestamp, String)> {
    let mut found = Vec::new();
    for rule in &plan.body.rules {
        let mut after = now;
        for _ in 0..count {
            let Ok(Some(next)) = rule.next(after) else {
                break;
            };
            found.push((next, rule.id.clone()));
            after = next;
        }
    }
    found.sort();
    found.truncate(count);
    found
}
