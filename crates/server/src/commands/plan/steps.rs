//! What is to be done so that all is as a file says: shown, and then done.
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    diff,
    file::{self, File},
    world::World,
};
use crate::{client::Api, commands::failure::Failure};

/// One request.
#[derive(Debug)]
pub(super) struct Step {
    /// `+`, `~` or `-`.
    sign: char,
    /// What it is about, such as `plan nightly`.
    what: String,
    /// How it differs, line by line.
    lines: Vec<String>,
    action: &'static str,
    request: Value,
    /// The backup plan of that name, whose id the request needs.
    of_plan: Option<String>,
}

impl Step {
    fn new(sign: char, what: String, action: &'static str, request: Value) -> Self {
        Self {
            sign,
            what,
            lines: Vec::new(),
            action,
            request,
            of_plan: None,
        }
    }

    fn of(self, plan: &str) -> Self {
        Self {
            of_plan: Some(plan.to_owned()),
            ..self
        }
    }

    fn with(self, lines: Vec<String>) -> Self {
        Self { lines, ..self }
    }

    /// As it is shown.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{} {}\n", self.sign, self.what);
        for line in &self.lines {
            text.push_str(&format!("    {line}\n"));
        }
        text
    }

    /// Does it. `ids` are those of backup plans by name; one that is made joins them.
    ///
    /// # Errors
    /// [`Failure::Api`].
    pub(super) async fn take(
        &self,
        api: &Api,
        ids: &mut BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let mut request = self.request.as_object().cloned().unwrap_or_default();
        if let Some(id) = self.of_plan.as_ref().and_then(|name| ids.get(name)) {
            request.insert("BackupPlanId".to_owned(), json!(id));
        }
        let made = api.call(api.region(), self.action, request).await?;
        let id = made.get("BackupPlanId").and_then(Value::as_str);
        if let (Some(id), Some(name)) = (id, &self.of_plan) {
            ids.insert(name.clone(), id.to_owned());
        }
        Ok(())
    }
}

/// The steps from what is there to what is wanted, in their order.
///
/// # Errors
/// [`Failure::FixedKey`]: a vault's key stays as it was made.
pub(super) fn between(there: &World, wanted: &File, prune: bool) -> Result<Vec<Step>, Failure> {
    let mut steps = Vec::new();
    for vault in &wanted.vaults {
        of_vault(there, vault, &mut steps)?;
    }
    for plan in &wanted.plans {
        of_plan(there, plan, prune, &mut steps);
    }
    for plan in &wanted.restore_testing_plans {
        of_test(there, plan, prune, &mut steps);
    }
    if prune {
        others(there, wanted, &mut steps);
    }
    Ok(steps)
}

fn of_vault(there: &World, vault: &file::Vault, steps: &mut Vec<Step>) -> Result<(), Failure> {
    let name = &vault.backup_vault_name;
    let is = there.vaults.get(name);
    match (is, &vault.encryption_key_arn) {
        (None, key) => {
            let mut request = json!({ "BackupVaultName": name });
            if let Some(key) = key {
                request["EncryptionKeyArn"] = json!(key);
            }
            if !vault.backup_vault_tags.is_empty() {
                request["BackupVaultTags"] = json!(vault.backup_vault_tags);
            }
            let what = format!("vault {name}");
            steps.push(Step::new('+', what, "CreateBackupVault", request));
        }
        (Some(is), Some(key)) if is["EncryptionKeyArn"] != json!(key) => {
            return Err(Failure::FixedKey(name.clone()));
        }
        _ => {}
    }
    let Some(lock) = &vault.lock else {
        return Ok(());
    };
    let wanted = file::value(lock);
    let locked = is.filter(|is| is["Locked"] == json!(true));
    let lines = match locked {
        None => vec!["Lock: new".to_owned()],
        Some(is) => {
            let bounds = json!({
                "MinRetentionDays": is["MinRetentionDays"], "MaxRetentionDays": is["MaxRetentionDays"],
            });
            diff::lines(&bounds, &wanted)
        }
    };
    if !lines.is_empty() {
        let mut request = wanted;
        request["BackupVaultName"] = json!(name);
        let action = "PutBackupVaultLockConfiguration";
        steps
            .push(Step::new('~', format!("lock of the vault {name}"), action, request).with(lines));
    }
    Ok(())
}

