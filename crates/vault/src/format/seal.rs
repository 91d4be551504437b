//! Keys, and the sealing of parts of objects with AES-256-GCM.
//!
//! It does not know how data keys are wrapped, nor what is in the parts. Keys, salts and
//! incarnations come from the operating system's generator and from nowhere else: there is no
//! way to seed it.
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use locked::Secret;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{error::ObjectKind, format::head::Head};

/// What sealing adds to a part: the tag, bytes.
pub(crate) const TAG_BYTES: usize = 16;

/// Bytes that no one can foretell.
#[expect(
    clippy::disallowed_methods,
    reason = "the one source of the vault's keys"
)]
pub(crate) fn draw<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system's generator works");
    bytes
}

/// The 256-bit key under which one snapshot's manifest is sealed. In locked memory, wiped when dropped.
#[derive(Clone)]
pub struct DataKey(Secret);

impl DataKey {
    /// Takes a key that a key service made or unwrapped.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret::key(bytes))
    }

    /// The key itself, to be wrapped.
    pub fn bytes(&self) -> &[u8; 32] {
        self.0.as_key().expect("made of 32 bytes")
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey(..)")
    }
}

/// Whether a snapshot's bytes are sealed. A volume is one or the other for life.
#[derive(Debug, Clone)]
pub enum Sealing {
    /// Unencrypted: the same layout without seals.
    Open,
    /// Encrypted, the manifest under this key.
    Sealed(DataKey),
}

impl Sealing {
    pub(crate) fn data_key(&self) -> Option<&DataKey> {
        match self {
            Self::Open => None,
            Self::Sealed(key) => Some(key),
        }
    }
}

/// The random key of one pack or one block list, listed only in the manifests that reach it.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub(crate) struct ObjectKey(pub(crate) [u8; 32]);

impl ObjectKey {
    pub(crate) fn draw() -> Self {
        Self(draw())
    }
}

impl std::fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ObjectKey(..)")
    }
}

fn derivation(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Pack => "snapferry vault pack frames, format 1",
        ObjectKind::List => "snapferry vault block list, format 1",
        ObjectKind::Manifest => "snapferry vault manifest body, format 1",
        ObjectKind::Chunk => "snapferry vault log chunk, format 1",
    }
}

/// A part did not open: it is not what was sealed here under this key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unopened;

/// Seals and opens the parts of one object; passes them through in an unencrypted volume.
///
/// The key is derived from the object's own key, its kind, format version, volume and salt, and
/// the associated data is everything before the first part, the part's number and its header:
/// a part opens only where it was sealed. Nonces are the parts' numbers, which never repeat
/// under one salt.
pub(crate) struct Seal {
    key: Option<LessSafeKey>,
    /// The constant prefix of the associated data; a part's number and header are laid behind it.
    context: Vec<u8>,
    prefix: usize,
}

impl Seal {
    /// For an object whose bytes before its first part are `prefix` (they begin with `head`).
    pub(crate) fn new(head: &Head, key: Option<&[u8; 32]>, prefix: &[u8]) -> Self {
        let key = key.map(|key| {
            let mut material = Zeroizing::new([0; 96]);
            material[..32].copy_from_slice(key);
            material[32..64].copy_from_slice(&head.volume.0);
            material[64..].copy_from_slice(&head.salt);
            let derived = Zeroizing::new(blake3::derive_key(
                derivation(head.kind),
                material.as_slice(),
            ));
            let key = UnboundKey::new(&AES_256_GCM, derived.as_slice());
            LessSafeKey::new(key.expect("the key has 32 bytes"))
        });
        Self {
            key,
            context: prefix.to_vec(),
            prefix: prefix.len(),
        }
    }

    /// What sealing adds to a part, bytes.
    pub(crate) fn overhead(&self) -> usize {
        if self.key.is_some() { TAG_BYTES } else { 0 }
    }

    fn bind(&mut self, number: u32, header: &[u8]) -> Nonce {
        self.context.truncate(self.prefix);
        self.context.extend_from_slice(&number.to_le_bytes());
        self.context.extend_from_slice(header);
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&number.to_le_bytes());
        Nonce::assume_unique_for_key(nonce)
    }

    /// Seals the part in place; its last [`Self::overhead`] bytes are room for the tag.
    pub(crate) fn close(&mut self, number: u32, header: &[u8], part: &mut [u8]) {
        let nonce = self.bind(number, header);
        if let Some(key) = &self.key {
            let (text, room) = part.split_at_mut(part.len() - TAG_BYTES);
            let tag = key
                .seal_in_place_separate_tag(nonce, Aad::from(&self.context), text)
                .expect("a part is far below what AES-GCM can seal");
            room.copy_from_slice(tag.as_ref());
        }
    }

    /// Opens the part in place and gives what was sealed.
    pub(crate) fn open<'a>(
        &mut self,
        number: u32,
        header: &[u8],
        part: &'a mut [u8],
    ) -> Result<&'a mut [u8], Unopened> {
        let nonce = self.bind(number, header);
        match &self.key {
            None => Ok(part),
            Some(key) => key
                .open_in_place(nonce, Aad::from(&self.context), part)
                .map_err(|_| Unopened),
        }
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal")
            .field("sealed", &self.key.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::head::VolumeTag;

    fn head(kind: ObjectKind, volume: u8, salt: u8) -> Head {
        Head {
            kind,
            sealed: true,
            volume: VolumeTag([volume; 32]),
            salt: [salt; 32],
        }
    }

    #[test]
    fn a_part_opens_only_where_it_was_sealed() {
        let key = [9; 32];
        let home = head(ObjectKind::Pack, 1, 1);
        let sealed = {
            let mut part = [b"plain".as_slice(), &[0; TAG_BYTES]].concat();
            Seal::new(&home, Some(&key), b"prefix").close(3, b"header", &mut part);
            part
        };
        let opens = |head: &Head, key: &[u8; 32], prefix: &[u8], number, header: &[u8]| {
            let mut part = sealed.clone();
            Seal::new(head, Some(key), prefix)
                .open(number, header, &mut part)
                .map(|text| text.to_vec())
        };
        assert_eq!(
            opens(&home, &key, b"prefix", 3, b"header"),
            Ok(b"plain".to_vec())
        );
        for (head, key, prefix, number, header) in [
            (head(ObjectKind::List, 1, 1), key, b"prefix", 3, b"header"),
            (head(ObjectKind::Pack, 2, 1), key, b"prefix", 3, b"header"),
            (head(ObjectKind::Pack, 1, 2), key, b"prefix", 3, b"header"),
            (home.clone(), [8; 32], b"prefix", 3, b"header"),
            (home.clone(), key, b"prefiy", 3, b"header"),
            (home.clone(), key, b"prefix", 4, b"header"),
            (home.clone(), key, b"prefix", 3, b"headex"),
        ] {
            assert_eq!(opens(&head, &key, prefix, number, header), Err(Unopened));
        }
    }

    #[test]
    fn keys_do_not_show_themselves() {
        let key = DataKey::from_bytes([7; 32]);
        assert_eq!(format!("{key:?}"), "DataKey(..)");
        assert!(!format!("{:?}", Sealing::Sealed(key)).contains('7'));
    }
}
