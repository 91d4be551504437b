//! `GetTagKeys`: the keys of all tags that the caller's resources of a region have.
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionContext, Api, Output};
use crate::tagging::resources;
use service::fault::Fault;

/// Keys or values on a page.
const PAGE: usize = 100;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetTagKeys {
    pagination_token: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct TagKeys {
    pagination_token: String,
    tag_keys: Vec<String>,
}

impl Output for TagKeys {}

impl Action for GetTagKeys {
    const NAME: &'static str = "GetTagKeys";
    const API: Api = Api::Tagging;
    const READS: bool = true;
    type Output = TagKeys;

    async fn run(self, cx: &ActionContext) -> Result<TagKeys, Fault> {
        let (tag_keys, pagination_token) =
            texts(cx, self.pagination_token.as_deref(), |tag| Some(tag.key)).await?;
        Ok(TagKeys {
            pagination_token,
            tag_keys,
        })
    }
}

/// A page of what `pick` takes of all tags, each text once and in order, and the token of the
/// next page.
pub(super) async fn texts(
    cx: &ActionContext,
    token: Option<&str>,
    pick: impl Fn(model::Tag) -> Option<String>,
) -> Result<(Vec<String>, String), Fault> {
    let after: Option<String> = resources::read_token(token)?;
    let mut found = BTreeSet::new();
    let mut from = None;
    loop {
        let (batch, next) = resources::batch(cx, from, |_| true).await?;
        let picked = batch.into_iter().flat_map(|one| one.tags).filter_map(&pick);
        found.extend(picked.filter(|text| after.as_ref().is_none_or(|after| after < text)));
        // What is behind the page is found again for the next.
        while PAGE + 1 < found.len() {
            found.pop_last();
        }
        if next.is_none() {
            break;
        }
        from = next;
    }
    let more = PAGE < found.len();
    let page: Vec<String> = found.into_iter().take(PAGE).collect();
    let token = resources::token(page.last().filter(|_| more));
    Ok((page, token))
}
