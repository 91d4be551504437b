//! `RetireGrant`: those a grant is for end it when they need it no more.
//!
//! That is: its retiring principal, its grantee where it has the operation RetireGrant, and the
//! account that the key belongs to.
use kms::{Decision, grant as rules};
use model::{Arn, ArnKind, Grant, key::EncryptionContext};
use serde::Deserialize;

use crate::action::{Action, ActionContext, Api};
use crate::keys::{
    crypto::{no_such_token, read_token, unless_dry},
    grants,
};
use service::{
    fault::{Code, Fault},
    keys::kms_fault,
    keys::{KeyError, KeyUser},
};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RetireGrant {
    grant_token: Option<String>,
    key_id: Option<String>,
    grant_id: Option<String>,
    dry_run: Option<bool>,
}

impl Action for RetireGrant {
    const NAME: &'static str = "RetireGrant";
    const API: Api = Api::Kms;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let (key, id) = match (&self.grant_token, &self.key_id, &self.grant_id) {
            (Some(token), None, None) => read_token(token).ok_or_else(no_such_token)?,
            (None, Some(key), Some(id)) => (key_arn(key)?, id.clone()),
            _ => {
                return Err(Fault::new(
                    Code::KmsValidation,
                    "Give either GrantToken, or KeyId (a key's ARN) and GrantId.",
                ));
            }
        };
        if key.region != cx.region {
            return Err(Fault::new(
                Code::KmsNotFound,
                format!("Invalid arn {}", key.region),
            ));
        }
        // Who may not retire a grant does not learn whether there is one.
        let grant = grants::get(cx, &key, &id).await;
        let allowed = match &grant {
            Ok(grant) => may_retire(cx, grant).await?,
            Err(_) => key.account == cx.caller.account,
        };
        if !allowed {
            return Err(kms_fault(KeyError::Denied {
                account: cx.caller.account.clone(),
                action: "kms:RetireGrant",
                key: match self.grant_token {
                    Some(_) => "the grant's key".to_owned(),
                    None => key.to_string(),
                },
            }));
        }
        let grant = grant?;
        unless_dry(self.dry_run)?;
        grants::end(cx, grant).await
    }
}

fn key_arn(text: &str) -> Result<Arn, Fault> {
    Arn::parse(text)
        .ok()
        .filter(|arn| arn.kind() == Some(ArnKind::Key))
        .ok_or_else(|| {
            Fault::new(
                Code::KmsInvalidArn,
                format!("{} is not a key's ARN.", model::limits::echo(text)),
            )
        })
}

async fn may_retire(cx: &ActionContext, grant: &Grant) -> Result<bool, Fault> {
    const ACTION: &str = "kms:RetireGrant";
    let (caller, none) = (&cx.caller.account, EncryptionContext::new());
    let key = cx.service.kms.by_arn(&grant.key).await.map_err(kms_fault)?;
    let user = KeyUser::direct(caller);
    Ok(
        match cx.service.kms.policy_says(&user, &key, ACTION, &none) {
            Decision::Deny => false,
            _ => {
                key.account == *caller
                    || grant.retiring_account.as_ref() == Some(caller)
                    || rules::permits(grant, caller, ACTION, &none)
            }
        },
    )
}
