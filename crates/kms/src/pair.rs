//! Keys that are pairs, and keys for codes of messages: what is done with them.
//!
//! It does not know whether the caller may use the key, nor which usage its record says.
//!
//! Material is the private half as PKCS#8, or the bytes of an HMAC key; public halves are
//! SubjectPublicKeyInfo (RFC 5280), signatures of ECDSA are DER (ANS X9.62), as KMS has them.
use aws_lc_rs::{
    digest,
    encoding::AsDer,
    hmac,
    rand::SystemRandom,
    rsa::{
        self, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey,
        OaepPublicEncryptingKey, PrivateDecryptingKey,
    },
    signature::{
        self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaEncoding,
        RsaKeyPair, UnparsedPublicKey, VerificationAlgorithm,
    },
};
use model::key_spec::{EncryptionAlgorithm, KeySpec, MacAlgorithm, SigningAlgorithm};
use zeroize::Zeroizing;

use crate::{random::fill, secret::KeyMaterial};

/// Why something was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// The key has no such algorithm, or the algorithm takes no such message.
    #[error("the algorithm is none of the key's")]
    Algorithm,
    /// A digest's length is not the algorithm's.
    #[error("the digest has {0} bytes, and the algorithm's has {1}")]
    DigestLength(usize, usize),
    /// A plaintext is too long.
    #[error("at most {0} bytes can be encrypted")]
    Length(usize),
    /// A ciphertext does not open.
    #[error("the ciphertext does not open")]
    Refused,
    /// The material is not what its kind has, or the library failed.
    #[error("the key's material cannot be used")]
    Material,
}

