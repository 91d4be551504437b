//! What each region's last verification of all records left.
//!
//! Invariant: it is written with the job's end, and outlives the job's row: a vault that is verified
//! once a month was verified, whatever the catalog forgets of old jobs meanwhile.
use catalog::{CatalogError, Tx, meta};
use model::{Region, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Remedy, Report};

/// A region's last verification of all its records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verified {
    /// When it ended.
    pub(crate) at: Timestamp,
    /// What it left damaged or gone.
    pub(crate) damaged: u64,
}

/// The name of the catalog's fact.
fn name(region: &Region) -> String {
    format!("verified:{region}")
}

/// Remembers a verification that ends now, for each of the regions that it looked at; one that left
/// records out is none.
///
/// # Errors
/// The catalog's.
pub(crate) fn remember(
    tx: &mut dyn Tx,
    report: &Report,
    regions: &[Region],
) -> Result<(), CatalogError> {
    if report.ask.account.is_some() || report.ask.snapshot.is_some() {
        return Ok(());
    }
    let at = tx.now();
    let looked = |region: &&Region| {
        report
            .ask
            .region
            .as_ref()
            .is_none_or(|only| only == *region)
    };
    for region in regions.iter().filter(looked) {
        let verified = verified(report, region, at);
        let text = serde_json::to_string(&verified).expect("plain numbers serialize");
        meta::set(tx, &name(region), &text)?;
    }
    Ok(())
}

/// The last verification that looked at all records of a region. One that cannot be read is none.
///
/// # Errors
/// The catalog's.
pub(crate) fn last(tx: &mut dyn Tx, region: &Region) -> Result<Option<Verified>, CatalogError> {
    let text = meta::get(tx, &name(region))?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
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
