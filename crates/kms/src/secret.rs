//! Secret bytes: where they come from and how they go.
//!
//! It does not know what they seal.
use std::fmt;

use model::{Arn, Key};
use zeroize::Zeroizing;

use crate::master::{MasterKey, OpenError};

/// The purpose that key material is sealed for; its context is the key's ARN.
const MATERIAL_PURPOSE: &str = "kms-key-material";

/// Fresh bytes from the operating system's generator.
pub(crate) fn draw<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes)
        .expect("the operating system gives random bytes; nothing can be sealed without");
    bytes
}

/// A KMS key's secret: 32 bytes, wiped when dropped. Data keys are wrapped by it.
pub struct KeyMaterial(Zeroizing<[u8; 32]>);

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyMaterial(..)")
    }
}

impl KeyMaterial {
    /// New material.
    pub fn generate() -> Self {
        Self(Zeroizing::new(draw()))
    }

    /// Seals it for a key's record.
    pub fn seal(&self, master: &MasterKey, key: &Arn) -> Vec<u8> {
        master.seal(MATERIAL_PURPOSE, &key.to_string(), self.bytes())
    }

    /// Opens the material in a key's record.
    ///
    /// # Errors
    /// When the record was altered, is another key's, or the master key is another one.
    pub fn open(master: &MasterKey, key: &Key) -> Result<Self, OpenError> {
        let plain = master.open(
            MATERIAL_PURPOSE,
            &key.arn().to_string(),
            &key.sealed_material,
        )?;
        let mut bytes = Zeroizing::new([0; 32]);
        if plain.len() != bytes.len() {
            return Err(OpenError::Malformed);
        }
        bytes.copy_from_slice(&plain);
        Ok(Self(bytes))
    }

    /// Fixed material, for stored blobs that must stay readable.
    #[cfg(test)]
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use model::{KeyManager, KeyState, Timestamp};

    use super::*;

    fn key(id: &str, sealed_material: Vec<u8>) -> Key {
        Key {
            region: "us-east-1".parse().expect("legal"),
            account: "123456789012".parse().expect("legal"),
            id: id.to_owned(),
            state: KeyState::Enabled,
            manager: KeyManager::Customer,
            created_at: Timestamp(0),
            deletion_at: None,
            description: String::new(),
            policy: String::new(),
            tags: Vec::new(),
            sealed_material,
        }
    }

    #[test]
    fn material_opens_only_in_its_own_record() {
        let (master, material) = (MasterKey::generate(), KeyMaterial::generate());
        let sealed = material.seal(&master, &key("a", Vec::new()).arn());
        let opened = KeyMaterial::open(&master, &key("a", sealed.clone())).expect("opens");
        assert_eq!(opened.bytes(), material.bytes());
        let moved = KeyMaterial::open(&master, &key("b", sealed.clone()));
        assert_eq!(moved.err(), Some(OpenError::Refused));
        let other = KeyMaterial::open(&MasterKey::generate(), &key("a", sealed));
        assert_eq!(other.err(), Some(OpenError::Refused));
        let short = master.seal(
            MATERIAL_PURPOSE,
            &key("a", Vec::new()).arn().to_string(),
            b"x",
        );
        let short = KeyMaterial::open(&master, &key("a", short));
        assert_eq!(short.err(), Some(OpenError::Malformed));
        assert_eq!(format!("{material:?}"), "KeyMaterial(..)");
    }
}
