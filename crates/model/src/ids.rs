//! Validated identifiers, one type a kind, so that two of them cannot be swapped by mistake.
use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Entropy;

/// A text was not what the identifier's grammar asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not {expected}")]
pub struct IdError {
    /// What was given.
    pub value: String,
    /// What would be right.
    pub expected: &'static str,
}

impl IdError {
    fn new(value: &str, expected: &'static str) -> Self {
        Self {
            value: crate::limits::echo(value),
            expected,
        }
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text as it stands in requests, answers and paths.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(IdError::new(text, $expected))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// An AWS account id: 12 digits.
    Account, "an account id of 12 digits",
    |text| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
);

text_id!(
    /// A region's name, of a shape that is safe in paths. Whether the deployment knows the
    /// region is the settings' business: see [`Region::is_known`].
    Region, "a region name such as us-east-1",
    |text| (3..=32).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
);

text_id!(
    /// A cluster's DbClusterResourceId: `cluster-` and 26 capital letters or digits.
    ResourceId, "a resource id such as cluster-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    |text| text.strip_prefix("cluster-").is_some_and(|tail| tail.len() == 26
        && tail.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()))
);

text_id!(
    /// An instance's DbiResourceId: `db-` and 26 capital letters or digits.
    InstanceId, "a resource id such as db-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    |text| text.strip_prefix("db-").is_some_and(|tail| tail.len() == 26
        && tail.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()))
);

impl InstanceId {
    /// That of the instance that a cluster is made with: it bears the cluster's own letters, so
    /// that it can be told of a cluster whose record is older than instances.
    pub fn first_of(cluster: &ResourceId) -> Self {
        let tail = cluster.as_str().trim_start_matches("cluster-");
        Self(format!("db-{tail}"))
    }

    /// Draws a new id.
    pub fn draw(entropy: &dyn Entropy) -> Self {
        Self::first_of(&ResourceId::draw(entropy))
    }
}

impl ResourceId {
    /// Draws a new id.
    pub fn draw(entropy: &dyn Entropy) -> Self {
        const SYMBOLS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let bytes = [entropy.draw(), entropy.draw()].concat();
        let tail: String = bytes[..26]
            .iter()
            .map(|byte| char::from(SYMBOLS[usize::from(byte % 32)]))
            .collect();
        Self(format!("cluster-{tail}"))
    }
}

/// The regions of the partitions aws, aws-us-gov and aws-cn, as botocore's endpoint data lists them.
const KNOWN_REGIONS: &[&str] = &[
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
];

impl Region {
    /// Whether AWS has a region of this name.
    pub fn is_known(&self) -> bool {
        KNOWN_REGIONS.contains(&self.0.as_str())
    }

    /// Every region that AWS has.
    pub fn known() -> impl Iterator<Item = Region> {
        KNOWN_REGIONS.iter().map(|name| Region((*name).to_owned()))
    }

    /// Its zones, `<region>a` to `<region>c`.
    pub fn zones(&self) -> Vec<String> {
        let letters = ["a", "b", "c"].into_iter();
        letters.map(|zone| format!("{}{zone}", self.0)).collect()
    }

    /// The ARN partition the region belongs to.
    pub fn partition(&self) -> &'static str {
        if self.0.starts_with("us-gov-") {
            "aws-us-gov"
        } else if self.0.starts_with("cn-") {
            "aws-cn"
        } else {
            "aws"
        }
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Draws a new id.
            pub fn draw(entropy: &dyn Entropy) -> Self {
                Self(entropy.uuid())
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::from_str(text).map(Self).map_err(|_| IdError::new(text, "a UUID"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_id!(
    /// A lineage of data, inside which packs are reused.
    VolumeId
);
uuid_id!(
    /// A piece of durable background work.
    JobId
);

/// Where a volume lies in any region's vault: `volumes/<origin>/<account>/<id>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VolumeRef {
    /// The region in which the lineage began.
    pub origin: Region,
    /// The account that the lineage began in.
    pub account: Account,
    /// The lineage.
    pub id: VolumeId,
}

impl fmt::Display for VolumeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.origin, self.account, self.id)
    }
}

impl FromStr for VolumeRef {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut parts = text.split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(origin), Some(account), Some(id), None) => Ok(Self {
                origin: origin.parse()?,
                account: account.parse()?,
                id: id.parse()?,
            }),
            _ => Err(IdError::new(text, "a volume of ORIGIN/ACCOUNT/ID")),
        }
    }
}

/// A BLAKE3 hash of an object's bytes: 32 bytes, 64 lower-case hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = || IdError::new(text, "a hash of 64 hexadecimal digits");
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(wrong());
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |d: u8| match d {
                b'0'..=b'9' => Ok(d - b'0'),
                b'a'..=b'f' => Ok(d - b'a' + 10),
                _ => Err(wrong()),
            };
            *byte = digit(pair[0])? * 16 + digit(pair[1])?;
        }
        Ok(Self(hash))
    }
}

impl TryFrom<String> for Hash {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemEntropy;

    #[test]
    fn identifiers_refuse_what_is_not_theirs() {
        assert!("123456789012".parse::<Account>().is_ok());
        assert!("12345678901a".parse::<Account>().is_err());
        assert!("us-east-1".parse::<Region>().expect("valid").is_known());
        assert!("../etc".parse::<Region>().is_err());
        let id = ResourceId::draw(&SystemEntropy);
        let first = InstanceId::first_of(&id);
        assert_eq!(first.as_str().parse::<InstanceId>(), Ok(first));
        assert_eq!(id.as_str().parse::<ResourceId>(), Ok(id));
    }

    #[test]
    fn hashes_survive_their_text() {
        let hash = Hash(std::array::from_fn(|i| {
            u8::try_from(i * 7 % 256).expect("a byte")
        }));
        assert_eq!(hash.to_string().parse::<Hash>(), Ok(hash));
        assert!("00".parse::<Hash>().is_err());
        assert!("G".repeat(64).parse::<Hash>().is_err());
    }
}
