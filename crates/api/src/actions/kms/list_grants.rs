//! `ListGrants`: a key's grants.
use catalog::{CatalogExt, grants as rows};
use model::Grant;
use serde::{Deserialize, Serialize};

use super::create_grant::Constraints;
use crate::action::{Action, ActionContext, Api, Label, Layout, Output};
use crate::keys::{checks, lookup, metadata};
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListGrants {
    key_id: String,
    grant_id: Option<String>,
    grantee_principal: Option<String>,
    limit: Option<i64>,
    marker: Option<String>,
}

#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct GrantListEntry {
    key_id: String,
    grant_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    creation_date: f64,
    grantee_principal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retiring_principal: Option<String>,
    issuing_account: String,
    operations: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    constraints: Option<Constraints>,
}

impl GrantListEntry {
    fn of(grant: &Grant) -> Self {
        let partition = grant.key.region.partition();
        Self {
            key_id: grant.key.to_string(),
            grant_id: grant.id.clone(),
            name: grant.name.clone(),
            creation_date: metadata::seconds(grant.created_at),
            grantee_principal: grant.grantee.clone(),
            retiring_principal: grant.retiring.clone(),
            issuing_account: format!("arn:{partition}:iam::{}:root", grant.issuer),
            operations: grant.operations.clone(),
            constraints: Constraints::of(grant),
        }
    }
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Grants {
    grants: Vec<GrantListEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

impl Output for Grants {
    const LAYOUT: Layout = Layout::Page("Grants");

    fn label(&self) -> Label {
        Label::Page {
            next: self.next_marker.clone(),
        }
    }
}

impl Action for ListGrants {
    const NAME: &'static str = "ListGrants";
    const API: Api = Api::Kms;
    const READS: bool = true;
    type Output = Grants;

    async fn run(self, cx: &ActionContext) -> Result<Grants, Fault> {
        let rows_asked = checks::rows(self.limit)?;
        checks::refuse_alias(&self.key_id)?;
        let key = lookup::find(cx, &self.key_id, "kms:ListGrants").await?;
        let (arn, after) = (key.arn(), self.marker);
        let found = cx
            .service
            .catalog
            .read(move |tx| rows::list(tx, &arn, after.as_deref(), model::limits::GRANTS_MAX))
            .await
            .map_err(|error: catalog::CatalogError| Fault::from(error))?;
        let mut found: Vec<Grant> = found.into_iter().map(|stored| stored.value).collect();
        found.retain(|grant| {
            self.grant_id.as_ref().is_none_or(|id| *id == grant.id)
                && self
                    .grantee_principal
                    .as_ref()
                    .is_none_or(|principal| *principal == grant.grantee)
        });
        let (found, next_marker) = checks::paged(found, rows_asked, |grant| grant.id.clone());
        Ok(Grants {
            grants: found.iter().map(GrantListEntry::of).collect(),
            truncated: next_marker.is_some(),
            next_marker,
        })
    }
}
