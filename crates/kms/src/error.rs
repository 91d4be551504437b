//! Why a key cannot be used, whoever manages it.
//!
//! It does not know the faults that an API answers: the service maps these.
use std::{error::Error, sync::Arc};

/// What a caller should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The same call may succeed soon.
    Retry,
    /// The answer is no.
    Refuse,
    /// An operator has to act: another master key, a damaged record.
    Repair,
}

/// Why a key cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyError {
    /// There is no such key or alias in the region that was asked.
    #[error("{what} is not found")]
    NotFound {
        /// The key or alias as it was named, in KMS's form.
        what: String,
    },
    /// The key's policy does not allow it.
    #[error("{account} is not authorized to perform {action} on {key}")]
    AccessDenied {
        /// Who asked.
        account: String,
        /// The action, such as `kms:Decrypt`.
        action: String,
        /// The key's ARN.
        key: String,
    },
    /// The key is disabled.
    #[error("{key} is disabled")]
    Disabled {
        /// The key's ARN.
        key: String,
    },
    /// The key will be gone soon.
    #[error("{key} is pending deletion")]
    PendingDeletion {
        /// The key's ARN.
        key: String,
    },
    /// The blob was altered, or the encryption context is another one.
    #[error("the ciphertext refers to a key that does not exist, or was altered")]
    InvalidCiphertext,
    /// The key's record does not open: another master key, or damage.
    #[error("the material of {key} does not open")]
    Damaged {
        /// The key's ARN.
        key: String,
        /// What the seal said.
        #[source]
        source: crate::OpenError,
    },
    /// The key service cannot answer now.
    #[error("the key service cannot answer")]
    Unavailable {
        /// What went wrong underneath.
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },
}

impl KeyError {
    /// What a caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unavailable { .. } => ErrorKind::Retry,
            Self::Damaged { .. } => ErrorKind::Repair,
            Self::NotFound { .. }
            | Self::AccessDenied { .. }
            | Self::Disabled { .. }
            | Self::PendingDeletion { .. }
            | Self::InvalidCiphertext => ErrorKind::Refuse,
        }
    }
}
