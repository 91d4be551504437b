//! Which of the nodes that share a catalog does what one of them is enough for.
use catalog::{CatalogError, CatalogExt, nodes};
use model::limits;

use crate::context::ServiceContext;

/// Whether this node does: with a catalog of its own, always.
pub(crate) async fn is_leader(context: &ServiceContext) -> Result<bool, CatalogError> {
    if context.settings.membership.is_none() {
        return Ok(true);
    }
    let first = context
        .catalog
        .read(|tx| nodes::first_alive(tx, limits::NODE_SILENCE))
        .await?;
    Ok(first.as_ref() == Some(&context.settings.node))
}
