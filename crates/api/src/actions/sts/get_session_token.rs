//! `GetSessionToken`: temporary credentials of the caller's own account.
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionContext, Api, Output};
use crate::shapes::credentials::{Credentials, seconds};
use service::fault::{Code, Fault};

/// How long a session lasts when nothing is said, and at most, seconds.
const SECS_DEFAULT: u64 = 43_200;
const SECS_MAX: u64 = 129_600;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetSessionToken {
    duration_seconds: Option<i64>,
    serial_number: Option<String>,
    token_code: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SessionToken {
    credentials: Credentials,
}

impl Output for SessionToken {}

impl Action for GetSessionToken {
    const NAME: &'static str = "GetSessionToken";
    const API: Api = Api::Sts;
    const READS: bool = true;
    type Output = SessionToken;

    async fn run(self, cx: &ActionContext) -> Result<SessionToken, Fault> {
        if cx.caller.session.is_some() {
            return Err(Fault::new(
                Code::AccessDenied,
                "Cannot call GetSessionToken with session credentials",
            ));
        }
        if self.serial_number.is_some() || self.token_code.is_some() {
            return Err(Fault::new(
                Code::ValidationError,
                "SerialNumber and TokenCode are not supported here: there are no second factors.",
            ));
        }
        let asked = seconds(self.duration_seconds, SECS_DEFAULT, SECS_MAX)?;
        let issued = cx.access.begin_session(&cx.caller, None, asked)?;
        Ok(SessionToken {
            credentials: Credentials::of(&issued),
        })
    }
}
