//! Kinds of KMS keys: what material they have, what it is for, and by which algorithms.
//!
//! Source: "Key spec reference" in the AWS KMS Developer Guide. What it does not have here is
//! refused when a key is made (docs/decisions).
use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$more:meta])* $variant:ident: $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name { $($(#[$more])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// KMS's word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// Reads KMS's word.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == text)
            }
        }
    };
}

words! {
    /// What material a key has.
    #[derive(Default)]
    KeySpec {
        /// 256 bits for AES-GCM.
        #[default]
        SymmetricDefault: "SYMMETRIC_DEFAULT",
        /// 224 bits for HMAC.
        Hmac224: "HMAC_224",
        /// 256 bits for HMAC.
        Hmac256: "HMAC_256",
        /// 384 bits for HMAC.
        Hmac384: "HMAC_384",
        /// 512 bits for HMAC.
        Hmac512: "HMAC_512",
        /// A pair of RSA keys of 2048 bits.
        Rsa2048: "RSA_2048",
        /// A pair of RSA keys of 3072 bits.
        Rsa3072: "RSA_3072",
        /// A pair of RSA keys of 4096 bits.
        Rsa4096: "RSA_4096",
        /// A pair on the curve P-256.
        EccNistP256: "ECC_NIST_P256",
        /// A pair on the curve P-384.
        EccNistP384: "ECC_NIST_P384",
        /// A pair on the curve P-521.
        EccNistP521: "ECC_NIST_P521",
        /// A pair on the curve secp256k1.
        EccSecgP256k1: "ECC_SECG_P256K1",
        /// A pair on the curve edwards25519.
        EccNistEdwards25519: "ECC_NIST_EDWARDS25519",
    }
}

words! {
    /// What a key is for.
    #[derive(Default)]
    KeyUsage {
        /// Encrypt, Decrypt, and where symmetric data keys.
        #[default]
        EncryptDecrypt: "ENCRYPT_DECRYPT",
        /// Sign and Verify.
        SignVerify: "SIGN_VERIFY",
        /// GenerateMac and VerifyMac.
        GenerateVerifyMac: "GENERATE_VERIFY_MAC",
    }
}

words! {
    /// How a secret is encrypted.
    EncryptionAlgorithm {
        /// AES-GCM under a key derived for each blob.
        SymmetricDefault: "SYMMETRIC_DEFAULT",
        /// RSA with OAEP, SHA-1 for both hashes.
        RsaesOaepSha1: "RSAES_OAEP_SHA_1",
        /// RSA with OAEP, SHA-256 for both hashes.
        RsaesOaepSha256: "RSAES_OAEP_SHA_256",
    }
}

words! {
    /// How a message is signed.
    SigningAlgorithm {
        /// RSASSA-PSS; the salt is as long as the digest, as for all of its kind.
        RsassaPssSha256: "RSASSA_PSS_SHA_256",
        /// RSASSA-PSS.
        RsassaPssSha384: "RSASSA_PSS_SHA_384",
        /// RSASSA-PSS.
        RsassaPssSha512: "RSASSA_PSS_SHA_512",
        /// RSASSA-PKCS1-v1_5.
        RsassaPkcs1Sha256: "RSASSA_PKCS1_V1_5_SHA_256",
        /// RSASSA-PKCS1-v1_5.
        RsassaPkcs1Sha384: "RSASSA_PKCS1_V1_5_SHA_384",
        /// RSASSA-PKCS1-v1_5.
        RsassaPkcs1Sha512: "RSASSA_PKCS1_V1_5_SHA_512",
        /// ECDSA on P-256 or secp256k1, DER.
        EcdsaSha256: "ECDSA_SHA_256",
        /// ECDSA on P-384, DER.
        EcdsaSha384: "ECDSA_SHA_384",
        /// ECDSA on P-521, DER.
        EcdsaSha512: "ECDSA_SHA_512",
        /// Ed25519 of the whole message.
        Ed25519Sha512: "ED25519_SHA_512",
    }
}

