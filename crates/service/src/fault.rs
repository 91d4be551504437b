//! The one table of faults: what a caller can be told, by which code and status.
//!
//! Sources: the error lists of each action's page in the RDS, KMS and STS API references, and
//! the RDS reference's "Common Errors". A fault has a sentence for the caller; what went wrong
//! inside is logged where the fault is made and never shown.
use std::borrow::Cow;

/// The short codes of the JSON door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoorCode {
    ValidationError,
    NotFound,
    AlreadyExists,
    InvalidState,
    QuotaExceeded,
    KeyNotAccessible,
    Unauthenticated,
    Forbidden,
    Throttled,
    InternalError,
}

impl DoorCode {
    /// The word in an envelope's `error.code`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ValidationError => "VALIDATION_ERROR",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::InvalidState => "INVALID_STATE",
            Self::QuotaExceeded => "QUOTA_EXCEEDED",
            Self::KeyNotAccessible => "KEY_NOT_ACCESSIBLE",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::Throttled => "THROTTLED",
            Self::InternalError => "INTERNAL_ERROR",
        }
    }
}

macro_rules! faults {
    ($($name:ident: $code:literal, $status:literal, $door:ident;)*) => {
        /// Every code that an answer can carry.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code { $($name,)* }

        impl Code {
            /// All rows, for the reference page.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The HTTP status.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// The JSON door's word for it.
            pub fn door(self) -> DoorCode {
                match self { $(Self::$name => DoorCode::$door,)* }
            }
        }
    };
}

faults! {
    // RDS
    DbClusterSnapshotNotFound: "DBClusterSnapshotNotFoundFault", 404, NotFound;
    DbClusterSnapshotAlreadyExists: "DBClusterSnapshotAlreadyExistsFault", 400, AlreadyExists;
    InvalidDbClusterSnapshotState: "InvalidDBClusterSnapshotStateFault", 400, InvalidState;
    SnapshotQuotaExceeded: "SnapshotQuotaExceeded", 400, QuotaExceeded;
    SharedSnapshotQuotaExceeded: "SharedSnapshotQuotaExceeded", 400, QuotaExceeded;
    DbClusterNotFound: "DBClusterNotFoundFault", 404, NotFound;
    DbClusterAlreadyExists: "DBClusterAlreadyExistsFault", 400, AlreadyExists;
    InsufficientStorageClusterCapacity: "InsufficientStorageClusterCapacity", 400, InvalidState;
    DbClusterQuotaExceeded: "DBClusterQuotaExceededFault", 403, QuotaExceeded;
    InvalidDbClusterState: "InvalidDBClusterStateFault", 400, InvalidState;
    InvalidRestore: "InvalidRestoreFault", 400, ValidationError;
    KmsKeyNotAccessible: "KMSKeyNotAccessibleFault", 400, KeyNotAccessible;
    // Every Query service
    InvalidParameterValue: "InvalidParameterValue", 400, ValidationError;
    InvalidParameterCombination: "InvalidParameterCombination", 400, ValidationError;
    MissingParameter: "MissingParameter", 400, ValidationError;
    ValidationError: "ValidationError", 400, ValidationError;
    MalformedQueryString: "MalformedQueryString", 404, ValidationError;
    MalformedInput: "MalformedInput", 400, ValidationError;
    MissingAction: "MissingAction", 400, ValidationError;
    InvalidAction: "InvalidAction", 400, ValidationError;
    RequestEntityTooLarge: "RequestEntityTooLarge", 413, ValidationError;
    MissingAuthenticationToken: "MissingAuthenticationToken", 403, Unauthenticated;
    IncompleteSignature: "IncompleteSignature", 400, Unauthenticated;
    InvalidClientTokenId: "InvalidClientTokenId", 403, Unauthenticated;
    SignatureDoesNotMatch: "SignatureDoesNotMatch", 403, Unauthenticated;
    ExpiredToken: "ExpiredToken", 403, Unauthenticated;
    AccessDenied: "AccessDenied", 403, Forbidden;
    InternalFailure: "InternalFailure", 500, InternalError;
    ServiceUnavailable: "ServiceUnavailable", 503, InternalError;
    // KMS
    KmsNotFound: "NotFoundException", 400, NotFound;
    KmsAlreadyExists: "AlreadyExistsException", 400, AlreadyExists;
    KmsInvalidArn: "InvalidArnException", 400, ValidationError;
    KmsInvalidAliasName: "InvalidAliasNameException", 400, ValidationError;
    KmsInvalidState: "KMSInvalidStateException", 400, InvalidState;
    KmsDisabled: "DisabledException", 400, InvalidState;
    KmsInvalidMarker: "InvalidMarkerException", 400, ValidationError;
    KmsMalformedPolicy: "MalformedPolicyDocumentException", 400, ValidationError;
    KmsTag: "TagException", 400, ValidationError;
    KmsUnsupported: "UnsupportedOperationException", 400, ValidationError;
    KmsInvalidCiphertext: "InvalidCiphertextException", 400, ValidationError;
    KmsIncorrectKey: "IncorrectKeyException", 400, ValidationError;
    KmsInvalidKeyUsage: "InvalidKeyUsageException", 400, ValidationError;
    KmsInvalidGrantToken: "InvalidGrantTokenException", 400, ValidationError;
    KmsInvalidGrantId: "InvalidGrantIdException", 400, ValidationError;
    KmsLimitExceeded: "LimitExceededException", 400, QuotaExceeded;
    KmsInvalidSignature: "KMSInvalidSignatureException", 400, ValidationError;
    KmsInvalidMac: "KMSInvalidMacException", 400, ValidationError;
    KmsDryRun: "DryRunOperationException", 400, InvalidState;
    KmsAccessDenied: "AccessDeniedException", 400, Forbidden;
    KmsValidation: "ValidationException", 400, ValidationError;
    KmsUnknownOperation: "UnknownOperationException", 400, ValidationError;
    // Resource Groups Tagging
    TaggingInvalidParameter: "InvalidParameterException", 400, ValidationError;
    TaggingTokenExpired: "PaginationTokenExpiredException", 400, ValidationError;
}

