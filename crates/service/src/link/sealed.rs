//! A data key on its way between two deployments: authenticated, for one receiver and one use.
//!
//! It does not know whether the key may be given away. The construction is that of HPKE's
//! authenticated mode with a pre-shared key: both sides draw an X25519 pair for this one use;
//! the shared secret goes through HKDF-SHA-256, salted with a key derived from the peer key, and
//! with the whole transcript (both regions, caller, source, snapshot, volume, manifest, target
//! key, ticket, both public keys) as its info; the result seals the data key once, by AES-256-GCM
//! with a nonce of zeros and the transcript as associated data. Whoever lacks either private key
//! or the peer key, or changes any word of the transcript, gets nothing.
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral},
    error::Unspecified,
    hkdf,
    rand::SystemRandom,
};
use vault::DataKey;
use zeroize::{Zeroize, Zeroizing};

use super::peer::{PeerKey, framed};

/// Both sides' public keys, and what the key is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transcript<'a> {
    /// See `transcript_parts`.
    pub(crate) parts: &'a [&'a [u8]],
}

impl Transcript<'_> {
    fn bytes(&self, receiver: &[u8], sender: &[u8]) -> Vec<u8> {
        let mut all: Vec<&[u8]> = vec![b"snapferry link data key 1", receiver, sender];
        all.extend(self.parts);
        framed(&all)
    }
}

/// The side that will open it.
#[derive(Debug)]
pub(crate) struct Receiver {
    private: EphemeralPrivateKey,
    /// To be told to the sender.
    pub(crate) public: Vec<u8>,
}

/// A data key, sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) public: Vec<u8>,
    pub(crate) blob: Vec<u8>,
}

fn pair() -> Result<(EphemeralPrivateKey, Vec<u8>), Unspecified> {
    let private = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new())?;
    let public = private.compute_public_key()?.as_ref().to_vec();
    Ok((private, public))
}

fn cipher(
    private: EphemeralPrivateKey,
    theirs: &[u8],
    key: &PeerKey,
    transcript: &[u8],
) -> Result<LessSafeKey, Unspecified> {
    let salt = key.derive("data key");
    let theirs = UnparsedPublicKey::new(&X25519, theirs);
    agree_ephemeral(private, theirs, Unspecified, |shared| {
        let mut bytes = Zeroizing::new([0; 32]);
        hkdf::Salt::new(hkdf::HKDF_SHA256, salt.as_slice())
            .extract(shared)
            .expand(&[transcript], &AES_256_GCM)?
            .fill(bytes.as_mut_slice())?;
        UnboundKey::new(&AES_256_GCM, bytes.as_slice()).map(LessSafeKey::new)
    })
}

/// Seals a data key for the holder of a public key.
///
/// # Errors
/// When that is no public key.
pub(crate) fn seal(
    data_key: &DataKey,
    receiver: &[u8],
    key: &PeerKey,
    transcript: Transcript<'_>,
) -> Result<Sealed, Unspecified> {
    let (private, public) = pair()?;
    let transcript = transcript.bytes(receiver, &public);
    let cipher = cipher(private, receiver, key, &transcript)?;
    let mut blob = data_key.bytes().to_vec();
    let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
    let sealed = cipher.seal_in_place_append_tag(nonce, Aad::from(&transcript), &mut blob);
    if sealed.is_err() {
        blob.zeroize();
    }
    sealed.map(|()| Sealed { public, blob })
}

impl Receiver {
    /// Draws a pair for one use.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub(crate) fn draw() -> Result<Self, Unspecified> {
        let (private, public) = pair()?;
        Ok(Self { private, public })
    }

    /// Opens what was sealed for this pair.
    ///
    /// # Errors
    /// When it was sealed by another, for another, or for another use.
    pub(crate) fn open(
        self,
        mut sealed: Sealed,
        key: &PeerKey,
        transcript: Transcript<'_>,
    ) -> Result<DataKey, Unspecified> {
        let transcript = transcript.bytes(&self.public, &sealed.public);
        let cipher = cipher(self.private, &sealed.public, key, &transcript)?;
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let opened = cipher
            .open_in_place(nonce, Aad::from(&transcript), &mut sealed.blob)
            .and_then(|plain| <[u8; 32]>::try_from(&*plain).map_err(|_| Unspecified));
        sealed.blob.zeroize();
        opened.map(DataKey::from_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_open_only_for_whom_and_what_they_were_sealed() {
        let (one, other) = (
            PeerKey::parse(&"a".repeat(64)).expect("digits"),
            PeerKey::parse(&"b".repeat(64)).expect("digits"),
        );
        let data_key = DataKey::from_bytes([7; 32]);
        let parts: &[&[u8]] = &[b"us-east-1", b"us-west-2", b"000000000000"];
        let changed: &[&[u8]] = &[b"us-east-1", b"us-west-2", b"111122223333"];
        let draw = || Receiver::draw().expect("a pair");
        let (here, there) = (Transcript { parts }, Transcript { parts: changed });

        let receiver = draw();
        let sealed = seal(&data_key, &receiver.public, &one, here).expect("seals");
        assert!(!sealed.blob.windows(8).any(|bytes| bytes == [7; 8]));
        let opened = receiver.open(sealed.clone(), &one, here).expect("opens");
        assert_eq!(opened.bytes(), &[7; 32]);
        assert!(draw().open(sealed, &one, here).is_err(), "another receiver");
        for (key, transcript) in [(&other, here), (&one, there)] {
            let receiver = draw();
            let sealed = seal(&data_key, &receiver.public, &one, here).expect("seals");
            assert!(receiver.open(sealed, key, transcript).is_err());
        }
        let receiver = draw();
        let mut sealed = seal(&data_key, &receiver.public, &one, here).expect("seals");
        sealed.blob[3] ^= 1;
        assert!(receiver.open(sealed, &one, here).is_err(), "a changed bit");
        assert!(seal(&data_key, b"no key", &one, here).is_err());
        assert!(
            seal(&data_key, &[0; 32], &one, here).is_err(),
            "a point of low order"
        );
    }
}
