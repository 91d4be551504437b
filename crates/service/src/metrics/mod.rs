//! What is counted. Adding a metric is one line of the list below, and its line in
//! docs/reference/metrics.md.
//!
//! It does not know who counts. Labels are words of this program, never of a request, so that
//! nobody can make it remember more by asking for more.
mod clusters;
pub(crate) mod gauges;
pub(crate) mod scraped;

use std::{fmt, sync::atomic::AtomicU64, time::Duration};

use model::Timestamp;
use prometheus_client::{
    encoding::{EncodeLabelSet, prometheus_text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// What all names begin with.
const PREFIX: &str = "snapferry";
/// The upper bounds of a request's seconds.
const REQUEST_BOUNDS: [f64; 11] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
];
/// The upper bounds of a job's seconds.
const JOB_BOUNDS: [f64; 11] = [
    0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0, 86_400.0,
];
/// What stands for an action that there is not.
pub const NO_ACTION: &str = "none";

type Counters<L> = Family<L, Counter>;
type Gauges<L> = Family<L, Gauge>;
type Seconds<L> = Family<L, Histogram>;

/// The labels of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Request {
    /// The API: `rds`, `kms`, `sts`, `tagging` or `backup`.
    pub api: &'static str,
    /// The action; [`NO_ACTION`] when there is none of that name.
    pub action: &'static str,
    /// The fault's code; `OK` when there was none.
    pub code: &'static str,
}

/// The labels of a request's time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Action {
    /// The API.
    pub api: &'static str,
    /// The action.
    pub action: &'static str,
}

/// The labels of a job's end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct JobEnd {
    /// Its kind.
    pub kind: &'static str,
    /// How it ended.
    pub state: &'static str,
}

/// A job's kind alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Kind {
    /// Its kind.
    pub kind: &'static str,
}

/// A state alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Status {
    /// The word for it.
    pub status: &'static str,
}

/// The labels of a background task's runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TaskRun {
    /// Its name: there are as many as the code and the settings name.
    pub task: String,
    /// `ok` or `failed`.
    pub outcome: &'static str,
}

/// A background task alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Task {
    /// Its name.
    pub task: String,
}

/// The release.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Build {
    /// Its number.
    pub version: &'static str,
}

/// Whose a connection is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Of {
    /// What its client proved to be.
    pub of: &'static str,
}

