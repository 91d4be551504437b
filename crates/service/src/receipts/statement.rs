//! What a receipt says. Its names are read by others: they stay as they are.
//!
//! It does not know how it is signed.
use model::{
    Drill, LogPlace, ReceiptChain, Timestamp, ValidationStatus,
    restore_testing::{Check, Deletion, Origin},
};
use serde::{Deserialize, Serialize};

/// A receipt. Moments are RFC 3339; what is not known is null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// Of this description: 1.
    format: u32,
    /// Its number in its chain, from 1.
    pub number: u64,
    /// SHA-256 over what is signed of the receipt before it, hexadecimal; null in the first.
    pub previous: Option<String>,
    /// The region.
    pub region: String,
    /// The account.
    pub account: String,
    /// The drill: the id of its restore job.
    pub drill: String,
    plan: String,
    selection: String,
    resource: String,
    recovery_point: String,
    recovery_point_made_at: String,
    backup_vault: String,
    engine: Option<String>,
    engine_version: Option<String>,
    kms_key: Option<String>,
    /// The volume in the region's vault.
    volume: Option<String>,
    /// The BLAKE3 hash of the manifest, which names by their hashes all block lists and packs that were
    /// restored: the name of an object in the volume's `manifests`.
    root_hash: Option<String>,
    logical_bytes: u64,
    /// From where to where in its cluster's log the recovery point was read.
    log_start: Option<Place>,
    log_end: Option<Place>,
    cluster: String,
    planned_at: String,
    started_at: Option<String>,
    restored_at: Option<String>,
    checked_at: Option<String>,
    ended_at: Option<String>,
    checks: Vec<Check>,
    /// `SUCCESSFUL`, `FAILED` or `TIMED_OUT`.
    pub outcome: String,
    outcome_message: Option<String>,
    /// What became of the cluster.
    deletion: Option<Deletion>,
    signed_at: String,
}

/// A place in a cluster's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    timeline: u32,
    position: u64,
}

impl From<LogPlace> for Place {
    fn from(place: LogPlace) -> Self {
        Self {
            timeline: place.timeline,
            position: place.position,
        }
    }
}

impl Statement {
    /// What is known of a drill that is over, behind the newest receipt of its chain.
    pub(super) fn of(drill: &Drill, before: Option<&ReceiptChain>, now: Timestamp) -> Self {
        let time = |at: Option<Timestamp>| at.map(Timestamp::to_rfc3339_micros);
        let of = |said: fn(&Origin) -> String| drill.origin.as_ref().map(said);
        let log = drill.origin.as_ref().and_then(|origin| origin.in_log);
        let outcome = drill.outcome().unwrap_or(ValidationStatus::TimedOut);
        Self {
            format: 1,
            number: before.map_or(1, |chain| chain.number.saturating_add(1)),
            previous: before.map(|chain| chain.sha256.clone()),
            region: drill.region.to_string(),
            account: drill.account.to_string(),
            drill: drill.id.clone(),
            plan: drill.plan.clone(),
            selection: drill.selection.clone(),
            resource: drill.resource.to_string(),
            recovery_point: drill.point.to_string(),
            recovery_point_made_at: drill.point_made_at.to_rfc3339_micros(),
            backup_vault: drill.vault.to_string(),
            engine: of(|origin| origin.engine.clone()),
            engine_version: of(|origin| origin.engine_version.clone()),
            kms_key: drill
                .origin
                .as_ref()
                .and_then(|origin| Some(origin.kms_key.as_ref()?.to_string())),
            volume: drill.origin.as_ref().and_then(|one| one.volume.clone()),
            root_hash: drill.manifest.clone(),
            logical_bytes: drill.bytes,
            log_start: log.map(|(start, _)| start.into()),
            log_end: log.map(|(_, end)| end.into()),
            cluster: drill.cluster.to_string(),
            planned_at: drill.planned_at.to_rfc3339_micros(),
            started_at: time(drill.started_at),
            restored_at: time(drill.restored_at),
            checked_at: time(drill.checked_at),
            ended_at: time(drill.ended_at),
            checks: drill.checks.clone(),
            outcome: outcome.as_str().to_owned(),
            outcome_message: drill
                .validation
                .as_ref()
                .and_then(|one| one.message.clone()),
            deletion: drill.deletion.clone(),
            signed_at: now.to_rfc3339_micros(),
        }
    }
}
