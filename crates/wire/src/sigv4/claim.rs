//! A signed request: what it claims, and whether the claim holds.
//!
//! It does not know which access keys there are.
use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::header::AUTHORIZATION;

use super::{
    CONTENT_SHA256, HOST, QUERY_CREDENTIAL, SECURITY_TOKEN, SKEW_SECS,
    canonical::{self, sha256_hex},
    fault::AuthFault,
    key::{Scope, SigningKey},
    moment,
    parts::{
        ACCESS_KEY_ID_MAX, Form, Parts, is_presigned, parse_credential, parse_signature,
        parse_signed_headers, single_header,
    },
};
use crate::{RawRequest, echo::cut};

/// What a signed request says about itself; true only once [`Claim::verify`] agrees.
#[derive(Clone)]
pub struct Claim {
    /// Who it says has signed.
    pub access_key_id: String,
    /// A session's token.
    pub security_token: Option<String>,
    /// What the signature is good for.
    pub scope: Scope,
    /// X-Amz-Date, seconds since the epoch.
    pub signed_at_secs: i64,
    /// Where the signature stood.
    pub form: Form,
    signed_headers: Vec<String>,
    signature: [u8; 32],
}

impl fmt::Debug for Claim {
    /// Shows neither the signature nor the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("access_key_id", &self.access_key_id)
            .field("scope", &self.scope)
            .field("signed_at_secs", &self.signed_at_secs)
            .field("form", &self.form)
            .finish_non_exhaustive()
    }
}

/// Reads what a request claims; `None` when it carries no form of authentication.
///
/// # Errors
/// Parts that are missing, malformed or there twice, two forms at once, headers that must be
/// signed and are not, a body whose hash is not the one sent, a scope of another day.
pub fn read(request: &RawRequest) -> Result<Option<Claim>, AuthFault> {
    let in_header = request.headers.contains_key(AUTHORIZATION);
    let in_query = is_presigned(&request.query);
    let (parts, form) = match (in_header, in_query) {
        (false, false) => return Ok(None),
        (true, true) => {
            return Err(AuthFault::incomplete(
                "The request is signed both in the Authorization header and in the query string.",
            ));
        }
        (true, false) => (Parts::of_header(request)?, Form::Header),
        (false, true) if request.headers.contains_key(SECURITY_TOKEN) => {
            return Err(AuthFault::incomplete(format!(
                "A presigned request has its '{SECURITY_TOKEN}' in the query string, not in a header."
            )));
        }
        (false, true) => Parts::of_query(&canonical::pairs(&request.query)?)?,
    };
    let claim = claimed(parts, form)?;
    check_headers(request, &claim.signed_headers)?;
    check_body_hash(request)?;
    Ok(Some(claim))
}

/// The access key id and, if well-formed, the scope that a request names, without any proof:
/// for a server that checks no signatures.
pub fn credential_hint(request: &RawRequest) -> Option<(String, Option<Scope>)> {
    let header = request.headers.get(AUTHORIZATION);
    let credential = match header.and_then(|value| value.to_str().ok()) {
        Some(text) => {
            let (_, rest) = text.split_once("Credential=")?;
            rest.split([',', ' ']).next()?.to_owned()
        }
        None => {
            let pairs = canonical::pairs(&request.query).ok()?;
            let (_, value) = pairs
                .into_iter()
                .find(|(name, _)| name == QUERY_CREDENTIAL.as_bytes())?;
            String::from_utf8(value).ok()?
        }
    };
    let id = credential.split('/').next().unwrap_or_default();
    if id.is_empty() || ACCESS_KEY_ID_MAX < id.len() {
        return None;
    }
    let scope = parse_credential(&credential).ok().map(|(_, scope)| scope);
    Some((id.to_owned(), scope))
}

/// The session token that a request carries, without any proof: for a server that checks no
/// signatures.
pub fn security_token_hint(request: &RawRequest) -> Option<String> {
    if let Some(value) = request.headers.get(SECURITY_TOKEN) {
        return value.to_str().ok().map(str::to_owned);
    }
    let pairs = canonical::pairs(&request.query).ok()?;
    let (_, value) = pairs
        .into_iter()
        .find(|(name, _)| name == SECURITY_TOKEN.as_bytes())?;
    String::from_utf8(value).ok()
}

