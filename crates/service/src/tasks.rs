//! Every background task of a node. Adding one is its file and its line here.
use std::sync::Arc;

use catalog::CatalogError;
use tokio::task::JoinHandle;

use crate::{
    audit_trail::keeper::AuditKeeper,
    background::{report::Report, spawn},
    backup_jobs::{BackupJobs, drills::Drills},
    backup_replication::BackupReplication,
    backups::schedule::AutomatedBackups,
    clusters::{
        handover_keeper::HandoverKeeper, parameters::ParameterKeeper, supervise::Supervisor,
        upkeep::ClusterUpkeep,
    },
    context::ServiceContext,
    events::{transport::WebhookTransport, webhooks},
    jobs::runner::Runner,
    logs::keeper::LogKeeper,
    nodes::membership::Heartbeat,
    record_log::RecordLog,
    secrets::rotation::SecretRotation,
    sweep::{
        GarbageCollection, checkpoints::Checkpoints, key_rotation::KeyRotation,
        ownership::VaultOwnership, prune::Prune, recovery_points::RecoveryPointExpiry,
        retention::ObjectRetention,
    },
};

/// Begins them all; each ends with the process.
///
/// # Errors
/// When the catalog does not answer.
pub(crate) async fn begin(
    context: &Arc<ServiceContext>,
    incarnation: &str,
    webhook_transport: &Arc<dyn WebhookTransport>,
) -> Result<Vec<JoinHandle<()>>, CatalogError> {
    let owner = format!("{}/{incarnation}", context.settings.node);
    let mut tasks = vec![
        spawn(context, Supervisor::default()),
        spawn(context, ParameterKeeper::default()),
        spawn(context, ClusterUpkeep),
        spawn(context, SecretRotation),
        spawn(context, LogKeeper::default()),
        spawn(context, Runner::new(owner)),
        spawn(context, RecordLog::default()),
        spawn(context, Checkpoints),
        spawn(context, VaultOwnership),
        spawn(context, GarbageCollection::default()),
        spawn(context, Prune::default()),
        spawn(context, KeyRotation),
        spawn(context, RecoveryPointExpiry),
        spawn(context, ObjectRetention::default()),
        spawn(context, BackupJobs),
        spawn(context, AuditKeeper::default()),
        spawn(context, Drills),
        spawn(context, Report::default()),
    ];
    if !context.settings.no_automated_backups {
        tasks.push(spawn(context, AutomatedBackups::default()));
        tasks.push(spawn(context, BackupReplication::default()));
    }
    // Only nodes that share a catalog have others to tell that they live.
    if context.settings.membership.is_some() {
        tasks.push(spawn(context, Heartbeat::of(incarnation)));
        tasks.push(spawn(context, HandoverKeeper::default()));
    }
    for route in webhooks::routes(context, webhook_transport).await? {
        tasks.push(spawn(context, route));
    }
    Ok(tasks)
}
