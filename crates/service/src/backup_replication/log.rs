//! Brings what a region's vault lacks of a log, as it lies: it is sealed under the stream's own key.
use std::collections::HashSet;

use model::{Cluster, Hash, LogPlace, Told};
use uuid::Uuid;
use vault::{Chain, ChainError, Vault};

use crate::{
    context::ServiceContext,
    jobs::{JobError, Reason},
};

/// Brings the chunks that lead on from where snapshots are, over there or on their way; answers how many were
/// brought. In the log's order: what is there has no gap, whenever it ends.
///
/// # Errors
/// The vaults'; that the log has a gap.
pub(super) async fn bring(
    context: &ServiceContext,
    (from, to): (&Vault, &Vault),
    cluster: &Cluster,
    starts: &[(Uuid, LogPlace)],
) -> Result<usize, JobError> {
    if starts.is_empty() {
        return Ok(0);
    }
    let (volume, owner) = (&cluster.volume, &cluster.resource_id);
    let here = vault::chunks(from, volume, owner).await?;
    let there = vault::chunks(to, volume, owner).await?;
    let there: HashSet<Hash> = there.iter().map(|chunk| chunk.hash).collect();
    let throttle = context.vaults.throttle(&cluster.region);
    let mut brought = 0;
    for (stream, start) in starts {
        let chain = match Chain::of(&here, *stream, *start) {
            Ok(chain) => chain,
            // Nothing was written since.
            Err(ChainError::NoStart(_)) => continue,
            Err(error) => {
                let told = Told::new("the log that is kept in the cluster's own region has a gap");
                return Err(JobError::Fail(Reason::new(told, error.to_string())));
            }
        };
        let missing = chain.chunks().iter();
        for chunk in missing.filter(|chunk| !there.contains(&chunk.hash)) {
            if context.is_stopping() {
                return Err(JobError::retry("the server is stopping"));
            }
            vault::bring_chunk(from, to, volume, chunk, throttle.as_deref()).await?;
            context.metrics.replicated_chunks.inc();
            brought += 1;
        }
    }
    Ok(brought)
}
