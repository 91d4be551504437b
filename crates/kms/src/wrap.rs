//! Wrapping under a KMS key: the built-in KMS's ciphertext blobs.
//!
//! It does not know whether the caller may use the key: see `policy`, and `model::KeyState`.
//!
//! A blob is `version (1) | number of the key's material (4, big-endian) | length of the key's ARN
//! (2, big-endian) | ARN | sealed piece`. Number and ARN stand in clear so that Decrypt can find
//! the material; they are bound to the piece together with the encryption context, so none of
//! them can be exchanged.
use model::{Arn, key::EncryptionContext};
use zeroize::Zeroizing;

use crate::{
    random::{draw, fill},
    seal::{self, framed},
    secret::KeyMaterial,
};

/// The most that one blob can hold, bytes, as KMS's Encrypt has it.
pub const PLAINTEXT_BYTES_MAX: usize = 4_096;

const VERSION: u8 = 1;
const DOMAIN: &[u8] = b"snapferry kms blob";

/// Why something cannot be wrapped or unwrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// The plaintext is empty or too long.
    #[error("the plaintext has {0} bytes, and 1 to 4096 can be wrapped")]
    Length(usize),
    /// It is not laid out as a ciphertext blob.
    #[error("the ciphertext blob is malformed")]
    Malformed,
    /// The material is none that wraps.
    #[error("the key is no symmetric encryption key")]
    Material,
    /// It was altered, or wrapped under another key or another encryption context.
    #[error("the ciphertext blob does not open under this key and encryption context")]
    Refused,
}

/// A new 256-bit data key.
pub fn generate_data_key() -> Zeroizing<[u8; 32]> {
    Zeroizing::new(draw())
}

/// Fresh random bytes, to be given away as they are.
pub fn random_bytes(count: usize) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(vec![0; count]);
    fill(&mut bytes);
    bytes
}

/// Wraps a secret under a key's material of that number, bound to the key's ARN and `context`.
///
/// # Errors
/// `Length`.
pub fn wrap(
    material: &KeyMaterial,
    key: &Arn,
    number: u32,
    plain: &[u8],
    context: &EncryptionContext,
) -> Result<Vec<u8>, WrapError> {
    if !(1..=PLAINTEXT_BYTES_MAX).contains(&plain.len()) {
        return Err(WrapError::Length(plain.len()));
    }
    let name = key.to_string();
    let length = u16::try_from(name.len()).map_err(|_| WrapError::Malformed)?;
    let mut blob = vec![VERSION];
    blob.extend_from_slice(&number.to_be_bytes());
    blob.extend_from_slice(&length.to_be_bytes());
    blob.extend_from_slice(name.as_bytes());
    blob.extend(seal::seal(
        material.bytes().ok_or(WrapError::Material)?,
        DOMAIN,
        &bound(&name, number, context),
        plain,
    ));
    Ok(blob)
}

/// Unwraps a blob with the material of the key that it names and the context it was made with.
///
/// # Errors
/// `Malformed`; `Refused`.
pub fn unwrap(
    material: &KeyMaterial,
    blob: &[u8],
    context: &EncryptionContext,
) -> Result<Zeroizing<Vec<u8>>, WrapError> {
    let Parts {
        number,
        name,
        piece,
    } = split(blob)?;
    let aad = bound(name, number, context);
    let key = material.bytes().ok_or(WrapError::Material)?;
    seal::open(key, DOMAIN, &aad, piece).ok_or(WrapError::Refused)
}

/// The ARN of the key that a blob was wrapped under, and the number of its material. Not
/// authenticated before [`unwrap`].
///
/// # Errors
/// `Malformed`.
pub fn key_of(blob: &[u8]) -> Result<(Arn, u32), WrapError> {
    let parts = split(blob)?;
    let arn = Arn::parse(parts.name).map_err(|_| WrapError::Malformed)?;
    Ok((arn, parts.number))
}

struct Parts<'a> {
    number: u32,
    name: &'a str,
    piece: &'a [u8],
}

fn split(blob: &[u8]) -> Result<Parts<'_>, WrapError> {
    let (&[version, n0, n1, n2, n3, high, low], rest) =
        blob.split_first_chunk::<7>().ok_or(WrapError::Malformed)?;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if version != VERSION || rest.len() < length + seal::OVERHEAD_BYTES {
        return Err(WrapError::Malformed);
    }
    let (name, piece) = rest.split_at(length);
    Ok(Parts {
        number: u32::from_be_bytes([n0, n1, n2, n3]),
        name: std::str::from_utf8(name).map_err(|_| WrapError::Malformed)?,
        piece,
    })
}

