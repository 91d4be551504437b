//! The tags of AWS Backup's resources, which are named by ARN.
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Output},
    backup::{
        page,
        tags::{self, TagMap},
        vaults,
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
        let name = vaults::of_arn(cx, &self.resource_arn)?;
        let vault = vaults::find(cx, &name, "backup:ListTags").await?;
        let all: Vec<(String, String)> = tags::map(&vault.tags).into_iter().collect();
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
        vaults::retag(cx, &self.resource_arn, action, move |tags| {
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
        vaults::retag(cx, &self.resource_arn, action, move |tags| {
            tags.retain(|tag| !gone.contains(&tag.key));
            Ok(())
        })
        .await
    }
}
