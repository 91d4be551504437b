//! The events of clusters and snapshots: which there are, and their sentences.
//!
//! Sources: "Amazon RDS event categories and event messages" (Aurora User Guide) for the ids
//! that begin with RDS. What happens to a cluster snapshot's copy is no event there; those ids
//! begin with SNAPFERRY, so that they can never be taken for one of RDS's.
//!
//! An event is kept in the transaction of what it tells of: neither is there without the other.
use catalog::{
    CatalogError, Tx,
    events::{self, Event},
};
use model::{
    Account, Arn, ArnKind, Cluster, Drill, Instance, InstanceName, Region, Snapshot, SnapshotKind,
    SnapshotStatus, Told, ValidationStatus,
};

/// The source type of clusters.
pub const CLUSTER: &str = "db-cluster";
/// The source type of cluster snapshots.
pub const SNAPSHOT: &str = "db-cluster-snapshot";

/// The source type of instances.
pub const INSTANCE: &str = "db-instance";

/// The source type of a node's audit log. RDS has none like it, so that webhooks alone tell of it.
pub const AUDIT_LOG: &str = "audit-log";

/// A kind of event.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its id.
    pub id: &'static str,
    /// The source type.
    pub source: &'static str,
    /// Its category.
    pub category: &'static str,
    /// What it tells, for the reference.
    pub tells: &'static str,
}

const fn kind(
    id: &'static str,
    source: &'static str,
    category: &'static str,
    tells: &'static str,
) -> Kind {
    Kind {
        id,
        source,
        category,
        tells,
    }
}

macro_rules! kinds {
    ($($name:ident: $id:literal, $source:expr, $category:literal, $tells:literal;)*) => {
        $(const $name: Kind = kind($id, $source, $category, $tells);)*
        /// Every kind there is.
        pub const ALL: &[Kind] = &[$($name,)*];
    };
}

