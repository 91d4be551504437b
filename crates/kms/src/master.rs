//! The master key: seals every secret that is kept, each for one purpose and one context.
//!
//! It does not know where it is kept itself: the server reads it from a file, the environment
//! or a descriptor.
use std::fmt;

use locked::Secret;
use zeroize::Zeroizing;

use crate::{
    random::draw,
    seal::{self, framed},
};

/// The layout of what [`MasterKey::seal`] gives: this byte, then a sealed piece.
const VERSION: u8 = 1;
const DOMAIN: &[u8] = b"snapferry master key";

/// The key that seals all other secrets: 32 bytes, wiped when dropped. Losing it loses them.
///
/// While one key takes the place of another, it may open what the other one sealed as well.
pub struct MasterKey {
    bytes: Secret,
    beside: Option<Secret>,
}

/// Why a sealed secret does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is not laid out as a sealed secret.
    #[error("the sealed secret is malformed")]
    Malformed,
    /// It was sealed by a newer build.
    #[error("the sealed secret has layout {0}, and this build knows layout 1")]
    Version(u8),
    /// It was altered, or sealed by another master key, or for another purpose or context.
    #[error("the sealed secret does not open: it was altered, or the master key is another one")]
    Refused,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

impl MasterKey {
    /// The key with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self {
            bytes: Secret::key(bytes),
            beside: None,
        }
    }

    /// A new key.
    pub fn generate() -> Self {
        Self::from_bytes(draw())
    }

    /// This key, which seals, and opens what `other` sealed as well.
    pub fn beside(self, other: &Self) -> Self {
        Self {
            bytes: self.bytes,
            beside: Some(other.bytes.clone()),
        }
    }

    /// The bytes, to be written where only the owner can read them.
    pub fn expose(&self) -> &[u8; 32] {
        as_key(&self.bytes)
    }

    /// Whether the system keeps it out of swap; it may lock too little memory for that
    /// (RLIMIT_MEMLOCK).
    pub fn is_locked(&self) -> bool {
        self.bytes.is_locked()
    }

    /// A value that tells this key from others and gives nothing of it away: 32 hexadecimal
    /// digits.
    pub fn fingerprint(&self) -> String {
        let derived = seal::derive(self.expose(), &[], &framed(&[DOMAIN, b"fingerprint"]));
        derived[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Seals a secret for a purpose (such as `access-key`) and a context (such as its id).
    pub fn seal(&self, purpose: &str, context: &str, plain: &[u8]) -> Vec<u8> {
        let mut blob = vec![VERSION];
        let info = info(purpose, context);
        blob.extend(seal::seal(self.expose(), &info, &[VERSION], plain));
        blob
    }

    /// Opens a secret that was sealed for the same purpose and context.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        &self,
        purpose: &str,
        context: &str,
        blob: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (&version, piece) = blob.split_first().ok_or(OpenError::Malformed)?;
        if version != VERSION {
            return Err(OpenError::Version(version));
        }
        if piece.len() < seal::OVERHEAD_BYTES {
            return Err(OpenError::Malformed);
        }
        let info = info(purpose, context);
        [Some(&self.bytes), self.beside.as_ref()]
            .into_iter()
            .flatten()
            .find_map(|key| seal::open(as_key(key), &info, &[version], piece))
            .ok_or(OpenError::Refused)
    }
}

fn as_key(secret: &Secret) -> &[u8; 32] {
    secret.as_key().expect("made of 32 bytes")
}

fn info(purpose: &str, context: &str) -> Vec<u8> {
    framed(&[DOMAIN, b"seal", purpose.as_bytes(), context.as_bytes()])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_open_only_as_they_were_sealed() {
        let key = MasterKey::from_bytes([7; 32]);
        let blob = key.seal("access-key", "AKIA1", b"secret");
        assert_eq!(
            key.open("access-key", "AKIA1", &blob)
                .expect("opens")
                .as_slice(),
            b"secret"
        );
        for (purpose, context) in [
            ("access-key", "AKIA2"),
            ("access-ke", "yAKIA1"),
            ("x", "AKIA1"),
        ] {
            assert_eq!(key.open(purpose, context, &blob), Err(OpenError::Refused));
        }
        let other = MasterKey::generate();
        assert_eq!(
            other.open("access-key", "AKIA1", &blob),
            Err(OpenError::Refused)
        );
        assert_ne!(blob, key.seal("access-key", "AKIA1", b"secret"));
    }

    #[test]
    fn a_key_beside_opens_and_does_not_seal() {
        let (old, new) = (MasterKey::from_bytes([1; 32]), [2; 32]);
        let both = MasterKey::from_bytes(new).beside(&old);
        let new = MasterKey::from_bytes(new);
        assert_eq!(both.fingerprint(), new.fingerprint());
        for key in [&old, &new, &both] {
            assert!(both.open("p", "c", &key.seal("p", "c", b"x")).is_ok());
        }
        let sealed = both.seal("p", "c", b"x");
        assert!(new.open("p", "c", &sealed).is_ok());
        assert_eq!(old.open("p", "c", &sealed), Err(OpenError::Refused));
    }

    #[test]
    fn layouts_are_told_apart() {
        let key = MasterKey::generate();
        assert_eq!(key.open("p", "c", &[]), Err(OpenError::Malformed));
        assert_eq!(key.open("p", "c", &[1, 2, 3]), Err(OpenError::Malformed));
        assert_eq!(key.open("p", "c", &[2; 60]), Err(OpenError::Version(2)));
    }

    #[test]
    fn fingerprints_tell_keys_apart_and_stay() {
        let key = MasterKey::from_bytes([7; 32]);
        assert_eq!(
            key.fingerprint(),
            MasterKey::from_bytes([7; 32]).fingerprint()
        );
        assert_ne!(
            key.fingerprint(),
            MasterKey::from_bytes([8; 32]).fingerprint()
        );
        assert_eq!(key.fingerprint().len(), 32);
        assert_eq!(format!("{key:?}"), "MasterKey(..)");
    }

    /// Written once by layout 1; must open as long as that layout is read.
    #[test]
    fn what_was_sealed_stays_readable() {
        let key = MasterKey::from_bytes([7; 32]);
        assert_eq!(key.fingerprint(), "b86e36ecec06fb7a08e6d5fa48399054");
        let stored = crate::seal::unhex(
            "012f7d74d7aee541c6e5e7b32fc1090fa16ba792daa6ddd5456d624915aa7b6e8c50b61d80fbbda444c0245815096b7e36d78e",
        );
        let plain = key.open("access-key", "AKIA1", &stored).expect("opens");
        assert_eq!(plain.as_slice(), b"secret");
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_refused(plain in proptest::collection::vec(any::<u8>(), 0..80), at in any::<prop::sample::Index>(), bit in 0..8) {
            let key = MasterKey::from_bytes([9; 32]);
            let mut blob = key.seal("p", "c", &plain);
            prop_assert_eq!(&*key.open("p", "c", &blob).expect("opens"), &plain);
            let at = at.index(blob.len());
            blob[at] ^= 1u8 << bit;
            prop_assert!(key.open("p", "c", &blob).is_err());
        }
    }
}
