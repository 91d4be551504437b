//! The parts of an authentication, taken out of the header or the query and checked one by one.
//!
//! It does not know whether they fit the request.
use data_encoding::HEXLOWER;
use http::header::AUTHORIZATION;

use super::{
    ALGORITHM, DATE, EXPIRES_SECS_MAX, QUERY_ALGORITHM, QUERY_CREDENTIAL, QUERY_EXPIRES,
    QUERY_SIGNATURE, QUERY_SIGNED_HEADERS, SECURITY_TOKEN, TERMINATOR, canonical::Pairs,
    fault::AuthFault, key::Scope,
};
use crate::{RawRequest, echo::cut, percent};

/// The longest access key id, characters (IAM's AccessKey data type).
pub(super) const ACCESS_KEY_ID_MAX: usize = 128;
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

/// The parts of an authentication as text.
pub(super) struct Parts {
    pub(super) credential: String,
    pub(super) signed_headers: String,
    pub(super) signature: String,
    pub(super) date: String,
    pub(super) security_token: Option<String>,
}

impl Parts {
    pub(super) fn of_header(request: &RawRequest) -> Result<Self, AuthFault> {
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

    pub(super) fn of_query(pairs: &Pairs) -> Result<(Self, Form), AuthFault> {
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

pub(super) fn is_presigned(query: &str) -> bool {
    // Decoded, since a name may be escaped; a broken escape elsewhere must not hide the form.
    query.split('&').any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        percent::decode(name).is_ok_and(|name| {
            [QUERY_ALGORITHM, QUERY_CREDENTIAL, QUERY_SIGNATURE]
                .iter()
                .any(|known| known.as_bytes() == name)
        })
    })
}

pub(super) fn single_header(request: &RawRequest, name: &str) -> Result<Option<String>, AuthFault> {
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

pub(super) fn parse_credential(text: &str) -> Result<(String, Scope), AuthFault> {
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
pub(super) fn parse_signed_headers(text: &str) -> Result<Vec<String>, AuthFault> {
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

pub(super) fn parse_signature(text: &str) -> Result<[u8; 32], AuthFault> {
    HEXLOWER
        .decode(text.as_bytes())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| AuthFault::incomplete("Signature must be 64 lower-case hexadecimal digits."))
}