/// What a caller is told when a request cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct Fault {
    /// The row of the table.
    pub code: Code,
    /// A sentence: what was wrong, and where possible what would be right.
    pub message: Cow<'static, str>,
}

impl Fault {
    /// A fault with its sentence.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// `InvalidParameterValue`.
    pub fn value(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidParameterValue, message)
    }

    /// `InvalidParameterCombination`.
    pub fn combination(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidParameterCombination, message)
    }

    /// `InternalFailure`: the cause goes to the log, the caller gets the request id.
    pub fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(cause = %chain(cause), "internal failure");
        Self::new(
            Code::InternalFailure,
            "The request processing has failed because of an unknown error, exception or failure.",
        )
    }
}

/// Characters of an error and its sources that are told: a database's server, or a peer, may say
/// as much as it likes.
const CHAIN_CHARS_MAX: usize = 4_096;

/// An error and its sources in one line, cut where it gets long, without control characters.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    told(&text)
}

fn told(text: &str) -> String {
    let mut told: String = text
        .chars()
        .take(CHAIN_CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(CHAIN_CHARS_MAX).is_some() {
        told.push('…');
    }
    told
}

impl From<catalog::CatalogError> for Fault {
    /// Actions map the clashes they expect; what arrives here is not the caller's doing.
    fn from(error: catalog::CatalogError) -> Self {
        match error {
            catalog::CatalogError::Stale { .. } => Self::new(
                Code::ServiceUnavailable,
                "The resource was changed by another request at the same time. Try again.",
            ),
            other => Self::internal(&other),
        }
    }
}

impl From<vault::VaultError> for Fault {
    fn from(error: vault::VaultError) -> Self {
        Self::internal(&error)
    }
}

impl From<wire::InputError> for Fault {
    fn from(error: wire::InputError) -> Self {
        let code = match error.code() {
            "MissingParameter" => Code::MissingParameter,
            "InvalidParameterCombination" => Code::InvalidParameterCombination,
            "InvalidParameterValue" => Code::InvalidParameterValue,
            "ValidationError" => Code::ValidationError,
            "MalformedQueryString" => Code::MalformedQueryString,
            _ => Code::MalformedInput,
        };
        Self::new(code, error.message())
    }
}
