//! Signed calls of the API's actions, as JSON.
//!
//! It does not know what the actions mean.
use std::collections::HashSet;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use model::{Clock, SystemClock};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use wire::{
    RawRequest,
    sigv4::{SignError, Signer},
};

use super::{
    login::Login,
    profile::{Profile, ProfileError, Remote},
};
use crate::outbound::http_client::{BodyLimit, NoAnswer, Poster};

/// An answer's bytes at most: a page of a hundred rows with all their tags.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Rows of one page.
const PAGE_ROWS: u32 = 100;
/// How long a presigned request is good for, seconds.
const PRESIGNED_SECS: u32 = 3_600;

/// Why an action gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The request cannot be signed.
    #[error("the request cannot be signed")]
    Sign(#[from] SignError),
    /// Nobody answered.
    #[error("{endpoint} gives no answer")]
    NoAnswer { endpoint: String, source: NoAnswer },
    /// Whoever answered is no Snapferry.
    #[error("{endpoint} answered {status} and no word of this API")]
    Foreign { endpoint: String, status: u16 },
    /// The server refused.
    #[error("{message} ({fault})")]
    Refused {
        /// The kind of refusal, such as `NOT_FOUND`.
        kind: String,
        /// RDS's own code.
        fault: String,
        message: String,
    },
}

impl ApiError {
    /// Whether what was asked for is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { kind, .. } if kind == "NOT_FOUND")
    }

    /// Whether another try may cure it.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::NoAnswer { .. } => true,
            Self::Foreign { status, .. } => 500 <= *status,
            Self::Refused { kind, .. } => kind == "THROTTLED" || kind == "INTERNAL_ERROR",
            Self::Profile(_) | Self::Sign(_) => false,
        }
    }

    /// What to do about it, when that is known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Profile(error) => Some(error.hint()),
            Self::NoAnswer { .. } | Self::Foreign { .. } => Some(
                "name the server with --endpoint URL or AWS_ENDPOINT_URL; `snapferry serve` starts one"
                    .to_owned(),
            ),
            Self::Refused { kind, .. } if kind == "UNAUTHENTICATED" => {
                Some("`snapferry access-key list` on the server shows the keys that are".to_owned())
            }
            Self::Sign(_) | Self::Refused { .. } => None,
        }
    }
}

/// An answer in its envelope.
#[derive(Deserialize)]
struct Envelope {
    success: bool,
    #[serde(default)]
    data: Value,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    code: String,
    #[serde(default)]
    fault: String,
    message: String,
}

/// A server, as whoever the profile says.
pub(crate) struct Api {
    profile: Profile,
    poster: Poster,
}

impl Api {
    /// Finds the profile; nothing is asked yet.
    ///
    /// # Errors
    /// [`ApiError::Profile`].
    pub(crate) fn open(remote: &Remote) -> Result<Self, ApiError> {
        Ok(Self {
            profile: Profile::find(remote)?,
            poster: Poster::default(),
        })
    }

    /// As whoever logs in.
    ///
    /// # Errors
    /// [`ApiError::Profile`].
    pub(crate) fn of(login: &Login) -> Result<Self, ApiError> {
        Ok(Self {
            profile: login.profile()?,
            poster: Poster::default(),
        })
    }

    /// The region that is spoken to unless another is named.
    pub(crate) fn region(&self) -> &str {
        &self.profile.region
    }

