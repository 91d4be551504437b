//! The verbs about what is kept: verifying a vault, and showing how far that is.
//!
//! It does not look at objects itself: a running server does, as a job that this verb watches.
use clap::{Args, Subcommand};
use std::str::FromStr;
use std::time::{Duration, Instant};

use catalog::{Catalog, CatalogExt, jobs, nodes};
use model::{Account, Job, JobId, JobState, Region, SnapshotName, SystemEntropy, limits};
use serde_json::json;
use service::{
    Mode,
    verify::{self, Ask, Begun, Finding, Remedy, Report},
};

use crate::{
    commands::{
        arguments::{Folder, Format},
        failure::Failure,
        invocation::{Invocation, Outcome, Run},
        output::{attach, print, run},
        progress_bar::{self, Bar},
    },
    deployment::{
        catalogs,
        data_dir::{DataDir, DataDirError},
    },
    units::{counted, size},
};

/// How often the job is looked at.
const POLL: Duration = Duration::from_millis(200);

/// Look at what the vaults keep
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    snapferry vault verify\n  \
    snapferry vault verify --read-data --sample 10%"
)]
pub(crate) struct Vault {
    #[command(subcommand)]
    verb: VaultVerb,
}

/// `snapferry vault ...`.
#[derive(Debug, Subcommand)]
enum VaultVerb {
    /// Check all that snapshots need, and say which bytes of which files are damaged
    ///
    /// Without --read-data every stored byte is compared with its hash, and manifests and block lists
    /// are opened as far as their KMS keys can be used. The running server does the work; when this verb
    /// or the server is interrupted, the same command goes on where it was.
    ///
    /// Exit status: 0 when all is whole or was mended, 3 when something is damaged, 1 when the look
    /// could not be taken.
    #[command(after_help = "Examples:\n  \
        snapferry vault verify\n  \
        snapferry vault verify --read-data --sample 10%\n  \
        snapferry vault verify --restore-sample 5\n  \
        snapferry vault verify --region eu-west-1 --repair\n  \
        snapferry vault verify --snapshot nightly-7 --format json")]
    Verify(Box<Verify>),
}

/// `snapferry vault verify`.
#[derive(Debug, Args)]
struct Verify {
    /// Open packs too, and compare every block as a restore would
    #[arg(long)]
    read_data: bool,
    /// Look at about so many of a hundred packs, the same ones each time; block lists and manifests are
    /// all looked at
    #[arg(long, default_value = "100%", value_name = "PERCENT")]
    sample: Percent,
    /// Restore so many snapshots, other ones each time, into a throw-away cluster; start it, read every
    /// relation of every database, and remove it
    #[arg(long, value_name = "COUNT", num_args = 0..=1, default_value_t = 0, default_missing_value = "3",
        hide_default_value = true, value_parser = clap::value_parser!(u32).range(..=100_000))]
    restore_sample: u32,
    /// Fetch what is damaged or gone again from another region that holds it
    #[arg(long)]
    repair: bool,
    /// Begin anew, also when a verification is under way
    #[arg(long)]
    restart: bool,
    /// Only this region's vault
    #[arg(long, value_name = "REGION")]
    region: Option<Region>,
    /// Only what this account's snapshots and clusters need
    #[arg(long, value_name = "ID")]
    account: Option<Account>,
    /// Only snapshots of this name
    #[arg(long, value_name = "NAME", value_parser = snapshot_name)]
    snapshot: Option<SnapshotName>,
    #[command(flatten)]
    folder: Folder,
    /// Look into the default data folder of `snapferry serve --dev`
    #[arg(long, conflicts_with = "data")]
    dev: bool,
    #[command(flatten)]
    format: Format,
}

/// How many of a hundred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Percent(u8);

impl FromStr for Percent {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.strip_suffix('%').unwrap_or(text).parse().ok();
        number
            .filter(|percent| (1..=100).contains(percent))
            .map(Self)
            .ok_or("a whole percentage from 1% to 100% is needed")
    }
}

fn snapshot_name(text: &str) -> Result<SnapshotName, &'static str> {
    SnapshotName::parse_existing(text).map_err(|_| "no snapshot can have that name")
}

