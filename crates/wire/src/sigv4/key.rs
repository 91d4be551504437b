//! Scopes, and the keys that are derived for them.
//!
//! It does not know whose secrets they are.
use std::fmt;

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::{TERMINATOR, moment};

/// What a signature is good for: one day, region and service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    /// `20150830`.
    pub date: String,
    /// Such as `us-east-1`; not checked to be one.
    pub region: String,
    /// Such as `rds`; not checked to be one.
    pub service: String,
}

impl Scope {
    /// The scope of a moment, in seconds since the epoch; none when its year has not four digits.
    pub fn at(secs: i64, region: &str, service: &str) -> Option<Self> {
        let mut date = moment::format(secs)?;
        date.truncate(8);
        Some(Self {
            date,
            region: region.to_owned(),
            service: service.to_owned(),
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            date,
            region,
            service,
        } = self;
        write!(f, "{date}/{region}/{service}/{TERMINATOR}")
    }
}

/// The key that signs within one scope. Worth caching: it saves four HMACs a request.
#[derive(Clone)]
pub struct SigningKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// Derives the key of a secret for a scope.
    pub fn derive(secret: &str, scope: &Scope) -> Self {
        // Built in one allocation, so that growing leaves no copy behind.
        let mut first = Zeroizing::new(Vec::with_capacity(4 + secret.len()));
        first.extend_from_slice(b"AWS4");
        first.extend_from_slice(secret.as_bytes());
        let mut key = hmac_sha256(&first, scope.date.as_bytes());
        for part in [scope.region.as_str(), &scope.service, TERMINATOR] {
            key = hmac_sha256(&key[..], part.as_bytes());
        }
        Self(key)
    }

    /// A key that was derived before.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key itself, for whoever keeps it.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// What an unknown access key's requests are checked against, to spend the same time.
    pub(super) fn nobodys() -> Self {
        Self(Zeroizing::new([0; 32]))
    }

    pub(super) fn sign(&self, text: &str) -> [u8; 32] {
        *hmac_sha256(&self.0[..], text.as_bytes())
    }
}

fn hmac_sha256(key: &[u8], text: &[u8]) -> Zeroizing<[u8; 32]> {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    let mut bytes = Zeroizing::new([0; 32]);
    bytes.copy_from_slice(tag.as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_key_is_derived() {
        let scope = Scope::at(1_440_938_160, "us-east-1", "iam").unwrap();
        assert_eq!(scope.to_string(), "20150830/us-east-1/iam/aws4_request");
        let key = SigningKey::derive("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", &scope);
        assert_eq!(
            data_encoding::HEXLOWER.encode(&key.0[..]),
            "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
        );
        assert_eq!(format!("{key:?}"), "SigningKey");
        assert_eq!(Scope::at(i64::MAX, "r", "s"), None);
    }
}
