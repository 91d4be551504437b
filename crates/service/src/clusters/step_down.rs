//! Ends a server that still takes writes though another one has taken its place.
//!
//! It does not know how that came about.
use std::time::Duration;

use catalog::instances::Member;

use super::files::home;
use crate::{context::ServiceContext, jobs::JobError};

/// Tells the end of a writer in one term from others.
pub(super) fn token(term: u64) -> String {
    format!("term-{term}")
}

/// Ends this node's server if it takes writes that are another's by now: it comes back as a reader, without
/// what no client was told of. The caller holds its turn, and has read the records in it.
///
/// # Errors
/// The engine's.
pub(crate) async fn step_down(context: &ServiceContext, member: &Member) -> Result<(), JobError> {
    let Member { cluster, instance } = member;
    let Some(spread) = &cluster.spread else {
        return Ok(());
    };
    let home = home(context, cluster, &instance.placement);
    let engine = context.engine_of(cluster)?;
    if !instance.is_writer() && engine.took_writes(&home).await? {
        tracing::warn!(cluster = %cluster.name, instance = %instance.id.as_str(), "another instance takes the writes by now, so this one is ended");
        engine
            .fence(&home, &token(spread.term), Duration::ZERO)
            .await?;
    }
    Ok(())
}
