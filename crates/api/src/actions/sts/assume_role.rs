//! `AssumeRole`: temporary credentials of a role, for the accounts that the settings let have them.
//!
//! Source: API_AssumeRole. Sessions act for the role's account as a whole: what would narrow one
//! (a session policy, a second factor) is refused, since leaving it out would widen it.
use catalog::{CatalogError, CatalogExt, accounts};
use model::{Account, limits};
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionContext, Api, Output};
use crate::shapes::credentials::{Credentials, seconds};
use service::{
    auth::sessions::{RoleArn, RoleSession},
    fault::{Code, Fault},
};

/// How long a session lasts when nothing is said, seconds.
const SECS_DEFAULT: u64 = 3_600;
/// How long one that a role's session began may last, seconds: AWS's limit of role chaining.
const CHAINED_SECS_MAX: u64 = 3_600;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AssumeRole {
    role_arn: String,
    role_session_name: String,
    duration_seconds: Option<i64>,
    external_id: Option<String>,
    source_identity: Option<String>,
    policy: Option<String>,
    #[serde(default)]
    policy_arns: Vec<PolicyArn>,
    serial_number: Option<String>,
    token_code: Option<String>,
}

/// A managed policy.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct PolicyArn {
    arn: Option<String>,
}

#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct AssumedRoleUser {
    assumed_role_id: String,
    arn: String,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Assumed {
    credentials: Credentials,
    assumed_role_user: AssumedRoleUser,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_identity: Option<String>,
}

impl Output for Assumed {}

impl Action for AssumeRole {
    const NAME: &'static str = "AssumeRole";
    const API: Api = Api::Sts;
    type Output = Assumed;

    async fn run(self, cx: &ActionContext) -> Result<Assumed, Fault> {
        self.check()?;
        let partition = cx.region.partition();
        let arn = RoleArn::parse(&self.role_arn).ok_or_else(|| self.no_role(partition))?;
        let role = cx
            .access
            .assumable(&cx.caller.account, &arn)
            .filter(|role| role.arn.partition == partition)
            .filter(|role| role.external_id.is_none() || role.external_id == self.external_id)
            .ok_or_else(|| self.denied(cx))?;
        let chained = cx.caller.role().is_some();
        let most = match chained {
            true => role.session_secs_max.min(CHAINED_SECS_MAX),
            false => role.session_secs_max,
        };
        let asked = seconds(
            self.duration_seconds,
            SECS_DEFAULT.min(most),
            limits::SESSION_SECS_MAX,
        )?;
        if most < asked {
            return Err(Fault::new(
                Code::ValidationError,
                match chained {
                    true => {
                        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
                    }
                    false => {
                        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
                    }
                },
            ));
        }
        if cx.service.settings.mode == service::Mode::Closed {
            ensure_account(cx, &role.arn.account).await?;
        }
        let session = Some((&role, self.role_session_name.as_str()));
        let issued = cx.access.begin_session(&cx.caller, session, asked)?;
        tracing::info!(caller = %cx.caller.arn(partition), role = self.role_arn, session = self.role_session_name, key = issued.access_key_id, seconds = asked, "a role was assumed");
        let named = RoleSession {
            role: role.arn.clone(),
            name: self.role_session_name,
        };
        Ok(Assumed {
            credentials: Credentials::of(&issued),
            assumed_role_user: AssumedRoleUser {
                assumed_role_id: named.user_id(),
                arn: named.arn(),
            },
            source_identity: self.source_identity,
        })
    }
}

impl AssumeRole {
    fn check(&self) -> Result<(), Fault> {
        let legal = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        for (parameter, text) in [
            ("roleSessionName", Some(&self.role_session_name)),
            ("sourceIdentity", self.source_identity.as_ref()),
        ] {
            let wrong =
                |text: &&String| !(2..=64).contains(&text.len()) || !text.chars().all(legal);
            if text.filter(wrong).is_some() {
                return Err(Fault::new(
                    Code::ValidationError,
                    format!(
                        "1 validation error detected: Value at '{parameter}' failed to satisfy constraint: \
                         Member must have 2 to 64 characters and satisfy regular expression pattern: [\\w+=,.@-]*"
                    ),
                ));
            }
        }
        let narrowing = [
            ("Policy", self.policy.is_some()),
            (
                "PolicyArns",
                self.policy_arns.iter().any(|policy| policy.arn.is_some()),
            ),
            ("SerialNumber", self.serial_number.is_some()),
            ("TokenCode", self.token_code.is_some()),
        ];
        match narrowing.iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((parameter, _)) => Err(Fault::new(
                Code::ValidationError,
                format!(
                    "{parameter} is not supported here: a session acts for its role's account as a whole. \
                     Leave it out if that is meant."
                ),
            )),
        }
    }

    fn no_role(&self, partition: &str) -> Fault {
        let shown: String = limits::echo(&self.role_arn);
        Fault::new(
            Code::ValidationError,
            format!("{shown} is invalid: a role's ARN is arn:{partition}:iam::ACCOUNT:role/NAME."),
        )
    }

    fn denied(&self, cx: &ActionContext) -> Fault {
        let shown: String = limits::echo(&self.role_arn);
        Fault::new(
            Code::AccessDenied,
            format!(
                "User: {} is not authorized to perform: sts:AssumeRole on resource: {shown}",
                cx.caller.arn(cx.region.partition())
            ),
        )
    }
}

/// An account that only roles reach has to be there as well, as access keys' accounts are.
async fn ensure_account(cx: &ActionContext, account: &Account) -> Result<(), Fault> {
    let known = account.clone();
    let there = cx
        .service
        .catalog
        .point_read(move |tx| Ok::<_, CatalogError>(accounts::get(tx, &known)?.is_some()))
        .await?;
    if there {
        return Ok(());
    }
    let new = account.clone();
    cx.service
        .catalog
        .write(move |tx| accounts::ensure(tx, &new, "").map_err(Fault::from))
        .await?;
    Ok(())
}