impl Run for Vault {
    fn run(self, _: &Invocation) -> Result<Outcome, Failure> {
        vault(self.verb)
    }
}

/// `snapferry vault ...`. Answers whether all that was looked at is whole.
///
/// # Errors
/// Whatever kept it from its work.
fn vault(verb: VaultVerb) -> Result<Outcome, Failure> {
    let VaultVerb::Verify(asked) = verb;
    let mode = if asked.dev { Mode::Dev } else { Mode::Closed };
    let (catalog, dir) = match &asked.folder.shared.catalog {
        Some(url) => (catalogs::open_shared(url)?, None),
        None => {
            let dir = attach(&asked.folder, mode)?;
            (catalogs::open(&dir, None)?, Some(dir))
        }
    };
    run(async move {
        must_be_served(&*catalog, dir.as_ref()).await?;
        let id = begin(&*catalog, &asked).await?;
        let bar = Bar::new(asked.format);
        let (begun, mut before) = (Instant::now(), None);
        let job = loop {
            let found = catalog.read(move |tx| jobs::get(tx, id)).await?;
            let job = found.ok_or(Failure::VerifyEnded("its record is gone".to_owned()))?;
            if job.state != JobState::Open {
                break job;
            }
            bar.show(&shown_job(&job, begun, &mut before));
            tokio::time::sleep(POLL).await;
        };
        bar.clear();
        let report = match job.state {
            JobState::Done => Report::of(&job),
            JobState::Canceled => return Err(Failure::VerifyEnded("it was begun anew".to_owned())),
            _ => None,
        };
        let Some(report) = report else {
            return Err(Failure::VerifyEnded(job.error.unwrap_or_default()));
        };
        print(&match asked.format {
            Format::Text => shown(&report),
            Format::Json => as_json(&report),
        })?;
        Ok(Outcome::of(report.damaged != 0))
    })
}

/// A server has to do the work.
async fn must_be_served(catalog: &dyn Catalog, dir: Option<&DataDir>) -> Result<(), Failure> {
    let served = match dir {
        Some(dir) => match DataDir::acquire(dir.path(), dir.mode()) {
            Ok(_) => false,
            Err(DataDirError::Locked { .. }) => true,
            Err(error) => return Err(error.into()),
        },
        None => catalog
            .read(|tx| nodes::first_alive(tx, limits::NODE_SILENCE))
            .await?
            .is_some(),
    };
    if served {
        Ok(())
    } else {
        Err(Failure::NotServed)
    }
}

async fn begin(catalog: &dyn Catalog, asked: &Verify) -> Result<JobId, Failure> {
    let (ask, restart) = (
        Ask {
            read_data: asked.read_data,
            sample_percent: asked.sample.0,
            restore_sample: asked.restore_sample,
            repair: asked.repair,
            region: asked.region.clone(),
            account: asked.account.clone(),
            snapshot: asked.snapshot.clone(),
        },
        asked.restart,
    );
    let begun = catalog
        .write(move |tx| verify::begin(tx, &SystemEntropy, &ask, restart))
        .await
        .map_err(|error: catalog::CatalogError| Failure::Catalog(error))?;
    match begun {
        Begun::New(id) => Ok(id),
        Begun::Resumed(id) => {
            eprintln!("goes on with the verification that is under way");
            Ok(id)
        }
        Begun::Busy(_) => Err(Failure::VerifyBusy),
    }
}

/// How far the job is.
fn shown_job(job: &Job, begun: Instant, done_before: &mut Option<u64>) -> String {
    let done = job.progress.bytes_done;
    let before = *done_before.get_or_insert(done);
    let rate = (done.saturating_sub(before)) as f64 / begun.elapsed().as_secs_f64();
    match (&job.lease_owner, job.progress.bytes_total) {
        (None, _) => "waits for the server".to_owned(),
        (_, 0) => "counts what there is".to_owned(),
        (_, total) => progress_bar::of_bytes(done, total, rate),
    }
}

