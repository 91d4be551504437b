//! AWS Signature Version 4: who signed a request, and whether rightly; and how to sign one.
//!
//! It knows no secret but the one it is handed, and no clock.
//! Source: "Create a signed AWS API request", IAM User Guide. All services but S3: the path is
//! normalised and encoded once more than it was sent, the payload is always hashed.
mod canonical;
mod claim;
mod fault;
mod key;
mod moment;
mod parts;
mod sign;
mod url;

pub use self::{
    claim::{Claim, credential_hint, read, security_token_hint},
    fault::{AuthCode, AuthFault},
    key::{Scope, SigningKey},
    parts::Form,
    sign::{SignError, Signer},
    url::{UrlError, url},
};

/// The algorithm's name in headers, queries and strings to sign.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The last part of every credential scope.
const TERMINATOR: &str = "aws4_request";
/// How far a request's date may lie from the clock, seconds (the documented 15 minutes).
const SKEW_SECS: i64 = 15 * 60;
/// How long a presigned request may be valid, seconds (seven days).
const EXPIRES_SECS_MAX: u32 = 604_800;

const HOST: &str = "host";
const DATE: &str = "X-Amz-Date";
const SECURITY_TOKEN: &str = "X-Amz-Security-Token";
const CONTENT_SHA256: &str = "X-Amz-Content-Sha256";
const QUERY_ALGORITHM: &str = "X-Amz-Algorithm";
const QUERY_CREDENTIAL: &str = "X-Amz-Credential";
const QUERY_EXPIRES: &str = "X-Amz-Expires";
const QUERY_SIGNED_HEADERS: &str = "X-Amz-SignedHeaders";
const QUERY_SIGNATURE: &str = "X-Amz-Signature";
