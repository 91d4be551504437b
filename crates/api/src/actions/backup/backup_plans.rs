//! Backup plans: made, shown, listed, changed and deleted.
use catalog::{CatalogError, CatalogExt, keyed};
use model::{BackupPlan, BackupSelection, PlanBody, PlanVersion};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    backup::{
        faults::{self, invalid, limit, refused},
        page,
        plans::{self, Plan, preview},
        tags::{self, TagMap},
    },
    keys::metadata::seconds,
};
use service::{
    events::{self, backup::Change},
    fault::Fault,
};

/// Plans of an account in a region, and versions of a plan ("Quotas", AWS Backup Developer Guide).
const PLANS_MAX: usize = 300;
const VERSIONS_MAX: usize = 2_000;
/// Times that are told ahead.
const PREVIEW_MAX: i64 = 10;

/// Makes one.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateBackupPlan {
    backup_plan: Plan,
    #[serde(default)]
    backup_plan_tags: TagMap,
    creator_request_id: Option<String>,
}

/// What is answered of a plan that was made or changed.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Written {
    backup_plan_id: String,
    backup_plan_arn: String,
    creation_date: f64,
    version_id: String,
}

impl Output for Written {}

impl Written {
    fn of(plan: &BackupPlan) -> Self {
        Self {
            backup_plan_id: plan.id.clone(),
            backup_plan_arn: plan.arn().to_string(),
            creation_date: seconds(plan.created_at),
            version_id: plan.body.version.clone(),
        }
    }
}

impl Action for CreateBackupPlan {
    const NAME: &'static str = "CreateBackupPlan";
    const API: Api = Api::Backup;
    type Output = Written;

    async fn run(self, cx: &ActionContext) -> Result<Written, Fault> {
        let tags = tags::records(&self.backup_plan_tags)?;
        let body = self.backup_plan.read(cx, &[]).await?;
        let now = body.written_at;
        let mut plan = BackupPlan {
            region: cx.region.clone(),
            account: cx.caller.account.clone(),
            id: cx.service.entropy.uuid().to_string(),
            body,
            creator_request_id: self.creator_request_id,
            tags,
            created_at: now,
            deleted_at: None,
            last_run: None,
            looked_to: now,
            due: None,
        };
        plan.reckon();
        let kept = cx.service.catalog.write(move |tx| {
            let above = [plan.account.as_str()];
            let all = keyed::list::<BackupPlan>(tx, &plan.region, &above, usize::MAX)?;
            let live = all.into_iter().map(|stored| stored.value);
            let live: Vec<BackupPlan> = live.filter(|one| one.deleted_at.is_none()).collect();
            let asked = plan.creator_request_id.as_ref();
            let same =
                |one: &&BackupPlan| asked.is_some() && one.creator_request_id.as_ref() == asked;
            if let Some(there) = live.iter().find(same) {
                return again(there, &plan);
            }
            if PLANS_MAX <= live.len() {
                let message =
                    format!("An account has at most {PLANS_MAX} backup plans in a region.");
                return Err(limit(&plan.body.name, message));
            }
            keyed::insert(tx, version_of(&plan))?;
            events::backup::plan(tx, &plan, Change::Created)?;
            Ok(keyed::insert(tx, plan.clone())?.value)
        });
        Ok(Written::of(&kept.await?))
    }
}

/// A request that was made before is answered as it was then; another one of its id is refused.
fn again(there: &BackupPlan, new: &BackupPlan) -> Result<BackupPlan, Fault> {
    match alike(&there.body, &new.body) {
        true => Ok(there.clone()),
        false => Err(faults::exists_otherwise(
            &there.arn().to_string(),
            there.creator_request_id.as_deref(),
            "backup plan",
        )),
    }
}

/// Whether two say the same, whenever they were written.
fn alike(one: &PlanBody, other: &PlanBody) -> bool {
    let said = |body: &PlanBody| {
        let mut body = body.clone();
        body.version.clear();
        body.written_at = model::Timestamp(0);
        for rule in &mut body.rules {
            rule.id.clear();
            rule.since = model::Timestamp(0);
        }
        body
    };
    said(one) == said(other)
}

fn version_of(plan: &BackupPlan) -> PlanVersion {
    PlanVersion {
        region: plan.region.clone(),
        account: plan.account.clone(),
        plan: plan.id.clone(),
        body: plan.body.clone(),
    }
}

/// Changes one: it has another version from then on.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateBackupPlan {
    backup_plan_id: String,
    backup_plan: Plan,
}

