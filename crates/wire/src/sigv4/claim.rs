//! A signed request: what it claims, and whether the claim holds.
//!
//! It does not know which access keys there are.
use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use data_encoding::HEXLOWER;
use http::header::AUTHORIZATION;

use super::{
    ALGORITHM, CONTENT_SHA256, DATE, EXPIRES_SECS_MAX, HOST, QUERY_ALGORITHM, QUERY_CREDENTIAL,
    QUERY_EXPIRES, QUERY_SIGNATURE, QUERY_SIGNED_HEADERS, SECURITY_TOKEN, SKEW_SECS, TERMINATOR,
    canonical::{self, Pairs, sha256_hex},
    fault::AuthFault,
    key::{Scope, SigningKey},
    moment,
};
use crate::{RawRequest, input::cut};

/// The longest access key id, characters (IAM's AccessKey data type).
const ACCESS_KEY_ID_MAX: usize = 128;
/// The longest region or service name in a scope, characters; DNS labels end here too.
const SCOPE_PART_MAX: usize = 63;

/// Where the signature stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// In the Authorization header.
    Header,
    /// In the query.
    Presigned {
        /// How long it is valid from its date on, seconds.
        expires_secs: u32,
    },
}

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
        (false, true) => Parts::of_query(&canonical::pairs(&request.query)?)?,
    };
    let claim = parts.into_claim(form)?;
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

/// The parts of an authentication as text.
struct Parts {
    credential: String,
    signed_headers: String,
    signature: String,
    date: String,
    security_token: Option<String>,
}

impl Parts {
    fn of_header(request: &RawRequest) -> Result<Self, AuthFault> {
        let header = |name: &str| single_header(request, name);
        let authorization = header(AUTHORIZATION.as_str())?.unwrap_or_default();
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for (name, value) in authorization_parts(&authorization)? {
            let part = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                other => {
                    return Err(AuthFault::incomplete(format!(
                        "Authorization header has an unknown parameter '{}'.",
                        cut(other)
                    )));
                }
            };
            if part.replace(value.to_owned()).is_some() {
                return Err(AuthFault::incomplete(format!(
                    "Authorization header has the parameter '{name}' twice."
                )));
            }
        }
        let needed = |part: Option<String>, name: &str| {
            part.ok_or_else(|| {
                AuthFault::incomplete(format!("Authorization header requires '{name}' parameter."))
            })
        };
        Ok(Self {
            credential: needed(credential, "Credential")?,
            signed_headers: needed(signed_headers, "SignedHeaders")?,
            signature: needed(signature, "Signature")?,
            date: header(DATE)?.ok_or_else(|| {
                AuthFault::incomplete(
                    "Authorization header requires existence of a 'X-Amz-Date' header.",
                )
            })?,
            security_token: header(SECURITY_TOKEN)?,
        })
    }

    fn of_query(pairs: &Pairs) -> Result<(Self, Form), AuthFault> {
        let needed = |name: &str| {
            single_parameter(pairs, name)?.ok_or_else(|| {
                AuthFault::incomplete(format!(
                    "AWS query-string parameters must include '{name}'."
                ))
            })
        };
        let algorithm = needed(QUERY_ALGORITHM)?;
        if algorithm != ALGORITHM {
            return Err(unsupported(&algorithm));
        }
        let expires = needed(QUERY_EXPIRES)?;
        let digits = expires.bytes().all(|byte| byte.is_ascii_digit());
        let expires_secs = expires
            .parse()
            .ok()
            .filter(|secs| digits && (1..=EXPIRES_SECS_MAX).contains(secs))
            .ok_or_else(|| {
                AuthFault::incomplete(format!(
                    "'{QUERY_EXPIRES}' must be a number of seconds from 1 to {EXPIRES_SECS_MAX}."
                ))
            })?;
        let parts = Self {
            credential: needed(QUERY_CREDENTIAL)?,
            signed_headers: needed(QUERY_SIGNED_HEADERS)?,
            signature: needed(QUERY_SIGNATURE)?,
            date: needed(DATE)?,
            security_token: single_parameter(pairs, SECURITY_TOKEN)?,
        };
        Ok((parts, Form::Presigned { expires_secs }))
    }

    fn into_claim(self, form: Form) -> Result<Claim, AuthFault> {
        let (access_key_id, scope) = parse_credential(&self.credential)?;
        let signed_at_secs = moment::parse(&self.date).ok_or_else(|| {
            AuthFault::incomplete(format!(
                "Date must be in ISO-8601 'basic format'. Got '{}'. See \
                 http://en.wikipedia.org/wiki/ISO_8601",
                cut(&self.date)
            ))
        })?;
        if !self.date.starts_with(&scope.date) {
            return Err(AuthFault::unfit(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date \
                 from HTTP: '{}' != '{}', from '{}'.",
                scope.date,
                &self.date[..8],
                self.date
            )));
        }
        Ok(Claim {
            access_key_id,
            security_token: self.security_token,
            scope,
            signed_at_secs,
            form,
            signed_headers: parse_signed_headers(&self.signed_headers)?,
            signature: parse_signature(&self.signature)?,
        })
    }
}

