//! Looks at the logs of clusters in the vaults: each chunk is what its name says, and each follows the
//! one before, from the first snapshot on that one is needed for.
//!
//! It does not know how what is wrong is told.
use std::collections::VecDeque;

use catalog::{CatalogExt, Tx, clusters as rows, retained_backups};
use model::{Cluster, Hash, LogPlace, Region};
use uuid::Uuid;
use vault::{Chain, ChainError, ChunkEntry, Vault, VaultError};

use super::{JobError, run::Run};
use crate::{
    logs::bases,
    verify::{Affected, Finding, Report},
};

/// Clusters listed at once.
const PAGE: usize = 100;

/// Looks at the logs of all clusters that were asked for, and of retained backups.
pub(super) async fn verify(run: &Run, report: &mut Report) -> Result<(), JobError> {
    if report.ask.snapshot.is_some() {
        return Ok(());
    }
    for region in run.context.vaults.regions() {
        if report.ask.region.as_ref().is_some_and(|one| *one != region) {
            continue;
        }
        let vault = run.context.vaults.get(&region)?;
        let mut after: Option<Cluster> = None;
        loop {
            let (at, behind) = (region.clone(), after.take());
            let read = run
                .context
                .catalog
                .read(move |tx| rows::of_region(tx, &at, behind.as_ref(), PAGE));
            let page = read.await?;
            let Some(last) = page.last() else { break };
            after = Some(last.value.clone());
            for stored in page {
                let cluster = stored.value;
                let asked = report.ask.account.as_ref();
                if asked.is_none_or(|one| *one == cluster.account) {
                    of_cluster(run, &vault, &region, &cluster, report).await?;
                }
            }
        }
        let at = region.clone();
        let read = move |tx: &mut dyn Tx| retained_backups::of_region(tx, &at);
        for stored in run.context.catalog.read(read).await? {
            let mut cluster = stored.value.cluster;
            // Nothing is told of a stream whose first snapshot is still being brought.
            cluster.logs.retain(|stream| stream.latest.is_some());
            let asked = report.ask.account.as_ref();
            if asked.is_none_or(|one| *one == cluster.account) {
                of_cluster(run, &vault, &region, &cluster, report).await?;
            }
        }
    }
    Ok(())
}

async fn of_cluster(
    run: &Run,
    vault: &Vault,
    region: &Region,
    cluster: &Cluster,
    report: &mut Report,
) -> Result<(), JobError> {
    if cluster.logs.is_empty() {
        return Ok(());
    }
    for stream in &cluster.logs {
        match way(run, vault, cluster, stream.id, None).await? {
            Ok(chunks) => links(run, vault, region, cluster, chunks, report).await?,
            Err(error) => {
                let why = error.to_string();
                tell(run, region, cluster, Hash([0; 32]), why, report);
            }
        }
    }
    Ok(())
}

/// The chunks that are to follow one another in a stream, from the first snapshot on that it is needed
/// for, or from a later place; none when there is no such snapshot yet.
async fn way(
    run: &Run,
    vault: &Vault,
    cluster: &Cluster,
    stream: Uuid,
    from: Option<LogPlace>,
) -> Result<Result<VecDeque<ChunkEntry>, ChainError>, JobError> {
    let asked = cluster.clone();
    let read = run
        .context
        .catalog
        .read(move |tx| bases::of_cluster(tx, &asked));
    let bases = read.await?;
    let (days, now) = (cluster.backup_retention_days, run.context.now());
    // Without a snapshot it leads nowhere yet.
    let Some(base) = bases::first_needed(&bases, stream, days, now) else {
        return Ok(Ok(VecDeque::new()));
    };
    let from = from.map_or(base.in_log.start, |from| from.max(base.in_log.start));
    let all = vault::chunks(vault, &cluster.volume, &cluster.resource_id).await?;
    Ok(Chain::of(&all, stream, from).map(|chain| chain.chunks().to_vec().into()))
}

/// Looks at chunks that are to follow one another.
async fn links(
    run: &Run,
    vault: &Vault,
    region: &Region,
    cluster: &Cluster,
    mut chunks: VecDeque<ChunkEntry>,
    report: &mut Report,
) -> Result<(), JobError> {
    let mut before = None;
    while let Some(chunk) = chunks.pop_front() {
        if run.progress.is_stopping() {
            return Err(JobError::Stopping);
        }
        match vault::check_chunk(vault, &cluster.volume, &chunk).await {
            Ok(head) => {
                let link = before.as_ref().map(|(head, hash)| (head, *hash));
                let linked: Result<(), ChainError> = Chain::check_link(link, (&head, chunk.hash));
                if let Err(error) = linked {
                    tell(run, region, cluster, chunk.hash, error.to_string(), report);
                }
                before = Some((head, chunk.hash));
                report.objects += 1;
                report.bytes += chunk.size;
            }
            Err(
                error @ (VaultError::Missing { .. }
                | VaultError::Damaged { .. }
                | VaultError::Format { .. }),
            ) => {
                before = None;
                // It may have been joined, or be needed no longer, since it was listed.
                let now = way(run, vault, cluster, chunk.stream, Some(chunk.start)).await?;
                match now {
                    Ok(now) if now.front().is_none_or(|one| one.path != chunk.path) => chunks = now,
                    _ => {
                        let why = crate::fault::chain(&error);
                        tell(run, region, cluster, chunk.hash, why, report);
                    }
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn tell(
    run: &Run,
    region: &Region,
    cluster: &Cluster,
    hash: Hash,
    why: String,
    report: &mut Report,
) {
    run.context.vaults.damage.found();
    tracing::warn!(%region, cluster = %cluster.name, %hash, why, "damage in the log of a cluster");
    let affected = Affected {
        account: cluster.account.clone(),
        name: cluster.name.to_string(),
        arn: cluster.arn(),
    };
    report.add(Finding::of_log(
        region,
        &cluster.volume,
        hash,
        affected,
        why,
    ));
}
