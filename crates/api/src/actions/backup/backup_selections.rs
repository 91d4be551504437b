//! What a backup plan backs up.
use catalog::{CatalogError, CatalogExt, keyed};
use model::{
    BackupSelection,
    backup_plan::{TagCondition, TagTest},
};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    backup::{
        faults::{self, invalid, limit, not_found, shown},
        jobs, page, plans,
    },
    keys::metadata::seconds,
};
use service::fault::{Code, Fault};

/// Selections of a plan, ARNs of one, such with an asterisk, and conditions (CreateBackupSelection).
const SELECTIONS_MAX: usize = 100;
const RESOURCES_MAX: usize = 500;
const PATTERNS_MAX: usize = 30;
const CONDITIONS_MAX: usize = 30;
/// What stands before a tag's key in a condition.
const TAG: &str = "aws:ResourceTag/";

/// A selection as callers give it, and as it is answered.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Selection {
    selection_name: String,
    iam_role_arn: String,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    list_of_tags: Vec<OfTag>,
    #[serde(default)]
    not_resources: Vec<String>,
    #[serde(default)]
    conditions: Conditions,
}

#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct OfTag {
    condition_type: String,
    condition_key: String,
    condition_value: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
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

#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Condition {
    condition_key: String,
    condition_value: String,
}

/// The four lists by how they compare.
impl Conditions {
    fn lists(&self) -> [(TagTest, &Vec<Condition>); 4] {
        [
            (TagTest::Equals, &self.string_equals),
            (TagTest::NotEquals, &self.string_not_equals),
            (TagTest::Like, &self.string_like),
            (TagTest::NotLike, &self.string_not_like),
        ]
    }

    fn read(&self) -> Result<Vec<TagCondition>, Fault> {
        let mut found = Vec::new();
        for (test, list) in self.lists() {
            for one in list {
                let key = one.condition_key.strip_prefix(TAG).ok_or_else(|| {
                    invalid(
                        "ConditionKey",
                        format!(
                            "ConditionKey is {}: conditions are on {TAG} and a tag's key.",
                            shown(&one.condition_key)
                        ),
                    )
                })?;
                found.push(TagCondition {
                    test,
                    key: key.to_owned(),
                    value: one.condition_value.clone(),
                });
            }
        }
        Ok(found)
    }

    fn of(kept: &[TagCondition]) -> Self {
        let of = |test: TagTest| {
            let found = kept.iter().filter(|one| one.test == test);
            found
                .map(|one| Condition {
                    condition_key: format!("{TAG}{}", one.key),
                    condition_value: one.value.clone(),
                })
                .collect()
        };
        Self {
            string_equals: of(TagTest::Equals),
            string_not_equals: of(TagTest::NotEquals),
            string_like: of(TagTest::Like),
            string_not_like: of(TagTest::NotLike),
        }
    }
}

/// Checks ARNs: whole ones, or such with `*`.
fn arns(member: &str, given: &[String]) -> Result<(), Fault> {
    let wrong = given
        .iter()
        .find(|one| *one != "*" && !one.starts_with("arn:"));
    if let Some(wrong) = wrong {
        let message = format!("{member} has {}, which is not an ARN.", shown(wrong));
        return Err(invalid(member, message));
    }
    let patterns = given.iter().filter(|one| one.contains('*')).count();
    if RESOURCES_MAX < given.len() || PATTERNS_MAX < patterns {
        return Err(limit(
            member,
            format!(
                "{member} has at most {RESOURCES_MAX} ARNs, of which {PATTERNS_MAX} may have an asterisk."
            ),
        ));
    }
    Ok(())
}

impl Selection {
    /// The tags of which one is enough.
    fn any_tags(&self) -> Result<Vec<TagCondition>, Fault> {
        let read = |one: &OfTag| {
            if one.condition_type != "STRINGEQUALS" {
                let message = format!(
                    "ConditionType is {}: it can only be STRINGEQUALS.",
                    shown(&one.condition_type)
                );
                return Err(invalid("ConditionType", message));
            }
            let key = one.condition_key.as_str();
            Ok(TagCondition {
                test: TagTest::Equals,
                key: key.strip_prefix(TAG).unwrap_or(key).to_owned(),
                value: one.condition_value.clone(),
            })
        };
        self.list_of_tags.iter().map(read).collect()
    }

