//! A region of another deployment, and how two deployments prove to each other who they are.
//!
//! It does not know what they say. Each message carries a MAC under the key that both hold, over
//! who speaks to whom, when, what and where; each answer one over its request's MAC, status and
//! body. So neither side can be played by someone else, and no answer can be swapped for another.
use std::{fmt, path::PathBuf, time::Duration};

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use model::Region;
use zeroize::Zeroizing;

/// The header of a message.
pub const HEADER: &str = "snapferry-link";
/// The header of an answer.
pub const ANSWER_HEADER: &str = "snapferry-link-answer";
/// How far the clocks of two deployments may lie apart.
pub const SKEW: Duration = Duration::from_secs(15 * 60);

/// A region that another deployment hosts.
#[derive(Clone)]
pub struct Peer {
    /// Its address: `https://host:port`.
    pub endpoint: String,
    /// The key that both deployments hold.
    pub key: PeerKey,
    /// PEM certificates to trust besides the machine's.
    pub ca: Option<PathBuf>,
    /// Whether its word for who asks is not enough: copies from here then need the caller's own
    /// signature, a `PreSignedUrl`.
    pub demand_presigned_url: bool,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({})", self.endpoint)
    }
}

/// A secret that two deployments share. Wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerKey")
    }
}

impl PeerKey {
    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(
            HEXLOWER
                .decode(text.trim().to_ascii_lowercase().as_bytes())
                .ok()?,
        );
        let bytes: [u8; 32] = bytes.as_slice().try_into().ok()?;
        Some(Self(Zeroizing::new(bytes)))
    }

    /// A key for one purpose.
    pub(crate) fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice());
        let tag = hmac::sign(&key, &framed(&[b"snapferry link 1", purpose.as_bytes()]));
        let mut derived = Zeroizing::new([0; 32]);
        derived.copy_from_slice(tag.as_ref());
        derived
    }

    pub(crate) fn mac(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.derive(purpose).as_slice());
        let mut tag = [0; 32];
        tag.copy_from_slice(hmac::sign(&key, &framed(parts)).as_ref());
        tag
    }

    /// Compares in constant time.
    pub(crate) fn verifies(&self, purpose: &str, parts: &[&[u8]], tag: &[u8]) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.derive(purpose).as_slice());
        hmac::verify(&key, &framed(parts), tag).is_ok()
    }
}

/// Dependencies with their lengths in front, so that no two lists of parts give the same bytes.
pub(crate) fn framed(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| 8 + part.len()).sum());
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// Who speaks to whom, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// The region that asks.
    pub(crate) from: Region,
    /// The region that is asked.
    pub(crate) to: Region,
    /// When, in seconds since 1970.
    pub(crate) time: i64,
    /// Makes each message its own, 32 hexadecimal digits.
    pub(crate) nonce: String,
}

impl Envelope {
    fn parts<'a>(&'a self, time: &'a str, path: &'a str, body: &'a [u8]) -> [&'a [u8]; 6] {
        [
            self.from.as_str().as_bytes(),
            self.to.as_str().as_bytes(),
            time.as_bytes(),
            self.nonce.as_bytes(),
            path.as_bytes(),
            body,
        ]
    }

    /// The header's value, and the MAC that the answer is bound to.
    pub(crate) fn seal(&self, key: &PeerKey, path: &str, body: &[u8]) -> (String, [u8; 32]) {
        let time = self.time.to_string();
        let mac = key.mac("message", &self.parts(&time, path, body));
        let Self {
            from, to, nonce, ..
        } = self;
        let tag = HEXLOWER.encode(&mac);
        (format!("1 {from} {to} {time} {nonce} {tag}"), mac)
    }

    /// Reads a header's value; nothing of it is proved yet.
    pub(crate) fn parse(text: &str) -> Option<(Self, Vec<u8>)> {
        let parts: Vec<&str> = text.split(' ').collect();
        let ["1", from, to, time, nonce, mac] = parts.as_slice() else {
            return None;
        };
        let plain = nonce.len() == 32 && nonce.bytes().all(|b| b.is_ascii_hexdigit());
        let envelope = Self {
            from: from.parse().ok()?,
            to: to.parse().ok()?,
            time: time.parse().ok()?,
            nonce: plain.then(|| (*nonce).to_owned())?,
        };
        Some((envelope, HEXLOWER.decode(mac.as_bytes()).ok()?))
    }

    /// Whether the key's holder wrote the message, at a time that is not too far from now.
    pub(crate) fn is_proved(
        &self,
        key: &PeerKey,
        path: &str,
        body: &[u8],
        mac: &[u8],
        now: i64,
    ) -> bool {
        let time = self.time.to_string();
        key.verifies("message", &self.parts(&time, path, body), mac)
            && now.abs_diff(self.time) <= SKEW.as_secs()
    }
}

