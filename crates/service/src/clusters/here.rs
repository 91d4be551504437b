//! The clusters that this node sees to: those whose files it has.
use catalog::{
    CatalogError, CatalogExt, Stored, Tx, clusters as rows,
    instances::{self, Member},
};
use model::{Cluster, ResourceId, Timestamp};

use crate::context::ServiceContext;

/// Every instance whose files this node has, with its cluster.
///
/// # Errors
/// The catalog's.
pub async fn members(context: &ServiceContext) -> Result<Vec<Member>, CatalogError> {
    let node = context.settings.node.clone();
    let listed = context
        .catalog
        .read(move |tx| instances::on_node(tx, &node));
    listed.await
}

/// Those of them for whose clusters something is due.
///
/// # Errors
/// The catalog's.
pub(crate) async fn due(
    context: &ServiceContext,
    is_due: fn(&Cluster, Timestamp) -> bool,
) -> Result<Vec<Member>, CatalogError> {
    let node = context.settings.node.clone();
    let listed = context.catalog.read(move |tx| {
        let now = tx.now();
        let mut found = instances::on_node(tx, &node)?;
        found.retain(|member| is_due(&member.cluster, now));
        Ok::<_, CatalogError>(found)
    });
    listed.await
}

/// A cluster while something is due for it, in the transaction that does it.
///
/// # Errors
/// The catalog's.
pub(crate) fn still_due(
    tx: &mut dyn Tx,
    id: &ResourceId,
    is_due: fn(&Cluster, Timestamp) -> bool,
) -> Result<Option<Stored<Cluster>>, CatalogError> {
    let now = tx.now();
    let stored = rows::get_by_resource_id(tx, id)?;
    Ok(stored.filter(|stored| is_due(&stored.value, now)))
}
