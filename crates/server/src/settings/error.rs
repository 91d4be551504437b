//! What can be wrong with settings, and what to do about it.
//!
//! It does not know the rules themselves.
use std::{io, net::SocketAddr, path::PathBuf};

use model::Region;

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the settings file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        source: io::Error,
    },
    /// The file says what is no setting.
    #[error("the settings file {} is not right", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        source: Box<toml::de::Error>,
    },
    /// Other nodes could not read what this one stores.
    #[error("--catalog needs --vault: nodes that share a catalog share the vault too")]
    SharedWithoutVault,
    /// As for the server's own, for clusters.
    #[error("--cluster-tls-certificate and --cluster-tls-key go together")]
    HalfClusterTls,
    /// All clusters on one address, and each on its own.
    #[error(
        "--cluster-host puts all clusters on one address, and --cluster-addresses each on its own: give one"
    )]
    TwoPlacesForClusters,
    /// A certificate without its key, or the other way round.
    #[error("--tls-certificate and --tls-key go together")]
    HalfTls,
    /// Unchecked signatures, open to the network.
    #[error("--dev checks no signatures, so it listens on loopback only, and {0} is not loopback")]
    DevBeyondLoopback(SocketAddr),
    /// Readable for all on the way.
    #[error("{0} is not loopback, and without TLS all on the way can read and replay requests")]
    PlainBeyondLoopback(SocketAddr),
    /// An address without its secret, or the other way round.
    #[error("--webhook-url and --webhook-secret go together")]
    HalfWebhook,
    /// A region of another deployment that cannot be reached so.
    #[error("[regions.{region}] of the settings file: {why}")]
    Peer {
        /// The region.
        region: Region,
        /// What is wrong with it.
        why: String,
    },
    /// A number out of its range.
    #[error("{setting} must be {expected}")]
    Value {
        /// The setting's name.
        setting: &'static str,
        /// What would be right.
        expected: &'static str,
    },
    /// Records that are required, and nowhere.
    #[error("--audit-required needs records, and --no-audit keeps none: give one")]
    RequiredWithoutAudit,
    /// Not a host's name.
    #[error("{0:?} is not a host name; give it without scheme and port")]
    Host(String),
}

impl SettingsError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::DevBeyondLoopback(_) => Some("leave --dev out, or listen on 127.0.0.1".to_owned()),
            Self::PlainBeyondLoopback(_) => {
                Some("give --tls-certificate and --tls-key, or accept the risk with --insecure-listen".to_owned())
            }
            Self::Unreadable { .. } | Self::Malformed { .. } => {
                Some("`snapferry serve --help` lists the settings; a key of the file is the flag's name without dashes in front".to_owned())
            }
            Self::SharedWithoutVault => Some("name a bucket, or a folder that every node reaches, with --vault PLACE; DATA/vault will do while there is one node".to_owned()),
            Self::HalfTls | Self::RequiredWithoutAudit | Self::HalfClusterTls | Self::TwoPlacesForClusters | Self::HalfWebhook | Self::Peer { .. } | Self::Value { .. } | Self::Host(_) => None,
        }
    }
}
