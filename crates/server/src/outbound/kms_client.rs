//! An outside KMS over the AWS KMS protocol: signed calls.
//!
//! It does not know what the calls mean; `service::Outside` does.
use std::{collections::HashMap, fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use model::{Account, Clock, Region, SystemClock};
use serde::Deserialize;
use service::{CallError, Outside, OutsideKms, RetryPlan};
use wire::{RawRequest, sigv4::Signer};
use zeroize::Zeroizing;

use crate::{
    outbound::http_client::{BodyLimit, Poster},
    settings::{
        address::Address,
        kms::{ALL, CredentialRow, KmsLayer, REGION},
    },
};

/// An answer's bytes at most: two blobs of 6 KiB as base64, and their names.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Errors that another try may cure, beside those with a status of 500 and more.
const RETRYABLE: [&str; 6] = [
    "DependencyTimeoutException",
    "KMSInternalException",
    "KeyUnavailableException",
    "RequestTimeout",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// The outside KMS, when there is one. Checked before.
pub(crate) fn open(settings: &KmsLayer) -> Option<Outside> {
    let endpoint = settings.endpoint.clone()?;
    let credentials = settings
        .rows()
        .into_iter()
        .map(|row| (row.account.clone(), row))
        .collect();
    let kms = HttpKms {
        endpoint: endpoint.clone(),
        credentials,
        poster: Poster::default(),
        clock: Arc::new(SystemClock),
    };
    Some(Outside {
        endpoint,
        kms: Arc::new(kms),
        region: settings.region.clone(),
        default_key: settings.default_key.clone(),
        retry: RetryPlan::default(),
    })
}

/// Signs and posts calls.
struct HttpKms {
    endpoint: String,
    /// By account, or under `all`.
    credentials: HashMap<String, CredentialRow>,
    poster: Poster,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for HttpKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpKms")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl OutsideKms for HttpKms {
    async fn call(
        &self,
        account: &Account,
        region: &Region,
        operation: &'static str,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>, CallError> {
        let credential = self
            .credentials
            .get(account.as_str())
            .or_else(|| self.credentials.get(ALL))
            .ok_or(CallError::NoCredentials)?;
        let unusable = |error: &dyn fmt::Display| CallError::Unavailable(error.to_string());
        let address = Address::parse(&self.endpoint.replace(REGION, region.as_str()))
            .ok_or_else(|| unusable(&"the endpoint is no URL"))?;
        let body = Bytes::from(body.to_vec());
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, address.authority.clone());
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-amz-json-1.1"),
        );
        let target = format!("TrentService.{operation}");
        headers.insert(
            "x-amz-target",
            HeaderValue::from_str(&target).map_err(|error| unusable(&error))?,
        );
        let request = RawRequest {
            method: Method::POST,
            path: address.target.path().to_owned(),
            query: address.target.query().unwrap_or_default().to_owned(),
            headers,
            body: body.clone(),
        };
        let signer = Signer {
            access_key_id: &credential.access_key_id,
            secret: &credential.secret_access_key.0,
            security_token: None,
            region: region.as_str(),
            service: "kms",
        };
        let signature = signer
            .sign_header(&request, self.clock.now().seconds())
            .map_err(|error| unusable(&error))?;
        let mut headers = request.headers;
        headers.extend(signature);
        let wanted = BodyLimit::Body(ANSWER_BYTES_MAX);
        let (status, answer) = self
            .poster
            .post(&address, headers, body, wanted)
            .await
            .map_err(|error| unusable(&error))?;
        if status == 200 {
            return Ok(Zeroizing::new(answer.to_vec()));
        }
        Err(refusal(status, &answer))
    }
}

/// What an answer that is no success says.
fn refusal(status: u16, body: &[u8]) -> CallError {
    #[derive(Deserialize)]
    struct Said {
        #[serde(rename = "__type")]
        kind: String,
        #[serde(alias = "Message", default)]
        message: String,
    }
    let Ok(said) = serde_json::from_slice::<Said>(body) else {
        return CallError::Unavailable(format!("it answered {status} and no word of a KMS"));
    };
    // Some name the error with a prefix: com.amazonaws.kms#NotFoundException.
    let code = said.kind.rsplit('#').next().unwrap_or_default().to_owned();
    if 500 <= status || RETRYABLE.contains(&code.as_str()) {
        return CallError::Unavailable(format!("it answered {status} {code}"));
    }
    CallError::Refused {
        code,
        message: said.message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(text: &str) -> KmsLayer {
        toml::from_str(text).expect("a legal table")
    }

    #[test]
    fn secrets_do_not_show() {
        let layer = layer(
            "endpoint = 'https://kms.example'\naccess-key-id = 'AKIA'\nsecret-access-key = 'hush'\n",
        );
        assert!(!format!("{layer:?} {:?}", open(&layer)).contains("hush"));
    }

    #[test]
    fn refusals_are_told_from_failures() {
        let no = refusal(
            400,
            br#"{"__type": "com.amazonaws.kms#DisabledException", "message": "off"}"#,
        );
        assert!(
            matches!(no, CallError::Refused { code, message } if code == "DisabledException" && message == "off")
        );
        for (status, body) in [
            (500, r#"{"__type": "KMSInternalException", "Message": "x"}"#),
            (400, r#"{"__type": "ThrottlingException"}"#),
            (502, "<html>"),
        ] {
            let trouble = refusal(status, body.as_bytes());
            assert!(matches!(trouble, CallError::Unavailable(_)), "{body}");
        }
    }
}