kinds! {
    SNAPSHOT_CREATING: "RDS-EVENT-0074", SNAPSHOT, "backup", "Creating manual cluster snapshot.";
    SNAPSHOT_CREATED: "RDS-EVENT-0075", SNAPSHOT, "backup", "Manual cluster snapshot created.";
    AUTOMATED_CREATING: "RDS-EVENT-0168", SNAPSHOT, "backup", "Creating automated cluster snapshot.";
    AUTOMATED_CREATED: "RDS-EVENT-0169", SNAPSHOT, "backup", "Automated cluster snapshot created.";
    COPY_STARTED: "SNAPFERRY-EVENT-0001", SNAPSHOT, "notification", "Cluster snapshot copy started.";
    COPY_FINISHED: "SNAPFERRY-EVENT-0002", SNAPSHOT, "notification", "Cluster snapshot copy finished.";
    COPY_FAILED: "SNAPFERRY-EVENT-0003", SNAPSHOT, "failure", "Cluster snapshot copy failed.";
    COPY_CANCELED: "SNAPFERRY-EVENT-0004", SNAPSHOT, "notification", "Cluster snapshot copy canceled.";
    SNAPSHOT_DELETED: "SNAPFERRY-EVENT-0005", SNAPSHOT, "deletion", "Cluster snapshot deleted.";
    SNAPSHOT_FAILED: "SNAPFERRY-EVENT-0006", SNAPSHOT, "failure", "Cluster snapshot creation failed.";
    RESTORE_TEST_PASSED: "SNAPFERRY-EVENT-0050", SNAPSHOT, "notification", "Restore test of the cluster snapshot passed.";
    RESTORE_TEST_FAILED: "SNAPFERRY-EVENT-0051", SNAPSHOT, "failure", "Restore test of the cluster snapshot failed.";
    CLUSTER_CREATED: "RDS-EVENT-0170", CLUSTER, "creation", "DB cluster created.";
    CLUSTER_DELETED: "RDS-EVENT-0171", CLUSTER, "deletion", "DB cluster deleted.";
    CLUSTER_FAILED: "SNAPFERRY-EVENT-0007", CLUSTER, "failure", "DB cluster creation failed.";
    SNAPSHOT_DAMAGED: "SNAPFERRY-EVENT-0009", SNAPSHOT, "failure", "Cluster snapshot is damaged in the vault.";
    CLUSTER_MOVED: "SNAPFERRY-EVENT-0011", CLUSTER, "notification", "DB cluster has a new address.";
    SNAPSHOT_LEFT_OUT: "SNAPFERRY-EVENT-0012", SNAPSHOT, "notification", "Cluster snapshot leaves out what is no file of the database.";
    CLUSTER_RECLAIMED: "SNAPFERRY-EVENT-0013", CLUSTER, "notification", "DB cluster's address was taken back.";
    CLUSTER_DOWN: "SNAPFERRY-EVENT-0018", CLUSTER, "failure", "DB cluster's database is not kept running.";
    CLUSTER_LOST: "SNAPFERRY-EVENT-0010", CLUSTER, "failure", "DB cluster is lost.";
    FAILOVER_FAILED: "RDS-EVENT-0069", CLUSTER, "failover", "Cluster failover failed, check the health of your cluster instances and try again.";
    FAILED_OVER: "RDS-EVENT-0071", CLUSTER, "failover", "Completed failover to DB instance";
    FAILOVER_STARTED: "RDS-EVENT-0073", CLUSTER, "failover", "Started cross AZ failover to DB instance";
    INSTANCE_CREATED: "RDS-EVENT-0005", INSTANCE, "creation", "DB instance created.";
    INSTANCE_DELETED: "RDS-EVENT-0003", INSTANCE, "deletion", "DB instance deleted.";
    INSTANCE_RESTARTED: "RDS-EVENT-0006", INSTANCE, "availability", "DB instance restarted.";
    INSTANCE_FAILED: "SNAPFERRY-EVENT-0014", INSTANCE, "failure", "DB instance creation failed.";
    PASSWORD_RESET: "RDS-EVENT-0016", CLUSTER, "configuration change", "Reset master credentials.";
    CLUSTER_STOPPED: "RDS-EVENT-0150", CLUSTER, "notification", "DB cluster stopped.";
    CLUSTER_STARTED: "RDS-EVENT-0151", CLUSTER, "notification", "DB cluster started.";
    STOP_FAILED: "RDS-EVENT-0152", CLUSTER, "notification", "DB cluster stop failed.";
    STOPPED_TOO_LONG: "RDS-EVENT-0153", CLUSTER, "notification", "DB cluster is being started due to it exceeding the maximum allowed time being stopped.";
    CLUSTER_RENAMED: "RDS-EVENT-0172", CLUSTER, "notification", "Renamed cluster.";
    CLUSTER_UPGRADED: "RDS-EVENT-0173", CLUSTER, "maintenance", "Database cluster engine version has been upgraded.";
    CLUSTER_RESTARTED: "SNAPFERRY-EVENT-0017", CLUSTER, "notification", "DB cluster restarted.";
    PORT_CHANGED: "SNAPFERRY-EVENT-0015", CLUSTER, "configuration change", "DB cluster has another port.";
    CHANGE_FAILED: "SNAPFERRY-EVENT-0016", CLUSTER, "failure", "DB cluster modification failed.";
    PARAMETERS_REFUSED: "SNAPFERRY-EVENT-0030", CLUSTER, "failure", "DB cluster does not start with its parameters.";
    BACKUP_FAILED: "SNAPFERRY-EVENT-0031", CLUSTER, "failure", "Automated backup of the DB cluster failed.";
    LOG_STALLED: "SNAPFERRY-EVENT-0040", CLUSTER, "failure", "DB cluster's log does not get to the vault.";
    LOG_RESUMED: "SNAPFERRY-EVENT-0041", CLUSTER, "notification", "DB cluster's log gets to the vault again.";
    LOG_GAP: "SNAPFERRY-EVENT-0042", CLUSTER, "failure", "DB cluster's log has a gap.";
    REPLICATION_STALLED: "SNAPFERRY-EVENT-0043", CLUSTER, "failure", "DB cluster's backups do not get to the other region.";
    REPLICATION_RESUMED: "SNAPFERRY-EVENT-0044", CLUSTER, "notification", "DB cluster's backups get to the other region again.";
    RECORDS_FAIL: "SNAPFERRY-EVENT-0060", AUDIT_LOG, "failure", "Records of who changed what cannot be written.";
    RECORDS_RESUMED: "SNAPFERRY-EVENT-0061", AUDIT_LOG, "notification", "Records of who changed what are written again.";
    DELETION_FAILED: "SNAPFERRY-EVENT-0008", CLUSTER, "failure", "DB cluster deletion failed.";
}