fn unsupported(algorithm: &str) -> AuthFault {
    AuthFault::incomplete(format!(
        "Unsupported AWS 'algorithm': '{}'. Use {ALGORITHM}.",
        cut(algorithm)
    ))
}

/// The `name=value` parts behind the algorithm.
fn authorization_parts(text: &str) -> Result<Vec<(&str, &str)>, AuthFault> {
    let (algorithm, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    if algorithm != ALGORITHM {
        return Err(unsupported(algorithm));
    }
    rest.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            part.split_once('=').ok_or_else(|| {
                AuthFault::incomplete(format!(
                    "'{}' not a valid key=value pair (missing equal-sign) in Authorization header.",
                    cut(part)
                ))
            })
        })
        .collect()
}

fn is_presigned(query: &str) -> bool {
    // Decoded, since a name may be escaped; a broken escape elsewhere must not hide the form.
    query.split('&').any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        crate::percent::decode(name).is_ok_and(|name| {
            [QUERY_ALGORITHM, QUERY_CREDENTIAL, QUERY_SIGNATURE]
                .iter()
                .any(|known| known.as_bytes() == name)
        })
    })
}

fn single_header(request: &RawRequest, name: &str) -> Result<Option<String>, AuthFault> {
    let mut values = request.headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(AuthFault::incomplete(format!(
            "The header '{name}' is there twice."
        )));
    }
    let text = value.to_str().map_err(|_| {
        AuthFault::incomplete(format!("The header '{name}' is not plain ASCII text."))
    })?;
    Ok(Some(text.trim().to_owned()))
}

fn single_parameter(pairs: &Pairs, name: &str) -> Result<Option<String>, AuthFault> {
    let mut values = pairs.iter().filter(|(known, _)| known == name.as_bytes());
    let Some((_, value)) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(AuthFault::incomplete(format!(
            "The query-string parameter '{name}' is there twice."
        )));
    }
    String::from_utf8(value.clone()).map(Some).map_err(|_| {
        AuthFault::incomplete(format!("The query-string parameter '{name}' is not UTF-8."))
    })
}

fn parse_credential(text: &str) -> Result<(String, Scope), AuthFault> {
    let malformed = || {
        AuthFault::incomplete(format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. \
             keyid/date/region/service/term, got '{}'",
            cut(text)
        ))
    };
    let parts: Vec<&str> = text.splitn(6, '/').collect();
    let &[id, date, region, service, terminator] = parts.as_slice() else {
        return Err(malformed());
    };
    let plain = |part: &str, max: usize| {
        (1..=max).contains(&part.len())
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let is_date = date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit());
    let names = [region, service];
    if !plain(id, ACCESS_KEY_ID_MAX)
        || !is_date
        || !names.iter().all(|name| plain(name, SCOPE_PART_MAX))
    {
        return Err(malformed());
    }
    if terminator != TERMINATOR {
        return Err(AuthFault::unfit(format!(
            "Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{}'.",
            cut(terminator)
        )));
    }
    let scope = Scope {
        date: date.to_owned(),
        region: region.to_owned(),
        service: service.to_owned(),
    };
    Ok((id.to_owned(), scope))
}

/// Lower-case names in strictly rising order, so that each is there once.
fn parse_signed_headers(text: &str) -> Result<Vec<String>, AuthFault> {
    let names: Vec<String> = text.split(';').map(str::to_owned).collect();
    let plain = names.iter().all(|name| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| matches!(byte, b'!'..=b'~') && !byte.is_ascii_uppercase())
    });
    if plain && names.is_sorted_by(|left, right| left < right) {
        Ok(names)
    } else {
        Err(AuthFault::incomplete(
            "SignedHeaders must be lower-case names in rising order with semicolons between them.",
        ))
    }
}

fn parse_signature(text: &str) -> Result<[u8; 32], AuthFault> {
    HEXLOWER
        .decode(text.as_bytes())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| AuthFault::incomplete("Signature must be 64 lower-case hexadecimal digits."))
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
