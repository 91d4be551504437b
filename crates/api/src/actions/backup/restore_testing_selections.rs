//! What a restore testing plan tests.
//!
//! Sources: API_CreateRestoreTestingSelection and its likes.
use std::collections::BTreeMap;

use catalog::{CatalogExt, keyed};
use model::{RestoreTestingPlan, RestoreTestingSelection};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    actions::rds::restore_db_cluster_from_snapshot::RestoreDbClusterFromSnapshot,
    backup::{
        faults::{self, limit},
        page,
        testing::{self, Conditions, NewSelection, SelectionChange},
    },
    keys::metadata::seconds,
};
use service::fault::Fault;

/// Selections of a plan ("Quotas", AWS Backup Developer Guide).
const SELECTIONS_MAX: usize = 30;

/// Makes one.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateRestoreTestingSelection {
    creator_request_id: Option<String>,
    restore_testing_plan_name: String,
    restore_testing_selection: NewSelection,
}

/// What is answered of a selection that was made.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Created {
    creation_time: f64,
    restore_testing_plan_arn: String,
    restore_testing_plan_name: String,
    restore_testing_selection_name: String,
}

impl Output for Created {}

impl Created {
    fn of(selection: &RestoreTestingSelection) -> Self {
        let arns = RestoreTestingPlan::arns(&selection.region, &selection.account);
        Self {
            creation_time: seconds(selection.created_at),
            restore_testing_plan_arn: format!("{arns}{}", selection.plan),
            restore_testing_plan_name: selection.plan.clone(),
            restore_testing_selection_name: selection.name.clone(),
        }
    }
}

fn alike(one: &RestoreTestingSelection, other: &RestoreTestingSelection) -> bool {
    let said = |of: &RestoreTestingSelection| RestoreTestingSelection {
        created_at: model::Timestamp(0),
        updated_at: None,
        ..of.clone()
    };
    said(one) == said(other)
}

impl Action for CreateRestoreTestingSelection {
    const NAME: &'static str = "CreateRestoreTestingSelection";
    const API: Api = Api::Backup;
    type Output = Created;

    async fn run(self, cx: &ActionContext) -> Result<Created, Fault> {
        let plan = testing::find(cx, &self.restore_testing_plan_name).await?;
        let schema = schemars::schema_for!(RestoreDbClusterFromSnapshot);
        let mut new = self
            .restore_testing_selection
            .read(cx, &plan.name, &schema)?;
        new.creator_request_id = self.creator_request_id;
        let kept = cx.service.catalog.write(move |tx| {
            testing::get(tx, (&new.region, &new.account), &new.plan)?;
            let above = [new.account.as_str(), new.plan.as_str()];
            let all = keyed::list::<RestoreTestingSelection>(tx, &new.region, &above, usize::MAX)?;
            if let Some(there) = all.iter().find(|one| one.value.name == new.name) {
                let there = &there.value;
                return match there.creator_request_id.is_some() && alike(there, &new) {
                    true => Ok(there.clone()),
                    false => Err(faults::exists_named(
                        &format!("{}/{}", there.plan, there.name),
                        there.creator_request_id.as_deref(),
                        "restore testing selection",
                        &there.name,
                    )),
                };
            }
            if SELECTIONS_MAX <= all.len() {
                let message =
                    format!("A restore testing plan has at most {SELECTIONS_MAX} selections.");
                return Err(limit(&new.name, message));
            }
            Ok(keyed::insert(tx, new.clone())?.value)
        });
        Ok(Created::of(&kept.await?))
    }
}

/// The caller's selection of those names.
async fn find(
    cx: &ActionContext,
    plan: &str,
    name: &str,
) -> Result<RestoreTestingSelection, Fault> {
    let (account, region) = (cx.caller.account.clone(), cx.region.clone());
    let (plan, name) = (plan.to_owned(), name.to_owned());
    let found = cx.service.catalog.read(move |tx| {
        let key = [account.as_str(), plan.as_str(), name.as_str()];
        let found = keyed::get::<RestoreTestingSelection>(tx, &region, &key)?;
        testing::get(tx, (&region, &account), &plan)?;
        found.ok_or_else(|| testing::missing_selection(&name))
    });
    Ok(found.await?.value)
}

/// Changes one: what is not given stays as it is.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateRestoreTestingSelection {
    restore_testing_plan_name: String,
    restore_testing_selection_name: String,
    restore_testing_selection: SelectionChange,
}

/// What is answered of a selection that was changed.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Updated {
    #[serde(flatten)]
    selection: Created,
    update_time: f64,
}

impl Output for Updated {}

impl Action for UpdateRestoreTestingSelection {
    const NAME: &'static str = "UpdateRestoreTestingSelection";
    const API: Api = Api::Backup;
    type Output = Updated;

