//! Removes from a volume the logs of clusters that are not in its region, and of which it keeps no backup.
//!
//! It does not know what of a log that is needed is needed no longer: who ships it does.
use catalog::{CatalogError, CatalogExt, clusters, retained_backups};
use model::{ResourceId, Timestamp};

use super::{SweepError, volume::Look};

impl Look<'_> {
    /// Removes chunks whose cluster is no more, once their grace is over. Nothing is condemned before:
    /// their names are used once, and no writer takes one that is there for its own. Answers when the
    /// next ones are due.
    pub(super) async fn sweep_logs(&self) -> Result<Option<Timestamp>, SweepError> {
        let mut again_at: Option<Timestamp> = None;
        for owner in vault::chunk_owners(self.vault, self.volume).await? {
            if self.is_kept(&owner).await? {
                continue;
            }
            let grace = self.context.settings.sweep_grace;
            let mut removed = 0;
            for chunk in vault::chunks(self.vault, self.volume, &owner).await? {
                let due_at = chunk.modified.plus(grace);
                if due_at < self.context.now() {
                    vault::delete_chunk(self.vault, &chunk).await?;
                    removed += 1;
                } else {
                    again_at = Some(again_at.map_or(due_at, |at| at.min(due_at)));
                }
            }
            if 0 < removed {
                tracing::info!(region = %self.region, volume = %self.volume, cluster = %owner, removed, "swept a cluster's log");
            }
        }
        Ok(again_at)
    }

    async fn is_kept(&self, owner: &ResourceId) -> Result<bool, CatalogError> {
        let (owner, region) = (owner.clone(), self.region.clone());
        self.context
            .catalog
            .read(move |tx| {
                let cluster = clusters::get_by_resource_id(tx, &owner)?;
                Ok(cluster.is_some_and(|found| found.value.region == region)
                    || retained_backups::get(tx, &region, &owner)?.is_some())
            })
            .await
    }
}
