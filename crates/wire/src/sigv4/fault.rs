//! What is wrong with a signature, in the codes and sentences of AWS's Query services.
//!
//! It does not know how the answer is written.

/// The codes of what is wrong with a signature. Who tells callers has a row for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthCode {
    MissingAuthenticationToken,
    InvalidClientTokenId,
    IncompleteSignature,
    SignatureDoesNotMatch,
}

/// Why a request is not who it says it is from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthFault {
    /// No form of authentication at all; callers use it where they demand one.
    #[error("the request is not signed")]
    MissingAuthenticationToken,
    /// The access key is unknown or not active.
    #[error("the access key is unknown")]
    InvalidClientTokenId,
    /// A part of the authentication is missing, malformed or there twice.
    #[error("the authentication is malformed: {detail}")]
    Incomplete {
        /// A sentence for the caller: which part, and what is wrong with it.
        detail: String,
    },
    /// The parts are there but do not fit the request, such as a header that must be signed.
    #[error("the authentication does not fit the request: {detail}")]
    Unfit {
        /// A sentence for the caller.
        detail: String,
    },
    /// The signature is not that of the request under the key.
    #[error("the signature does not match")]
    SignatureDoesNotMatch,
    /// Signed too long ago. Moments as in X-Amz-Date.
    #[error("the signature of {signed_at} is too old at {now}")]
    Expired {
        /// X-Amz-Date.
        signed_at: String,
        /// The earliest date that is taken.
        limit: String,
        /// The server's time.
        now: String,
    },
    /// A presigned request after its end.
    #[error("the presigned request ended at {ended_at}, before {now}")]
    PresignedExpired {
        /// X-Amz-Date and X-Amz-Expires.
        ended_at: String,
        /// The server's time.
        now: String,
    },
    /// Signed in the future.
    #[error("the signature of {signed_at} is from the future at {now}")]
    NotYetCurrent {
        /// X-Amz-Date.
        signed_at: String,
        /// The latest date that is taken.
        limit: String,
        /// The server's time.
        now: String,
    },
}

impl AuthFault {
    pub(super) fn incomplete(detail: impl Into<String>) -> Self {
        Self::Incomplete {
            detail: detail.into(),
        }
    }

    pub(super) fn unfit(detail: impl Into<String>) -> Self {
        Self::Unfit {
            detail: detail.into(),
        }
    }

    /// Its code.
    pub fn code(&self) -> AuthCode {
        match self {
            Self::MissingAuthenticationToken => AuthCode::MissingAuthenticationToken,
            Self::InvalidClientTokenId => AuthCode::InvalidClientTokenId,
            Self::Incomplete { .. } => AuthCode::IncompleteSignature,
            Self::Unfit { .. }
            | Self::SignatureDoesNotMatch
            | Self::Expired { .. }
            | Self::PresignedExpired { .. }
            | Self::NotYetCurrent { .. } => AuthCode::SignatureDoesNotMatch,
        }
    }

    /// The sentence for the caller.
    pub fn message(&self) -> String {
        match self {
            Self::MissingAuthenticationToken => "Request is missing Authentication Token".into(),
            Self::InvalidClientTokenId => {
                "The security token included in the request is invalid.".into()
            }
            Self::Incomplete { detail } | Self::Unfit { detail } => detail.clone(),
            Self::SignatureDoesNotMatch => {
                "The request signature we calculated does not match the signature you provided. \
                 Check your AWS Secret Access Key and signing method. Consult the service \
                 documentation for details."
                    .into()
            }
            Self::Expired {
                signed_at,
                limit,
                now,
            } => format!(
                "Signature expired: {signed_at} is now earlier than {limit} ({now} - 15 min.)"
            ),
            Self::PresignedExpired { ended_at, now } => {
                format!("Signature expired: {ended_at} is now earlier than {now}")
            }
            Self::NotYetCurrent {
                signed_at,
                limit,
                now,
            } => format!(
                "Signature not yet current: {signed_at} is still later than {limit} \
                 ({now} + 15 min.)"
            ),
        }
    }
}