/// What is signed.
#[derive(Debug, Clone, Copy)]
pub enum Message<'a> {
    /// As it is.
    Raw(&'a [u8]),
    /// Its digest.
    Digest(&'a [u8]),
}

impl KeyMaterial {
    /// New material of a kind. RSA takes its time: up to seconds.
    pub fn generate(spec: KeySpec) -> Self {
        let drawn = match spec.symmetric_bytes() {
            Some(length) => {
                let mut bytes = Zeroizing::new(vec![0; length]);
                fill(&mut bytes);
                Some(bytes)
            }
            None => generate(spec),
        };
        Self::from_drawn(drawn.expect("the library makes pairs of every kind, unless it is broken"))
    }
}

/// The private half of a new pair, as PKCS#8. RSA takes its time: up to seconds.
fn generate(spec: KeySpec) -> Option<Zeroizing<Vec<u8>>> {
    let made = if let Some(size) = rsa_size(spec) {
        let pair = rsa::KeyPair::generate(size).ok()?;
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'static> = pair.as_der().ok()?;
        der.as_ref().to_vec()
    } else if let Some(curve) = curve(spec) {
        let pair = EcdsaKeyPair::generate(curve).ok()?;
        pair.to_pkcs8v1().ok()?.as_ref().to_vec()
    } else if spec == KeySpec::EccNistEdwards25519 {
        let pair = Ed25519KeyPair::generate().ok()?;
        pair.to_pkcs8v1().ok()?.as_ref().to_vec()
    } else {
        return None;
    };
    Some(Zeroizing::new(made))
}

/// The public half, DER.
///
/// # Errors
/// `Material`.
pub fn public_key(spec: KeySpec, material: &KeyMaterial) -> Result<Vec<u8>, PairError> {
    let wrong = |_| PairError::Material;
    let der = match Pair::open(spec, material)? {
        Pair::Rsa(pair) => pair.public_key().as_der(),
        Pair::Ec(pair) => pair.public_key().as_der(),
        Pair::Ed25519(pair) => pair.public_key().as_der(),
    };
    Ok(der.map_err(wrong)?.as_ref().to_vec())
}

/// Signs a message.
///
/// # Errors
/// `Algorithm`, `DigestLength`, `Material`.
pub fn sign(
    spec: KeySpec,
    material: &KeyMaterial,
    algorithm: SigningAlgorithm,
    message: Message<'_>,
) -> Result<Vec<u8>, PairError> {
    let failed = |_| PairError::Material;
    match Pair::open(spec, material)? {
        Pair::Rsa(pair) => {
            let (encoding, _) = rsa_ways(algorithm).ok_or(PairError::Algorithm)?;
            let mut made = vec![0; pair.public_modulus_len()];
            match message {
                Message::Raw(text) => pair.sign(encoding, &SystemRandom::new(), text, &mut made),
                Message::Digest(_) => {
                    pair.sign_digest(encoding, &digest_of(algorithm, message)?, &mut made)
                }
            }
            .map_err(failed)?;
            Ok(made)
        }
        Pair::Ec(pair) => {
            let made = match message {
                Message::Raw(text) => pair.sign(&SystemRandom::new(), text),
                Message::Digest(_) => pair.sign_digest(&digest_of(algorithm, message)?),
            };
            Ok(made.map_err(failed)?.as_ref().to_vec())
        }
        Pair::Ed25519(pair) => match message {
            Message::Raw(text) => Ok(pair.try_sign(text).map_err(failed)?.as_ref().to_vec()),
            Message::Digest(_) => Err(PairError::Algorithm),
        },
    }
}

/// Whether a signature is the key's of that message.
///
/// # Errors
/// `Algorithm`, `DigestLength`, `Material`.
pub fn verify(
    spec: KeySpec,
    material: &KeyMaterial,
    algorithm: SigningAlgorithm,
    message: Message<'_>,
    given: &[u8],
) -> Result<bool, PairError> {
    let (way, public): (&'static dyn VerificationAlgorithm, Vec<u8>) =
        match Pair::open(spec, material)? {
            Pair::Rsa(pair) => {
                let (_, way) = rsa_ways(algorithm).ok_or(PairError::Algorithm)?;
                (way, pair.public_key().as_ref().to_vec())
            }
            Pair::Ec(pair) => {
                let way = ec_way(spec).ok_or(PairError::Algorithm)?;
                (way, pair.public_key().as_ref().to_vec())
            }
            Pair::Ed25519(pair) => (&signature::ED25519, pair.public_key().as_ref().to_vec()),
        };
    let key = UnparsedPublicKey::new(way, public);
    let checked = match message {
        Message::Raw(text) => key.verify(text, given),
        Message::Digest(_) if spec == KeySpec::EccNistEdwards25519 => {
            return Err(PairError::Algorithm);
        }
        Message::Digest(_) => key.verify_digest(&digest_of(algorithm, message)?, given),
    };
    Ok(checked.is_ok())
}

/// A message's code.
pub fn mac(material: &KeyMaterial, algorithm: MacAlgorithm, message: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(mac_way(algorithm), material.as_slice());
    hmac::sign(&key, message).as_ref().to_vec()
}

/// Whether a code is the message's; compared in constant time.
pub fn verify_mac(
    material: &KeyMaterial,
    algorithm: MacAlgorithm,
    message: &[u8],
    given: &[u8],
) -> bool {
    let key = hmac::Key::new(mac_way(algorithm), material.as_slice());
    hmac::verify(&key, message, given).is_ok()
}

/// Encrypts by a pair's public half.
///
/// # Errors
/// `Algorithm`, `Length`, `Material`.
pub fn encrypt(
    material: &KeyMaterial,
    algorithm: EncryptionAlgorithm,
    plain: &[u8],
) -> Result<Vec<u8>, PairError> {
    let way = oaep(algorithm).ok_or(PairError::Algorithm)?;
    let private = decrypting(material)?;
    let public = OaepPublicEncryptingKey::new(private.public_key());
    let public = public.map_err(|_| PairError::Material)?;
    let most = public.max_plaintext_size(way);
    if most < plain.len() {
        return Err(PairError::Length(most));
    }
    let mut made = vec![0; public.ciphertext_size()];
    let made = public.encrypt(way, plain, &mut made, None);
    Ok(made.map_err(|_| PairError::Material)?.to_vec())
}

/// Decrypts by a pair's private half.
///
/// # Errors
/// `Algorithm`, `Refused`, `Material`.
pub fn decrypt(
    material: &KeyMaterial,
    algorithm: EncryptionAlgorithm,
    blob: &[u8],
) -> Result<Zeroizing<Vec<u8>>, PairError> {
    let way = oaep(algorithm).ok_or(PairError::Algorithm)?;
    let private = OaepPrivateDecryptingKey::new(decrypting(material)?);
    let private = private.map_err(|_| PairError::Material)?;
    let mut room = Zeroizing::new(vec![0; private.min_output_size()]);
    let plain = private.decrypt(way, blob, &mut room, None);
    Ok(Zeroizing::new(
        plain.map_err(|_| PairError::Refused)?.to_vec(),
    ))
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Pair {
    fn open(spec: KeySpec, material: &KeyMaterial) -> Result<Self, PairError> {
        let bytes = material.as_slice();
        let opened = if rsa_size(spec).is_some() {
            RsaKeyPair::from_pkcs8(bytes).map(Self::Rsa)
        } else if let Some(curve) = curve(spec) {
            EcdsaKeyPair::from_pkcs8(curve, bytes).map(Self::Ec)
        } else if spec == KeySpec::EccNistEdwards25519 {
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes).map(Self::Ed25519)
        } else {
            return Err(PairError::Algorithm);
        };
        opened.map_err(|_| PairError::Material)
    }
}

fn decrypting(material: &KeyMaterial) -> Result<PrivateDecryptingKey, PairError> {
    PrivateDecryptingKey::from_pkcs8(material.as_slice()).map_err(|_| PairError::Material)
}

fn rsa_size(spec: KeySpec) -> Option<rsa::KeySize> {
    match spec {
        KeySpec::Rsa2048 => Some(rsa::KeySize::Rsa2048),
        KeySpec::Rsa3072 => Some(rsa::KeySize::Rsa3072),
        KeySpec::Rsa4096 => Some(rsa::KeySize::Rsa4096),
        _ => None,
    }
}

fn curve(spec: KeySpec) -> Option<&'static EcdsaSigningAlgorithm> {
    match spec {
        KeySpec::EccNistP256 => Some(&signature::ECDSA_P256_SHA256_ASN1_SIGNING),
        KeySpec::EccNistP384 => Some(&signature::ECDSA_P384_SHA384_ASN1_SIGNING),
        KeySpec::EccNistP521 => Some(&signature::ECDSA_P521_SHA512_ASN1_SIGNING),
        KeySpec::EccSecgP256k1 => Some(&signature::ECDSA_P256K1_SHA256_ASN1_SIGNING),
        _ => None,
    }
}

fn ec_way(spec: KeySpec) -> Option<&'static dyn VerificationAlgorithm> {
    match spec {
        KeySpec::EccNistP256 => Some(&signature::ECDSA_P256_SHA256_ASN1),
        KeySpec::EccNistP384 => Some(&signature::ECDSA_P384_SHA384_ASN1),
        KeySpec::EccNistP521 => Some(&signature::ECDSA_P521_SHA512_ASN1),
        KeySpec::EccSecgP256k1 => Some(&signature::ECDSA_P256K1_SHA256_ASN1),
        _ => None,
    }
}