    fn read(self, cx: &ActionContext, plan: &str) -> Result<BackupSelection, Fault> {
        let name = plans::name("SelectionName", &self.selection_name)?;
        jobs::role(&self.iam_role_arn)?;
        arns("Resources", &self.resources)?;
        arns("NotResources", &self.not_resources)?;
        let (any_tags, conditions) = (self.any_tags()?, self.conditions.read()?);
        if CONDITIONS_MAX < any_tags.len() || CONDITIONS_MAX < conditions.len() {
            let message = format!("A selection has at most {CONDITIONS_MAX} conditions.");
            return Err(limit("Conditions", message));
        }
        if self.resources.is_empty() && any_tags.is_empty() {
            return Err(faults::missing("Resources"));
        }
        Ok(BackupSelection {
            region: cx.region.clone(),
            account: cx.caller.account.clone(),
            plan: plan.to_owned(),
            id: cx.service.entropy.uuid().to_string(),
            name,
            iam_role: self.iam_role_arn,
            resources: self.resources,
            not_resources: self.not_resources,
            any_tags,
            conditions,
            created_at: cx.service.now(),
            creator_request_id: None,
        })
    }

    fn of(kept: &BackupSelection) -> Self {
        let tags = kept.any_tags.iter();
        Self {
            selection_name: kept.name.clone(),
            iam_role_arn: kept.iam_role.clone(),
            resources: kept.resources.clone(),
            list_of_tags: tags
                .map(|one| OfTag {
                    condition_type: "STRINGEQUALS".to_owned(),
                    condition_key: one.key.clone(),
                    condition_value: one.value.clone(),
                })
                .collect(),
            not_resources: kept.not_resources.clone(),
            conditions: Conditions::of(&kept.conditions),
        }
    }
}

/// Makes one.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateBackupSelection {
    backup_plan_id: String,
    backup_selection: Selection,
    creator_request_id: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Created {
    selection_id: String,
    backup_plan_id: String,
    creation_date: f64,
}

impl Output for Created {}

/// What is said of a selection's plan that is not there has another code than of a plan.
fn of_plan(fault: Fault) -> Fault {
    match fault.code {
        Code::SecretNotFound => Fault {
            code: Code::BackupInvalidParameter,
            ..fault
        },
        _ => fault,
    }
}

impl Action for CreateBackupSelection {
    const NAME: &'static str = "CreateBackupSelection";
    const API: Api = Api::Backup;
    type Output = Created;

    async fn run(self, cx: &ActionContext) -> Result<Created, Fault> {
        let mut new = self.backup_selection.read(cx, &self.backup_plan_id)?;
        new.creator_request_id = self.creator_request_id;
        let kept = cx.service.catalog.write(move |tx| {
            let owner = (&new.region, &new.account);
            plans::get(tx, owner, &new.plan).map_err(of_plan)?;
            let above = [new.account.as_str(), new.plan.as_str()];
            let all = keyed::list::<BackupSelection>(tx, &new.region, &above, usize::MAX)?;
            let asked = new.creator_request_id.as_ref();
            let there = all
                .iter()
                .map(|stored| &stored.value)
                .find(|one| asked.is_some() && one.creator_request_id.as_ref() == asked);
            match there {
                Some(there) if there.name == new.name => return Ok(there.clone()),
                Some(there) => {
                    let asked = asked.map(String::as_str);
                    return Err(faults::exists_otherwise(
                        &there.id,
                        asked,
                        "backup selection",
                    ));
                }
                None if SELECTIONS_MAX <= all.len() => {
                    let message = format!("A backup plan has at most {SELECTIONS_MAX} selections.");
                    return Err(limit(&new.plan, message));
                }
                None => {}
            }
            Ok(keyed::insert(tx, new.clone())?.value)
        });
        let kept = kept.await?;
        Ok(Created {
            creation_date: seconds(kept.created_at),
            selection_id: kept.id,
            backup_plan_id: kept.plan,
        })
    }
}

