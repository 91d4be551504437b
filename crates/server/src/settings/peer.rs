//! `[regions.NAME]` of the settings file: regions that other deployments host.
//!
//! It does not know what is said to them.
use std::{fs, path::PathBuf};

use model::Region;
use serde::Deserialize;
use service::link::peer::{Peer, PeerKey};

use crate::{
    settings::address::Address,
    settings::{SettingsError, values::Secret},
};

/// A key's file is one line.
const KEY_FILE_BYTES_MAX: u64 = 4_096;

/// A region of another deployment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PeerRow {
    /// Its address, `https://host:port`.
    endpoint: String,
    /// The key that both deployments hold: 64 hexadecimal digits.
    #[serde(alias = "peer_key")]
    peer_key: Option<Secret>,
    /// A file that holds it.
    #[serde(alias = "peer_key_file")]
    peer_key_file: Option<PathBuf>,
    /// PEM file with certificates to trust besides the machine's.
    ca: Option<PathBuf>,
    /// Do not believe this peer who asks; demand each caller's PreSignedUrl.
    #[serde(default, alias = "demand_presigned_url")]
    demand_presigned_url: bool,
    /// Talk to it beyond loopback without TLS.
    #[serde(default)]
    insecure: bool,
}

impl PeerRow {
    /// Reads the key and refuses what cannot be.
    ///
    /// # Errors
    /// The rule that is broken.
    pub(crate) fn peer(&self, region: &Region) -> Result<Peer, SettingsError> {
        let wrong = |why: String| SettingsError::Peer {
            region: region.clone(),
            why,
        };
        let address = Address::parse(&self.endpoint).filter(|address| address.target == "/");
        let address = address.ok_or_else(|| {
            wrong("its endpoint must be an https:// URL without user name and path".to_owned())
        })?;
        if !address.tls && !address.is_loopback() && !self.insecure {
            return Err(wrong(
                "its endpoint is plain http, and all on the way could read what is copied; use https, \
                 or accept it with insecure = true"
                    .to_owned(),
            ));
        }
        let text = match (&self.peer_key, &self.peer_key_file) {
            (Some(key), None) => key.0.to_string(),
            (None, Some(path)) => {
                let failed = |error| wrong(format!("cannot read {}: {error}", path.display()));
                if KEY_FILE_BYTES_MAX < fs::metadata(path).map_err(failed)?.len() {
                    return Err(wrong(format!("{} is too large for a key", path.display())));
                }
                fs::read_to_string(path).map_err(failed)?
            }
            _ => {
                return Err(wrong(
                    "it needs peer-key or peer-key-file, and one of them".to_owned(),
                ));
            }
        };
        let key = PeerKey::parse(&text).ok_or_else(|| {
            wrong(
                "its peer key must be 64 hexadecimal digits; `openssl rand -hex 32` makes one"
                    .to_owned(),
            )
        })?;
        Ok(Peer {
            endpoint: self.endpoint.trim_end_matches('/').to_owned(),
            key,
            ca: self.ca.clone(),
            demand_presigned_url: self.demand_presigned_url,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Peer, String> {
        let row: PeerRow = toml::from_str(text).map_err(|error| error.to_string())?;
        let region = "us-west-2".parse().expect("a region");
        row.peer(&region).map_err(|error| error.to_string())
    }

    #[test]
    fn peers_need_an_address_and_a_key() {
        let key = format!("peer_key = \"{}\"", "0a".repeat(32));
        let peer = read(&format!("endpoint = \"https://far.example:8085/\"\n{key}"));
        assert_eq!(peer.expect("a peer").endpoint, "https://far.example:8085");
        assert!(read(&format!("endpoint = \"http://127.0.0.1:1\"\n{key}")).is_ok());
        assert!(
            read(&format!(
                "endpoint = \"http://far.example\"\ninsecure = true\n{key}"
            ))
            .is_ok()
        );
        for wrong in [
            "endpoint = \"https://far.example\"".to_owned(),
            "endpoint = \"https://far.example\"\npeer-key = \"abc\"".to_owned(),
            "endpoint = \"https://far.example\"\npeer-key-file = \"/none\"".to_owned(),
            format!("endpoint = \"http://far.example\"\n{key}"),
            format!("endpoint = \"https://far.example/x\"\n{key}"),
            format!("endpoint = \"https://far.example\"\n{key}\nother = 1"),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }
}
