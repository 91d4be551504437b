//! The key that receipts are signed by: an Ed25519 pair of the deployment.
//!
//! Its private half lies in the catalog, under the master key, so that all nodes have the same one. It
//! does not know what is signed.
use std::fmt;

use aws_lc_rs::{
    digest,
    encoding::{AsDer, PublicKeyX509Der},
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use catalog::{Catalog, CatalogError, CatalogExt, Tx, meta};
use data_encoding::{BASE64, HEXLOWER};
use kms::{MasterKey, OpenError};
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What the private half is sealed for; its context is its id.
const PURPOSE: &str = "receipt-key";
/// What stands before the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410).
const PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptKeyError {
    /// The catalog fails.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// It does not open.
    #[error("the key that signs receipts does not open with the master key")]
    Sealed(#[from] OpenError),
    /// Its record does not read.
    #[error("the record of the key that signs receipts does not read")]
    Damaged,
    /// None can be made.
    #[error("no key to sign receipts by can be made: the cryptographic library failed")]
    Library,
}

/// A text that is no key which receipts can be signed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no public key of Ed25519 as PEM")]
pub struct NotAKey;

/// The key as the catalog has it.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// PEM.
    public_key: String,
    /// Hexadecimal.
    sealed_key: String,
}

/// The deployment's key.
pub struct ReceiptKey {
    id: String,
    pair: Ed25519KeyPair,
}

impl fmt::Debug for ReceiptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiptKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl ReceiptKey {
    /// The deployment's, made when there is none.
    ///
    /// # Errors
    /// [`ReceiptKeyError`].
    pub async fn open(
        catalog: &dyn Catalog,
        master_key: &MasterKey,
    ) -> Result<Self, ReceiptKeyError> {
        let found = catalog.read(|tx| meta::get(tx, meta::RECEIPT_KEY)).await?;
        let text = match found {
            Some(text) => text,
            None => {
                // Another node may be first: its key counts.
                let made = make(master_key)?;
                catalog
                    .write(move |tx| meta::get_or_set(tx, meta::RECEIPT_KEY, &made))
                    .await?
            }
        };
        let (kept, public) = read(&text)?;
        let key = opened(master_key, &kept, &public)?;
        let pair = Ed25519KeyPair::from_pkcs8(&key).map_err(|_| ReceiptKeyError::Damaged)?;
        Ok(Self {
            id: public.id(),
            pair,
        })
    }

    /// SHA-256 over its public half's SubjectPublicKeyInfo, hexadecimal.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Signs a message; none when the library fails.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let signature = self.pair.try_sign(message).ok()?;
        Some(signature.as_ref().to_vec())
    }
}

fn read(text: &str) -> Result<(Kept, PublicKey), ReceiptKeyError> {
    let kept: Kept = serde_json::from_str(text).map_err(|_| ReceiptKeyError::Damaged)?;
    let public = PublicKey::from_pem(&kept.public_key).map_err(|_| ReceiptKeyError::Damaged)?;
    Ok((kept, public))
}

fn opened(
    master_key: &MasterKey,
    kept: &Kept,
    public: &PublicKey,
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    // What is no hexadecimal does not open either.
    let sealed = HEXLOWER
        .decode(kept.sealed_key.as_bytes())
        .unwrap_or_default();
    master_key.open(PURPOSE, &public.id(), &sealed)
}

fn make(master_key: &MasterKey) -> Result<String, ReceiptKeyError> {
    let pair = Ed25519KeyPair::generate().map_err(|_| ReceiptKeyError::Library)?;
    let private = pair.to_pkcs8v1().map_err(|_| ReceiptKeyError::Library)?;
    let der: PublicKeyX509Der<'_> = pair
        .public_key()
        .as_der()
        .map_err(|_| ReceiptKeyError::Library)?;
    let public = PublicKey::from_der(der.as_ref()).map_err(|_| ReceiptKeyError::Library)?;
    let sealed = master_key.seal(PURPOSE, &public.id(), private.as_ref());
    let kept = Kept {
        public_key: public.pem(),
        sealed_key: HEXLOWER.encode(&sealed),
    };
    Ok(serde_json::to_string(&kept).expect("the key's record serializes"))
}

/// The public half of the deployment's key; none when no server was started yet.
///
/// # Errors
/// The catalog's; a record that does not read.
pub async fn public_key(catalog: &dyn Catalog) -> Result<Option<PublicKey>, ReceiptKeyError> {
    let found = catalog.read(|tx| meta::get(tx, meta::RECEIPT_KEY)).await?;
    found
        .map(|text| read(&text).map(|(_, public)| public))
        .transpose()
}

/// Seals the private half anew, if there is one.
///
/// # Errors
/// [`ReceiptKeyError`].
pub fn reencrypt(tx: &mut dyn Tx, master_key: &MasterKey) -> Result<(), ReceiptKeyError> {
    let Some(found) = meta::get(tx, meta::RECEIPT_KEY)? else {
        return Ok(());
    };
    let (kept, public) = read(&found)?;
    let plain = opened(master_key, &kept, &public)?;
    let sealed = master_key.seal(PURPOSE, &public.id(), &plain);
    let kept = Kept {
        sealed_key: HEXLOWER.encode(&sealed),
        ..kept
    };
    let text = serde_json::to_string(&kept).expect("the key's record serializes");
    Ok(meta::set(tx, meta::RECEIPT_KEY, &text)?)
}

/// What receipts are checked by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// SubjectPublicKeyInfo (RFC 5280).
    der: Vec<u8>,
}

impl PublicKey {
    fn from_der(der: &[u8]) -> Result<Self, NotAKey> {
        match der.strip_prefix(&PREFIX) {
            Some(raw) if raw.len() == 32 => Ok(Self { der: der.to_vec() }),
            _ => Err(NotAKey),
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`NotAKey`].
    pub fn from_pem(text: &str) -> Result<Self, NotAKey> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes());
        Self::from_der(&der.map_err(|_| NotAKey)?)
    }

    /// As a file has it.
    pub fn pem(&self) -> String {
        let text = BASE64.encode(&self.der);
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }

    /// SHA-256 over it, hexadecimal.
    pub fn id(&self) -> String {
        HEXLOWER.encode(digest::digest(&digest::SHA256, &self.der).as_ref())
    }

    /// Whether a signature is this key's of that message.
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let raw = self.der.strip_prefix(&PREFIX).unwrap_or_default();
        let key = UnparsedPublicKey::new(&ED25519, raw);
        key.verify(message, signature).is_ok()
    }
}
