//! Restore testing plans and their selections, as callers write them: read, checked, found and shown.
use std::collections::BTreeMap;

use catalog::{CatalogExt, Stored, Tx, keyed};
use model::{
    Account, Region, RestoreTestingPlan, RestoreTestingSelection, Tag,
    backup_plan::{TagCondition, TagTest},
    drill_checks,
    restore_testing::{Choice, PointsToTest},
    schedule::{Schedule, ScheduleError, Zone},
};
use serde::{Deserialize, Serialize};

use super::{
    faults::{self, invalid, limit, not_found, shown},
    jobs, restore,
};
use crate::action::ActionContext;
use service::fault::Fault;

/// What a plan says that says nothing of it (CreateRestoreTestingPlan).
const TIME_ZONE: &str = "Etc/UTC";
const START_WINDOW: i64 = 24;
const WINDOW_DAYS: i64 = 30;
/// What the two windows are at most, and how long a cluster stays for others to look at.
const START_WINDOW_MAX: i64 = 168;
const WINDOW_DAYS_MAX: i64 = 365;
const VALIDATION_MAX: i64 = 168;
/// ARNs and conditions of one plan or selection.
const ARNS_MAX: usize = 30;
const CONDITIONS_MAX: usize = 30;

/// `RecoveryPointSelection`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Points {
    #[serde(skip_serializing_if = "Option::is_none")]
    algorithm: Option<String>,
    #[serde(default)]
    exclude_vaults: Vec<String>,
    #[serde(default)]
    include_vaults: Vec<String>,
    #[serde(default)]
    recovery_point_types: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    selection_window_days: Option<i64>,
}

/// A number in its bounds, or the default.
fn number(name: &str, given: Option<i64>, default: i64, min: i64, max: i64) -> Result<u32, Fault> {
    let asked = given.unwrap_or(default);
    let read = u32::try_from(asked).ok();
    read.filter(|_| (min..=max).contains(&asked))
        .ok_or_else(|| {
            let message = format!("{name} is {asked}: it must be between {min} and {max}.");
            invalid(name, message)
        })
}

fn vaults(member: &str, given: &[String]) -> Result<Vec<String>, Fault> {
    let is_legal = |one: &String| one == "*" || one.starts_with("arn:");
    if let Some(wrong) = given.iter().find(|one| !is_legal(one)) {
        let message = format!("{member} has {}, which is not an ARN.", shown(wrong));
        return Err(invalid(member, message));
    }
    match given.len() {
        0..=ARNS_MAX => Ok(given.to_vec()),
        _ => Err(limit(
            member,
            format!("{member} has at most {ARNS_MAX} ARNs."),
        )),
    }
}

impl Points {
    fn read(&self) -> Result<PointsToTest, Fault> {
        let choice = match self.algorithm.as_deref() {
            None => return Err(faults::missing("Algorithm")),
            Some("LATEST_WITHIN_WINDOW") => Choice::Latest,
            Some("RANDOM_WITHIN_WINDOW") => Choice::Random,
            Some(other) => {
                let message = format!(
                    "Algorithm is {}: it is LATEST_WITHIN_WINDOW or RANDOM_WITHIN_WINDOW.",
                    shown(other)
                );
                return Err(invalid("Algorithm", message));
            }
        };
        if self.include_vaults.is_empty() {
            return Err(faults::missing("IncludeVaults"));
        }
        if self.recovery_point_types.is_empty() {
            return Err(faults::missing("RecoveryPointTypes"));
        }
        let known = ["SNAPSHOT", "CONTINUOUS"];
        let mut types = self.recovery_point_types.iter();
        if let Some(other) = types.find(|one| !known.contains(&one.as_str())) {
            let message = format!(
                "RecoveryPointTypes has {}: there are SNAPSHOT and CONTINUOUS.",
                shown(other)
            );
            return Err(invalid("RecoveryPointTypes", message));
        }
        let has = |word: &str| self.recovery_point_types.iter().any(|one| one == word);
        let days = self.selection_window_days;
        Ok(PointsToTest {
            choice,
            include_vaults: vaults("IncludeVaults", &self.include_vaults)?,
            exclude_vaults: vaults("ExcludeVaults", &self.exclude_vaults)?,
            snapshots: has("SNAPSHOT"),
            continuous: has("CONTINUOUS"),
            window_days: number("SelectionWindowDays", days, WINDOW_DAYS, 1, WINDOW_DAYS_MAX)?,
        })
    }

