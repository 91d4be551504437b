//! Secret bytes: where they come from and how they go.
//!
//! It does not know what they seal.
use std::fmt;

use locked::Secret;
use model::{Arn, Key};
use zeroize::Zeroizing;

use crate::{
    master::{MasterKey, OpenError},
    seal::framed,
};

/// The purpose that key material is sealed for; its context is the key's ARN.
const MATERIAL_PURPOSE: &str = "kms-key-material";

/// A KMS key's secret, in locked memory and wiped when dropped: the 32 bytes that wrap data keys, the bytes of an HMAC
/// key, or the private half of a pair.
pub struct KeyMaterial(Secret);

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyMaterial(..)")
    }
}

impl KeyMaterial {
    /// Material that was drawn for a key.
    pub(crate) fn from_drawn(mut drawn: Zeroizing<Vec<u8>>) -> Self {
        Self(Secret::take(&mut drawn).expect("none is longer than a page"))
    }

    /// Seals it for a key's record, as its material of that number.
    pub fn seal(&self, master: &MasterKey, key: &Arn, number: u32) -> Vec<u8> {
        master.seal(MATERIAL_PURPOSE, &bound_to(key, number), self.0.bytes())
    }

    /// Opens one material of a key's record.
    ///
    /// # Errors
    /// When the record has none of that number, was altered, is another key's, or the master key
    /// is another one.
    pub fn open(master: &MasterKey, key: &Key, number: u32) -> Result<Self, OpenError> {
        let sealed = match number.checked_sub(1) {
            None => &key.sealed_material,
            Some(rotation) => {
                let found = key.rotations.get(rotation as usize);
                &found.ok_or(OpenError::Refused)?.sealed_material
            }
        };
        let mut plain = master.open(MATERIAL_PURPOSE, &bound_to(&key.arn(), number), sealed)?;
        match key.spec.symmetric_bytes() {
            Some(length) if length != plain.len() => Err(OpenError::Malformed),
            _ => Secret::take(&mut plain)
                .map(Self)
                .ok_or(OpenError::Malformed),
        }
    }

    /// Seals all material of a key for the record of its like in another region.
    ///
    /// # Errors
    /// As [`KeyMaterial::open`].
    pub fn replicate(master: &MasterKey, key: &Key, replica: &mut Key) -> Result<(), OpenError> {
        let arn = replica.arn();
        replica.rotations.clone_from(&key.rotations);
        for number in 0..=count(key) {
            let sealed = Self::open(master, key, number)?.seal(master, &arn, number);
            put(replica, number, sealed);
        }
        Ok(())
    }

    /// Seals all material of a key's record by this master key, which opens it now.
    ///
    /// # Errors
    /// As [`KeyMaterial::open`]; the record is then changed in part, and not to be kept.
    pub fn rewrap(master: &MasterKey, key: &mut Key) -> Result<(), OpenError> {
        let arn = key.arn();
        for number in 0..=count(key) {
            let sealed = Self::open(master, key, number)?.seal(master, &arn, number);
            put(key, number, sealed);
        }
        Ok(())
    }

    /// Fixed material, for stored blobs that must stay readable.
    #[cfg(test)]
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret::key(bytes))
    }

    /// Of a key that wraps.
    pub(crate) fn bytes(&self) -> Option<&[u8; 32]> {
        self.0.as_key()
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// What KMS calls the id of a key's material of that number: 64 hexadecimal digits. The replicas of
/// a multi-Region key, which share its material, share its ids.
pub fn material_id(key: &Key, number: u32) -> String {
    let named = framed(&[
        b"snapferry kms key material",
        key.account.as_str().as_bytes(),
        key.id.as_bytes(),
        &number.to_be_bytes(),
    ]);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &named);
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The number of a key's newest material.
fn count(key: &Key) -> u32 {
    u32::try_from(key.rotations.len()).expect("rotations are few")
}

fn put(key: &mut Key, number: u32, sealed: Vec<u8>) {
    match number.checked_sub(1) {
        None => key.sealed_material = sealed,
        Some(rotation) => key.rotations[rotation as usize].sealed_material = sealed,
    }
}

/// What sealed material is bound to: the key, and which of its materials it is.
fn bound_to(key: &Arn, number: u32) -> String {
    format!("{key}#{number}")
}

#[cfg(test)]
mod tests {
    use model::{KeyManager, KeyState, Timestamp, key::Rotation, key_spec::KeySpec};

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
            spec: Default::default(),
            usage: Default::default(),
            sealed_material,
            rotations: Vec::new(),
            current_material: 0,
            rotation: None,
            multi_region: None,
            pending_window_days: None,
        }
    }

    #[test]
    fn material_opens_only_in_its_own_record() {
        let (master, material) = (
            MasterKey::generate(),
            KeyMaterial::generate(KeySpec::SymmetricDefault),
        );
        let arn = key("a", Vec::new()).arn();
        let sealed = material.seal(&master, &arn, 0);
        let opened = KeyMaterial::open(&master, &key("a", sealed.clone()), 0).expect("opens");
        assert_eq!(opened.bytes(), material.bytes());
        let moved = KeyMaterial::open(&master, &key("b", sealed.clone()), 0);
        assert_eq!(moved.err(), Some(OpenError::Refused));
        let other = KeyMaterial::open(&MasterKey::generate(), &key("a", sealed), 0);
        assert_eq!(other.err(), Some(OpenError::Refused));
        let short = master.seal(MATERIAL_PURPOSE, &bound_to(&arn, 0), b"x");
        let short = KeyMaterial::open(&master, &key("a", short), 0);
        assert_eq!(short.err(), Some(OpenError::Malformed));
        assert_eq!(format!("{material:?}"), "KeyMaterial(..)");
    }

    #[test]
    fn each_rotation_has_material_of_its_own() {
        let (master, first, second) = (
            MasterKey::generate(),
            KeyMaterial::generate(KeySpec::SymmetricDefault),
            KeyMaterial::generate(KeySpec::SymmetricDefault),
        );
        let arn = key("a", Vec::new()).arn();
        let mut key = key("a", first.seal(&master, &arn, 0));
        let rotation = |number| Rotation {
            sealed_material: second.seal(&master, &arn, number),
            at: Timestamp(0),
            on_demand: true,
        };
        key.rotations = vec![rotation(1)];
        let opened = KeyMaterial::open(&master, &key, 1).expect("opens");
        assert_eq!(opened.bytes(), second.bytes());
        let opened = KeyMaterial::open(&master, &key, 0).expect("opens");
        assert_eq!(opened.bytes(), first.bytes());
        let none = KeyMaterial::open(&master, &key, 2);
        assert_eq!(none.err(), Some(OpenError::Refused));
        // Material stays at its number.
        key.rotations = vec![rotation(2)];
        let moved = KeyMaterial::open(&master, &key, 1);
        assert_eq!(moved.err(), Some(OpenError::Refused));
    }
}
