//! A secret as the actions answer it.
use std::collections::BTreeMap;

use model::RotationRules;
use serde::{Deserialize, Serialize};

use super::lookup::Found;
use crate::keys::metadata::seconds;

/// The service that owns all secrets here.
const OWNER: &str = "rds";

/// `RotationRulesType`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RotationRulesType {
    #[serde(skip_serializing_if = "Option::is_none")]
    automatically_after_days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule_expression: Option<String>,
}

impl RotationRulesType {
    fn of(rules: &RotationRules) -> Self {
        Self {
            automatically_after_days: rules.after_days,
            duration: rules.window.clone(),
            schedule_expression: rules.schedule.clone(),
        }
    }

    /// The rules that a caller gives; one that is none is for [`RotationRules::period`] to find.
    pub(crate) fn to_record(&self) -> RotationRules {
        RotationRules {
            after_days: self.automatically_after_days,
            schedule: self.schedule_expression.clone(),
            window: self.duration.clone(),
        }
    }
}

#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SecretTag {
    pub(crate) key: &'static str,
    pub(crate) value: String,
}

/// What `DescribeSecret` and `ListSecrets` both say of a secret.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SecretShape {
    #[serde(rename = "ARN")]
    pub(crate) arn: String,
    pub(crate) name: String,
    pub(crate) description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key_id: Option<String>,
    rotation_enabled: bool,
    rotation_rules: RotationRulesType,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_rotated_date: Option<f64>,
    last_changed_date: f64,
    next_rotation_date: f64,
    pub(crate) tags: Vec<SecretTag>,
    pub(crate) owning_service: &'static str,
    created_date: f64,
}

impl SecretShape {
    pub(crate) fn of(found: &Found) -> Self {
        let (secret, cluster) = (&found.secret, found.cluster.arn().to_string());
        Self {
            arn: found.arn(),
            name: secret.name.clone(),
            description: format!(
                "The secret associated with the primary RDS DB cluster: {cluster}"
            ),
            kms_key_id: (!secret.is_default_key).then(|| secret.kms_key.to_string()),
            rotation_enabled: true,
            rotation_rules: RotationRulesType::of(&secret.rules),
            last_rotated_date: secret.rotated_at.map(seconds),
            last_changed_date: seconds(secret.changed_at),
            next_rotation_date: seconds(secret.rotates_at),
            tags: vec![
                SecretTag {
                    key: "aws:rds:primaryDBClusterArn",
                    value: cluster,
                },
                SecretTag {
                    key: "aws:secretsmanager:owningService",
                    value: OWNER.to_owned(),
                },
            ],
            owning_service: OWNER,
            created_date: seconds(secret.created_at),
        }
    }
}

/// The staging labels of a secret's versions.
pub(crate) fn stages(found: &Found) -> BTreeMap<String, Vec<&'static str>> {
    let versions = found.secret.versions.iter();
    versions
        .map(|version| (version.id.clone(), vec![version.stage.as_str()]))
        .collect()
}
