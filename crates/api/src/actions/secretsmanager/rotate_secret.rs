//! `RotateSecret`: a new password now, another schedule, or both.
//!
//! Source: API_RotateSecret and "Managed rotation for AWS Secrets Manager secrets": RDS rotates, so
//! that a Lambda function is not taken.
use catalog::{CatalogExt, clusters as rows};
use model::{Cluster, ClusterStatus, RotationRules};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Output},
    clusters::request::Unread,
    secrets::{
        lookup::{self, Found},
        shape::RotationRulesType,
    },
};
use service::{
    fault::{Code, Fault},
    secrets::rotation,
};

/// Characters of a version's name.
const TOKEN_CHARS: std::ops::RangeInclusive<usize> = 32..=64;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RotateSecret {
    secret_id: String,
    client_request_token: Option<String>,
    #[serde(rename = "RotationLambdaARN")]
    rotation_lambda_arn: Option<String>,
    rotation_rules: Option<RotationRulesType>,
    #[schemars(with = "Option<Vec<serde_json::Map<String, serde_json::Value>>>")]
    external_secret_rotation_metadata: Unread,
    external_secret_rotation_role_arn: Option<String>,
    rotate_immediately: Option<bool>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Rotated {
    #[serde(rename = "ARN")]
    arn: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_id: Option<String>,
}

impl Output for Rotated {}

impl Action for RotateSecret {
    const NAME: &'static str = "RotateSecret";
    const API: Api = Api::SecretsManager;
    type Output = Rotated;

    async fn run(self, cx: &ActionContext) -> Result<Rotated, Fault> {
        let found = lookup::find(cx, &self.secret_id, Self::NAME).await?;
        let rules = self.check()?;
        let now = self.rotate_immediately.unwrap_or(true);
        let asked = self.client_request_token;
        let known = |id: &String| found.secret.versions.iter().any(|one| one.id == *id);
        let answer = |version_id| Rotated {
            arn: found.arn(),
            name: found.secret.name.clone(),
            version_id,
        };
        // The same request once more.
        if asked.as_ref().is_some_and(known) {
            return Ok(answer(asked));
        }
        let rotation = match now {
            true => {
                let next = rotation::next(&cx.service, &found.cluster, asked).await;
                Some(next.map_err(in_own_words)?)
            }
            false => None,
        };
        let version = rotation.as_ref().map(|one| one.version.id.clone());
        write(cx, &found, rules, rotation).await?;
        Ok(answer(version))
    }
}

async fn write(
    cx: &ActionContext,
    found: &Found,
    rules: Option<RotationRules>,
    rotation: Option<rotation::Rotation>,
) -> Result<(), Fault> {
    let (context, id) = (cx.service.clone(), found.cluster.resource_id.clone());
    cx.service
        .catalog
        .write(move |tx| {
            let stored = rows::get_by_resource_id(tx, &id)?;
            let mut stored = stored.ok_or_else(|| not_now(None))?;
            let (now, status) = (tx.now(), stored.value.status);
            let Some(secret) = &mut stored.value.master_secret else {
                return Err(not_now(None));
            };
            if let Some(rules) = &rules {
                secret.rules = rules.clone();
                secret.changed_at = now;
                secret.schedule(now);
            }
            match &rotation {
                None => rows::update(tx, stored).map(drop).map_err(Fault::from),
                Some(_) if status != ClusterStatus::Available => Err(not_now(Some(&stored.value))),
                Some(rotation) => rotation::begin(&context, tx, stored, rotation).map(drop),
            }
        })
        .await
}

impl RotateSecret {
    fn check(&self) -> Result<Option<RotationRules>, Fault> {
        let refused =
            |message: &'static str| Err(Fault::new(Code::TaggingInvalidParameter, message));
        if self.rotation_lambda_arn.is_some()
            || self.external_secret_rotation_metadata.is_some()
            || self.external_secret_rotation_role_arn.is_some()
        {
            return refused(
                "The secret is rotated by RDS, which manages it: RotationLambdaARN and what is for external secrets cannot be given.",
            );
        }
        let token = self.client_request_token.as_ref();
        if token.is_some_and(|token| !TOKEN_CHARS.contains(&token.chars().count())) {
            return refused("ClientRequestToken must be 32-64 characters long.");
        }
        let Some(given) = &self.rotation_rules else {
            return Ok(None);
        };
        let rules = given.to_record();
        match rules.period() {
            Some(_) => Ok(Some(rules)),
            None => refused(
                "RotationRules must have either AutomaticallyAfterDays, from 1 to 1000, or a ScheduleExpression of the form rate(10 days) or rate(4 hours); others are not supported here.",
            ),
        }
    }
}

fn not_now(cluster: Option<&Cluster>) -> Fault {
    let why = match cluster {
        Some(cluster) => format!(
            "its DB cluster {} is in {} state",
            cluster.name,
            cluster.status.as_str()
        ),
        None => "it is not there any more".to_owned(),
    };
    Fault::new(
        Code::SecretInvalidRequest,
        format!("The secret can't be rotated now: {why}."),
    )
}

/// RDS's word for a key that it cannot use, in Secrets Manager's.
fn in_own_words(fault: Fault) -> Fault {
    match fault.code {
        Code::KmsKeyNotAccessible => {
            Fault::new(Code::KmsAccessDenied, "Access to KMS is not allowed")
        }
        _ => fault,
    }
}
