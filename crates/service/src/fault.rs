//! The one table of faults: what a caller can be told, by which code and status.
//!
//! Sources: the error lists of each action's page in the RDS, KMS and STS API references, and
//! the RDS reference's "Common Errors". A fault has a sentence for the caller; what went wrong
//! inside is logged where the fault is made and never shown. Errors of other rooms become faults
//! here and nowhere else; KMS's words for a key are `kms_fault`'s, and RDS's are `RdsUse`'s.
use std::borrow::Cow;

use model::{ErrorKind, Snapshot, limits};
use wire::{InputCode, InputError, protocol::Dialect, sigv4::AuthCode, sigv4::AuthFault};

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

            /// The code that is so on the wire.
            pub fn named(word: &str) -> Option<Self> {
                match word { $($code => Some(Self::$name),)* _ => None }
            }

            /// What it is to work that meets it.
            pub fn kind(self) -> ErrorKind {
                match self.door() {
                    DoorCode::InternalError | DoorCode::Throttled => ErrorKind::Retry,
                    _ => ErrorKind::Refuse,
                }
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
    InvalidDbClusterAutomatedBackupState: "InvalidDBClusterAutomatedBackupStateFault", 400, InvalidState;
    DbClusterAutomatedBackupQuotaExceeded: "DBClusterAutomatedBackupQuotaExceededFault", 400, QuotaExceeded;
    DbClusterNotFound: "DBClusterNotFoundFault", 404, NotFound;
    DbClusterAlreadyExists: "DBClusterAlreadyExistsFault", 400, AlreadyExists;
    InsufficientStorageClusterCapacity: "InsufficientStorageClusterCapacity", 400, InvalidState;
    DbClusterQuotaExceeded: "DBClusterQuotaExceededFault", 403, QuotaExceeded;
    InvalidDbClusterState: "InvalidDBClusterStateFault", 400, InvalidState;
    DbInstanceNotFound: "DBInstanceNotFound", 404, NotFound;
    DbInstanceAlreadyExists: "DBInstanceAlreadyExists", 400, AlreadyExists;
    InvalidDbInstanceState: "InvalidDBInstanceState", 400, InvalidState;
    InstanceQuotaExceeded: "InstanceQuotaExceeded", 400, QuotaExceeded;
    InsufficientDbInstanceCapacity: "InsufficientDBInstanceCapacity", 400, InvalidState;
    DbClusterRoleAlreadyExists: "DBClusterRoleAlreadyExists", 400, AlreadyExists;
    DbClusterRoleNotFound: "DBClusterRoleNotFound", 404, NotFound;
    DbClusterRoleQuotaExceeded: "DBClusterRoleQuotaExceeded", 400, QuotaExceeded;
    GlobalClusterNotFound: "GlobalClusterNotFoundFault", 404, NotFound;
    InvalidRestore: "InvalidRestoreFault", 400, ValidationError;
    KmsKeyNotAccessible: "KMSKeyNotAccessibleFault", 400, KeyNotAccessible;
    // RDS: around clusters
    DbSubnetGroupAlreadyExists: "DBSubnetGroupAlreadyExists", 400, AlreadyExists;
    DbSubnetGroupNotFound: "DBSubnetGroupNotFoundFault", 404, NotFound;
    DbSubnetGroupDoesNotCoverEnoughAzs: "DBSubnetGroupDoesNotCoverEnoughAZs", 400, ValidationError;
    DbSubnetGroupQuotaExceeded: "DBSubnetGroupQuotaExceeded", 400, QuotaExceeded;
    DbSubnetQuotaExceeded: "DBSubnetQuotaExceededFault", 400, QuotaExceeded;
    InvalidDbSubnetGroupState: "InvalidDBSubnetGroupStateFault", 400, InvalidState;
    InvalidSubnet: "InvalidSubnet", 400, ValidationError;
    DbParameterGroupAlreadyExists: "DBParameterGroupAlreadyExists", 400, AlreadyExists;
    DbParameterGroupNotFound: "DBParameterGroupNotFound", 404, NotFound;
    DbClusterParameterGroupNotFound: "DBClusterParameterGroupNotFound", 404, NotFound;
    DbParameterGroupQuotaExceeded: "DBParameterGroupQuotaExceeded", 400, QuotaExceeded;
    InvalidDbParameterGroupState: "InvalidDBParameterGroupState", 400, InvalidState;
    SubscriptionAlreadyExist: "SubscriptionAlreadyExist", 400, AlreadyExists;
    SubscriptionNotFound: "SubscriptionNotFound", 404, NotFound;
    SubscriptionCategoryNotFound: "SubscriptionCategoryNotFound", 404, NotFound;
    EventSubscriptionQuotaExceeded: "EventSubscriptionQuotaExceeded", 400, QuotaExceeded;
    SourceNotFound: "SourceNotFound", 404, NotFound;
    SnsTopicArnNotFound: "SNSTopicArnNotFound", 404, NotFound;
    SnsInvalidTopic: "SNSInvalidTopic", 400, ValidationError;
    CertificateNotFound: "CertificateNotFound", 404, NotFound;
    ResourceNotFound: "ResourceNotFoundFault", 404, NotFound;
    // RDS: of what is not here
    ExportTaskNotFound: "ExportTaskNotFound", 404, NotFound;
    DbSnapshotNotFound: "DBSnapshotNotFound", 404, NotFound;
    DbProxyNotFound: "DBProxyNotFoundFault", 404, NotFound;
    DbProxyEndpointNotFound: "DBProxyEndpointNotFoundFault", 404, NotFound;
    ReservedDbInstanceNotFound: "ReservedDBInstanceNotFound", 404, NotFound;
    ReservedDbInstancesOfferingNotFound: "ReservedDBInstancesOfferingNotFound", 404, NotFound;
    DbClusterAutomatedBackupNotFound: "DBClusterAutomatedBackupNotFoundFault", 404, NotFound;
    DbInstanceAutomatedBackupNotFound: "DBInstanceAutomatedBackupNotFound", 404, NotFound;
    OptionGroupNotFound: "OptionGroupNotFoundFault", 404, NotFound;
    DbSecurityGroupNotFound: "DBSecurityGroupNotFound", 404, NotFound;
    BlueGreenDeploymentNotFound: "BlueGreenDeploymentNotFoundFault", 404, NotFound;
    IntegrationNotFound: "IntegrationNotFoundFault", 404, NotFound;
    DbShardGroupNotFound: "DBShardGroupNotFound", 404, NotFound;
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
    RequestTimeout: "RequestTimeout", 408, ValidationError;
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
    // This and LimitExceededException are AWS Backup's, too.
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
    // AWS Backup
    BackupInvalidParameter: "InvalidParameterValueException", 400, ValidationError;
    BackupMissingParameter: "MissingParameterValueException", 400, ValidationError;
    BackupInvalidResourceState: "InvalidResourceStateException", 400, InvalidState;
    // CloudTrail; InvalidNextTokenException is Secrets Manager's, too.
    InvalidLookupAttributes: "InvalidLookupAttributesException", 400, ValidationError;
    InvalidMaxResults: "InvalidMaxResultsException", 400, ValidationError;
    InvalidTimeRange: "InvalidTimeRangeException", 400, ValidationError;
    InvalidEventCategory: "InvalidEventCategoryException", 400, ValidationError;
    // Resource Groups Tagging
    TaggingInvalidParameter: "InvalidParameterException", 400, ValidationError;
    TaggingTokenExpired: "PaginationTokenExpiredException", 400, ValidationError;
    // Secrets Manager; ResourceNotFound- and InvalidRequestException are AWS Backup's, too.
    SecretNotFound: "ResourceNotFoundException", 400, NotFound;
    SecretInvalidRequest: "InvalidRequestException", 400, InvalidState;
    SecretInvalidNextToken: "InvalidNextTokenException", 400, ValidationError;
    SecretDecryptionFailure: "DecryptionFailure", 400, KeyNotAccessible;
}

