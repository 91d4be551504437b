//! What the service needs of the settings.
//!
//! It does not know which layer a value came from.
use std::{path::PathBuf, time::Duration};

use service::{ClusterAddresses, Mode};

use super::{Layer, SettingsError};
use crate::settings::{roles::RoleRow, webhook::WebhookRow};

impl Layer {
    /// The file's webhooks, and the one of the command line or the environment.
    pub(super) fn webhooks(&self) -> impl Iterator<Item = WebhookRow> {
        let one = self.webhook_url.clone().zip(self.webhook_secret.clone());
        let one = one.map(|(url, secret)| WebhookRow { url, secret });
        self.webhook.clone().into_iter().chain(one)
    }

    /// What the service needs of these settings.
    ///
    /// # Errors
    /// When a peer's key cannot be read, or the default region is another deployment's.
    pub(crate) fn service(
        &self,
        data_dir: PathBuf,
        os_users: bool,
    ) -> Result<service::Settings, SettingsError> {
        let mut to = service::Settings::new(self.mode(), data_dir);
        to.os_users = os_users;
        to.shared_os_user = self.allow_shared_os_user.unwrap_or(false) || to.mode == Mode::Dev;
        to.extra_regions = self.region.iter().cloned().collect();
        to.seal_anew = self.seal_anew.iter().cloned().collect();
        if let Some(region) = &self.default_region {
            to.default_region = region.clone();
            if !region.is_known() {
                to.extra_regions.insert(region.clone());
            }
        }
        if let Some(host) = self.cluster_host {
            to.cluster_addresses = ClusterAddresses::Shared(host);
        }
        if let Some(addresses) = self.cluster_addresses {
            to.cluster_addresses = ClusterAddresses::Own(addresses.0);
        }
        to.cluster_tls.given = self
            .cluster_tls_certificate
            .clone()
            .zip(self.cluster_tls_key.clone());
        to.cluster_tls.names = self.cluster_tls_name.clone();
        if let Some(forced) = self.cluster_force_tls {
            to.cluster_tls.forced = forced;
        }
        if let Some(ports) = &self.cluster_ports {
            to.cluster_ports = ports.0.clone();
        }
        to.cross_region_bytes_per_sec = self.cross_region_bytes_per_second.map(|count| count.0);
        if let Some(memory) = self.snapshot_memory {
            to.snapshot_memory_bytes = usize::try_from(memory.0).unwrap_or(usize::MAX);
        }
        if let Some(count) = self.manual_snapshots_max {
            to.manual_snapshots_max = count as usize;
        }
        if let Some(count) = self.cross_region_copies_max {
            to.cross_region_copies_max = count as usize;
        }
        if let Some(count) = self.clusters_max {
            to.clusters_max = count as usize;
        }
        to.require_presigned_url = self.require_presigned_url.unwrap_or(false);
        to.refuse_multi_az_copies = self.refuse_multi_az_copies.unwrap_or(false);
        to.accept_older_catalog = self.accept_older_catalog.unwrap_or(false);
        to.webhooks = self
            .webhooks()
            .map(|hook| service::Webhook {
                url: hook.url,
                secret: hook.secret.0,
            })
            .collect();
        to.roles = self
            .role
            .iter()
            .map(RoleRow::role)
            .collect::<Result<_, _>>()?;
        if let Some(secs) = self.lease_seconds {
            to.lease = Duration::from_secs(secs);
        }
        if let Some(secs) = self.sweep_grace_seconds {
            to.sweep_grace = Duration::from_secs(secs);
        }
        for (region, row) in &self.regions {
            to.peers.insert(region.clone(), row.peer(region)?);
        }
        if to.peers.contains_key(&to.default_region) {
            return Err(SettingsError::Peer {
                region: to.default_region,
                why: "it is this deployment's default region; set another with --default-region"
                    .to_owned(),
            });
        }
        Ok(to)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::flags, *};

    #[test]
    fn a_default_region_of_ones_own_is_known() {
        let layer = flags(&["--default-region", "moon-1"]);
        let settings = layer.service(PathBuf::from("/x"), false).expect("no peers");
        assert!(settings.knows(&settings.default_region));
        assert!(!settings.shared_os_user);
    }
}
