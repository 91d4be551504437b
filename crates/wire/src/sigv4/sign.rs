//! Signs requests, in the header or in the query.
//!
//! It does not send them.
use std::fmt;

use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{
    ALGORITHM, DATE, EXPIRES_SECS_MAX, HOST, QUERY_ALGORITHM, QUERY_CREDENTIAL, QUERY_EXPIRES,
    QUERY_SIGNATURE, QUERY_SIGNED_HEADERS, SECURITY_TOKEN, canonical,
    fault::AuthFault,
    key::{Scope, SigningKey},
    moment,
};
use crate::{RawRequest, percent};

/// Headers that are never signed: they change on the way, or are the signature.
const UNSIGNED: [HeaderName; 5] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::EXPECT,
    header::TRANSFER_ENCODING,
    header::USER_AGENT,
];

/// Whose signature, and for which region and service.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    /// The access key's id.
    pub access_key_id: &'a str,
    /// The access key's secret.
    pub secret: &'a str,
    /// A session's token.
    pub security_token: Option<&'a str>,
    /// Such as `us-east-1`.
    pub region: &'a str,
    /// Such as `rds`.
    pub service: &'a str,
}

impl fmt::Debug for Signer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("access_key_id", &self.access_key_id)
            .field("region", &self.region)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

/// Why a request cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The request has no host header.
    #[error("the request has no host header")]
    NoHost,
    /// The time's year has not four digits.
    #[error("the time {0} s cannot be written in a signature")]
    Time(i64),
    /// X-Amz-Expires is out of its bounds.
    #[error("a presigned request is valid for 1 to {EXPIRES_SECS_MAX} s, not {0}")]
    Expires(u32),
    /// The access key id or the token has characters that headers cannot have.
    #[error("the access key cannot be written in a header")]
    Credentials,
    /// The query has a broken percent escape.
    #[error("the query has a broken percent escape")]
    Query,
}

impl From<AuthFault> for SignError {
    /// Signed headers are taken from the request, so only its query can be wrong.
    fn from(_: AuthFault) -> Self {
        Self::Query
    }
}

impl Signer<'_> {
    /// The headers that a request needs on top of its own: `x-amz-date`,
    /// `x-amz-security-token` if there is a token, and `authorization`. All its own headers
    /// are signed but those that change on the way.
    ///
    /// # Errors
    /// What the request or the credentials lack.
    pub fn sign_header(&self, request: &RawRequest, at_secs: i64) -> Result<HeaderMap, SignError> {
        let (signed_at, scope) = self.moment(at_secs)?;
        let mut added = HeaderMap::new();
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| SignError::Credentials);
        added.insert(lower(DATE), value(&signed_at)?);
        if let Some(token) = self.security_token {
            added.insert(lower(SECURITY_TOKEN), value(token)?);
        }
        let mut whole = request.clone();
        for (name, value) in &added {
            whole.headers.insert(name, value.clone());
        }
        let signed_headers = names(&whole, |name| !UNSIGNED.contains(name))?;
        let signature = self.signature(&whole, &signed_headers, &signed_at, &scope)?;
        let authorization = format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={}, Signature={signature}",
            self.access_key_id,
            signed_headers.join(";"),
        );
        added.insert(header::AUTHORIZATION, value(&authorization)?);
        Ok(added)
    }

    /// The whole query of the presigned request: its own parameters and those of the signature.
    /// Signed are the host and the request's `x-amz-*` headers.
    ///
    /// # Errors
    /// What the request lacks, or a validity out of its bounds.
    pub fn presign(
        &self,
        request: &RawRequest,
        at_secs: i64,
        expires_secs: u32,
    ) -> Result<String, SignError> {
        if !(1..=EXPIRES_SECS_MAX).contains(&expires_secs) {
            return Err(SignError::Expires(expires_secs));
        }
        let (signed_at, scope) = self.moment(at_secs)?;
        let signed_headers = names(request, |name| {
            *name == HOST || name.as_str().starts_with("x-amz-")
        })?;
        let mut whole = request.clone();
        let mut add = |name: &str, value: &str| {
            if !whole.query.is_empty() {
                whole.query.push('&');
            }
            whole.query.push_str(name);
            whole.query.push('=');
            whole.query.push_str(&percent::encode(value.as_bytes()));
        };
        add(QUERY_ALGORITHM, ALGORITHM);
        add(QUERY_CREDENTIAL, &format!("{}/{scope}", self.access_key_id));
        add(DATE, &signed_at);
        add(QUERY_EXPIRES, &expires_secs.to_string());
        add(QUERY_SIGNED_HEADERS, &signed_headers.join(";"));
        if let Some(token) = self.security_token {
            add(SECURITY_TOKEN, token);
        }
        let signature = self.signature(&whole, &signed_headers, &signed_at, &scope)?;
        Ok(format!("{}&{QUERY_SIGNATURE}={signature}", whole.query))
    }

    fn moment(&self, at_secs: i64) -> Result<(String, Scope), SignError> {
        let signed_at = moment::format(at_secs);
        let scope = Scope::at(at_secs, self.region, self.service);
        signed_at.zip(scope).ok_or(SignError::Time(at_secs))
    }

    fn signature(
        &self,
        request: &RawRequest,
        signed_headers: &[String],
        signed_at: &str,
        scope: &Scope,
    ) -> Result<String, SignError> {
        let text = canonical::string_to_sign(request, signed_headers, signed_at, scope)?;
        let key = SigningKey::derive(self.secret, scope);
        Ok(HEXLOWER.encode(&key.sign(&text)))
    }
}

fn lower(name: &'static str) -> HeaderName {
    HeaderName::from_bytes(name.as_bytes()).expect("our own names are header names")
}

/// The names of a request's headers that are wanted, sorted.
fn names(
    request: &RawRequest,
    wanted: impl Fn(&HeaderName) -> bool,
) -> Result<Vec<String>, SignError> {
    if !request.headers.contains_key(HOST) {
        return Err(SignError::NoHost);
    }
    let wanted = request.headers.keys().filter(|name| wanted(name));
    let mut names: Vec<String> = wanted.map(|name| name.as_str().to_owned()).collect();
    names.sort_unstable();
    Ok(names)
}