words! {
    /// How a message's code is made.
    MacAlgorithm {
        /// HMAC with SHA-224.
        HmacSha224: "HMAC_SHA_224",
        /// HMAC with SHA-256.
        HmacSha256: "HMAC_SHA_256",
        /// HMAC with SHA-384.
        HmacSha384: "HMAC_SHA_384",
        /// HMAC with SHA-512.
        HmacSha512: "HMAC_SHA_512",
    }
}

impl KeySpec {
    /// What keys of this kind can be for; the first is no default but of the symmetric ones.
    pub fn usages(self) -> &'static [KeyUsage] {
        match self {
            Self::SymmetricDefault => &[KeyUsage::EncryptDecrypt],
            Self::Hmac224 | Self::Hmac256 | Self::Hmac384 | Self::Hmac512 => {
                &[KeyUsage::GenerateVerifyMac]
            }
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => {
                &[KeyUsage::EncryptDecrypt, KeyUsage::SignVerify]
            }
            Self::EccNistP256
            | Self::EccNistP384
            | Self::EccNistP521
            | Self::EccSecgP256k1
            | Self::EccNistEdwards25519 => &[KeyUsage::SignVerify],
        }
    }

    /// Whether it is a pair of which one half is public.
    pub fn is_pair(self) -> bool {
        self.symmetric_bytes().is_none()
    }

    /// The length of material that is no pair.
    pub fn symmetric_bytes(self) -> Option<usize> {
        match self {
            Self::SymmetricDefault | Self::Hmac256 => Some(32),
            Self::Hmac224 => Some(28),
            Self::Hmac384 => Some(48),
            Self::Hmac512 => Some(64),
            _ => None,
        }
    }

    /// The algorithms of keys of this kind that are for encryption.
    pub fn encryption_algorithms(self) -> &'static [EncryptionAlgorithm] {
        use EncryptionAlgorithm as A;
        match self {
            Self::SymmetricDefault => &[A::SymmetricDefault],
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => {
                &[A::RsaesOaepSha1, A::RsaesOaepSha256]
            }
            _ => &[],
        }
    }

    /// The algorithms of keys of this kind that are for signatures.
    pub fn signing_algorithms(self) -> &'static [SigningAlgorithm] {
        use SigningAlgorithm as A;
        match self {
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => &[
                A::RsassaPkcs1Sha256,
                A::RsassaPkcs1Sha384,
                A::RsassaPkcs1Sha512,
                A::RsassaPssSha256,
                A::RsassaPssSha384,
                A::RsassaPssSha512,
            ],
            Self::EccNistP256 | Self::EccSecgP256k1 => &[A::EcdsaSha256],
            Self::EccNistP384 => &[A::EcdsaSha384],
            Self::EccNistP521 => &[A::EcdsaSha512],
            Self::EccNistEdwards25519 => &[A::Ed25519Sha512],
            _ => &[],
        }
    }

    /// The algorithm of keys of this kind that are for codes of messages.
    pub fn mac_algorithm(self) -> Option<MacAlgorithm> {
        match self {
            Self::Hmac224 => Some(MacAlgorithm::HmacSha224),
            Self::Hmac256 => Some(MacAlgorithm::HmacSha256),
            Self::Hmac384 => Some(MacAlgorithm::HmacSha384),
            Self::Hmac512 => Some(MacAlgorithm::HmacSha512),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        for spec in KeySpec::ALL {
            assert_eq!(KeySpec::parse(spec.as_str()), Some(*spec));
        }
        assert_eq!(KeySpec::parse("SM2"), None);
    }

    #[test]
    fn each_use_has_an_algorithm() {
        for spec in KeySpec::ALL {
            for usage in spec.usages() {
                let some = match usage {
                    KeyUsage::EncryptDecrypt => !spec.encryption_algorithms().is_empty(),
                    KeyUsage::SignVerify => !spec.signing_algorithms().is_empty(),
                    KeyUsage::GenerateVerifyMac => spec.mac_algorithm().is_some(),
                };
                assert!(some, "{spec:?} {usage:?}");
            }
        }
    }
}