fn of_plan(there: &World, plan: &file::Plan, prune: bool, steps: &mut Vec<Step>) {
    let name = &plan.backup_plan_name;
    let is = there.plans.get(name);
    let (what, value) = (format!("plan {name}"), plan.value());
    match is {
        None => {
            let request = json!({ "BackupPlan": value, "BackupPlanTags": plan.backup_plan_tags });
            steps.push(Step::new('+', what, "CreateBackupPlan", request).of(name));
        }
        Some(is) => {
            let lines = diff::lines(&is.value, &value);
            if !lines.is_empty() {
                let request = json!({ "BackupPlan": value });
                let step = Step::new('~', what, "UpdateBackupPlan", request);
                steps.push(step.of(name).with(lines));
            }
        }
    }
    let before = is.map(|is| &is.selections);
    for selection in &plan.selections {
        let wanted = file::value(selection);
        let own = &selection.selection_name;
        let what = format!("selection {own} of the plan {name}");
        let make = json!({ "BackupSelection": wanted });
        let there = before.and_then(|all| all.get(own));
        let (sign, lines) = match there {
            None => ('+', Vec::new()),
            Some((_, is)) => ('~', diff::lines(is, &wanted)),
        };
        if let Some((id, _)) = there {
            if lines.is_empty() {
                continue;
            }
            // One that is there cannot be changed.
            let gone = json!({ "SelectionId": id });
            steps.push(Step::new('-', what.clone(), "DeleteBackupSelection", gone).of(name));
        }
        let step = Step::new(sign, what, "CreateBackupSelection", make);
        steps.push(step.of(name).with(lines));
    }
    let stays = |own: &String| plan.selections.iter().any(|one| one.selection_name == *own);
    for (own, (id, _)) in before
        .into_iter()
        .flatten()
        .filter(|(own, _)| prune && !stays(own))
    {
        let (what, gone) = (
            format!("selection {own} of the plan {name}"),
            json!({ "SelectionId": id }),
        );
        steps.push(Step::new('-', what, "DeleteBackupSelection", gone).of(name));
    }
}

fn of_test(there: &World, plan: &file::TestingPlan, prune: bool, steps: &mut Vec<Step>) {
    let name = &plan.restore_testing_plan_name;
    let is = there.tests.get(name);
    let (what, value) = (format!("restore testing plan {name}"), plan.value());
    match is {
        None => {
            let request = json!({ "RestoreTestingPlan": value, "Tags": plan.tags });
            steps.push(Step::new('+', what, "CreateRestoreTestingPlan", request));
        }
        Some(is) => {
            let lines = diff::lines(&is.value, &value);
            if !lines.is_empty() {
                let request =
                    json!({ "RestoreTestingPlanName": name, "RestoreTestingPlan": value });
                let step = Step::new('~', what, "UpdateRestoreTestingPlan", request);
                steps.push(step.with(lines));
            }
        }
    }
    let before = is.map(|is| &is.selections);
    for selection in &plan.selections {
        let wanted = file::value(selection);
        let own = &selection.restore_testing_selection_name;
        let what = format!("selection {own} of the restore testing plan {name}");
        let mut request =
            json!({ "RestoreTestingPlanName": name, "RestoreTestingSelection": wanted });
        match before.and_then(|all| all.get(own)) {
            None => steps.push(Step::new(
                '+',
                what,
                "CreateRestoreTestingSelection",
                request,
            )),
            Some((_, is)) => {
                let lines = diff::lines(is, &wanted);
                if !lines.is_empty() {
                    request["RestoreTestingSelectionName"] = json!(own);
                    let step = Step::new('~', what, "UpdateRestoreTestingSelection", request);
                    steps.push(step.with(lines));
                }
            }
        }
    }
    let stays = |own: &String| {
        let mut all = plan.selections.iter();
        all.any(|one| one.restore_testing_selection_name == *own)
    };
    for own in before
        .into_iter()
        .flat_map(BTreeMap::keys)
        .filter(|own| prune && !stays(own))
    {
        steps.push(test_selection_gone(name, own));
    }
}

fn test_selection_gone(plan: &str, own: &str) -> Step {
    let request = json!({ "RestoreTestingPlanName": plan, "RestoreTestingSelectionName": own });
    let what = format!("selection {own} of the restore testing plan {plan}");
    Step::new('-', what, "DeleteRestoreTestingSelection", request)
}

/// Plans that the file does not have.
fn others(there: &World, wanted: &File, steps: &mut Vec<Step>) {
    let stays = |name: &String| wanted.plans.iter().any(|one| one.backup_plan_name == *name);
    for (name, plan) in there.plans.iter().filter(|(name, _)| !stays(name)) {
        for (own, (id, _)) in &plan.selections {
            let what = format!("selection {own} of the plan {name}");
            let gone = json!({ "SelectionId": id });
            steps.push(Step::new('-', what, "DeleteBackupSelection", gone).of(name));
        }
        steps.push(Step::new('-', format!("plan {name}"), "DeleteBackupPlan", json!({})).of(name));
    }
    let stays = |name: &String| {
        let mut all = wanted.restore_testing_plans.iter();
        all.any(|one| one.restore_testing_plan_name == *name)
    };
    for (name, plan) in there.tests.iter().filter(|(name, _)| !stays(name)) {
        steps.extend(
            plan.selections
                .keys()
                .map(|own| test_selection_gone(name, own)),
        );
        let request = json!({ "RestoreTestingPlanName": name });
        let what = format!("restore testing plan {name}");
        steps.push(Step::new('-', what, "DeleteRestoreTestingPlan", request));
    }
}
