//! Which settings cannot be, alone or together.
//!
//! It does not know what the values do.
use std::{collections::HashSet, net::IpAddr, ops::RangeInclusive};

use model::{Region, limits};
use service::Mode;

use super::{Layer, SettingsError};
use crate::settings::{address::Address, values::ByteCount, vault_place::VaultPlace};

/// Series of more clusters than this are no scrape's any more.
const METRICS_CLUSTERS_MAX: u32 = 20_000;
/// A shorter token is guessed.
const METRICS_TOKEN_CHARS_MIN: usize = 16;
/// A lease shorter than this would run out between two heartbeats on a busy disk.
const LEASE_SECS: RangeInclusive<u64> = 2..=limits::LEASE_MAX.as_secs();
/// Below this a snapshot of a busy machine's would rarely end; above it nobody would wait any more.
const MYSQL_LOCK_SECS: RangeInclusive<u64> = 10..=7 * 86_400;
/// Below this a snapshot could not fill one pack while it stores another.
const SNAPSHOT_MEMORY_BYTES_MIN: u64 = 2 * limits::PACK_BYTES as u64;

/// A server's shared memory, its own processes and a few sessions.
const CLUSTER_MEMORY_BYTES_MIN: u64 = 128 << 20;
/// A server has a process for each of its 100 sessions, and some of its own.
const CLUSTER_PROCESSES: RangeInclusive<u32> = 150..=100_000;
/// More requests than this at once are more sockets than speed.
const VAULT_STREAMS: RangeInclusive<u16> = 1..=256;
/// S3 takes no smaller parts, and no object is larger.
const VAULT_PART_BYTES: RangeInclusive<u64> = (vault::PART_BYTES_MIN as u64)..=(256 << 20);

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
        if self.cluster_tls_certificate.is_some() != self.cluster_tls_key.is_some() {
            return Err(SettingsError::HalfClusterTls);
        }
        if let Some(name) = self
            .cluster_tls_name
            .iter()
            .find(|name| !is_host_name(name))
        {
            return Err(SettingsError::Host(name.clone()));
        }
        if self.cluster_host.is_some() && self.cluster_addresses.is_some() {
            return Err(SettingsError::TwoPlacesForClusters);
        }
        if self.no_audit == Some(true) && self.audit_required == Some(true) {
            return Err(SettingsError::RequiredWithoutAudit);
        }
        self.check_replication()?;
        let endpoint = self.otlp_endpoint.as_deref();
        if endpoint.is_some_and(|url| Address::parse(url).is_none()) {
            return Err(SettingsError::Value {
                setting: "otlp-endpoint",
                expected: "an http or https URL, such as http://127.0.0.1:4318",
            });
        }
        self.check_bucket()?;
        self.check_amounts()?;
        self.kms.check()?;
        if self.webhook_url.is_some() != self.webhook_secret.is_some() {
            return Err(SettingsError::HalfWebhook);
        }
        let mut urls = HashSet::new();
        for hook in self.webhooks() {
            hook.check()?;
            if !urls.insert((hook.url, hook.topic)) {
                return Err(SettingsError::Value {
                    setting: "webhook",
                    expected: "given once for each url and topic",
                });
            }
        }
        let mut roles = HashSet::new();
        for row in &self.role {
            row.role()?;
            if !roles.insert(&row.arn) {
                return Err(SettingsError::Value {
                    setting: "role",
                    expected: "given once for each arn",
                });
            }
        }
        if let Some(host) = self.host.iter().find(|host| !is_host_name(host)) {
            return Err(SettingsError::Host(host.clone()));
        }
        Ok(())
    }

    fn check_amounts(&self) -> Result<(), SettingsError> {
        let below = |bytes: Option<ByteCount>, least| bytes.is_some_and(|bytes| bytes.0 < least);
        let leases = self.lease_seconds.as_ref();
        let rules = [
            (
                "snapshot-memory",
                "at least 32MiB",
                below(self.snapshot_memory, SNAPSHOT_MEMORY_BYTES_MIN),
            ),
            (
                "cross-region-bytes-per-second",
                "at least 1",
                below(self.cross_region_bytes_per_second, 1),
            ),
            (
                "audit-bytes-max",
                "at least 32MiB",
                below(self.audit_bytes_max, 2 * audit::ROTATE_BYTES),
            ),
            (
                "audit-days",
                "within 1..=36500",
                (self.audit_days).is_some_and(|days| !(1..=36_500).contains(&days)),
            ),
            (
                "cluster-memory-max",
                "at least 128MiB",
                below(self.cluster_memory_max, CLUSTER_MEMORY_BYTES_MIN),
            ),
            (
                "cluster-processes-max",
                "within 150..=100000",
                (self.cluster_processes_max)
                    .is_some_and(|count| !CLUSTER_PROCESSES.contains(&count)),
            ),
            (
                "metrics-clusters-max",
                "at most 20000",
                (self.metrics_clusters_max).is_some_and(|count| METRICS_CLUSTERS_MAX < count),
            ),
            (
                "metrics-token",
                "16 or more letters, digits and signs",
                (self.metrics_token.as_ref()).is_some_and(|token| !is_token(&token.0)),
            ),
            (
                "lease-seconds",
                "2 to 3600",
                leases.is_some_and(|secs| !LEASE_SECS.contains(&secs.0)),
            ),
            (
                "mysql-lock-seconds",
                "10 to 604800",
                (self.mysql_lock_seconds.as_ref())
                    .is_some_and(|secs| !MYSQL_LOCK_SECS.contains(&secs.0)),
            ),
        ];
        match rules.into_iter().find(|(.., broken)| *broken) {
            Some((setting, expected, _)) => Err(SettingsError::Value { setting, expected }),
            None => Ok(()),
        }
    }

    /// Backups are brought from one region of this deployment to another.
    fn check_replication(&self) -> Result<(), SettingsError> {
        let setting = "replicate-backups";
        let wrong = |expected| Err(SettingsError::Value { setting, expected });
        let mut sources = HashSet::new();
        for pair in &self.replicate_backups {
            let is_served = |region: &Region| {
                (region.is_known() || self.region.contains(region))
                    && !self.regions.contains_key(region)
            };
            if !is_served(&pair.from) || !is_served(&pair.to) {
                return wrong(
                    "two regions of this deployment: --region adds one that AWS does not have",
                );
            }
            if pair.from == pair.to {
                return wrong("two regions that differ");
            }
            if pair.from.partition() != pair.to.partition() {
                return wrong("two regions of one partition: snapshots do not leave theirs");
            }
            if !sources.insert(&pair.from) {
                return wrong("given once for each region that backups are brought from");
            }
        }
        Ok(())
    }

    fn check_bucket(&self) -> Result<(), SettingsError> {
        let wrong = |setting, expected| Err(SettingsError::Value { setting, expected });
        if !matches!(self.vault, Some(VaultPlace::Bucket(_))) {
            let given = [
                ("vault-endpoint", self.vault_endpoint.is_some()),
                ("vault-streams", self.vault_streams.is_some()),
                ("vault-part-size", self.vault_part_size.is_some()),
            ];
            if let Some((setting, _)) = given.into_iter().find(|(_, given)| *given) {
                return wrong(setting, "given together with a bucket as --vault");
            }
        }
        let is_web = |url: &String| url.starts_with("http://") || url.starts_with("https://");
        if self.vault_endpoint.as_ref().is_some_and(|url| !is_web(url)) {
            return wrong("vault-endpoint", "an http:// or https:// URL");
        }
        if (self.vault_streams).is_some_and(|count| !VAULT_STREAMS.contains(&count)) {
            return wrong("vault-streams", "within 1..=256");
        }
        let bytes = self.vault_part_size.as_ref().map(|size| size.0);
        if bytes.is_some_and(|bytes| !VAULT_PART_BYTES.contains(&bytes)) {
            return wrong("vault-part-size", "within 5MiB..=256MiB");
        }
        Ok(())
    }
}