type RsaWays = (&'static dyn RsaEncoding, &'static dyn VerificationAlgorithm);

fn rsa_ways(algorithm: SigningAlgorithm) -> Option<RsaWays> {
    use SigningAlgorithm as A;
    Some(match algorithm {
        A::RsassaPssSha256 => (
            &signature::RSA_PSS_SHA256,
            &signature::RSA_PSS_2048_8192_SHA256,
        ),
        A::RsassaPssSha384 => (
            &signature::RSA_PSS_SHA384,
            &signature::RSA_PSS_2048_8192_SHA384,
        ),
        A::RsassaPssSha512 => (
            &signature::RSA_PSS_SHA512,
            &signature::RSA_PSS_2048_8192_SHA512,
        ),
        A::RsassaPkcs1Sha256 => (
            &signature::RSA_PKCS1_SHA256,
            &signature::RSA_PKCS1_2048_8192_SHA256,
        ),
        A::RsassaPkcs1Sha384 => (
            &signature::RSA_PKCS1_SHA384,
            &signature::RSA_PKCS1_2048_8192_SHA384,
        ),
        A::RsassaPkcs1Sha512 => (
            &signature::RSA_PKCS1_SHA512,
            &signature::RSA_PKCS1_2048_8192_SHA512,
        ),
        A::EcdsaSha256 | A::EcdsaSha384 | A::EcdsaSha512 | A::Ed25519Sha512 => return None,
    })
}

