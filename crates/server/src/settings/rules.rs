//! Which settings cannot be, alone or together.
//!
//! It does not know what the values do.
use std::{collections::HashSet, net::IpAddr, ops::RangeInclusive};

use model::limits;
use service::Mode;

use super::{Layer, SettingsError};
use crate::{forms::ByteCount, vaults::VaultPlace};

/// A lease shorter than this would run out between two heartbeats on a busy disk.
const LEASE_SECS: RangeInclusive<u64> = 2..=3_600;
/// Below this a snapshot could not fill one pack while it stores another.
const SNAPSHOT_MEMORY_BYTES_MIN: u64 = 2 * limits::PACK_BYTES as u64;

impl Layer {
    /// Refuses values that cannot be, alone or together.
    ///
    /// # Errors
    /// The rule that is broken.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        let listen = self.listen();
        if self.tls_certificate.is_some() != self.tls_key.is_some() {
            return Err(SettingsError::HalfTls);
        }
        if !listen.ip().is_loopback() {
            if self.mode() == Mode::Dev {
                return Err(SettingsError::DevBeyondLoopback(listen));
            }
            if self.tls_certificate.is_none() && self.insecure_listen != Some(true) {
                return Err(SettingsError::PlainBeyondLoopback(listen));
            }
        }
        if self.catalog.is_some() && self.vault.is_none() {
            return Err(SettingsError::SharedWithoutVault);
        }
        match (&self.vault, &self.vault_endpoint) {
            (None | Some(VaultPlace::Folder(_)), Some(_)) => {
                return Err(SettingsError::Value {
                    setting: "vault-endpoint",
                    expected: "given together with a bucket as --vault",
                });
            }
            (_, Some(url)) if !url.starts_with("http://") && !url.starts_with("https://") => {
                return Err(SettingsError::Value {
                    setting: "vault-endpoint",
                    expected: "an http:// or https:// URL",
                });
            }
            _ => {}
        }
        if let Some(memory) = self.snapshot_memory
            && memory.0 < SNAPSHOT_MEMORY_BYTES_MIN
        {
            return Err(SettingsError::Value {
                setting: "snapshot-memory",
                expected: "at least 32MiB",
            });
        }
        if self.cross_region_bytes_per_second == Some(ByteCount(0)) {
            return Err(SettingsError::Value {
                setting: "cross-region-bytes-per-second",
                expected: "at least 1",
            });
        }
        if let Some(secs) = self.lease_seconds
            && !LEASE_SECS.contains(&secs)
        {
            return Err(SettingsError::Value {
                setting: "lease-seconds",
                expected: "2 to 3600",
            });
        }
        self.kms.check()?;
        if self.webhook_url.is_some() != self.webhook_secret.is_some() {
            return Err(SettingsError::HalfWebhook);
        }
        let mut urls = HashSet::new();
        for hook in self.webhooks() {
            hook.check()?;
            if !urls.insert(hook.url) {
                return Err(SettingsError::Value {
                    setting: "webhook",
                    expected: "given once for each url",
                });
            }
        }
        if let Some(host) = self.host.iter().find(|host| !is_host_name(host)) {
            return Err(SettingsError::Host(host.clone()));
        }
        Ok(())
    }
}

/// A name or address without a port, as a Host header has it.
fn is_host_name(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
        || (!text.is_empty()
            && text.len() <= 253
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_'))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::flags, *};

    #[test]
    fn dev_and_plain_text_stay_on_loopback() {
        let beyond = ["--listen", "0.0.0.0:8085"];
        assert!(matches!(
            flags(&beyond).check(),
            Err(SettingsError::PlainBeyondLoopback(_))
        ));
        assert!(
            flags(&["--listen", "0.0.0.0:8085", "--insecure-listen"])
                .check()
                .is_ok()
        );
        assert!(matches!(
            flags(&["--listen", "0.0.0.0:8085", "--insecure-listen", "--dev"]).check(),
            Err(SettingsError::DevBeyondLoopback(_))
        ));
        assert!(matches!(
            flags(&["--tls-key", "x"]).check(),
            Err(SettingsError::HalfTls)
        ));
        assert!(flags(&["--listen", "[::1]:1", "--dev"]).check().is_ok());
        assert_eq!(flags(&["--dev=false"]).mode(), Mode::Closed);
    }

    #[test]
    fn values_have_their_bounds() {
        assert!(flags(&["--snapshot-memory", "1MiB"]).check().is_err());
        assert!(flags(&["--lease-seconds", "1"]).check().is_err());
        assert!(
            flags(&["--cross-region-bytes-per-second", "0"])
                .check()
                .is_err()
        );
        assert!(flags(&["--host", "http://x"]).check().is_err());
    }
}