fn shown(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        text.push_str(&shown_finding(finding));
    }
    if 0 < report.more_findings {
        text.push_str(&format!(
            "and {} not listed here\n\n",
            counted(report.more_findings, "finding")
        ));
    }
    if report.unopened != 0 {
        text.push_str(&format!(
            "no key opened {}: of what they reach only the stored hashes were checked\n",
            counted(report.unopened, "manifest")
        ));
    }
    text.push_str(&format!(
        "looked at {}: {} whole, {}",
        counted(report.snapshots, "snapshot"),
        counted(report.objects, "object"),
        size(report.bytes)
    ));
    if report.restored != 0 {
        let restored = counted(report.restored, "snapshot");
        text.push_str(&format!("; {restored} restored and read"));
    }
    if report.mended != 0 {
        text.push_str(&format!("; {} fetched again", report.mended));
    }
    text.push_str(&match report.damaged {
        0 => "; no damage\n".to_owned(),
        count => format!("; {} DAMAGED\n", counted(count, "object")),
    });
    text
}

fn shown_finding(finding: &Finding) -> String {
    let mut text = format!(
        "{}: {} {}\n  in volume {}\n  {}\n",
        finding.region, finding.kind, finding.hash, finding.volume, finding.why
    );
    for record in &finding.needed_by {
        text.push_str(&format!("  needed by {}\n", record.arn));
    }
    for range in &finding.files {
        text.push_str(&format!(
            "  takes {} bytes {}..{}\n",
            range.path, range.start, range.end
        ));
    }
    if finding.more_ranges != 0 {
        text.push_str(&format!(
            "  and {}\n",
            counted(finding.more_ranges, "more range")
        ));
    }
    if finding.files.is_empty() && finding.kind == "manifest" {
        text.push_str("  takes the whole snapshot\n");
    }
    text.push_str(&match &finding.remedy {
        Remedy::MendedFrom(region) => format!("  mended: fetched again from {region}\n"),
        Remedy::ListedIn(regions) => {
            let regions: Vec<&str> = regions.iter().map(model::Region::as_str).collect();
            format!(
                "  {} holds it too: --repair fetches it again\n",
                regions.join(" and ")
            )
        }
        Remedy::None => "  no other region holds it\n".to_owned(),
        Remedy::StoredSo => {
            "  its stored bytes are those that were written: no other copy is better\n".to_owned()
        }
    });
    text.push('\n');
    text
}

fn as_json(report: &Report) -> String {
    let findings = report.findings.iter().map(|finding| {
        let (outcome, regions) = match &finding.remedy {
            Remedy::MendedFrom(region) => ("mended", vec![region.as_str()]),
            Remedy::ListedIn(regions) => (
                "held-elsewhere",
                regions.iter().map(model::Region::as_str).collect(),
            ),
            Remedy::None => ("lost", Vec::new()),
            Remedy::StoredSo => ("stored-so", Vec::new()),
        };
        json!({
            "region": finding.region.as_str(),
            "volume": finding.volume.to_string(),
            "kind": finding.kind,
            "hash": finding.hash.to_string(),
            "why": finding.why,
            "needed_by": finding.needed_by.iter().map(|record| json!({
                "account": record.account.as_str(),
                "name": record.name,
                "arn": record.arn.to_string(),
            })).collect::<Vec<_>>(),
            "files": finding.files.iter().map(|range| json!({
                "path": range.path,
                "start": range.start,
                "end": range.end,
            })).collect::<Vec<_>>(),
            "more_ranges": finding.more_ranges,
            "outcome": outcome,
            "regions": regions,
        })
    });
    let value = json!({
        "snapshots": report.snapshots,
        "manifests": report.manifests,
        "unopened_manifests": report.unopened,
        "objects": report.objects,
        "bytes": report.bytes,
        "restored": report.restored,
        "mended": report.mended,
        "damaged": report.damaged,
        "findings": findings.collect::<Vec<_>>(),
        "more_findings": report.more_findings,
    });
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_whole() {
        assert_eq!("7%".parse(), Ok(Percent(7)));
        assert_eq!("100".parse(), Ok(Percent(100)));
        for wrong in ["", "%", "0%", "101%", "1.5%", "-1"] {
            assert!(wrong.parse::<Percent>().is_err(), "{wrong}");
        }
    }
}