macro_rules! metrics {
    ($($field:ident: $kind:ty = $new:expr, $name:literal, $help:literal;)*) => {
        /// Every metric of the process.
        pub struct Metrics {
            registry: Registry,
            $(#[doc = $help] pub $field: $kind,)*
        }

        impl Default for Metrics {
            fn default() -> Self {
                let mut registry = Registry::with_prefix(PREFIX);
                $(
                    let $field: $kind = $new;
                    registry.register($name, $help, $field.clone());
                )*
                Self { registry, $($field,)* }
            }
        }
    };
}

// Names: counters get `_total` when they are written; seconds and bytes are the units.
metrics! {
    requests: Counters<Request> = Family::default(), "requests", "Requests answered, by API, action and code";
    request_seconds: Seconds<Action> = Family::new_with_constructor(|| Histogram::new(REQUEST_BOUNDS)), "request_duration_seconds", "Time from a request's arrival to its answer";
    http_responses: Counters<Status> = Family::default(), "http_responses", "HTTP responses, by class of status";
    connections: Gauges<Of> = Family::default(), "connections", "Open connections, by what their client proved";
    connections_displaced: Counter = Counter::default(), "connections_displaced", "Idle connections that made room for others of the same share";
    jobs_ended: Counters<JobEnd> = Family::default(), "jobs_ended", "Jobs that ended on this node, by kind and state";
    job_seconds: Seconds<Kind> = Family::new_with_constructor(|| Histogram::new(JOB_BOUNDS)), "job_duration_seconds", "Time from a job's request to its end";
    job_retries: Counters<Kind> = Family::default(), "job_retries", "Tries at jobs that failed and are made again";
    drills: Counters<Status> = Family::default(), "drills", "Restore tests of recovery points that ended while this node led, by what they found";
    drill_success: Gauge = Gauge::default(), "drill_last_success_timestamp_seconds", "When a restore test passed last, as this node saw it; 0: none since its start";
    drill_plans_oldest: Gauge = Gauge::default(), "drill_plans_oldest_last_success_timestamp_seconds", "When a drill passed last of the restore testing plan of which that is the longest ago; 0: there is no plan";
    jobs_open: Gauges<JobEnd> = Family::default(), "jobs_open", "Open jobs of the catalog, by kind and state";
    task_runs: Counters<TaskRun> = Family::default(), "task_runs", "Runs of background tasks on this node, by outcome";
    task_success: Gauges<Task> = Family::default(), "task_last_success_timestamp_seconds", "When a background task last did all it was to on this node";
    job_success: Gauges<Kind> = Family::default(), "job_last_success_timestamp_seconds", "When a job of the kind was done last; 0: none is known of";
    job_failure: Gauges<Kind> = Family::default(), "job_last_failure_timestamp_seconds", "When a job of the kind failed last; 0: none is known of";
    clusters: Gauges<Status> = Family::default(), "clusters", "Clusters of the catalog, by status";
    clusters_without_snapshot: Gauge = Gauge::default(), "clusters_without_snapshot", "Clusters that have no whole snapshot in their region";
    oldest_last_snapshot: Gauge = Gauge::default(), "oldest_last_snapshot_timestamp_seconds", "When the newest snapshot was taken of the cluster whose newest one is the oldest; 0: there is none";
    clusters_changed_much: Gauge = Gauge::default(), "clusters_changed_much", "Clusters whose last snapshot has more than half of their blocks, and at least 1 GiB, otherwise than the one before";
    clusters_told: Gauge = Gauge::default(), "clusters_told", "Clusters that have metrics of their own; 0 when there are more than --metrics-clusters-max";
    record_log_entries: Gauge = Gauge::default(), "record_log_lag_entries", "Record changes of the catalog that are not in the record log yet";
    record_log_seconds: Gauge = Gauge::default(), "record_log_lag_seconds", "Age of the oldest record change that is not in the record log yet";
    log_chunks: Counter = Counter::default(), "log_chunks_written", "Chunks of clusters' logs written into the vaults";
    log_joins: Counter = Counter::default(), "log_joins", "Chunks of clusters' logs that were put together from many smaller ones";
    log_failures: Counter = Counter::default(), "log_failures", "Times that a cluster's log did not get to its vault and was begun again";
    log_gaps: Counter = Counter::default(), "log_gaps", "Streams of clusters' logs that ended because the server no longer had what comes next";
    replicated_chunks: Counter = Counter::default(), "backup_replication_chunks", "Chunks of clusters' logs that were brought to other regions";
    replication_failures: Counter = Counter::default(), "backup_replication_failures", "Times that a cluster's backups did not get to the other region and were tried again";
    replication_behind: Gauge = Gauge::default(), "backup_replication_behind_seconds", "How old the latest restorable moment is over there of the cluster of this node that is farthest behind";
    log_behind: Gauge = Gauge::default(), "log_behind_seconds", "How old the latest restorable moment is of the cluster of this node that is farthest behind";
    log_bound_taken: Gauge<f64, AtomicU64> = Gauge::default(), "log_bound_taken_ratio", "Of a cluster of this node whose log does not get to its vault: the largest share of the bound on what its server keeps that is taken";
    log_unstreamed: Gauge = Gauge::default(), "log_clusters_without_stream", "Clusters of this node whose log is to go to the vault, and of which no stream has got anywhere";
    keys_pending_needed: Gauge = Gauge::default(), "keys_pending_deletion_needed", "KMS keys that wait for their deletion and that clusters or snapshots are under";
    tombstones: Gauge = Gauge::default(), "tombstones_waiting", "Objects of the vaults that the sweep will delete once their grace is over";
    audit_records: Counter = Counter::default(), "audit_records", "Records of requests that the audit log's files have";
    audit_omitted: Counter = Counter::default(), "audit_records_omitted", "Records of requests that were left out: there was no room, or strangers asked too often";
    audit_failing: Gauge = Gauge::default(), "audit_failing", "1 while no record can be written; else 0";
    catalog_commits: Counter = Counter::default(), "catalog_commits", "Durable commits of the catalog";
    catalog_unread: Counter = Counter::default(), "catalog_gauges_unread", "Scrapes for which the catalog did not answer: its gauges stand as before";
    fsyncs: Counter = Counter::default(), "fsyncs", "Waits for the disk: one for each commit, and two for each object in a folder's vault";
    vault_written: Counter = Counter::default(), "vault_written_bytes", "Bytes of objects and records written into the vaults";
    vault_damaged: Counter = Counter::default(), "vault_objects_damaged", "Damaged or missing objects that verifications met";
    vault_repaired: Counter = Counter::default(), "vault_objects_repaired", "Objects that were fetched again from another region";
    vault_verified: Gauge = Gauge::default(), "vault_verified_timestamp_seconds", "When the last verification of all records ended, of the region whose last one is the oldest; 0: some region has none";
    vault_damage: Gauge = Gauge::default(), "vault_damaged_objects", "What the last verification of each region left damaged or gone";
    disk_available: Gauges<Of> = Family::default(), "disk_available_bytes", "What is free for this process on the disk of the data folder, and of the vault where it is a folder";
    tls_not_after: Gauge = Gauge::default(), "tls_not_after_timestamp_seconds", "When the certificate ends that this server shows; 0: it serves no HTTPS";
    build: Gauges<Build> = Family::default(), "build_info", "1; the release is a label";
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// A request was answered: by which API's action ([`NO_ACTION`] for none), with which code
    /// (none for success), and after how long.
    pub fn request(
        &self,
        api: &'static str,
        action: &'static str,
        code: Option<&'static str>,
        took: Duration,
    ) {
        let code = code.unwrap_or("OK");
        self.requests
            .get_or_create(&Request { api, action, code })
            .inc();
        self.request_seconds
            .get_or_create(&Action { api, action })
            .observe(took.as_secs_f64());
    }

    /// An HTTP response was given.
    pub fn http_response(&self, status: u16) {
        let status = match status / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        self.http_responses.get_or_create(&Status { status }).inc();
    }

    /// A job ended on this node, so long after it was asked for.
    pub(crate) fn job_ended(&self, kind: &'static str, state: &'static str, after: Duration) {
        self.jobs_ended.get_or_create(&JobEnd { kind, state }).inc();
        self.job_seconds
            .get_or_create(&Kind { kind })
            .observe(after.as_secs_f64());
    }

    /// A background task ran once, until then.
    pub(crate) fn task_ran(&self, task: &str, succeeded: bool, now: Timestamp) {
        let task = task.to_owned();
        if succeeded {
            let labels = Task { task: task.clone() };
            self.task_success.get_or_create(&labels).set(now.seconds());
        }
        let outcome = match succeeded {
            true => "ok",
            false => "failed",
        };
        self.task_runs
            .get_or_create(&TaskRun { task, outcome })
            .inc();
    }

    /// All of it in Prometheus' text format, version 0.0.4.
    pub fn text(&self) -> String {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry).expect("a String takes all");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_by_its_outcome() {
        let metrics = Metrics::default();
        metrics.request(
            "rds",
            "CopyDBClusterSnapshot",
            None,
            Duration::from_millis(3),
        );
        metrics.request("kms", NO_ACTION, Some("NotFoundException"), Duration::ZERO);
        let text = metrics.text();
        for line in [
            "# TYPE snapferry_requests_total counter",
            r#"snapferry_requests_total{api="rds",action="CopyDBClusterSnapshot",code="OK"} 1"#,
            r#"snapferry_requests_total{api="kms",action="none",code="NotFoundException"} 1"#,
            r#"snapferry_request_duration_seconds_bucket{api="rds",action="CopyDBClusterSnapshot",le="0.005"} 1"#,
            r#"snapferry_request_duration_seconds_bucket{api="rds",action="CopyDBClusterSnapshot",le="0.0025"} 0"#,
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in\n{text}");
        }
    }
}