/// What of an answer's body is under its MAC: all, but for the pieces of objects, which are
/// checked against the hash that names the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Covered {
    Body,
    Length,
}

/// The parts of an answer that its MAC is over.
fn answer_parts<T>(
    request: &[u8; 32],
    status: u16,
    body: &[u8],
    covered: Covered,
    use_parts: impl FnOnce(&[&[u8]]) -> T,
) -> T {
    let (status, length) = (status.to_be_bytes(), (body.len() as u64).to_be_bytes());
    let body: &[u8] = match covered {
        Covered::Body => body,
        Covered::Length => b"",
    };
    use_parts(&[request, &status, &length, body])
}

/// The value of an answer's header.
pub(crate) fn answer_mac(
    key: &PeerKey,
    request: &[u8; 32],
    status: u16,
    body: &[u8],
    covered: Covered,
) -> String {
    let mac = answer_parts(request, status, body, covered, |parts| {
        key.mac("answer", parts)
    });
    HEXLOWER.encode(&mac)
}

/// Whether an answer is the key holder's to this very request.
pub(crate) fn is_answer(
    key: &PeerKey,
    request: &[u8; 32],
    status: u16,
    body: &[u8],
    covered: Covered,
    header: &str,
) -> bool {
    let Ok(tag) = HEXLOWER.decode(header.as_bytes()) else {
        return false;
    };
    answer_parts(request, status, body, covered, |parts| {
        key.verifies("answer", parts, &tag)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digit: &str) -> PeerKey {
        PeerKey::parse(&digit.repeat(64)).expect("64 digits")
    }

    #[test]
    fn messages_are_proved_by_their_key_and_nothing_else() {
        let envelope = Envelope {
            from: "us-east-1".parse().expect("a region"),
            to: "us-west-2".parse().expect("a region"),
            time: 1_000_000,
            nonce: "0".repeat(32),
        };
        let (text, request) = envelope.seal(&key("a"), "/link/v1/x", b"body");
        let (read, mac) = Envelope::parse(&text).expect("reads");
        assert_eq!((&read, mac.as_slice()), (&envelope, request.as_slice()));
        let proved = |key: &PeerKey, path: &str, body: &[u8], now| {
            read.is_proved(key, path, body, &mac, now)
        };
        assert!(proved(&key("a"), "/link/v1/x", b"body", 1_000_900));
        assert!(!proved(&key("b"), "/link/v1/x", b"body", 1_000_000));
        assert!(!proved(&key("a"), "/link/v1/y", b"body", 1_000_000));
        assert!(!proved(&key("a"), "/link/v1/x", b"bodY", 1_000_000));
        assert!(!proved(&key("a"), "/link/v1/x", b"body", 1_000_901));
        let swapped = text.replace("us-east-1 us-west-2", "us-west-2 us-east-1");
        let (other, mac) = Envelope::parse(&swapped).expect("reads");
        assert!(!other.is_proved(&key("a"), "/link/v1/x", b"body", &mac, 1_000_000));

        let answer = answer_mac(&key("a"), &request, 200, b"yes", Covered::Body);
        let is = |status, body: &[u8], request: &[u8; 32]| {
            is_answer(&key("a"), request, status, body, Covered::Body, &answer)
        };
        assert!(is(200, b"yes", &request));
        assert!(!is(201, b"yes", &request) && !is(200, b"yeS", &request));
        assert!(!is(200, b"yes", &[0; 32]));
    }

    #[test]
    fn keys_are_64_hexadecimal_digits() {
        assert!(PeerKey::parse(&"A0".repeat(32)).is_some());
        for wrong in ["", "a", &"g".repeat(64), &"a".repeat(63), &"a".repeat(66)] {
            assert!(PeerKey::parse(wrong).is_none(), "{wrong}");
        }
    }
}