/// The category of an event's kind; none of an id that there is not.
pub(super) fn category_of(event_id: &str) -> Option<&'static str> {
    let kind = ALL.iter().find(|kind| kind.id == event_id)?;
    Some(kind.category)
}

/// The categories that a source type's events have, by name.
pub fn categories(source: &str) -> Vec<&'static str> {
    let mut found: Vec<_> = ALL
        .iter()
        .filter(|kind| kind.source == source)
        .map(|kind| kind.category)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn keep_snapshots(
    tx: &mut dyn Tx,
    snapshot: &Snapshot,
    kind: &Kind,
    message: String,
) -> Result<(), CatalogError> {
    let event = Event {
        region: snapshot.region.clone(),
        account: snapshot.account.clone(),
        source_type: kind.source.to_owned(),
        source_id: snapshot.name.to_string(),
        source_arn: snapshot.arn(),
        categories: vec![kind.category.to_owned()],
        message,
        event_id: kind.id.to_owned(),
        at: tx.now(),
    };
    events::insert(tx, &event)
}

/// A node's audit log takes no records, for a reason, or takes them again, but for some that were left
/// out. The event is the deployment's own account's.
pub(crate) fn audit_log(
    tx: &mut dyn Tx,
    (region, account): (&Region, &Account),
    node: &str,
    stands: Result<u64, &Told>,
) -> Result<(), CatalogError> {
    let (kind, message) = match stands {
        Err(reason) => (&RECORDS_FAIL, with_reason(&RECORDS_FAIL, reason)),
        Ok(0) => {
            let all = Told::new("all that waited are there");
            (&RECORDS_RESUMED, with_reason(&RECORDS_RESUMED, &all))
        }
        Ok(lost) => {
            let some = Told::answered(format!("{lost} of them were left out"));
            (&RECORDS_RESUMED, with_reason(&RECORDS_RESUMED, &some))
        }
    };
    let event = Event {
        region: region.clone(),
        account: account.clone(),
        source_type: kind.source.to_owned(),
        source_id: node.to_owned(),
        source_arn: Arn::rds(region, account, "audit-log", node),
        // With any, DescribeEvents would answer a source type that RDS's clients do not know.
        categories: Vec::new(),
        message,
        event_id: kind.id.to_owned(),
        at: tx.now(),
    };
    events::insert(tx, &event)
}

/// A restore test of a recovery point is over. The recovery point may be gone by then.
pub(crate) fn restore_tested(tx: &mut dyn Tx, drill: &Drill) -> Result<(), CatalogError> {
    let kind = match drill.outcome() {
        Some(ValidationStatus::Successful) => &RESTORE_TEST_PASSED,
        _ => &RESTORE_TEST_FAILED,
    };
    let said = drill.validation.as_ref();
    let why = said.and_then(|said| said.message.as_deref()).unwrap_or("");
    // Whoever keeps the events elsewhere can tell when receipts are missing.
    let receipt = drill.receipt.as_ref().map_or_else(String::new, |signed| {
        format!(
            "Its receipt is number {} (SHA-256 {}).",
            signed.number, signed.sha256
        )
    });
    let mut told = vec![kind.tells, why, &receipt];
    told.retain(|part| !part.is_empty());
    let name = drill.point.locate(ArnKind::ClusterSnapshot);
    let event = Event {
        region: drill.region.clone(),
        account: drill.account.clone(),
        source_type: kind.source.to_owned(),
        source_id: name.map_or("", |located| located.name).to_owned(),
        source_arn: drill.point.clone(),
        categories: vec![kind.category.to_owned()],
        message: told.join(" "),
        event_id: kind.id.to_owned(),
        at: tx.now(),
    };
    events::insert(tx, &event)
}

fn keep_clusters(
    tx: &mut dyn Tx,
    cluster: &Cluster,
    kind: &Kind,
    message: String,
) -> Result<(), CatalogError> {
    let event = Event {
        region: cluster.region.clone(),
        account: cluster.account.clone(),
        source_type: kind.source.to_owned(),
        source_id: cluster.name.to_string(),
        source_arn: cluster.arn(),
        categories: vec![kind.category.to_owned()],
        message,
        event_id: kind.id.to_owned(),
        at: tx.now(),
    };
    events::insert(tx, &event)
}

