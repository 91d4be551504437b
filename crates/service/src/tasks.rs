//! Every background task of a node. Adding one is its file and its line here.
use std::sync::Arc;

use catalog::CatalogError;
use tokio::task::JoinHandle;

use crate::{
    background::{report::Report, spawn},
    clusters::supervise::Supervisor,
    core::Core,
    events::{transport::WebhookTransport, webhooks},
    jobs::runner::Runner,
    nodes::membership::Heartbeat,
    record_log::RecordLog,
    sweep::{
        GarbageCollection, checkpoints::Checkpoints, key_rotation::KeyRotation,
        ownership::VaultOwnership, prune::Prune,
    },
};

/// Begins them all; each ends with the process.
///
/// # Errors
/// When the catalog does not answer.
pub(crate) async fn begin(
    core: &Arc<Core>,
    incarnation: &str,
    webhook_transport: &Arc<dyn WebhookTransport>,
) -> Result<Vec<JoinHandle<()>>, CatalogError> {
    let owner = format!("{}/{incarnation}", core.settings.node);
    let mut tasks = vec![
        spawn(core, Supervisor::default()),
        spawn(core, Runner::new(owner)),
        spawn(core, RecordLog::default()),
        spawn(core, Checkpoints),
        spawn(core, VaultOwnership),
        spawn(core, GarbageCollection::default()),
        spawn(core, Prune::default()),
        spawn(core, KeyRotation),
        spawn(core, Report::default()),
    ];
    // Only nodes that share a catalog have others to tell that they live.
    if core.settings.membership.is_some() {
        tasks.push(spawn(core, Heartbeat::of(incarnation)));
    }
    for route in webhooks::routes(core, webhook_transport).await? {
        tasks.push(spawn(core, route));
    }
    Ok(tasks)
}
