//! What each region's last whole verification left.
use catalog::{CatalogError, Tx, jobs};
use model::{Job, JobKind, Region, Timestamp, job::Subject};

use super::{JOB, Remedy, Report};

/// Of a region's verifications, so many are looked at for one of all records.
const JOBS_MAX: usize = 20;

/// A region's last verification of all its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verified {
    /// When it ended.
    pub(crate) at: Timestamp,
    /// What it left damaged or gone.
    pub(crate) damaged: u64,
}

/// The last verification that looked at all records of a region: at that region, or at all.
///
/// # Errors
/// The catalog's.
pub(crate) fn last(tx: &mut dyn Tx, region: &Region) -> Result<Option<Verified>, CatalogError> {
    let mut found: Option<Verified> = None;
    for of in [Some(region.clone()), None] {
        let ended = jobs::last_done(tx, &Subject::Vault(of), &JobKind::of(JOB), JOBS_MAX)?;
        let verified = ended
            .iter()
            .find_map(|(job, at)| Some(verified(&whole(job)?, region, *at)));
        found = found
            .into_iter()
            .chain(verified)
            .max_by_key(|verified| verified.at);
    }
    Ok(found)
}

/// The report of a verification that left no records out.
fn whole(job: &Job) -> Option<Report> {
    Report::of(job).filter(|report| report.ask.account.is_none() && report.ask.snapshot.is_none())
}

fn verified(report: &Report, region: &Region, at: Timestamp) -> Verified {
    let left = report.findings.iter().filter(|finding| {
        finding.region == *region && !matches!(finding.remedy, Remedy::MendedFrom(_))
    });
    // One region's own counts also what its list has no room for.
    let all = report.ask.region.as_ref().map_or(0, |_| report.damaged);
    Verified {
        at,
        damaged: all.max(left.count() as u64),
    }
}