/// "Cluster snapshot copy finished: the source is ARN."
fn of_copy(kind: &Kind, snapshot: &Snapshot) -> String {
    match &snapshot.source {
        Some(source) => format!(
            "{}: the source is {source}.",
            kind.tells.trim_end_matches('.')
        ),
        None => kind.tells.to_owned(),
    }
}

fn with_reason(kind: &Kind, reason: &Told) -> String {
    format!(
        "{}: {}.",
        kind.tells.trim_end_matches('.'),
        reason.as_str().trim_end_matches('.')
    )
}

/// A snapshot's record was made, or has come to its end: what its state tells.
///
/// # Errors
/// The catalog's.
pub fn snapshot_is(tx: &mut dyn Tx, snapshot: &Snapshot) -> Result<(), CatalogError> {
    let automated = snapshot.kind == SnapshotKind::Automated;
    let is_copy = snapshot.source.is_some();
    let kind = match (snapshot.status, is_copy, automated) {
        (SnapshotStatus::Creating, _, false) => &SNAPSHOT_CREATING,
        (SnapshotStatus::Creating, _, true) => &AUTOMATED_CREATING,
        (SnapshotStatus::Copying, ..) => &COPY_STARTED,
        (SnapshotStatus::Available, true, _) => &COPY_FINISHED,
        (SnapshotStatus::Available, false, false) => &SNAPSHOT_CREATED,
        (SnapshotStatus::Available, false, true) => &AUTOMATED_CREATED,
        (SnapshotStatus::Failed, true, _) => &COPY_FAILED,
        (SnapshotStatus::Failed, false, _) => &SNAPSHOT_FAILED,
    };
    let message = match (&snapshot.failure, is_copy) {
        (Some(reason), _) => with_reason(kind, reason),
        (None, true) => of_copy(kind, snapshot),
        (None, false) => kind.tells.to_owned(),
    };
    keep_snapshots(tx, snapshot, kind, message)
}

/// A snapshot's record was deleted; what it was when that happened tells whether a copy ended.
///
/// # Errors
/// The catalog's.
pub fn snapshot_gone(tx: &mut dyn Tx, snapshot: &Snapshot) -> Result<(), CatalogError> {
    if snapshot.status == SnapshotStatus::Copying {
        let message = of_copy(&COPY_CANCELED, snapshot);
        return keep_snapshots(tx, snapshot, &COPY_CANCELED, message);
    }
    let message = SNAPSHOT_DELETED.tells.to_owned();
    keep_snapshots(tx, snapshot, &SNAPSHOT_DELETED, message)
}

/// A verification found that a snapshot cannot be restored as it is.
///
/// # Errors
/// The catalog's.
pub fn snapshot_damaged(
    tx: &mut dyn Tx,
    snapshot: &Snapshot,
    reason: &Told,
) -> Result<(), CatalogError> {
    let message = with_reason(&SNAPSHOT_DAMAGED, reason);
    keep_snapshots(tx, snapshot, &SNAPSHOT_DAMAGED, message)
}

/// A snapshot was taken without things that lay among the database's files.
///
/// # Errors
/// The catalog's.
pub fn snapshot_left_out(
    tx: &mut dyn Tx,
    snapshot: &Snapshot,
    paths: &[String],
) -> Result<(), CatalogError> {
    // The cluster's owner named them.
    let names: Vec<String> = paths
        .iter()
        .map(|path| path.chars().take(100).collect::<String>())
        .map(|path| path.escape_default().to_string())
        .collect();
    let kind = &SNAPSHOT_LEFT_OUT;
    let message = format!(
        "{}: {}.",
        kind.tells.trim_end_matches('.'),
        names.join(", ")
    );
    keep_snapshots(tx, snapshot, kind, message)
}

