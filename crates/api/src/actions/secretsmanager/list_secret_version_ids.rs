//! `ListSecretVersionIds`: a secret's versions.
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Output},
    keys::metadata::seconds,
    secrets::lookup,
};
use service::fault::Fault;

/// The input. A secret has three versions at most, so there is one page, and none is deprecated.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListSecretVersionIds {
    secret_id: String,
    #[serde(rename = "MaxResults")]
    _max_results: Option<i64>,
    #[serde(rename = "NextToken")]
    _next_token: Option<String>,
    #[serde(rename = "IncludeDeprecated")]
    _include_deprecated: Option<bool>,
}

#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct SecretVersionsListEntry {
    version_id: String,
    version_stages: Vec<&'static str>,
    created_date: f64,
    kms_key_ids: Vec<String>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Versions {
    versions: Vec<SecretVersionsListEntry>,
    #[serde(rename = "ARN")]
    arn: String,
    name: String,
}

impl Output for Versions {}

impl Action for ListSecretVersionIds {
    const NAME: &'static str = "ListSecretVersionIds";
    const API: Api = Api::SecretsManager;
    const READS: bool = true;
    type Output = Versions;

    async fn run(self, cx: &ActionContext) -> Result<Versions, Fault> {
        let found = lookup::find(cx, &self.secret_id, Self::NAME).await?;
        let versions = found.secret.versions.iter();
        let versions = versions.map(|version| SecretVersionsListEntry {
            version_id: version.id.clone(),
            version_stages: vec![version.stage.as_str()],
            created_date: seconds(version.created_at),
            kms_key_ids: vec![match found.secret.is_default_key {
                true => "DefaultEncryptionKey".to_owned(),
                false => version.data_key.key.to_string(),
            }],
        });
        Ok(Versions {
            versions: versions.collect(),
            arn: found.arn(),
            name: found.secret.name.clone(),
        })
    }
}
