//! `snapferry catalog rebuild`: opens what it needs, shows how far it is, prints the report.
//!
//! It does not know how the record log is read.
use clap::Args;
use std::{
    fs, io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use catalog::{Catalog, CatalogExt, Record, clusters, meta::Note, recorded::RECORDS};
use model::{Clock, Cluster, Placement, SystemClock, SystemEntropy};
use serde_json::json;
use service::{
    RecordLogWriter, Seal,
    rebuild::{self, RebuildContext, Stage},
    record_log::report::{Files, Names, Report},
};

use crate::{
    commands::{
        arguments::{Format, Offline},
        failure::Failure,
        invocation::Outcome,
        offline,
        output::{print, run},
        progress_bar::{self, Bar},
    },
    deployment::{
        catalogs::{self, NodeMark},
        data_dir::{DataDir, DataDirError},
        master_key,
    },
    units::{counted, size},
};

/// How often the bar moves.
const TURN: Duration = Duration::from_millis(100);

/// `snapferry catalog rebuild`.
#[derive(Debug, Args)]
pub(crate) struct Rebuild {
    #[command(flatten)]
    pub(crate) offline: Offline,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// `snapferry catalog rebuild`. Answers whether nothing of the record log is damaged or gone.
///
/// # Errors
/// Whatever kept it from its work.
pub(crate) fn rebuild(asked: Rebuild) -> Result<Outcome, Failure> {
    let (descriptor, format) = (asked.offline.master_key.master_key_fd, asked.format);
    let (layer, dir) = offline::open(asked.offline)?;
    let node = catalogs::node_of(&dir, layer.node.as_ref())?;
    let master_key = Arc::new(master_key::obtain_with_next(&dir, descriptor)?);
    run(async move {
        let vaults = offline::vaults(&layer, &dir, None).await?;
        let seal = Seal::new(Arc::clone(&master_key));
        let bar = ProgressTicker::new(format);
        let progress = |stage, done, total| bar.turn(stage, done, total);
        let found = rebuild::look(&seal, &vaults, &progress).await;
        bar.clear();
        let found = found?;
        let catalog = catalogs::open(&dir, layer.catalog.as_ref())?;
        catalogs::check_unserved(&*catalog).await?;
        master_key::check(&*catalog, &master_key).await?;
        let shared = layer.catalog.is_some();
        let record_log = RecordLogWriter {
            catalog,
            seal,
            entropy: Arc::new(SystemEntropy),
        };
        let files = |cluster: &Cluster, place: Option<&Placement>| {
            files_of(&dir, (&node, shared), cluster, place)
        };
        let filled = rebuild::fill(
            &RebuildContext {
                record_log: &record_log,
                vaults: &vaults,
                mode: layer.mode(),
                files: &files,
                now: SystemClock.now(),
                progress: &progress,
            },
            found,
        )
        .await;
        bar.clear();
        let report = filled?;
        let strays = strays(&dir, &*record_log.catalog).await?;
        print(&match format {
            Format::Text => shown(&report, &strays),
            Format::Json => as_json(&report, &strays),
        })?;
        Ok(Outcome::of(report.is_damaged()))
    })
}

/// Where a cluster's files are, as far as can be seen from here.
fn files_of(
    dir: &DataDir,
    (node, shared): (&NodeMark, bool),
    cluster: &Cluster,
    place: Option<&Placement>,
) -> Files {
    let folder = dir.clusters().join(cluster.resource_id.as_str());
    let attempt = place.map_or("", |place| place.attempt.as_str());
    match fs::metadata(folder.join(attempt)) {
        Ok(found) if found.is_dir() => Files::Here(node.name.clone()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Files::Elsewhere,
        _ if shared && place.is_some_and(|place| place.node != node.name) => Files::Elsewhere,
        _ => Files::Gone,
    }
}

/// Folders of clusters that no record names.
async fn strays(dir: &DataDir, catalog: &dyn Catalog) -> Result<Vec<String>, Failure> {
    let folder = dir.clusters();
    let wrong = |source| DataDirError::io("read", &folder, source);
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        let Some(id) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let known = catalog.read(move |tx| clusters::get_by_resource_id(tx, &id));
        let known: Result<_, catalog::CatalogError> = known.await;
        if known?.is_none() {
            found.push(entry.path().display().to_string());
        }
    }
    found.sort();
    Ok(found)
}

/// A bar that is drawn anew now and then.
struct ProgressTicker {
    bar: Bar,
    begun: Instant,
    drawn: Mutex<Option<Instant>>,
}

impl ProgressTicker {
    fn new(format: Format) -> Self {
        Self {
            bar: Bar::new(format),
            begun: Instant::now(),
            drawn: Mutex::new(None),
        }
    }

    fn turn(&self, stage: Stage, done: u64, total: u64) {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        if drawn.is_some_and(|drawn| drawn.elapsed() < TURN) {
            return;
        }
        *drawn = Some(Instant::now());
        self.bar.show(&match stage {
            Stage::Reading => {
                let rate = done as f64 / self.begun.elapsed().as_secs_f64();
                format!("reads    {}", progress_bar::of_bytes(done, total, rate))
            }
            Stage::Keeping => format!("keeps    {}", progress_bar::of_count(done, total, "record")),
            Stage::Checking => {
                format!("compares {}", progress_bar::of_count(done, total, "volume"))
            }
        });
    }

    fn clear(&self) {
        self.bar.clear();
    }
}

fn shown(report: &Report, strays: &[String]) -> String {
    let findings = &report.findings;
    let mut text = String::new();
    let mut list = |title: &str, names: &[String], count: u64| {
        if count != 0 {
            text.push_str(&format!("{title}:\n"));
            names
                .iter()
                .for_each(|name| text.push_str(&format!("  {name}\n")));
            let more = count - names.len() as u64;
            if more != 0 {
                text.push_str(&format!("  and {more} more\n"));
            }
        }
    };
    let damaged = &findings.damaged;
    list(
        "does not read, so that newer states of records may be missing and deleted ones may be back",
        damaged,
        damaged.len() as u64,
    );
    let Names { listed, count } = &report.missing;
    list("its manifest is not in the vault", listed, *count);
    let Names { listed, count } = &report.failed;
    list("was being made, and is failed now", listed, *count);
    let Names { listed, count } = &report.clusters;
    list("was under way", listed, *count);
    let Names { listed, count } = &report.dropped;
    list(
        "its files are gone, so the cluster was dropped; restore it from a snapshot",
        listed,
        *count,
    );
    list(
        "no record names this cluster's folder; its server may still run",
        strays,
        strays.len() as u64,
    );
    if report.nobodys != 0 {
        text.push_str(&format!(
            "{} in the vaults of no record: of snapshots that were deleted, or made too late for the record log; a sweep removes them\n",
            counted(report.nobodys, "manifest")
        ));
    }
    let kinds = RECORDS.iter().filter(|kind| kind.name != Note::KIND);
    let kinds: Vec<String> = kinds
        .map(|kind| {
            let count = report.records.get(kind.name).copied();
            counted(count.unwrap_or(0), kind.word)
        })
        .collect();
    text.push_str(&format!(
        "brought back {}, from {} ({}) of the record log\n",
        kinds.join(", "),
        counted(findings.objects, "object"),
        size(findings.bytes)
    ));
    if let Some(newest) = findings.newest {
        text.push_str(&format!(
            "the record log was last written at {}: what was acknowledged later is lost\n",
            newest.to_rfc3339_secs()
        ));
    }
    text
}

fn as_json(report: &Report, strays: &[String]) -> String {
    let findings = &report.findings;
    let names = |names: &Names| json!({ "count": names.count, "listed": names.listed });
    let value = json!({
        "records": report.records,
        "record_log": {
            "objects": findings.objects,
            "bytes": findings.bytes,
            "deleted": findings.deleted,
            "last_written_at": findings.newest.map(|at| at.to_rfc3339_micros()),
            "damaged": findings.damaged,
        },
        "failed_snapshots": names(&report.failed),
        "interrupted_clusters": names(&report.clusters),
        "dropped_clusters": names(&report.dropped),
        "snapshots_without_manifest": names(&report.missing),
        "manifests_without_record": report.nobodys,
        "folders_without_record": strays,
        "begun_again": report.again,
    });
    format!("{value:#}\n")
}
