//! Where vaults are: a folder, or a bucket.
use std::{path::PathBuf, str::FromStr};

use serde::Deserialize;

/// A text names no vault.
#[derive(Debug, thiserror::Error)]
#[error("a vault is a folder, s3://BUCKET or s3://BUCKET/PREFIX, not {0:?}")]
pub(crate) struct NoVaultPlace(String);

/// What `--vault` names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum VaultPlace {
    /// A folder with one folder for each region.
    Folder(PathBuf),
    /// A bucket with one prefix for each region.
    Bucket(BucketUrl),
}

impl FromStr for VaultPlace {
    type Err = NoVaultPlace;

    fn from_str(text: &str) -> Result<Self, NoVaultPlace> {
        if text.contains("://") {
            text.parse().map(Self::Bucket)
        } else {
            Ok(Self::Folder(PathBuf::from(text)))
        }
    }
}

impl TryFrom<String> for VaultPlace {
    type Error = NoVaultPlace;

    fn try_from(text: String) -> Result<Self, NoVaultPlace> {
        text.parse()
    }
}

/// An `s3://` URL in its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BucketUrl {
    pub(crate) bucket: String,
    pub(crate) prefix: String,
}

impl FromStr for BucketUrl {
    type Err = NoVaultPlace;

    fn from_str(url: &str) -> Result<Self, NoVaultPlace> {
        let wrong = || NoVaultPlace(model::limits::echo(url));
        let rest = url.strip_prefix("s3://").ok_or_else(wrong)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_';
        let prefix = prefix.trim_end_matches('/');
        if bucket.is_empty() || !bucket.bytes().all(plain) || prefix.contains("//") {
            return Err(wrong());
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        })
    }
}
