//! The door to keys: what the product needs of a KMS, built in or outside.
//!
//! It does not know how keys are kept or reached.
use std::fmt;

use async_trait::async_trait;
use model::{Account, Arn, Key, KeyManager, KeyState, Region, WrappedKey, key::EncryptionContext};
use zeroize::Zeroizing;

use crate::{error::KeyError, reference::KeyRef};

/// For whom a key is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account that asked.
    pub account: Account,
    /// The service that acts for it, such as `rds.us-east-1.amazonaws.com`; none when the
    /// account asked KMS itself.
    pub via: Option<String>,
}

/// What is known of a key without using it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFacts {
    /// Its ARN.
    pub arn: Arn,
    /// Who manages it.
    pub manager: KeyManager,
    /// Where it stands.
    pub state: KeyState,
}

/// A data key, in clear and wrapped; the clear bytes are wiped when dropped.
pub struct DataKey {
    /// The 32 bytes.
    pub plain: Zeroizing<[u8; 32]>,
    /// What can be kept.
    pub wrapped: WrappedKey,
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataKey")
            .field("key", &self.wrapped.key)
            .finish_non_exhaustive()
    }
}

/// A KMS. Every call is authorised as its caller, by the key's policy.
#[async_trait]
pub trait KeyService: Send + Sync + fmt::Debug {
    /// Finds a key in a region.
    ///
    /// # Errors
    /// `NotFound`, `AccessDenied`, `Unavailable`.
    async fn describe(
        &self,
        caller: &Caller,
        region: &Region,
        key: &KeyRef,
    ) -> Result<KeyFacts, KeyError>;

    /// Makes a data key, bound to `context`.
    ///
    /// # Errors
    /// [`KeyError`].
    async fn generate(
        &self,
        caller: &Caller,
        key: &Arn,
        context: &EncryptionContext,
    ) -> Result<DataKey, KeyError>;

    /// Opens a wrapped data key.
    ///
    /// # Errors
    /// [`KeyError`].
    async fn unwrap(
        &self,
        caller: &Caller,
        wrapped: &WrappedKey,
    ) -> Result<Zeroizing<[u8; 32]>, KeyError>;

    /// Wraps a data key anew under another key and context; what the source key sealed stays.
    ///
    /// # Errors
    /// [`KeyError`] of either key.
    async fn rewrap(
        &self,
        caller: &Caller,
        wrapped: &WrappedKey,
        to: &Arn,
        context: &EncryptionContext,
    ) -> Result<WrappedKey, KeyError>;
}

/// Whether a key's state lets it wrap and unwrap.
///
/// # Errors
/// `Disabled`, `PendingDeletion`.
pub fn check_usable(key: &Key) -> Result<(), KeyError> {
    let arn = || key.arn().to_string();
    match key.state {
        KeyState::Enabled => Ok(()),
        KeyState::Disabled => Err(KeyError::Disabled { key: arn() }),
        KeyState::PendingDeletion => Err(KeyError::PendingDeletion { key: arn() }),
    }
}
