//! One sealed piece: AES-256-GCM under a key derived for it alone.
//!
//! It does not know what it seals, nor how its callers lay out their blobs.
//!
//! A sealed piece is `salt (16) | nonce (12) | ciphertext | tag (16)`. The salt goes into the
//! derivation (HKDF-SHA-256), so a key may seal any number of pieces: 28 random bytes must
//! repeat before a nonce does under one derived key.
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf,
};
use zeroize::Zeroizing;

use crate::random::draw;

const SALT_BYTES: usize = 16;
const TAG_BYTES: usize = 16;
/// What a sealed piece has more than its plaintext, bytes.
pub(crate) const OVERHEAD_BYTES: usize = SALT_BYTES + NONCE_LEN + TAG_BYTES;

/// Parts with their lengths in front, so that no two lists of parts give the same bytes.
pub(crate) fn framed(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| 8 + part.len()).sum());
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// Derives 32 bytes from a secret, for one use that `info` names.
pub(crate) fn derive(secret: &[u8; 32], salt: &[u8], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(secret)
        .expand(&[info], &AES_256_GCM)
        .and_then(|okm| okm.fill(key.as_mut_slice()))
        .expect("32 bytes are within what HKDF-SHA-256 can give");
    key
}

fn cipher(secret: &[u8; 32], salt: &[u8], info: &[u8]) -> LessSafeKey {
    let key = derive(secret, salt, info);
    let key = UnboundKey::new(&AES_256_GCM, key.as_slice())
        .expect("AES-256-GCM takes any key of 32 bytes");
    LessSafeKey::new(key)
}

/// Seals `plain`; `info` names the use and goes into the key, `aad` is bound to the piece.
pub(crate) fn seal(secret: &[u8; 32], info: &[u8], aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let (salt, nonce): ([u8; SALT_BYTES], [u8; NONCE_LEN]) = (draw(), draw());
    let mut piece = Vec::with_capacity(OVERHEAD_BYTES + plain.len());
    piece.extend_from_slice(&salt);
    piece.extend_from_slice(&nonce);
    piece.extend_from_slice(plain);
    let tag = cipher(secret, &salt, info)
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(aad),
            &mut piece[SALT_BYTES + NONCE_LEN..],
        )
        .expect("AES-256-GCM seals anything under 64 GiB");
    piece.extend_from_slice(tag.as_ref());
    piece
}

/// Opens a piece; `None` when it is too short, was altered, or anything given differs from what
/// it was sealed with.
pub(crate) fn open(
    secret: &[u8; 32],
    info: &[u8],
    aad: &[u8],
    piece: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let (salt, rest) = piece.split_first_chunk::<SALT_BYTES>()?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
    let mut plain = Zeroizing::new(sealed.to_vec());
    let length = cipher(secret, salt, info)
        .open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(aad),
            plain.as_mut_slice(),
        )
        .ok()?
        .len();
    plain.truncate(length);
    Some(plain)
}

/// Bytes of a stored piece, for tests.
#[cfg(test)]
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(digit).collect()
}