fn digest_way(algorithm: SigningAlgorithm) -> &'static digest::Algorithm {
    use SigningAlgorithm as A;
    match algorithm {
        A::RsassaPssSha256 | A::RsassaPkcs1Sha256 | A::EcdsaSha256 => &digest::SHA256,
        A::RsassaPssSha384 | A::RsassaPkcs1Sha384 | A::EcdsaSha384 => &digest::SHA384,
        A::RsassaPssSha512 | A::RsassaPkcs1Sha512 | A::EcdsaSha512 | A::Ed25519Sha512 => {
            &digest::SHA512
        }
    }
}

fn digest_of(
    algorithm: SigningAlgorithm,
    message: Message<'_>,
) -> Result<digest::Digest, PairError> {
    let way = digest_way(algorithm);
    match message {
        Message::Raw(text) => Ok(digest::digest(way, text)),
        Message::Digest(given) => digest::Digest::import_less_safe(given, way)
            .map_err(|_| PairError::DigestLength(given.len(), way.output_len())),
    }
}

fn mac_way(algorithm: MacAlgorithm) -> hmac::Algorithm {
    match algorithm {
        MacAlgorithm::HmacSha224 => hmac::HMAC_SHA224,
        MacAlgorithm::HmacSha256 => hmac::HMAC_SHA256,
        MacAlgorithm::HmacSha384 => hmac::HMAC_SHA384,
        MacAlgorithm::HmacSha512 => hmac::HMAC_SHA512,
    }
}

fn oaep(algorithm: EncryptionAlgorithm) -> Option<&'static OaepAlgorithm> {
    match algorithm {
        EncryptionAlgorithm::SymmetricDefault => None,
        EncryptionAlgorithm::RsaesOaepSha1 => Some(&OAEP_SHA1_MGF1SHA1),
        EncryptionAlgorithm::RsaesOaepSha256 => Some(&OAEP_SHA256_MGF1SHA256),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What other implementations say of these is tested through the API.
    #[test]
    fn each_kind_signs_for_itself_only() {
        for spec in [
            KeySpec::Rsa2048,
            KeySpec::EccNistP256,
            KeySpec::EccNistP384,
            KeySpec::EccNistP521,
            KeySpec::EccSecgP256k1,
            KeySpec::EccNistEdwards25519,
        ] {
            let (own, other) = (KeyMaterial::generate(spec), KeyMaterial::generate(spec));
            let public = public_key(spec, &own).expect("a pair");
            assert_ne!(public, public_key(spec, &other).expect("a pair"));
            for algorithm in spec.signing_algorithms() {
                let message = Message::Raw(b"text");
                let made = sign(spec, &own, *algorithm, message).expect("signed");
                let check =
                    |material, text| verify(spec, material, *algorithm, Message::Raw(text), &made);
                assert_eq!(check(&own, b"text"), Ok(true));
                assert_eq!(check(&own, b"texu"), Ok(false));
                assert_eq!(check(&other, b"text"), Ok(false));
            }
        }
    }

    #[test]
    fn material_of_another_kind_does_nothing() {
        let curve = KeyMaterial::generate(KeySpec::EccNistP256);
        let algorithm = SigningAlgorithm::EcdsaSha384;
        let made = sign(KeySpec::EccNistP384, &curve, algorithm, Message::Raw(b"x"));
        assert_eq!(made, Err(PairError::Material));
        let aes = KeyMaterial::generate(KeySpec::SymmetricDefault);
        assert_eq!(
            public_key(KeySpec::SymmetricDefault, &aes),
            Err(PairError::Algorithm)
        );
        assert!(public_key(KeySpec::Rsa2048, &aes).is_err());
        let short = sign(
            KeySpec::EccNistP256,
            &curve,
            SigningAlgorithm::EcdsaSha256,
            Message::Digest(b"short"),
        );
        assert_eq!(short, Err(PairError::DigestLength(5, 32)));
    }
}
