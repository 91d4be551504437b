//! What the built-in KMS does with keys that are not symmetric: signatures, codes of messages,
//! RSA's encryption.
//!
//! It does not know who may; all of it is authorised before.
use kms::{KeyMaterial, Message, PairError, pair};
use model::{
    Account, Key,
    key_spec::{EncryptionAlgorithm, KeySpec, MacAlgorithm, SigningAlgorithm},
};
use zeroize::Zeroizing;

use super::{KeyError, Keys};

/// A message that was given to be signed, or its digest.
#[derive(Debug)]
pub struct Signable {
    /// What was given.
    pub bytes: Vec<u8>,
    /// Whether it is the digest.
    pub is_digest: bool,
}

impl Signable {
    fn message(&self) -> Message<'_> {
        match self.is_digest {
            true => Message::Digest(&self.bytes),
            false => Message::Raw(&self.bytes),
        }
    }
}

impl Keys {
    /// New material of a kind, in the account's turn.
    pub(super) async fn new_material(&self, account: &Account, spec: KeySpec) -> KeyMaterial {
        if spec.is_pair() {
            return self
                .pair_work
                .run(account, move || KeyMaterial::generate(spec))
                .await;
        }
        KeyMaterial::generate(spec)
    }

    async fn with<T: Send + 'static>(
        &self,
        caller: &Account,
        key: &Key,
        work: impl FnOnce(&KeyMaterial) -> Result<T, PairError> + Send + 'static,
    ) -> Result<T, KeyError> {
        let material = self.material(key, 0)?;
        let done = self.pair_work.run(caller, move || work(&material)).await;
        done.map_err(|error| KeyError::Pair(key.arn(), error))
    }

    /// A pair's public half, DER.
    ///
    /// # Errors
    /// `Material`, `Pair`.
    pub async fn public_key(&self, caller: &Account, key: &Key) -> Result<Vec<u8>, KeyError> {
        let spec = key.spec;
        self.with(caller, key, move |material| {
            pair::public_key(spec, material)
        })
        .await
    }

    /// Signs by a key in use.
    ///
    /// # Errors
    /// `Material`, `Pair`.
    pub async fn sign(
        &self,
        caller: &Account,
        key: &Key,
        algorithm: SigningAlgorithm,
        given: Signable,
    ) -> Result<Vec<u8>, KeyError> {
        let spec = key.spec;
        let work =
            move |material: &KeyMaterial| pair::sign(spec, material, algorithm, given.message());
        self.with(caller, key, work).await
    }

    /// Whether a signature is a key's.
    ///
    /// # Errors
    /// `Material`, `Pair`.
    pub async fn verify(
        &self,
        caller: &Account,
        key: &Key,
        algorithm: SigningAlgorithm,
        given: Signable,
        signature: Vec<u8>,
    ) -> Result<bool, KeyError> {
        let spec = key.spec;
        let work = move |material: &KeyMaterial| {
            pair::verify(spec, material, algorithm, given.message(), &signature)
        };
        self.with(caller, key, work).await
    }

    /// A message's code.
    ///
    /// # Errors
    /// `Material`.
    pub fn mac(
        &self,
        key: &Key,
        algorithm: MacAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, KeyError> {
        Ok(pair::mac(&self.material(key, 0)?, algorithm, message))
    }

    /// Whether a code is the message's.
    ///
    /// # Errors
    /// `Material`.
    pub fn verify_mac(
        &self,
        key: &Key,
        algorithm: MacAlgorithm,
        message: &[u8],
        given: &[u8],
    ) -> Result<bool, KeyError> {
        let material = self.material(key, 0)?;
        Ok(pair::verify_mac(&material, algorithm, message, given))
    }

    /// Encrypts by a pair's public half.
    ///
    /// # Errors
    /// `Material`, `Pair`.
    pub async fn encrypt_by_pair(
        &self,
        caller: &Account,
        key: &Key,
        algorithm: EncryptionAlgorithm,
        plain: Vec<u8>,
    ) -> Result<Vec<u8>, KeyError> {
        let plain = Zeroizing::new(plain);
        let work = move |material: &KeyMaterial| pair::encrypt(material, algorithm, &plain);
        self.with(caller, key, work).await
    }

    /// Decrypts by a pair's private half.
    ///
    /// # Errors
    /// `Material`, `Pair`.
    pub async fn decrypt_by_pair(
        &self,
        caller: &Account,
        key: &Key,
        algorithm: EncryptionAlgorithm,
        blob: Vec<u8>,
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let work = move |material: &KeyMaterial| pair::decrypt(material, algorithm, &blob);
        self.with(caller, key, work).await
    }
}