    async fn run(self, cx: &ActionContext) -> Result<Updated, Fault> {
        let (plan, name) = (
            &self.restore_testing_plan_name,
            &self.restore_testing_selection_name,
        );
        let mut wanted = find(cx, plan, name).await?;
        let schema = schemars::schema_for!(RestoreDbClusterFromSnapshot);
        self.restore_testing_selection
            .change(cx, &mut wanted, &schema)?;
        let changed = cx.service.catalog.write(move |tx| {
            let key = [&*wanted.account.to_string(), &wanted.plan, &wanted.name];
            let found = keyed::get::<RestoreTestingSelection>(tx, &wanted.region, &key)?;
            let mut stored = found.ok_or_else(|| testing::missing_selection(&wanted.name))?;
            stored.value = wanted.clone();
            Ok::<_, Fault>(keyed::update(tx, stored)?.value)
        });
        let selection = changed.await?;
        Ok(Updated {
            update_time: seconds(selection.updated_at.unwrap_or(selection.created_at)),
            selection: Created::of(&selection),
        })
    }
}

/// Deletes one. Tests that it began go on.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteRestoreTestingSelection {
    restore_testing_plan_name: String,
    restore_testing_selection_name: String,
}

impl Action for DeleteRestoreTestingSelection {
    const NAME: &'static str = "DeleteRestoreTestingSelection";
    const API: Api = Api::Backup;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let (plan, name) = (
            &self.restore_testing_plan_name,
            &self.restore_testing_selection_name,
        );
        let gone = find(cx, plan, name).await?;
        let deleted = cx
            .service
            .catalog
            .write(move |tx| keyed::delete(tx, &gone).map(drop));
        Ok(deleted.await?)
    }
}

/// A selection in a list.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Row {
    creation_time: f64,
    iam_role_arn: String,
    protected_resource_type: String,
    restore_testing_plan_name: String,
    restore_testing_selection_name: String,
    validation_window_hours: u32,
}

impl Row {
    fn of(selection: &RestoreTestingSelection) -> Self {
        Self {
            creation_time: seconds(selection.created_at),
            iam_role_arn: selection.iam_role.clone(),
            protected_resource_type: selection.resource_type.clone(),
            restore_testing_plan_name: selection.plan.clone(),
            restore_testing_selection_name: selection.name.clone(),
            validation_window_hours: selection.validation_window_hours,
        }
    }
}

/// All of a selection.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Whole {
    #[serde(flatten)]
    row: Row,
    #[serde(skip_serializing_if = "Option::is_none")]
    creator_request_id: Option<String>,
    protected_resource_arns: Vec<String>,
    protected_resource_conditions: Conditions,
    restore_metadata_overrides: BTreeMap<String, String>,
}

/// Shows one.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetRestoreTestingSelection {
    restore_testing_plan_name: String,
    restore_testing_selection_name: String,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Shown {
    restore_testing_selection: Whole,
}

impl Output for Shown {}

impl Action for GetRestoreTestingSelection {
    const NAME: &'static str = "GetRestoreTestingSelection";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = Shown;

    async fn run(self, cx: &ActionContext) -> Result<Shown, Fault> {
        let (plan, name) = (
            &self.restore_testing_plan_name,
            &self.restore_testing_selection_name,
        );
        let found = find(cx, plan, name).await?;
        Ok(Shown {
            restore_testing_selection: Whole {
                row: Row::of(&found),
                protected_resource_conditions: testing::conditions(&found),
                creator_request_id: found.creator_request_id,
                protected_resource_arns: found.resources,
                restore_metadata_overrides: found.overrides,
            },
        })
    }
}

/// Lists a plan's.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListRestoreTestingSelections {
    restore_testing_plan_name: String,
    max_results: Option<i64>,
    next_token: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Selections {
    restore_testing_selections: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Output for Selections {
    const LAYOUT: Layout = Layout::Page("RestoreTestingSelections");

    fn label(&self) -> Label {
        Label::Page {
            next: self.next_token.clone(),
        }
    }
}

impl Action for ListRestoreTestingSelections {
    const NAME: &'static str = "ListRestoreTestingSelections";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = Selections;

    async fn run(self, cx: &ActionContext) -> Result<Selections, Fault> {
        let plan = testing::find(cx, &self.restore_testing_plan_name).await?;
        let all = cx.service.catalog.read(move |tx| {
            let above = [plan.account.as_str(), plan.name.as_str()];
            keyed::list::<RestoreTestingSelection>(tx, &plan.region, &above, usize::MAX)
        });
        let all = all.await?.into_iter().map(|stored| stored.value);
        let token = self.next_token.as_deref();
        let name = |one: &RestoreTestingSelection| one.name.clone();
        let (found, next_token) = page::cut(all.collect(), self.max_results, token, name)?;
        Ok(Selections {
            restore_testing_selections: found.iter().map(Row::of).collect(),
            next_token,
        })
    }
}
