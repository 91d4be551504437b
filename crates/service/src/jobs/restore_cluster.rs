//! Makes a cluster from a snapshot: the files beside everything else, the engine's recovery,
//! and last the commit that makes it visible.
use catalog::{CatalogExt, tombstones};
use model::{Content, ResourceId};
use serde::{Deserialize, Serialize};

use super::{JobError, Run, create_cluster};
use crate::{
    clusters::{addresses, files},
    keys::KeyUser,
    verify,
};

/// The job's document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Body {
    /// The cluster to be.
    pub cluster: ResourceId,
    /// The snapshot's content; its data key is wrapped under the new cluster's key.
    pub content: Content,
}

pub(super) async fn run(run: &Run) -> Result<(), JobError> {
    let body: Body = run.body()?;
    let core = &run.core;
    let cluster = run.cluster(&body.cluster).await?;
    let place = run.fresh_place(&cluster).await?;
    run.clear_other_attempts(&cluster, &place).await?;
    let place = addresses::secure(core, &cluster, place).await?;
    let home = files::home(core, &cluster, &place);
    run.make_way(&home).await?;
    let user = KeyUser::rds(&cluster.account, &cluster.region);
    let data_key = match &body.content.wrapped_key {
        Some(wrapped) => Some(core.keys.unwrap(&user, wrapped).await?),
        None => None,
    };
    let (content, source) = (body.content.clone(), body.content.clone());
    let (region, prefix) = (
        cluster.region.clone(),
        format!("volumes/{}/", content.volume),
    );
    let absent = core
        .catalog
        .read(move |tx| tombstones::list(tx, &region, &prefix))
        .await?;
    let vault = core.vaults.get(&cluster.region)?;
    let (folder, meter) = (home.dir.clone(), run.meter.clone());
    let restored = tokio::task::spawn_blocking(move || {
        files::make_passage(&folder).map_err(|error| {
            JobError::retry(format!("{} cannot be made: {error}", folder.display()))
        })?;
        let into = folder.join("data");
        let content = body.content;
        let restored = vault::restore(
            &vault,
            &content.volume,
            content.manifest,
            data_key.as_ref(),
            &absent,
            &into,
            &*meter,
        );
        Ok::<_, JobError>(restored)
    })
    .await
    .map_err(|error| JobError::retry(format!("the restore ended early: {error}")))??;
    let restored = match restored {
        Ok(restored) => restored,
        Err(error) => return Err(verify::mend_snapshot(run, &cluster.region, &source, error).await),
    };
    // A server recovers from what may be hostile content: that is its own work.
    let engine = core.engine_of(&cluster)?;
    let load = engine.load(&home, &restored.engine_document);
    run.place.waiting(load).await?;
    create_cluster::commit(run, cluster.resource_id, place).await
}