impl Action for UpdateBackupPlan {
    const NAME: &'static str = "UpdateBackupPlan";
    const API: Api = Api::Backup;
    type Output = Written;

    async fn run(self, cx: &ActionContext) -> Result<Written, Fault> {
        let before = plans::find(cx, &self.backup_plan_id).await?;
        let body = self.backup_plan.read(cx, &before.body.rules).await?;
        let changed = plans::change(cx, &self.backup_plan_id, move |tx, plan| {
            let above = [plan.account.as_str(), plan.id.as_str()];
            let versions = keyed::list::<PlanVersion>(tx, &plan.region, &above, VERSIONS_MAX)?;
            if VERSIONS_MAX <= versions.len() {
                let message = format!("A backup plan has at most {VERSIONS_MAX} versions.");
                return Err(invalid(&plan.id, message));
            }
            plan.body = body.clone();
            keyed::insert(tx, version_of(plan))?;
            events::backup::plan(tx, plan, Change::Modified)?;
            Ok(())
        });
        Ok(Written::of(&changed.await?))
    }
}

/// Deletes one that selects nothing any more. Its recovery points stay.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteBackupPlan {
    backup_plan_id: String,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Deleted {
    backup_plan_id: String,
    backup_plan_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_date: Option<f64>,
    version_id: String,
}

impl Output for Deleted {}

impl Action for DeleteBackupPlan {
    const NAME: &'static str = "DeleteBackupPlan";
    const API: Api = Api::Backup;
    type Output = Deleted;

    async fn run(self, cx: &ActionContext) -> Result<Deleted, Fault> {
        let now = cx.service.now();
        let deleted = plans::change(cx, &self.backup_plan_id, move |tx, plan| {
            let above = [plan.account.as_str(), plan.id.as_str()];
            if !keyed::list::<BackupSelection>(tx, &plan.region, &above, 1)?.is_empty() {
                return Err(refused(
                    &plan.id,
                    "Related backup plan selections must be deleted prior to backup plan deletion.",
                ));
            }
            plan.deleted_at = Some(now);
            plan.tags.clear();
            events::backup::plan(tx, plan, Change::Deleted)?;
            Ok(())
        });
        let plan = deleted.await?;
        Ok(Deleted {
            backup_plan_arn: plan.arn().to_string(),
            deletion_date: plan.deleted_at.map(seconds),
            version_id: plan.body.version,
            backup_plan_id: plan.id,
        })
    }
}

/// Shows one, in its version of now or an earlier one.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetBackupPlan {
    backup_plan_id: String,
    version_id: Option<String>,
    max_scheduled_runs_preview: Option<i64>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ShownPlan {
    backup_plan: Plan,
    backup_plan_id: String,
    backup_plan_arn: String,
    version_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    creator_request_id: Option<String>,
    creation_date: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_execution_date: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scheduled_runs_preview: Vec<ScheduledRun>,
}

#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct ScheduledRun {
    execution_time: f64,
    rule_id: String,
    rule_execution_type: &'static str,
}

impl Output for ShownPlan {}

impl Action for GetBackupPlan {
    const NAME: &'static str = "GetBackupPlan";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = ShownPlan;

    async fn run(self, cx: &ActionContext) -> Result<ShownPlan, Fault> {
        let asked = self.max_scheduled_runs_preview.unwrap_or_default();
        if !(0..=PREVIEW_MAX).contains(&asked) {
            let message = format!("MaxScheduledRunsPreview must be between 0 and {PREVIEW_MAX}.");
            return Err(invalid("MaxScheduledRunsPreview", message));
        }
        let plan = plans::find(cx, &self.backup_plan_id).await?;
        let body = match self
            .version_id
            .filter(|version| *version != plan.body.version)
        {
            None => plan.body.clone(),
            Some(version) => earlier(cx, &plan, version).await?,
        };
        let count = usize::try_from(asked).unwrap_or_default();
        let runs = preview(&plan, cx.service.now(), count).into_iter();
        Ok(ShownPlan {
            backup_plan: Plan::of(&body),
            backup_plan_arn: plan.arn().to_string(),
            version_id: body.version,
            creation_date: seconds(plan.created_at),
            last_execution_date: plan.last_run.map(seconds),
            scheduled_runs_preview: runs
                .map(|(at, rule_id)| ScheduledRun {
                    execution_time: seconds(at),
                    rule_id,
                    rule_execution_type: "SNAPSHOTS",
                })
                .collect(),
            creator_request_id: plan.creator_request_id,
            backup_plan_id: plan.id,
        })
    }
}

