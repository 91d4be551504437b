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

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}
