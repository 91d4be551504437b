//! Looking at what is kept: what was asked, what was found, and the job that does it.
//!
//! It does not know who asks, nor how a report is shown.
mod last;
mod repair;
mod report;

use catalog::{CatalogError, Tx, jobs};
use model::{Account, Entropy, Job, JobId, JobKind, JobState, Region, SnapshotName, job::Subject};
use serde::{Deserialize, Serialize};

pub(crate) use last::{Verified, last, remember};
pub(crate) use repair::{Repairers, absent, repair_snapshot};
pub use report::{Affected, Finding, Range, Remedy, Report};

/// The word of the job's kind.
pub(crate) const JOB: &str = "verify-vault";

/// What is to be looked at, and what is to be done about damage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Whether packs are opened and their blocks compared, as a restore would.
    pub read_data: bool,
    /// Of a hundred packs, about how many are looked at.
    pub sample_percent: u8,
    /// How many snapshots are restored into a throw-away cluster and read.
    #[serde(default)]
    pub restore_sample: u32,
    /// Whether what is damaged is fetched again from another region.
    pub repair: bool,
    /// Only this region's vault.
    pub region: Option<Region>,
    /// Only what this account's records need.
    pub account: Option<Account>,
    /// Only snapshots of this name.
    pub snapshot: Option<SnapshotName>,
}

/// What became of an ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// A job was made.
    New(JobId),
    /// The same was asked for before, and is still under way: it goes on.
    Resumed(JobId),
    /// Another verification is under way.
    Busy(JobId),
}

/// The verification that is under way, if there is one.
///
/// # Errors
/// The catalog's.
pub fn open(tx: &mut dyn Tx) -> Result<Option<Job>, CatalogError> {
    let newest = jobs::newest(tx, &JobKind::of(JOB))?;
    Ok(newest.filter(|job| job.state == JobState::Open))
}

/// Asks for a verification; `restart` gives up the one that is under way.
///
/// # Errors
/// The catalog's.
pub fn begin(
    tx: &mut dyn Tx,
    entropy: &dyn Entropy,
    ask: &Ask,
    restart: bool,
) -> Result<Begun, CatalogError> {
    if let Some(job) = open(tx)? {
        if restart {
            jobs::cancel(tx, job.id)?;
        } else if Report::of(&job).is_some_and(|report| report.ask == *ask) {
            return Ok(Begun::Resumed(job.id));
        } else {
            return Ok(Begun::Busy(job.id));
        }
    }
    let subject = Subject::Vault(ask.region.clone());
    let body = Report::begin(ask.clone()).to_text();
    let (id, now) = (JobId::draw(entropy), tx.now());
    let job = Job {
        keeps_body: true,
        ..Job::new(id, JobKind::of(JOB), subject, body, now)
    };
    jobs::insert(tx, &job)?;
    Ok(Begun::New(job.id))
}
