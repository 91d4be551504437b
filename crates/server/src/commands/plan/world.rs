//! What plans, vaults and restore testing plans there are, by name.
//!
//! It does not know what is wanted.
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{client::Api, commands::failure::Failure};

/// Pages of a list at most.
const PAGES_MAX: usize = 1_000;

/// A plan, of either sort.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Of a backup plan.
    pub(super) id: String,
    pub(super) value: Value,
    /// By name: its id, if it has one, and what it says.
    pub(super) selections: BTreeMap<String, (String, Value)>,
}

/// What there is in a region.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) vaults: BTreeMap<String, Value>,
    pub(super) plans: BTreeMap<String, Plan>,
    pub(super) tests: BTreeMap<String, Plan>,
}

impl World {
    /// The ids of backup plans by their names.
    pub(super) fn plan_ids(&self) -> BTreeMap<String, String> {
        let pairs = self.plans.iter();
        pairs
            .map(|(name, plan)| (name.clone(), plan.id.clone()))
            .collect()
    }
}

fn text(of: &Value, name: &str) -> String {
    let found = of.get(name).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}

async fn call(api: &Api, action: &str, asked: Value) -> Result<Value, Failure> {
    let asked = asked.as_object().cloned().unwrap_or_default();
    Ok(api.call(api.region(), action, asked).await?)
}

/// All rows of one of AWS Backup's lists.
async fn all(api: &Api, action: &str, asked: Value) -> Result<Vec<Value>, Failure> {
    let (mut rows, mut page): (Vec<Value>, Map<String, Value>) =
        (Vec::new(), asked.as_object().cloned().unwrap_or_default());
    for _ in 0..PAGES_MAX {
        let mut data = api.call(api.region(), action, page.clone()).await?;
        if let Some(Value::Array(items)) = data.get_mut("items").map(Value::take) {
            rows.extend(items);
        }
        match data.get("next").and_then(Value::as_str) {
            Some(next) => page.insert("NextToken".to_owned(), json!(next)),
            None => break,
        };
    }
    Ok(rows)
}

/// Looks at all there is.
///
/// # Errors
/// [`Failure::Api`]; [`Failure::SameName`] of plans, which AWS Backup lets have the same name.
pub(super) async fn look(api: &Api) -> Result<World, Failure> {
    let mut world = World::default();
    for vault in all(api, "ListBackupVaults", json!({})).await? {
        world.vaults.insert(text(&vault, "BackupVaultName"), vault);
    }
    for row in all(api, "ListBackupPlans", json!({})).await? {
        let (name, plan) = backup_plan(api, text(&row, "BackupPlanId")).await?;
        if world.plans.insert(name.clone(), plan).is_some() {
            return Err(Failure::SameName(name));
        }
    }
    for row in all(api, "ListRestoreTestingPlans", json!({})).await? {
        let name = text(&row, "RestoreTestingPlanName");
        let plan = testing_plan(api, &name).await?;
        world.tests.insert(name, plan);
    }
    Ok(world)
}

async fn backup_plan(api: &Api, id: String) -> Result<(String, Plan), Failure> {
    let of = json!({ "BackupPlanId": id });
    let mut shown = call(api, "GetBackupPlan", of.clone()).await?;
    let value = shown["BackupPlan"].take();
    let mut selections = BTreeMap::new();
    for row in all(api, "ListBackupSelections", of).await? {
        let selection = text(&row, "SelectionId");
        let asked = json!({ "BackupPlanId": id, "SelectionId": selection });
        let mut shown = call(api, "GetBackupSelection", asked).await?;
        let said = shown["BackupSelection"].take();
        selections.insert(text(&said, "SelectionName"), (selection, said));
    }
    let name = text(&value, "BackupPlanName");
    let plan = Plan {
        id,
        value,
        selections,
    };
    Ok((name, plan))
}

async fn testing_plan(api: &Api, name: &str) -> Result<Plan, Failure> {
    let of = json!({ "RestoreTestingPlanName": name });
    let mut shown = call(api, "GetRestoreTestingPlan", of.clone()).await?;
    let mut plan = Plan {
        value: shown["RestoreTestingPlan"].take(),
        ..Plan::default()
    };
    for row in all(api, "ListRestoreTestingSelections", of).await? {
        let selection = text(&row, "RestoreTestingSelectionName");
        let asked = json!({
            "RestoreTestingPlanName": name, "RestoreTestingSelectionName": selection,
        });
        let mut shown = call(api, "GetRestoreTestingSelection", asked).await?;
        let said = shown["RestoreTestingSelection"].take();
        plan.selections.insert(selection, (String::new(), said));
    }
    Ok(plan)
}

/// The id of the backup plan of a name, or which is one.
///
/// # Errors
/// [`Failure::Api`]; [`Failure::SameName`]; [`Failure::NoPlan`].
pub(super) async fn id_of(api: &Api, plan: &str) -> Result<String, Failure> {
    let mut found = Vec::new();
    for row in all(api, "ListBackupPlans", json!({})).await? {
        let id = text(&row, "BackupPlanId");
        if id == plan {
            return Ok(id);
        }
        if text(&row, "BackupPlanName") == plan {
            found.push(id);
        }
    }
    match found.len() {
        0 => Err(Failure::NoPlan(plan.to_owned())),
        1 => Ok(found.remove(0)),
        _ => Err(Failure::SameName(plan.to_owned())),
    }
}