impl Claim {
    /// Whether the signature stood in the query.
    pub fn is_presigned(&self) -> bool {
        matches!(self.form, Form::Presigned { .. })
    }

    /// Checks the claim against the request it was read from. `key` is that of the claim's
    /// access key and scope, or none when there is no such key: the work is the same.
    ///
    /// # Errors
    /// Too old, from the future, another key's or another request's signature, an unknown key.
    pub fn verify(
        &self,
        request: &RawRequest,
        key: Option<&SigningKey>,
        now_secs: i64,
    ) -> Result<(), AuthFault> {
        self.check_time(now_secs)?;
        let text = canonical::string_to_sign(
            request,
            &self.signed_headers,
            &moment::show(self.signed_at_secs),
            &self.scope,
        )?;
        let nobodys = SigningKey::nobodys();
        let computed = key.unwrap_or(&nobodys).sign(&text);
        let equal = verify_slices_are_equal(&computed, &self.signature);
        if key.is_none() {
            return Err(AuthFault::InvalidClientTokenId);
        }
        equal.map_err(|_| AuthFault::SignatureDoesNotMatch)
    }

    fn check_time(&self, now_secs: i64) -> Result<(), AuthFault> {
        let at = self.signed_at_secs;
        let (earliest, latest) = (
            now_secs.saturating_sub(SKEW_SECS),
            now_secs.saturating_add(SKEW_SECS),
        );
        if latest < at {
            return Err(AuthFault::NotYetCurrent {
                signed_at: moment::show(at),
                limit: moment::show(latest),
                now: moment::show(now_secs),
            });
        }
        match self.form {
            Form::Header if at < earliest => Err(AuthFault::Expired {
                signed_at: moment::show(at),
                limit: moment::show(earliest),
                now: moment::show(now_secs),
            }),
            Form::Presigned { expires_secs } if at + i64::from(expires_secs) < now_secs => {
                Err(AuthFault::PresignedExpired {
                    ended_at: moment::show(at + i64::from(expires_secs)),
                    now: moment::show(now_secs),
                })
            }
            _ => Ok(()),
        }
    }
}

fn claimed(parts: Parts, form: Form) -> Result<Claim, AuthFault> {
    let (access_key_id, scope) = parse_credential(&parts.credential)?;
    let signed_at_secs = moment::parse(&parts.date).ok_or_else(|| {
        AuthFault::incomplete(format!(
            "Date must be in ISO-8601 'basic format'. Got '{}'. See \
             http://en.wikipedia.org/wiki/ISO_8601",
            cut(&parts.date)
        ))
    })?;
    if !parts.date.starts_with(&scope.date) {
        return Err(AuthFault::unfit(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date \
             from HTTP: '{}' != '{}', from '{}'.",
            scope.date,
            &parts.date[..8],
            parts.date
        )));
    }
    Ok(Claim {
        access_key_id,
        security_token: parts.security_token,
        scope,
        signed_at_secs,
        form,
        signed_headers: parse_signed_headers(&parts.signed_headers)?,
        signature: parse_signature(&parts.signature)?,
    })
}

/// The host and all `x-amz-*` headers must be there once, and be signed.
fn check_headers(request: &RawRequest, signed: &[String]) -> Result<(), AuthFault> {
    if single_header(request, HOST)?.is_none() || !signed.iter().any(|name| name == HOST) {
        return Err(AuthFault::unfit(
            "'Host' must be sent, and be a 'SignedHeader' in the AWS Authorization.",
        ));
    }
    for name in request.headers.keys().map(http::HeaderName::as_str) {
        if !name.starts_with("x-amz-") {
            continue;
        }
        single_header(request, name)?;
        if !signed.iter().any(|known| known == name) {
            return Err(AuthFault::unfit(format!(
                "'{name}' must be a 'SignedHeader' in the AWS Authorization."
            )));
        }
    }
    Ok(())
}

fn check_body_hash(request: &RawRequest) -> Result<(), AuthFault> {
    match single_header(request, CONTENT_SHA256)? {
        Some(sent) if sent != sha256_hex(&request.body) => Err(AuthFault::unfit(
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )),
        _ => Ok(()),
    }
}