    pub(crate) fn of(kept: &PointsToTest) -> Self {
        let algorithm = match kept.choice {
            Choice::Latest => "LATEST_WITHIN_WINDOW",
            Choice::Random => "RANDOM_WITHIN_WINDOW",
        };
        let types = [
            (kept.snapshots, "SNAPSHOT"),
            (kept.continuous, "CONTINUOUS"),
        ];
        let types = types.into_iter().filter(|(has, _)| *has);
        Self {
            algorithm: Some(algorithm.to_owned()),
            exclude_vaults: kept.exclude_vaults.clone(),
            include_vaults: kept.include_vaults.clone(),
            recovery_point_types: types.map(|(_, word)| word.to_owned()).collect(),
            selection_window_days: Some(i64::from(kept.window_days)),
        }
    }
}

/// A plan as callers make it.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct NewPlan {
    recovery_point_selection: Points,
    restore_testing_plan_name: String,
    schedule_expression: String,
    schedule_expression_timezone: Option<String>,
    start_window_hours: Option<i64>,
}

/// What is to be another than it is in a plan.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct PlanChange {
    recovery_point_selection: Option<Points>,
    schedule_expression: Option<String>,
    schedule_expression_timezone: Option<String>,
    start_window_hours: Option<i64>,
}

fn malformed(member: &str, error: &ScheduleError) -> Fault {
    invalid(member, format!("Invalid {member}: {error}."))
}

/// A name of a plan or a selection.
///
/// # Errors
/// `InvalidParameterValueException`.
pub(crate) fn name(member: &str, given: &str) -> Result<String, Fault> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match (1..=50).contains(&given.len()) && given.chars().all(legal) {
        true => Ok(given.to_owned()),
        false => Err(invalid(
            member,
            format!(
                "{member} is {}: it has 1 to 50 letters, digits and underscores.",
                shown(given)
            ),
        )),
    }
}

impl NewPlan {
    /// A new plan.
    ///
    /// # Errors
    /// `InvalidParameterValueException`.
    pub(crate) fn read(self, cx: &ActionContext) -> Result<RestoreTestingPlan, Fault> {
        let now = cx.service.now();
        let mut plan = RestoreTestingPlan {
            region: cx.region.clone(),
            account: cx.caller.account.clone(),
            name: name("RestoreTestingPlanName", &self.restore_testing_plan_name)?,
            schedule: String::new(),
            time_zone: TIME_ZONE.to_owned(),
            since: now,
            start_window_hours: number("StartWindowHours", None, START_WINDOW, 1, START_WINDOW)?,
            points: self.recovery_point_selection.read()?,
            creator_request_id: None,
            tags: Vec::new(),
            created_at: now,
            updated_at: None,
            last_run: None,
            looked_to: now,
            due: None,
            last_passed: None,
        };
        let rest = PlanChange {
            recovery_point_selection: None,
            schedule_expression: Some(self.schedule_expression),
            schedule_expression_timezone: self.schedule_expression_timezone,
            start_window_hours: self.start_window_hours,
        };
        rest.change(cx, &mut plan)?;
        plan.updated_at = None;
        Ok(plan)
    }
}

impl PlanChange {
    /// Changes a plan by what is given.
    ///
    /// # Errors
    /// As [`NewPlan::read`].
    pub(crate) fn change(
        &self,
        cx: &ActionContext,
        plan: &mut RestoreTestingPlan,
    ) -> Result<(), Fault> {
        let now = cx.service.now();
        let before = (plan.schedule.clone(), plan.time_zone.clone());
        if let Some(schedule) = &self.schedule_expression {
            Schedule::parse(schedule).map_err(|error| malformed("ScheduleExpression", &error))?;
            plan.schedule.clone_from(schedule);
        }
        if let Some(zone) = &self.schedule_expression_timezone {
            let member = "ScheduleExpressionTimezone";
            Zone::parse(zone).map_err(|error| malformed(member, &error))?;
            plan.time_zone.clone_from(zone);
        }
        if before != (plan.schedule.clone(), plan.time_zone.clone()) {
            plan.since = now;
        }
        if let Some(hours) = self.start_window_hours {
            let (hours, default) = (Some(hours), START_WINDOW);
            plan.start_window_hours =
                number("StartWindowHours", hours, default, 1, START_WINDOW_MAX)?;
        }
        if let Some(points) = &self.recovery_point_selection {
            plan.points = points.read()?;
        }
        plan.updated_at = Some(now);
        plan.reckon();
        Ok(())
    }
}

/// A condition on a tag.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct KeyValue {
    key: String,
    value: String,
}