/// What can be told of a cluster.
#[derive(Debug, Clone, Copy)]
pub enum OfCluster<'a> {
    /// It is available for the first time.
    Created,
    /// It could not be made.
    Failed(&'a Told),
    /// It is gone.
    Deleted,
    /// Its files are gone, and so is its record.
    Lost(&'a Told),
    /// Another program has its address and port, so it was given others.
    Moved {
        /// What it had.
        from: (&'a str, u16),
        /// What it has.
        to: (&'a str, u16),
    },
    /// A program of another cluster's user had its address and port, and was ended.
    Reclaimed(&'a str, u16),
    /// Its database cannot be started, or not be told from others.
    Down(&'a Told),
    /// Its server did not start with the parameters that were chosen.
    ParametersRefused(&'a Told),
    /// No automated snapshot of it can be taken.
    BackupFailed(&'a Told),
    /// It could not be deleted, and is kept.
    DeletionFailed(&'a Told),
    /// That instance is about to take its writes.
    FailoverStarted(&'a Instance),
    /// That instance takes its writes.
    FailedOver(&'a Instance),
    /// No other instance takes its writes, and why.
    FailoverFailed(&'a Told),
    /// Its master user has another password.
    PasswordReset,
    /// Its server was stopped.
    Stopped,
    /// Its server was started again.
    Started,
    /// Its server could not be stopped.
    StopFailed,
    /// It was stopped for so long that it is being started.
    StoppedTooLong,
    /// It had this name before.
    Renamed(&'a str),
    /// Its server has another version.
    Upgraded,
    /// Its server was started anew.
    Restarted,
    /// It listens at another port, as was asked for.
    PortChanged {
        /// What it had.
        from: u16,
        /// What it has.
        to: u16,
    },
    /// What was asked for could not be done.
    ChangeFailed(&'a Told),
    /// Its log does not get to the vault.
    LogStalled(&'a Told),
    /// It does again.
    LogResumed,
    /// Part of its log is not kept.
    LogGap(&'a Told),
    /// Its backups do not get to the other region.
    ReplicationStalled(&'a Told),
    /// They do again.
    ReplicationResumed,
}

/// What can be told of an instance.
#[derive(Debug, Clone, Copy)]
pub enum OfInstance<'a> {
    /// It is available for the first time.
    Created,
    /// It could not be made.
    Failed(&'a Told),
    /// It was stopped and started.
    Restarted,
    /// It is gone.
    Deleted,
}

/// Tells what happened to an instance; nothing of one that has no name.
///
/// # Errors
/// The catalog's.
pub fn instance(
    tx: &mut dyn Tx,
    instance: &Instance,
    told: OfInstance<'_>,
) -> Result<(), CatalogError> {
    let Some(name) = &instance.name else {
        return Ok(());
    };
    let (kind, message) = match told {
        OfInstance::Created => (&INSTANCE_CREATED, INSTANCE_CREATED.tells.to_owned()),
        OfInstance::Failed(reason) => (&INSTANCE_FAILED, with_reason(&INSTANCE_FAILED, reason)),
        OfInstance::Restarted => (&INSTANCE_RESTARTED, INSTANCE_RESTARTED.tells.to_owned()),
        OfInstance::Deleted => (&INSTANCE_DELETED, INSTANCE_DELETED.tells.to_owned()),
    };
    let event = Event {
        region: instance.region.clone(),
        account: instance.account.clone(),
        source_type: kind.source.to_owned(),
        source_id: name.to_string(),
        source_arn: instance.arn(),
        categories: vec![kind.category.to_owned()],
        message,
        event_id: kind.id.to_owned(),
        at: tx.now(),
    };
    events::insert(tx, &event)
}

fn with_name(kind: &Kind, instance: &Instance) -> String {
    let name = instance.name.as_ref().map(InstanceName::as_str);
    format!("{}: {}", kind.tells, name.unwrap_or(instance.id.as_str()))
}

/// Tells what happened to a cluster.
///
/// # Errors
/// The catalog's.
pub fn cluster(
    tx: &mut dyn Tx,
    cluster: &Cluster,
    told: OfCluster<'_>,
) -> Result<(), CatalogError> {
    let as_it_is = |kind: &'static Kind| (kind, kind.tells.to_owned());
    let (kind, message) = match told {
        OfCluster::Created => as_it_is(&CLUSTER_CREATED),
        OfCluster::Deleted => as_it_is(&CLUSTER_DELETED),
        OfCluster::PasswordReset => as_it_is(&PASSWORD_RESET),
        OfCluster::Stopped => as_it_is(&CLUSTER_STOPPED),
        OfCluster::Started => as_it_is(&CLUSTER_STARTED),
        OfCluster::StopFailed => as_it_is(&STOP_FAILED),
        OfCluster::StoppedTooLong => as_it_is(&STOPPED_TOO_LONG),
        OfCluster::Upgraded => as_it_is(&CLUSTER_UPGRADED),
        OfCluster::Restarted => as_it_is(&CLUSTER_RESTARTED),
        OfCluster::Renamed(before) => (
            &CLUSTER_RENAMED,
            format!("Renamed cluster from {before} to {}.", cluster.name),
        ),
        OfCluster::PortChanged { from, to } => {
            let reason = Told::answered(format!("{to} instead of {from}"));
            (&PORT_CHANGED, with_reason(&PORT_CHANGED, &reason))
        }
        OfCluster::ChangeFailed(reason) => (&CHANGE_FAILED, with_reason(&CHANGE_FAILED, reason)),
        OfCluster::Failed(reason) => (&CLUSTER_FAILED, with_reason(&CLUSTER_FAILED, reason)),
        OfCluster::LogStalled(reason) => (&LOG_STALLED, with_reason(&LOG_STALLED, reason)),
        OfCluster::LogResumed => (&LOG_RESUMED, LOG_RESUMED.tells.to_owned()),
        OfCluster::LogGap(reason) => (&LOG_GAP, with_reason(&LOG_GAP, reason)),
        OfCluster::ReplicationStalled(reason) => (
            &REPLICATION_STALLED,
            with_reason(&REPLICATION_STALLED, reason),
        ),
        OfCluster::ReplicationResumed => as_it_is(&REPLICATION_RESUMED),
        OfCluster::Down(reason) => (&CLUSTER_DOWN, with_reason(&CLUSTER_DOWN, reason)),
        OfCluster::Lost(reason) => (&CLUSTER_LOST, with_reason(&CLUSTER_LOST, reason)),
        OfCluster::Moved { from, to } => {
            let reason = format!(
                "{}, port {}, because another program has {}, port {}",
                to.0, to.1, from.0, from.1
            );
            let reason = Told::answered(reason);
            (&CLUSTER_MOVED, with_reason(&CLUSTER_MOVED, &reason))
        }
        OfCluster::Reclaimed(host, port) => {
            let reason = format!(
                "a program of another cluster had {host}, port {port}, when the server was to start, and was ended"
            );
            let reason = Told::answered(reason);
            (&CLUSTER_RECLAIMED, with_reason(&CLUSTER_RECLAIMED, &reason))
        }
        OfCluster::FailoverStarted(to) => (&FAILOVER_STARTED, with_name(&FAILOVER_STARTED, to)),
        OfCluster::FailedOver(to) => (&FAILED_OVER, with_name(&FAILED_OVER, to)),
        OfCluster::FailoverFailed(reason) => {
            (&FAILOVER_FAILED, with_reason(&FAILOVER_FAILED, reason))
        }
        OfCluster::ParametersRefused(reason) => (
            &PARAMETERS_REFUSED,
            with_reason(&PARAMETERS_REFUSED, reason),
        ),
        OfCluster::BackupFailed(reason) => (&BACKUP_FAILED, with_reason(&BACKUP_FAILED, reason)),
        OfCluster::DeletionFailed(reason) => {
            (&DELETION_FAILED, with_reason(&DELETION_FAILED, reason))
        }
    };
    keep_clusters(tx, cluster, kind, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_sources_have_categories() {
        let mut ids: Vec<_> = ALL.iter().map(|kind| kind.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), ALL.len());
        assert_eq!(
            categories(SNAPSHOT),
            ["backup", "deletion", "failure", "notification"]
        );
        assert_eq!(
            categories(CLUSTER),
            [
                "configuration change",
                "creation",
                "deletion",
                "failover",
                "failure",
                "maintenance",
                "notification"
            ]
        );
        assert_eq!(
            categories(INSTANCE),
            ["availability", "creation", "deletion", "failure"]
        );
        assert!(categories("db-proxy").is_empty());
    }

    #[test]
    fn the_page_lists_every_event() {
        let page = include_str!("../../../../docs/reference/events.md");
        for kind in ALL {
            let row = format!(
                "| {} | {} | {} | {}",
                kind.id, kind.source, kind.category, kind.tells
            );
            assert!(page.contains(&row), "docs/reference/events.md lacks: {row}");
        }
    }
}