/// What a plan said in an earlier version.
async fn earlier(
    cx: &ActionContext,
    plan: &BackupPlan,
    version: String,
) -> Result<PlanBody, Fault> {
    let (region, account, id) = (plan.region.clone(), plan.account.clone(), plan.id.clone());
    let found = cx.service.catalog.read(move |tx| {
        let key = [account.as_str(), id.as_str(), version.as_str()];
        keyed::get::<PlanVersion>(tx, &region, &key)
    });
    let found = found.await?;
    found
        .map(|stored| stored.value.body)
        .ok_or_else(|| plans::missing(&plan.id))
}

/// Lists an account's.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListBackupPlans {
    next_token: Option<String>,
    max_results: Option<i64>,
    include_deleted: Option<bool>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Plans {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    backup_plans_list: Vec<ListedPlan>,
}

impl Output for Plans {
    const LAYOUT: Layout = Layout::Page("BackupPlansList");

    fn label(&self) -> Label {
        Label::Page {
            next: self.next_token.clone(),
        }
    }
}

/// A plan in a list, or a version of one.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct ListedPlan {
    backup_plan_arn: String,
    backup_plan_id: String,
    creation_date: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_date: Option<f64>,
    version_id: String,
    backup_plan_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    creator_request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_execution_date: Option<f64>,
}

impl ListedPlan {
    fn of(plan: &BackupPlan, body: &PlanBody, created_at: model::Timestamp) -> Self {
        Self {
            backup_plan_arn: plan.arn().to_string(),
            backup_plan_id: plan.id.clone(),
            creation_date: seconds(created_at),
            deletion_date: plan.deleted_at.map(seconds),
            version_id: body.version.clone(),
            backup_plan_name: body.name.clone(),
            creator_request_id: plan.creator_request_id.clone(),
            last_execution_date: plan.last_run.map(seconds),
        }
    }
}

impl Action for ListBackupPlans {
    const NAME: &'static str = "ListBackupPlans";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = Plans;

    async fn run(self, cx: &ActionContext) -> Result<Plans, Fault> {
        let (account, region) = (cx.caller.account.clone(), cx.region.clone());
        let found = cx.service.catalog.read(move |tx| {
            let found = keyed::list::<BackupPlan>(tx, &region, &[account.as_str()], usize::MAX)?;
            let found = found.into_iter().map(|stored| stored.value);
            Ok::<Vec<BackupPlan>, CatalogError>(found.collect())
        });
        let mut found = found.await?;
        found.retain(|plan| plan.deleted_at.is_none() || self.include_deleted == Some(true));
        let token = self.next_token.as_deref();
        let (found, next_token) =
            page::cut(found, self.max_results, token, |plan| plan.id.clone())?;
        let shown = found.iter();
        Ok(Plans {
            backup_plans_list: shown
                .map(|plan| ListedPlan::of(plan, &plan.body, plan.created_at))
                .collect(),
            next_token,
        })
    }
}

/// Lists the versions of one.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListBackupPlanVersions {
    backup_plan_id: String,
    next_token: Option<String>,
    max_results: Option<i64>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Versions {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    backup_plan_versions_list: Vec<ListedPlan>,
}

impl Output for Versions {
    const LAYOUT: Layout = Layout::Page("BackupPlanVersionsList");

    fn label(&self) -> Label {
        Label::Page {
            next: self.next_token.clone(),
        }
    }
}

impl Action for ListBackupPlanVersions {
    const NAME: &'static str = "ListBackupPlanVersions";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = Versions;

    async fn run(self, cx: &ActionContext) -> Result<Versions, Fault> {
        let plan = plans::find(cx, &self.backup_plan_id).await?;
        let (region, account, id) = (plan.region.clone(), plan.account.clone(), plan.id.clone());
        let found = cx.service.catalog.read(move |tx| {
            let above = [account.as_str(), id.as_str()];
            let found = keyed::list::<PlanVersion>(tx, &region, &above, usize::MAX)?;
            let found = found.into_iter().map(|stored| stored.value.body);
            Ok::<Vec<PlanBody>, CatalogError>(found.collect())
        });
        let mut found = found.await?;
        found.sort_by_key(|body| body.written_at);
        let token = self.next_token.as_deref();
        let (found, next_token) = page::cut(found, self.max_results, token, |body| {
            format!("{:020}{}", body.written_at.0, body.version)
        })?;
        let shown = found.iter();
        Ok(Versions {
            backup_plan_versions_list: shown
                .map(|body| ListedPlan::of(&plan, body, body.written_at))
                .collect(),
            next_token,
        })
    }
}
