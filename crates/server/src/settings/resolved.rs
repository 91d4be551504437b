//! What the service needs of the settings.
//!
//! It does not know which layer a value came from.
use std::path::PathBuf;

use service::{ClusterAddresses, Mode};

use super::{Layer, SettingsError};
use crate::settings::{roles::RoleRow, webhook::WebhookRow};

impl Layer {
    /// The file's webhooks, and the one of the command line or the environment.
    pub(super) fn webhooks(&self) -> impl Iterator<Item = WebhookRow> {
        let one = self.webhook_url.clone().zip(self.webhook_secret.clone());
        let one = one.map(|(url, secret)| WebhookRow {
            url,
            secret,
            topic: None,
            source: service::EventSource::default(),
        });
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
        self.choose(&mut to);
        // All processes of a container end with its first one.
        to.stop_clusters_on_exit |= std::process::id() == 1;
        if !to.default_region.is_known() {
            to.extra_regions.insert(to.default_region.clone());
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
        to.webhooks = self
            .webhooks()
            .map(|hook| service::Webhook {
                url: hook.url,
                secret: hook.secret.0,
                topic: hook.topic,
                source: hook.source,
            })
            .collect();
        to.roles = self
            .role
            .iter()
            .map(RoleRow::role)
            .collect::<Result<_, _>>()?;
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