/// `ProtectedResourceConditions`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Conditions {
    #[serde(default)]
    string_equals: Vec<KeyValue>,
    #[serde(default)]
    string_not_equals: Vec<KeyValue>,
}

impl Conditions {
    fn read(&self) -> Result<Vec<TagCondition>, Fault> {
        let lists = [
            (TagTest::Equals, &self.string_equals),
            (TagTest::NotEquals, &self.string_not_equals),
        ];
        let of = |test: TagTest, one: &KeyValue| TagCondition {
            test,
            key: one.key.clone(),
            value: one.value.clone(),
        };
        let all = lists
            .into_iter()
            .flat_map(|(test, list)| list.iter().map(move |one| of(test, one)));
        let all: Vec<TagCondition> = all.collect();
        match all.len() {
            0..=CONDITIONS_MAX => Ok(all),
            _ => Err(limit(
                "ProtectedResourceConditions",
                format!("A selection has at most {CONDITIONS_MAX} conditions."),
            )),
        }
    }

    fn of(kept: &[TagCondition]) -> Self {
        let of = |test: TagTest| {
            let found = kept.iter().filter(|one| one.test == test);
            let shown = found.map(|one| KeyValue {
                key: one.key.clone(),
                value: one.value.clone(),
            });
            shown.collect()
        };
        Self {
            string_equals: of(TagTest::Equals),
            string_not_equals: of(TagTest::NotEquals),
        }
    }
}

/// A selection as callers make it.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct NewSelection {
    iam_role_arn: String,
    protected_resource_arns: Option<Vec<String>>,
    protected_resource_conditions: Option<Conditions>,
    protected_resource_type: String,
    restore_metadata_overrides: Option<BTreeMap<String, String>>,
    restore_testing_selection_name: String,
    validation_window_hours: Option<i64>,
}

/// What is to be another than it is in a selection.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SelectionChange {
    iam_role_arn: Option<String>,
    protected_resource_arns: Option<Vec<String>>,
    protected_resource_conditions: Option<Conditions>,
    restore_metadata_overrides: Option<BTreeMap<String, String>>,
    validation_window_hours: Option<i64>,
}

/// Refuses what a restore of a DB cluster does not know, so that no drill fails by that.
fn overrides(
    given: &BTreeMap<String, String>,
    schema: &schemars::Schema,
) -> Result<BTreeMap<String, String>, Fault> {
    drill_checks::read(given).map_err(|why| {
        invalid(
            "RestoreMetadataOverrides",
            format!("RestoreMetadataOverrides: {why}."),
        )
    })?;
    let mut others = given.clone();
    others.retain(|name, _| !name.to_ascii_lowercase().starts_with(drill_checks::OWN));
    restore::members(&others, schema)?;
    Ok(given.clone())
}

impl NewSelection {
    /// A new selection of a plan. `schema` is that of a restore.
    ///
    /// # Errors
    /// `InvalidParameterValueException`, `MissingParameterValueException`.
    pub(crate) fn read(
        self,
        cx: &ActionContext,
        plan: &str,
        schema: &schemars::Schema,
    ) -> Result<RestoreTestingSelection, Fault> {
        let resource_type = self.protected_resource_type;
        let given = &self.restore_testing_selection_name;
        if !["Aurora", "RDS"].contains(&resource_type.as_str()) {
            let message = format!(
                "ProtectedResourceType is {}: only Aurora and RDS are here.",
                shown(&resource_type)
            );
            return Err(invalid("ProtectedResourceType", message));
        }
        let mut selection = RestoreTestingSelection {
            region: cx.region.clone(),
            account: cx.caller.account.clone(),
            plan: plan.to_owned(),
            name: name("RestoreTestingSelectionName", given)?,
            resource_type,
            resources: Vec::new(),
            conditions: Vec::new(),
            overrides: BTreeMap::new(),
            validation_window_hours: 0,
            iam_role: String::new(),
            creator_request_id: None,
            created_at: cx.service.now(),
            updated_at: None,
        };
        let rest = SelectionChange {
            iam_role_arn: Some(self.iam_role_arn),
            protected_resource_arns: self.protected_resource_arns,
            protected_resource_conditions: self.protected_resource_conditions,
            restore_metadata_overrides: self.restore_metadata_overrides,
            validation_window_hours: self.validation_window_hours,
        };
        rest.change(cx, &mut selection, schema)?;
        selection.updated_at = None;
        if selection.resources.is_empty() && selection.conditions.is_empty() {
            return Err(faults::missing("ProtectedResourceArns"));
        }
        Ok(selection)
    }
}