/// What a header's field can carry whole.
fn is_token(text: &str) -> bool {
    METRICS_TOKEN_CHARS_MIN <= text.len() && text.bytes().all(|b| b.is_ascii_graphic())
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
    fn backups_are_brought_between_regions_of_this_deployment() {
        let check = |pairs: &str| flags(&["--replicate-backups", pairs]).check();
        assert!(check("us-east-1=eu-west-1,eu-west-1=us-east-1").is_ok());
        for wrong in [
            "us-east-1=us-east-1",
            "us-east-1=nowhere-1",
            "nowhere-1=us-east-1",
            "us-east-1=cn-north-1",
            "us-east-1=eu-west-1,us-east-1=eu-west-2",
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
        let own = [
            "--region",
            "moon-1",
            "--replicate-backups",
            "us-east-1=moon-1",
        ];
        assert!(flags(&own).check().is_ok());
    }

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
        assert!(flags(&["--mysql-lock-seconds", "9"]).check().is_err());
        assert!(flags(&["--mysql-lock-seconds", "10"]).check().is_ok());
        assert!(flags(&["--cluster-memory-max", "64MiB"]).check().is_err());
        assert!(flags(&["--cluster-processes-max", "100"]).check().is_err());
        assert!(flags(&["--vault-streams", "4"]).check().is_err());
        assert!(flags(&["--metrics-clusters-max", "20001"]).check().is_err());
        assert!(flags(&["--metrics-token", "short"]).check().is_err());
        assert!(
            flags(&["--metrics-token", "sixteen and more"])
                .check()
                .is_err()
        );
        assert!(
            flags(&["--metrics-token", "sixteen-and-more"])
                .check()
                .is_ok()
        );
        let bucket = |flag, value| flags(&["--vault", "s3://b", flag, value]).check();
        assert!(bucket("--vault-streams", "0").is_err());
        assert!(bucket("--vault-part-size", "4MiB").is_err());
        assert!(bucket("--vault-part-size", "5MiB").is_ok());
        assert!(
            flags(&["--cross-region-bytes-per-second", "0"])
                .check()
                .is_err()
        );
        assert!(flags(&["--host", "http://x"]).check().is_err());
    }
}
