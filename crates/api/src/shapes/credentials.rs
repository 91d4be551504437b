//! `Credentials`, as STS answers them, and how long they may last.
use serde::Serialize;

use service::{
    auth::sessions::Issued,
    fault::{Code, Fault},
};

/// The shortest session, seconds.
const SECS_MIN: u64 = 900;

/// Temporary credentials in an answer.
#[derive(Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: String,
}

impl std::fmt::Debug for Credentials {
    /// Shows no secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    pub(crate) fn of(issued: &Issued) -> Self {
        Self {
            access_key_id: issued.access_key_id.clone(),
            secret_access_key: issued.secret.to_string(),
            session_token: issued.token.clone(),
            expiration: issued.expires_at.to_rfc3339_secs(),
        }
    }
}

/// `DurationSeconds`.
pub(crate) fn seconds(asked: Option<i64>, default: u64, most: u64) -> Result<u64, Fault> {
    let Some(asked) = asked else {
        return Ok(default);
    };
    u64::try_from(asked)
        .ok()
        .filter(|seconds| (SECS_MIN..=most).contains(seconds))
        .ok_or_else(|| {
            Fault::new(
                Code::ValidationError,
                format!(
                    "1 validation error detected: Value '{asked}' at 'durationSeconds' failed to satisfy \
                     constraint: Member must have value from {SECS_MIN} to {most}"
                ),
            )
        })
}