/// The caller's selection.
///
/// # Errors
/// `InvalidParameterValueException` for a plan that is not there, `ResourceNotFoundException`.
async fn find(cx: &ActionContext, plan: &str, id: &str) -> Result<BackupSelection, Fault> {
    plans::find(cx, plan).await.map_err(of_plan)?;
    let (account, region) = (cx.caller.account.clone(), cx.region.clone());
    let (of, wanted) = (plan.to_owned(), id.to_owned());
    let found = cx.service.catalog.read(move |tx| {
        let key = [account.as_str(), of.as_str(), wanted.as_str()];
        keyed::get::<BackupSelection>(tx, &region, &key)
    });
    let found = found.await?.map(|stored| stored.value);
    found.ok_or_else(|| {
        not_found(
            id,
            format!("Cannot find Backup selection with ID {}.", shown(id)),
        )
    })
}

/// Shows one.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetBackupSelection {
    backup_plan_id: String,
    selection_id: String,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ShownSelection {
    backup_selection: Selection,
    selection_id: String,
    backup_plan_id: String,
    creation_date: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    creator_request_id: Option<String>,
}

impl Output for ShownSelection {}

impl Action for GetBackupSelection {
    const NAME: &'static str = "GetBackupSelection";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = ShownSelection;

    async fn run(self, cx: &ActionContext) -> Result<ShownSelection, Fault> {
        let kept = find(cx, &self.backup_plan_id, &self.selection_id).await?;
        Ok(ShownSelection {
            backup_selection: Selection::of(&kept),
            creation_date: seconds(kept.created_at),
            selection_id: kept.id,
            backup_plan_id: kept.plan,
            creator_request_id: kept.creator_request_id,
        })
    }
}

/// Deletes one.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteBackupSelection {
    backup_plan_id: String,
    selection_id: String,
}

impl Action for DeleteBackupSelection {
    const NAME: &'static str = "DeleteBackupSelection";
    const API: Api = Api::Backup;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let kept = find(cx, &self.backup_plan_id, &self.selection_id).await?;
        let deleted = cx.service.catalog.write(move |tx| keyed::delete(tx, &kept));
        deleted.await?;
        Ok(())
    }
}

/// Lists those of a plan.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListBackupSelections {
    backup_plan_id: String,
    next_token: Option<String>,
    max_results: Option<i64>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Selections {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    backup_selections_list: Vec<ListedSelection>,
}

#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct ListedSelection {
    selection_id: String,
    selection_name: String,
    backup_plan_id: String,
    creation_date: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    creator_request_id: Option<String>,
    iam_role_arn: String,
}

impl Output for Selections {
    const LAYOUT: Layout = Layout::Page("BackupSelectionsList");

    fn label(&self) -> Label {
        Label::Page {
            next: self.next_token.clone(),
        }
    }
}

impl Action for ListBackupSelections {
    const NAME: &'static str = "ListBackupSelections";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = Selections;

    async fn run(self, cx: &ActionContext) -> Result<Selections, Fault> {
        let plan = plans::find(cx, &self.backup_plan_id).await?;
        let found = cx.service.catalog.read(move |tx| {
            let above = [plan.account.as_str(), plan.id.as_str()];
            let found = keyed::list::<BackupSelection>(tx, &plan.region, &above, usize::MAX)?;
            let found = found.into_iter().map(|stored| stored.value);
            Ok::<Vec<BackupSelection>, CatalogError>(found.collect())
        });
        let token = self.next_token.as_deref();
        let (found, next_token) =
            page::cut(found.await?, self.max_results, token, |one| one.id.clone())?;
        let shown = found.into_iter().map(|one| ListedSelection {
            selection_id: one.id,
            selection_name: one.name,
            backup_plan_id: one.plan,
            creation_date: seconds(one.created_at),
            creator_request_id: one.creator_request_id,
            iam_role_arn: one.iam_role,
        });
        Ok(Selections {
            backup_selections_list: shown.collect(),
            next_token,
        })
    }
}
