//! `GetSecretValue`: the password, for who may use the secret's key.
use model::{SecretVersion, Stage, limits::echo};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Output},
    keys::metadata::seconds,
    secrets::lookup::{self, Found},
};
use service::{
    fault::{Code, Fault},
    keys::secret_fault,
    secrets::value,
};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetSecretValue {
    secret_id: String,
    version_id: Option<String>,
    version_stage: Option<String>,
}

/// The answer.
#[derive(Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SecretValue {
    #[serde(rename = "ARN")]
    arn: String,
    name: String,
    version_id: String,
    secret_string: String,
    version_stages: Vec<&'static str>,
    created_date: f64,
}

impl Output for SecretValue {}

impl Action for GetSecretValue {
    const NAME: &'static str = "GetSecretValue";
    const API: Api = Api::SecretsManager;
    const READS: bool = true;
    type Output = SecretValue;

    async fn run(self, cx: &ActionContext) -> Result<SecretValue, Fault> {
        let found = lookup::find(cx, &self.secret_id, Self::NAME).await?;
        let version = self.version(&found)?;
        let account = &cx.caller.account;
        let opened = value::open(&cx.service, account, &found.cluster, version)
            .await
            .map_err(secret_fault)?;
        let text = std::str::from_utf8(&opened).map_err(|error| Fault::internal(&error))?;
        Ok(SecretValue {
            arn: found.arn(),
            name: found.secret.name.clone(),
            version_id: version.id.clone(),
            secret_string: text.to_owned(),
            version_stages: vec![version.stage.as_str()],
            created_date: seconds(version.created_at),
        })
    }
}

impl GetSecretValue {
    fn version<'a>(&self, found: &'a Found) -> Result<&'a SecretVersion, Fault> {
        let versions = || found.secret.versions.iter();
        let stage = self.version_stage.as_deref();
        let Some(id) = self.version_id.as_deref() else {
            let stage = stage.unwrap_or(Stage::Current.as_str());
            let one = versions().find(|version| version.stage.as_str() == stage);
            return one.ok_or_else(|| missing("staging label", stage));
        };
        let one = versions().find(|version| version.id == id);
        let one = one.ok_or_else(|| missing("VersionId", id))?;
        match stage.is_none_or(|stage| stage == one.stage.as_str()) {
            true => Ok(one),
            false => Err(Fault::new(
                Code::SecretInvalidRequest,
                "You provided a VersionStage that is not associated to the provided VersionId.",
            )),
        }
    }
}

fn missing(what: &str, given: &str) -> Fault {
    let shown: String = echo(given);
    Fault::new(
        Code::SecretNotFound,
        format!("Secrets Manager can't find the specified secret value for {what}: {shown}"),
    )
}