    /// Calls an action in a region; its data.
    ///
    /// # Errors
    /// [`ApiError`].
    pub(crate) async fn call(
        &self,
        region: &str,
        action: &str,
        mut parameters: Map<String, Value>,
    ) -> Result<Value, ApiError> {
        parameters.insert("Action".to_owned(), json!(action));
        let body = Bytes::from(Value::Object(parameters).to_string());
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, self.profile.address.authority.clone());
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json.clone());
        headers.insert(header::ACCEPT, json);
        let request = self.request(Method::POST, String::new(), headers, body);
        let signer = self.signer(region, service_of(action));
        let signature = signer.sign_header(&request, SystemClock.now().seconds())?;
        let RawRequest {
            mut headers, body, ..
        } = request;
        headers.extend(signature);
        let address = &self.profile.address;
        let wanted = BodyLimit::Body(ANSWER_BYTES_MAX);
        let (status, answer) = self
            .poster
            .post(address, headers, body, wanted)
            .await
            .map_err(|source| ApiError::NoAnswer {
                endpoint: self.profile.endpoint.clone(),
                source,
            })?;
        read(&answer).ok_or_else(|| ApiError::Foreign {
            endpoint: self.profile.endpoint.clone(),
            status,
        })?
    }

    /// All rows that an action lists, page by page.
    ///
    /// # Errors
    /// [`ApiError`].
    pub(crate) async fn list(
        &self,
        region: &str,
        action: &str,
        parameters: &Map<String, Value>,
    ) -> Result<Vec<Value>, ApiError> {
        let (mut rows, mut markers) = (Vec::new(), HashSet::new());
        let mut page = parameters.clone();
        page.insert("MaxRecords".to_owned(), json!(PAGE_ROWS));
        loop {
            let mut data = self.call(region, action, page.clone()).await?;
            if let Some(Value::Array(items)) = data.get_mut("items").map(Value::take) {
                rows.extend(items);
            }
            match data.get("next").and_then(Value::as_str) {
                // A server that gives the same place twice would be asked for ever.
                Some(next) if markers.insert(next.to_owned()) => {
                    page.insert("Marker".to_owned(), json!(next));
                }
                _ => return Ok(rows),
            }
        }
    }

    /// The URL of an action that whoever has it may call in a region, as the caller.
    ///
    /// # Errors
    /// [`ApiError::Sign`].
    pub(crate) fn presigned(
        &self,
        region: &str,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Result<String, ApiError> {
        let mut query = format!("Action={action}&Version=2014-10-31");
        for (name, value) in parameters {
            query.push_str(&format!(
                "&{name}={}",
                wire::percent_encode(value.as_bytes())
            ));
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, self.profile.address.authority.clone());
        let request = self.request(Method::GET, query, headers, Bytes::new());
        let signer = self.signer(region, service_of(action));
        let query = signer.presign(&request, SystemClock.now().seconds(), PRESIGNED_SECS)?;
        Ok(format!(
            "{}/?{query}",
            self.profile.endpoint.trim_end_matches('/')
        ))
    }

    fn request(
        &self,
        method: Method,
        query: String,
        headers: HeaderMap,
        body: Bytes,
    ) -> RawRequest {
        RawRequest {
            method,
            path: self.profile.address.target.path().to_owned(),
            query,
            headers,
            body,
        }
    }

    fn signer<'a>(&'a self, region: &'a str, service: &'static str) -> Signer<'a> {
        Signer {
            access_key_id: &self.profile.access_key_id,
            secret: &self.profile.secret,
            security_token: self
                .profile
                .security_token
                .as_ref()
                .map(|token| token.as_str()),
            region,
            service,
        }
    }
}

/// What a request for an action is signed for.
fn service_of(action: &str) -> &'static str {
    api::find(None, action).map_or("rds", |entry| entry.api.as_str())
}

/// What an answer says; none when it is not in this API's envelope.
fn read(answer: &[u8]) -> Option<Result<Value, ApiError>> {
    let envelope: Envelope = serde_json::from_slice(answer).ok()?;
    match (envelope.success, envelope.error) {
        (true, None) => Some(Ok(envelope.data)),
        (false, Some(refusal)) => Some(Err(ApiError::Refused {
            kind: refusal.code,
            fault: refusal.fault,
            message: refusal.message,
        })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_from_refusals_and_from_strangers() {
        let good = read(br#"{"success": true, "data": {"id": "x"}, "request_id": "r"}"#);
        assert_eq!(good.expect("ours").expect("good")["id"], "x");
        let refused = read(
            br#"{"success": false, "error": {"code": "NOT_FOUND", "fault": "DBClusterNotFoundFault", "message": "no"}}"#,
        );
        let error = refused.expect("ours").expect_err("refused");
        assert!(error.is_not_found() && !error.is_passing());
        for foreign in [
            "<html>",
            "{}",
            r#"{"success": true, "error": {"code": "", "message": ""}}"#,
        ] {
            assert!(read(foreign.as_bytes()).is_none(), "{foreign}");
        }
    }
}
