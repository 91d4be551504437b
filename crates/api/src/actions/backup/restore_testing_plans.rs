//! Restore testing plans: made, shown, listed, changed and deleted.
//!
//! Sources: API_CreateRestoreTestingPlan and its likes.
use catalog::{CatalogExt, keyed};
use model::{RestoreTestingPlan, RestoreTestingSelection};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    backup::{
        faults::{self, limit, refused},
        page,
        tags::{self, TagMap},
        testing::{self, NewPlan, PlanChange, Points},
    },
    keys::metadata::seconds,
};
use service::fault::Fault;

/// Plans of an account in a region ("Quotas", AWS Backup Developer Guide).
const PLANS_MAX: usize = 100;

/// Makes one.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateRestoreTestingPlan {
    creator_request_id: Option<String>,
    restore_testing_plan: NewPlan,
    #[serde(default)]
    tags: TagMap,
}

/// What is answered of a plan that was made.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Created {
    creation_time: f64,
    restore_testing_plan_arn: String,
    restore_testing_plan_name: String,
}

impl Output for Created {}

impl Created {
    fn of(plan: &RestoreTestingPlan) -> Self {
        Self {
            creation_time: seconds(plan.created_at),
            restore_testing_plan_arn: plan.arn(),
            restore_testing_plan_name: plan.name.clone(),
        }
    }
}

/// Whether two say the same, whenever they were written.
fn alike(one: &RestoreTestingPlan, other: &RestoreTestingPlan) -> bool {
    one.name == other.name
        && (&one.schedule, &one.time_zone) == (&other.schedule, &other.time_zone)
        && (one.start_window_hours, &one.points) == (other.start_window_hours, &other.points)
}

impl Action for CreateRestoreTestingPlan {
    const NAME: &'static str = "CreateRestoreTestingPlan";
    const API: Api = Api::Backup;
    type Output = Created;

    async fn run(self, cx: &ActionContext) -> Result<Created, Fault> {
        let mut plan = self.restore_testing_plan.read(cx)?;
        plan.tags = tags::records(&self.tags)?;
        plan.creator_request_id = self.creator_request_id;
        let kept = cx.service.catalog.write(move |tx| {
            let above = [plan.account.as_str()];
            let all = keyed::list::<RestoreTestingPlan>(tx, &plan.region, &above, usize::MAX)?;
            let asked = plan.creator_request_id.as_ref();
            let named = |one: &RestoreTestingPlan| one.name == plan.name;
            let mut all_plans = all.iter().map(|stored| &stored.value);
            let same = |one: &&RestoreTestingPlan| {
                named(one) || asked.is_some() && one.creator_request_id.as_ref() == asked
            };
            if let Some(there) = all_plans.find(same) {
                let again = asked.is_some() && there.creator_request_id.as_ref() == asked;
                let (arn, by) = (there.arn(), there.creator_request_id.as_deref());
                let what = "restore testing plan";
                return match again {
                    true if alike(there, &plan) => Ok(there.clone()),
                    true => Err(faults::exists_otherwise(&arn, by, what)),
                    false => Err(faults::exists_named(&arn, by, what, &plan.name)),
                };
            }
            if PLANS_MAX <= all.len() {
                let message = format!(
                    "An account has at most {PLANS_MAX} restore testing plans in a region."
                );
                return Err(limit(&plan.name, message));
            }
            Ok(keyed::insert(tx, plan.clone())?.value)
        });
        Ok(Created::of(&kept.await?))
    }
}

/// Changes one: what is not given stays as it is.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateRestoreTestingPlan {
    restore_testing_plan_name: String,
    restore_testing_plan: PlanChange,
}

/// What is answered of a plan that was changed.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Updated {
    #[serde(flatten)]
    plan: Created,
    update_time: f64,
}

impl Output for Updated {}

impl Action for UpdateRestoreTestingPlan {
    const NAME: &'static str = "UpdateRestoreTestingPlan";
    const API: Api = Api::Backup;
    type Output = Updated;

