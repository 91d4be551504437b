//! `UpdateSecret`, `PutSecretValue`, `DeleteSecret`: all secrets are RDS's to change, so that nobody
//! else takes a password away that a database has.
//!
//! Source: "AWS Secrets Manager secrets managed by other AWS services", Secrets Manager User Guide.
use serde::Deserialize;

use crate::{
    action::{Action, ActionContext, Api},
    secrets::lookup,
};
use service::fault::{Code, Fault};

macro_rules! refused {
    ($($(#[$doc:meta])* $name:ident, instead $instead:literal, reads [$($member:ident: $kind:ty as $spelled:literal),*];)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "PascalCase")]
        pub struct $name {
            secret_id: String,
            $(#[serde(rename = $spelled)] $member: Option<$kind>,)*
        }

        impl Action for $name {
            const NAME: &'static str = stringify!($name);
            const API: Api = Api::SecretsManager;
            type Output = ();

            async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
                let found = lookup::find(cx, &self.secret_id, Self::NAME).await?;
                Err(Fault::new(
                    Code::SecretInvalidRequest,
                    format!(
                        "The secret {} is managed by RDS, and you must use RDS to change it: {}.",
                        found.secret.name, $instead
                    ),
                ))
            }
        }
    )*};
}

refused! {
    /// The input.
    UpdateSecret, instead "ModifyDBCluster with RotateMasterUserPassword", reads [
        _client_request_token: String as "ClientRequestToken",
        _description: String as "Description",
        _kms_key_id: String as "KmsKeyId",
        _secret_binary: String as "SecretBinary",
        _secret_string: String as "SecretString",
        _kind: String as "Type"
    ];
    /// The input.
    PutSecretValue, instead "ModifyDBCluster with RotateMasterUserPassword", reads [
        _client_request_token: String as "ClientRequestToken",
        _secret_binary: String as "SecretBinary",
        _secret_string: String as "SecretString",
        _version_stages: Vec<String> as "VersionStages",
        _rotation_token: String as "RotationToken"
    ];
    /// The input.
    DeleteSecret, instead "ModifyDBCluster without ManageMasterUserPassword, or DeleteDBCluster", reads [
        _recovery_window_in_days: i64 as "RecoveryWindowInDays",
        _force_delete_without_recovery: bool as "ForceDeleteWithoutRecovery"
    ];
}
