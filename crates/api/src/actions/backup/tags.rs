//! The tags of AWS Backup's resources, which are named by ARN.
use model::Tag;
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Output},
    backup::{
        holds, page, plans, points,
        tags::{self, TagMap},
        testing, vaults,
    },
};
use service::fault::Fault;

/// Reads them.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListTags {
    resource_arn: String,
    next_token: Option<String>,
    max_results: Option<i64>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Tags {
    tags: TagMap,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Output for Tags {}

impl Action for ListTags {
    const NAME: &'static str = "ListTags";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = Tags;

    async fn run(self, cx: &ActionContext) -> Result<Tags, Fault> {
        let arn = &self.resource_arn;
        let found = if points::is_arn(arn) {
            points::tags(cx, arn).await?
        } else if let Some(plan) = plans::of_arn(cx, arn)? {
            plans::find(cx, &plan).await?.tags
        } else if let Some(hold) = holds::of_arn(cx, arn) {
            holds::find(cx, &hold).await?.tags
        } else if let Some(plan) = testing::of_arn(cx, arn) {
            testing::find(cx, &plan).await?.tags
        } else {
            let name = vaults::of_arn(cx, arn)?;
            vaults::find(cx, &name, "backup:ListTags").await?.tags
        };
        let all: Vec<(String, String)> = tags::map(&found).into_iter().collect();
        let token = self.next_token.as_deref();
        let (found, next_token) = page::cut(all, self.max_results, token, |(key, _)| key.clone())?;
        Ok(Tags {
            tags: found.into_iter().collect(),
            next_token,
        })
    }
}

/// Adds some, or gives them other values.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct TagResource {
    resource_arn: String,
    tags: TagMap,
}

impl Action for TagResource {
    const NAME: &'static str = "TagResource";
    const DOOR: &'static str = "BackupTagResource";
    const API: Api = Api::Backup;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let added = tags::records(&self.tags)?;
        let action = "backup:TagResource";
        retag(cx, &self.resource_arn, action, move |tags| {
            tags::merge(tags, &added)
        })
        .await
    }
}

/// Removes some; those that are not there are as good as removed.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UntagResource {
    resource_arn: String,
    tag_key_list: Vec<String>,
}

impl Action for UntagResource {
    const NAME: &'static str = "UntagResource";
    const DOOR: &'static str = "BackupUntagResource";
    const API: Api = Api::Backup;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let gone = self.tag_key_list;
        let action = "backup:UntagResource";
        retag(cx, &self.resource_arn, action, move |tags| {
            tags.retain(|tag| !gone.contains(&tag.key));
            Ok(())
        })
        .await
    }
}

/// Changes the tags of a vault, a recovery point, a plan of either sort or a legal hold.
async fn retag(
    cx: &ActionContext,
    arn: &str,
    action: &'static str,
    change: impl Fn(&mut Vec<Tag>) -> Result<(), Fault> + Send + Sync + 'static,
) -> Result<(), Fault> {
    if points::is_arn(arn) {
        points::retag(cx, arn, change).await
    } else if let Some(plan) = plans::of_arn(cx, arn)? {
        plans::retag(cx, &plan, change).await
    } else if let Some(hold) = holds::of_arn(cx, arn) {
        holds::retag(cx, &hold, change).await
    } else if let Some(plan) = testing::of_arn(cx, arn) {
        testing::retag(cx, &plan, change).await
    } else {
        vaults::retag(cx, arn, action, change).await
    }
}