/// What a caller is told when a request cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct Fault {
    /// The row of the table.
    pub code: Code,
    /// A sentence: what was wrong, and where possible what would be right.
    pub message: Cow<'static, str>,
    /// Members that it has beside these, where its API's faults have such.
    pub details: Vec<(&'static str, String)>,
}

impl Fault {
    /// A fault with its sentence.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Vec::new(),
        }
    }

    /// The same with one more member.
    #[must_use]
    pub fn with(mut self, member: &'static str, value: impl Into<String>) -> Self {
        self.details.push((member, value.into()));
        self
    }

    /// `InvalidParameterValue`.
    pub fn value(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidParameterValue, message)
    }

    /// `InvalidParameterCombination`.
    pub fn combination(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidParameterCombination, message)
    }

    /// `InvalidDBClusterSnapshotStateFault`: nobody can `act` on a snapshot that is not available.
    pub fn not_available(act: &str, snapshot: &Snapshot) -> Self {
        Self::new(
            Code::InvalidDbClusterSnapshotState,
            format!(
                "Cannot {act} the snapshot because it isn't currently in the available state: {} is {}.",
                snapshot.name,
                snapshot.status.as_str()
            ),
        )
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

impl Fault {
    /// What is wrong with an input; `only` is the code of an API that has one for all of that.
    pub fn of_input(error: &InputError, only: Option<Code>) -> Self {
        let code = only.unwrap_or(match error.code() {
            InputCode::MissingParameter => Code::MissingParameter,
            InputCode::InvalidParameterCombination => Code::InvalidParameterCombination,
            InputCode::InvalidParameterValue => Code::InvalidParameterValue,
            InputCode::ValidationError => Code::ValidationError,
            InputCode::MalformedQueryString => Code::MalformedQueryString,
            InputCode::MalformedInput => Code::MalformedInput,
            InputCode::MissingAction => Code::MissingAction,
            InputCode::UnknownOperation => Code::KmsUnknownOperation,
        });
        Self::new(code, error.message())
    }

    /// For protocols to write.
    pub fn on_wire(&self) -> wire::Fault {
        wire::Fault {
            code: self.code.as_str(),
            status: self.code.status(),
            message: self.message.to_string(),
            kind: self.code.door().as_str(),
            details: self.details.clone(),
        }
    }
}

impl Code {
    /// For an action that nobody has, in the words of a protocol.
    pub fn unknown_action(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Query => Self::InvalidAction,
            Dialect::Json => Self::KmsUnknownOperation,
        }
    }

    /// For an action that AWS has and this server has not, in the words of a protocol.
    pub fn not_implemented(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Query => Self::InvalidAction,
            Dialect::Json => Self::KmsUnsupported,
        }
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

impl From<InputError> for Fault {
    fn from(error: InputError) -> Self {
        Self::of_input(&error, None)
    }
}

impl From<AuthFault> for Fault {
    fn from(fault: AuthFault) -> Self {
        let code = match fault.code() {
            AuthCode::MissingAuthenticationToken => Code::MissingAuthenticationToken,
            AuthCode::InvalidClientTokenId => Code::InvalidClientTokenId,
            AuthCode::IncompleteSignature => Code::IncompleteSignature,
            AuthCode::SignatureDoesNotMatch => Code::SignatureDoesNotMatch,
        };
        Self::new(code, fault.message())
    }
}

/// Why a request is refused before it is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarlyRefusal {
    /// The server has too much to do.
    Busy,
    /// The body is larger than [`limits::BODY_BYTES_MAX`].
    TooLarge,
    /// The body did not arrive in time.
    Slow,
    /// The body's connection ended before it.
    Broken,
}

impl From<EarlyRefusal> for Fault {
    fn from(refusal: EarlyRefusal) -> Self {
        match refusal {
            EarlyRefusal::Busy => {
                Self::new(Code::ServiceUnavailable, "The server is busy. Try again.")
            }
            EarlyRefusal::TooLarge => Self::new(
                Code::RequestEntityTooLarge,
                format!(
                    "The request's body is larger than {} bytes.",
                    limits::BODY_BYTES_MAX
                ),
            ),
            EarlyRefusal::Slow => Self::new(
                Code::RequestTimeout,
                "The request's body did not arrive in time.",
            ),
            EarlyRefusal::Broken => Self::new(
                Code::MalformedInput,
                "The request's body did not arrive whole.",
            ),
        }
    }
}