impl SelectionChange {
    /// Changes a selection by what is given. Conditions alone take all resources that meet them.
    ///
    /// # Errors
    /// As [`NewSelection::read`].
    pub(crate) fn change(
        &self,
        cx: &ActionContext,
        selection: &mut RestoreTestingSelection,
        schema: &schemars::Schema,
    ) -> Result<(), Fault> {
        if let Some(role) = &self.iam_role_arn {
            jobs::role(role)?;
            selection.iam_role.clone_from(role);
        }
        if let Some(arns) = &self.protected_resource_arns {
            selection.resources = vaults("ProtectedResourceArns", arns)?;
        }
        if let Some(conditions) = &self.protected_resource_conditions {
            selection.conditions = conditions.read()?;
        }
        let is_all = selection.resources.iter().any(|one| one == "*");
        if is_all && 1 < selection.resources.len() {
            let message = "ProtectedResourceArns has * or ARNs, and not both.";
            return Err(invalid("ProtectedResourceArns", message));
        }
        if !selection.conditions.is_empty() && !is_all {
            if !selection.resources.is_empty() {
                let message = "ProtectedResourceConditions are for * of ProtectedResourceArns, and not for ARNs.";
                return Err(invalid("ProtectedResourceConditions", message));
            }
            selection.resources = vec!["*".to_owned()];
        }
        if let Some(given) = &self.restore_metadata_overrides {
            selection.overrides = overrides(given, schema)?;
        }
        if let Some(hours) = self.validation_window_hours {
            let member = "ValidationWindowHours";
            selection.validation_window_hours = number(member, Some(hours), 0, 0, VALIDATION_MAX)?;
        }
        selection.updated_at = Some(cx.service.now());
        Ok(())
    }
}

/// The conditions of a selection, in an answer.
pub(crate) fn conditions(selection: &RestoreTestingSelection) -> Conditions {
    Conditions::of(&selection.conditions)
}

pub(crate) fn missing_plan(name: &str) -> Fault {
    let message = format!("Restore testing plan {} cannot be found.", shown(name));
    not_found(name, message)
}

pub(crate) fn missing_selection(name: &str) -> Fault {
    let message = format!("Restore testing selection {} cannot be found.", shown(name));
    not_found(name, message)
}

/// A caller's plan.
///
/// # Errors
/// `ResourceNotFoundException`.
pub(crate) fn get(
    tx: &mut dyn Tx,
    (region, account): (&Region, &Account),
    name: &str,
) -> Result<Stored<RestoreTestingPlan>, Fault> {
    let found = keyed::get(tx, region, &[account.as_str(), name])?;
    found.ok_or_else(|| missing_plan(name))
}

/// The same for a request.
pub(crate) async fn find(cx: &ActionContext, name: &str) -> Result<RestoreTestingPlan, Fault> {
    let (account, region, name) = (
        cx.caller.account.clone(),
        cx.region.clone(),
        name.to_owned(),
    );
    let found = cx
        .service
        .catalog
        .read(move |tx| get(tx, (&region, &account), &name));
    Ok(found.await?.value)
}

/// Changes a caller's plan.
///
/// # Errors
/// As [`get`].
pub(crate) async fn change(
    cx: &ActionContext,
    name: &str,
    change: impl Fn(&mut dyn Tx, &mut RestoreTestingPlan) -> Result<(), Fault> + Send + Sync + 'static,
) -> Result<RestoreTestingPlan, Fault> {
    let (account, region, name) = (
        cx.caller.account.clone(),
        cx.region.clone(),
        name.to_owned(),
    );
    let changed = cx.service.catalog.write(move |tx| {
        let mut stored = get(tx, (&region, &account), &name)?;
        change(tx, &mut stored.value)?;
        Ok::<_, Fault>(keyed::update(tx, stored)?.value)
    });
    changed.await
}

/// The name of the caller's plan that an ARN names, in the asked region; none: it names no such one.
pub(crate) fn of_arn(cx: &ActionContext, given: &str) -> Option<String> {
    let arns = RestoreTestingPlan::arns(&cx.region, &cx.caller.account);
    given.strip_prefix(&arns).map(str::to_owned)
}

/// Changes a plan's tags.
pub(crate) async fn retag(
    cx: &ActionContext,
    name: &str,
    retag: impl Fn(&mut Vec<Tag>) -> Result<(), Fault> + Send + Sync + 'static,
) -> Result<(), Fault> {
    change(cx, name, move |_, plan| retag(&mut plan.tags))
        .await
        .map(drop)
}