/// What is authenticated beside the plaintext: the pairs in the order of their names, each
/// with its length, so that no two contexts read the same.
fn bound(key: &str, number: u32, context: &EncryptionContext) -> Vec<u8> {
    let number = number.to_be_bytes();
    let mut parts: Vec<&[u8]> = vec![DOMAIN, &[VERSION], &number, key.as_bytes()];
    for (name, value) in context {
        parts.push(name.as_bytes());
        parts.push(value.as_bytes());
    }
    framed(&parts)
}

#[cfg(test)]
mod tests {
    use model::key_spec::KeySpec;
    use proptest::prelude::*;

    use super::*;

    fn arn(id: &str) -> Arn {
        Arn::parse(&format!("arn:aws:kms:us-east-1:123456789012:key/{id}")).expect("legal")
    }

    fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_data_key_comes_back_only_under_its_key_and_context() {
        let material = KeyMaterial::generate(KeySpec::SymmetricDefault);
        let data_key = generate_data_key();
        let bound_to = context(&[("aws:rds:dbc-id", "cluster-A"), ("volume", "v")]);
        let blob = wrap(&material, &arn("a"), 0, data_key.as_slice(), &bound_to).expect("fits");
        assert_eq!(key_of(&blob), Ok((arn("a"), 0)));
        let opened = unwrap(&material, &blob, &bound_to).expect("opens");
        assert_eq!(opened.as_slice(), data_key.as_slice());
        for other in [
            context(&[]),
            context(&[("aws:rds:dbc-id", "cluster-B"), ("volume", "v")]),
            context(&[("aws:rds:dbc-id", "cluster-A")]),
            context(&[("aws:rds:dbc-id", "cluster-Avolume"), ("", "v")]),
        ] {
            assert_eq!(unwrap(&material, &blob, &other), Err(WrapError::Refused));
        }
        let other = KeyMaterial::generate(KeySpec::SymmetricDefault);
        assert_eq!(unwrap(&other, &blob, &bound_to), Err(WrapError::Refused));
    }

    #[test]
    fn a_blob_cannot_be_given_to_another_key_of_the_same_material() {
        let material = KeyMaterial::generate(KeySpec::SymmetricDefault);
        let blob = wrap(&material, &arn("a"), 0, b"x", &context(&[])).expect("fits");
        let mut moved = blob.clone();
        let at = 7 + arn("a").to_string().len() - 1;
        assert_eq!(moved[at], b'a');
        moved[at] = b'b';
        assert_eq!(key_of(&moved), Ok((arn("b"), 0)));
        assert_eq!(
            unwrap(&material, &moved, &context(&[])),
            Err(WrapError::Refused)
        );
    }

    #[test]
    fn lengths_are_bounded() {
        let material = KeyMaterial::generate(KeySpec::SymmetricDefault);
        let none = context(&[]);
        assert_eq!(
            wrap(&material, &arn("a"), 0, b"", &none),
            Err(WrapError::Length(0))
        );
        assert!(wrap(&material, &arn("a"), 0, &[1; 4_096], &none).is_ok());
        assert_eq!(
            wrap(&material, &arn("a"), 0, &[1; 4_097], &none),
            Err(WrapError::Length(4_097))
        );
    }

    /// Written once by version 1; must open as long as that version is read.
    #[test]
    fn what_was_wrapped_stays_readable() {
        let material = KeyMaterial::from_bytes([7; 32]);
        let stored = seal::unhex(
            "0100000003002861726e3a6177733a6b6d733a75732d656173742d313a3132333435363738393031323a6b65792f61b09df54054150fd0e53b99bf98851f3c05d0cdbc310ae39cda58ecea177aeffa6731e71dc4d70fd284f28930cb42557bb5c9",
        );
        assert_eq!(key_of(&stored), Ok((arn("a"), 3)));
        let plain = unwrap(&material, &stored, &context(&[("volume", "v")])).expect("opens");
        assert_eq!(plain.as_slice(), b"secret");
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_refused(plain in proptest::collection::vec(any::<u8>(), 1..80), at in any::<prop::sample::Index>(), bit in 0..8) {
            let material = KeyMaterial::generate(KeySpec::SymmetricDefault);
            let none = context(&[]);
            let mut blob = wrap(&material, &arn("a"), 0, &plain, &none).expect("fits");
            prop_assert_eq!(&*unwrap(&material, &blob, &none).expect("opens"), &plain);
            let at = at.index(blob.len());
            blob[at] ^= 1u8 << bit;
            prop_assert!(unwrap(&material, &blob, &none).is_err());
        }

        #[test]
        fn arbitrary_bytes_are_refused(blob in proptest::collection::vec(any::<u8>(), 0..200)) {
            let material = KeyMaterial::generate(KeySpec::SymmetricDefault);
            prop_assert!(unwrap(&material, &blob, &context(&[])).is_err());
            key_of(&blob).ok();
        }
    }
}
