//! Every bound, with its unit and its reason. Bounds a deployment may change are settings of
//! the server whose defaults stand here.
use std::time::Duration;

/// What is echoed of a caller's text is cut here, in characters.
pub const ECHO_CHARS_MAX: usize = 512;
/// The largest request body, bytes. RDS's largest request is a few kilobytes of tags and filters.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// The largest request head (request line and headers), bytes.
pub const HEAD_BYTES_MAX: usize = 64 << 10;
/// The time a client has to send a request's head and body.
pub const REQUEST_READ_TIMEOUT: Duration = Duration::from_secs(20);
/// Connections served at once; more wait in the listen queue.
pub const CONNECTIONS_MAX: usize = 1_024;

/// Tags on one resource ("Tagging Amazon RDS resources").
pub const TAGS_MAX: usize = 50;
/// Accounts that one snapshot can be shared with ("Sharing a DB cluster snapshot").
pub const SHARED_ACCOUNTS_MAX: usize = 20;
/// Manual cluster snapshots of one account in one region, by default.
pub const MANUAL_SNAPSHOTS_MAX: usize = 100;
/// Cross-region copies in progress to one region for one account, by default.
pub const CROSS_REGION_COPIES_MAX: usize = 5;
/// Clusters of one account in one region, by default.
pub const CLUSTERS_MAX: usize = 40;
/// DB subnet groups of one account in one region ("Quotas and constraints for Amazon Aurora").
pub const SUBNET_GROUPS_MAX: usize = 50;
/// Subnets of one DB subnet group.
pub const SUBNETS_MAX: usize = 20;
/// Parameter groups of one account in one region; of clusters and of instances each.
pub const PARAMETER_GROUPS_MAX: usize = 50;
/// Parameters that one request may change or reset (API_ModifyDBClusterParameterGroup).
pub const PARAMETERS_AT_ONCE_MAX: usize = 20;
/// A parameter's value, bytes.
pub const PARAMETER_VALUE_BYTES_MAX: usize = 4_096;
/// Event subscriptions of one account in one region.
pub const SUBSCRIPTIONS_MAX: usize = 20;
/// Sources that one event subscription names.
pub const SUBSCRIPTION_SOURCES_MAX: usize = 100;
/// Backup vaults of one account in one region ("AWS Backup quotas").
pub const BACKUP_VAULTS_MAX: usize = 300;
/// Legal holds that an account has at once in a region.
pub const LEGAL_HOLDS_MAX: usize = 50;
/// Rows on one page of a Describe action: the least, and the most and default.
pub const PAGE_ROWS: std::ops::RangeInclusive<usize> = 20..=100;
/// Grants on one KMS key. KMS allows 50,000; each is looked at when a policy does not decide.
pub const GRANTS_MAX: usize = 1_000;
/// An encryption context's names and values, bytes together.
pub const ENCRYPTION_CONTEXT_BYTES_MAX: usize = 8_192;
/// Rotations of one key that its users asked for ("RotateKeyOnDemand").
pub const ROTATIONS_ON_DEMAND_MAX: usize = 25;

/// How long events are kept (API_DescribeEvents).
pub const EVENTS_KEPT: Duration = Duration::from_secs(14 * 24 * 3_600);

/// What the files of an audit log have together, at most: about two million records.
pub const AUDIT_BYTES_MAX: usize = 1 << 30;
/// How long they are kept: as CloudTrail's event history.
pub const AUDIT_DAYS: usize = 90;
/// Clusters that have metrics of their own: with more, only sums are told.
pub const METRICS_CLUSTERS_MAX: usize = 2_000;

/// How long a job's lease lasts unless it is renewed.
pub const LEASE: Duration = Duration::from_secs(15);
/// The longest lease that a deployment may choose.
pub const LEASE_MAX: Duration = Duration::from_secs(3_600);
/// How often a running job renews its lease and records its progress.
pub const HEARTBEAT: Duration = Duration::from_millis(500);
/// How often a node of a shared catalog says that it lives.
pub const NODE_HEARTBEAT: Duration = Duration::from_secs(2);
/// A node that was silent for this long counts as dead.
pub const NODE_SILENCE: Duration = Duration::from_secs(12);
/// How often the runner looks for work when no signal came.
pub const RUNNER_POLL: Duration = Duration::from_secs(2);
/// The longest that a job sleeps between two tries.
pub const JOB_SLEEP_MAX: Duration = Duration::from_secs(60);
/// The longest that a job sleeps which waits for what others hold: it should not be given up soon
/// after that is free.
pub const JOB_PUT_OFF_MAX: Duration = Duration::from_secs(15);
/// How often one job may be put off before it is given up as failed: about a day of waiting.
pub const JOB_PUT_OFFS_MAX: u64 = 5_760;
/// Tries of one job before it is given up as failed.
pub const JOB_ATTEMPTS_MAX: u32 = 8;
/// How long an object that nothing reaches is kept before the sweep removes it.
pub const SWEEP_GRACE: Duration = Duration::from_secs(3_600);
/// What a sweep remembers of manifests' headers, bytes; one costs 32 an object, and some.
pub const SWEEP_HEADERS_BYTES_MAX: usize = 32 << 20;
/// What looks that callers ask for remember of manifests' headers, bytes.
pub const LOOK_HEADERS_BYTES_MAX: usize = 8 << 20;
/// Snapshots that are weighed by one request.
pub const WEIGHED_SNAPSHOTS_MAX: usize = 2_000;
/// Objects that those reach, counted for each snapshot.
pub const WEIGHED_OBJECTS_MAX: usize = 16 << 20;

/// A block: the unit of comparison between snapshots, bytes. Pages of databases divide it, or are
/// several of it.
pub const BLOCK_BYTES: usize = 8 << 10;
/// A frame's plaintext at most, bytes.
pub const FRAME_BYTES_MAX: usize = 256 << 10;
/// A pack is closed once it has this many bytes.
pub const PACK_BYTES: usize = 16 << 20;
/// Requests that carry objects to or from a bucket at once, of all regions' vaults, by default.
pub const VAULT_STREAMS: usize = 16;
/// Objects above this are uploaded to a bucket in parts of this size, bytes, by default: no pack is.
pub const VAULT_PART_BYTES: usize = PACK_BYTES;
/// Memory that one snapshot may use for packs on their way to the vault, bytes, by default.
pub const SNAPSHOT_MEMORY_BYTES: usize = 128 << 20;

/// How long a role's session may last, seconds (API_AssumeRole: twelve hours).
pub const SESSION_SECS_MAX: u64 = 43_200;

/// How long a cluster may be stopped before it is started by itself, as in RDS.
pub const STOPPED_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// IAM roles of a cluster, as in RDS.
pub const CLUSTER_ROLES_MAX: usize = 5;

/// As much of a caller's text as is answered or logged again.
pub fn echo(text: &str) -> String {
    text.chars().take(ECHO_CHARS_MAX).collect()
}