    async fn run(self, cx: &ActionContext) -> Result<Updated, Fault> {
        let name = &self.restore_testing_plan_name;
        let mut wanted = testing::find(cx, name).await?;
        self.restore_testing_plan.change(cx, &mut wanted)?;
        let changed = testing::change(cx, name, move |_, plan| {
            plan.schedule.clone_from(&wanted.schedule);
            plan.time_zone.clone_from(&wanted.time_zone);
            plan.since = wanted.since;
            plan.start_window_hours = wanted.start_window_hours;
            plan.points = wanted.points.clone();
            plan.updated_at = wanted.updated_at;
            plan.reckon();
            Ok(())
        });
        let plan = changed.await?;
        Ok(Updated {
            update_time: seconds(plan.updated_at.unwrap_or(plan.created_at)),
            plan: Created::of(&plan),
        })
    }
}

/// Deletes one that selects nothing any more. One that is not there is as good as deleted.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteRestoreTestingPlan {
    restore_testing_plan_name: String,
}

impl Action for DeleteRestoreTestingPlan {
    const NAME: &'static str = "DeleteRestoreTestingPlan";
    const API: Api = Api::Backup;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let (account, region) = (cx.caller.account.clone(), cx.region.clone());
        let name = self.restore_testing_plan_name;
        let deleted = cx.service.catalog.write(move |tx| {
            let key = [account.as_str(), name.as_str()];
            let Some(stored) = keyed::get::<RestoreTestingPlan>(tx, &region, &key)? else {
                return Ok(());
            };
            if !keyed::list::<RestoreTestingSelection>(tx, &region, &key, 1)?.is_empty() {
                return Err(refused(
                    &name,
                    "Related restore testing selections must be deleted prior to restore testing plan deletion.",
                ));
            }
            keyed::delete(tx, &stored.value)?;
            Ok::<_, Fault>(())
        });
        deleted.await
    }
}

/// Shows one.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetRestoreTestingPlan {
    restore_testing_plan_name: String,
}

/// A plan in a list.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Row {
    #[serde(flatten)]
    plan: Created,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_execution_time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_time: Option<f64>,
    schedule_expression: String,
    schedule_expression_timezone: String,
    start_window_hours: u32,
}

impl Row {
    fn of(plan: &RestoreTestingPlan) -> Self {
        Self {
            plan: Created::of(plan),
            last_execution_time: plan.last_run.map(seconds),
            last_update_time: plan.updated_at.map(seconds),
            schedule_expression: plan.schedule.clone(),
            schedule_expression_timezone: plan.time_zone.clone(),
            start_window_hours: plan.start_window_hours,
        }
    }
}

/// All of a plan.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Whole {
    #[serde(flatten)]
    row: Row,
    #[serde(skip_serializing_if = "Option::is_none")]
    creator_request_id: Option<String>,
    recovery_point_selection: Points,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Shown {
    restore_testing_plan: Whole,
}

impl Output for Shown {}

impl Action for GetRestoreTestingPlan {
    const NAME: &'static str = "GetRestoreTestingPlan";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = Shown;

    async fn run(self, cx: &ActionContext) -> Result<Shown, Fault> {
        let plan = testing::find(cx, &self.restore_testing_plan_name).await?;
        Ok(Shown {
            restore_testing_plan: Whole {
                row: Row::of(&plan),
                recovery_point_selection: Points::of(&plan.points),
                creator_request_id: plan.creator_request_id,
            },
        })
    }
}

/// Lists an account's.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListRestoreTestingPlans {
    max_results: Option<i64>,
    next_token: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Plans {
    restore_testing_plans: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Output for Plans {
    const LAYOUT: Layout = Layout::Page("RestoreTestingPlans");

    fn label(&self) -> Label {
        Label::Page {
            next: self.next_token.clone(),
        }
    }
}

impl Action for ListRestoreTestingPlans {
    const NAME: &'static str = "ListRestoreTestingPlans";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = Plans;

    async fn run(self, cx: &ActionContext) -> Result<Plans, Fault> {
        let (account, region) = (cx.caller.account.clone(), cx.region.clone());
        let all = cx.service.catalog.read(move |tx| {
            keyed::list::<RestoreTestingPlan>(tx, &region, &[account.as_str()], usize::MAX)
        });
        let all = all.await?.into_iter().map(|stored| stored.value);
        let token = self.next_token.as_deref();
        let name = |plan: &RestoreTestingPlan| plan.name.clone();
        let (found, next_token) = page::cut(all.collect(), self.max_results, token, name)?;
        Ok(Plans {
            restore_testing_plans: found.iter().map(Row::of).collect(),
            next_token,
        })
    }
}
