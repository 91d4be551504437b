//! What a verification found, as the job's row keeps it and programs read it.
use model::{Arn, Hash, Job, Region, VolumeRef};
use serde::{Deserialize, Serialize};
use vault::{Damage, ObjectId};

use super::Ask;

/// Findings that a report lists; what is more is only counted.
const FINDINGS_MAX: usize = 1_000;
/// The kind of a finding that is no object: a snapshot that does not restore.
const UNRESTORABLE: &str = "snapshot";
/// Ranges of bytes of one finding.
const RANGES_MAX: usize = 200;

/// How far a verification is, and what it found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What was asked for.
    pub ask: Ask,
    /// The last manifest that is dealt with; the next ones follow by region, volume and hash.
    pub(crate) behind: Option<(Region, VolumeRef, Hash)>,
    /// Bytes of all that is to be looked at, each object once; none before they were counted.
    pub(crate) bytes_total: Option<u64>,
    /// Snapshots' and bases' manifests that are dealt with.
    pub manifests: u64,
    /// Snapshots that are dealt with; several may have one manifest.
    pub snapshots: u64,
    /// Manifests that no key opened: of what they reach only the stored hashes were checked.
    pub unopened: u64,
    /// Objects that are whole.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Snapshots that were restored, started and read; what could not be is among the findings.
    #[serde(default)]
    pub restored: u64,
    /// The last snapshot of the sample that is dealt with, in the sample's own order.
    #[serde(default)]
    pub(crate) sampled: Option<Hash>,
    /// What is damaged or gone, and what became of it.
    pub findings: Vec<Finding>,
    /// Findings beyond those that are listed.
    pub more_findings: u64,
    /// Objects that were fetched again.
    pub mended: u64,
    /// Objects that are damaged still.
    pub damaged: u64,
}

/// An object that is damaged or gone, for the snapshots of one manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The region whose vault it is in.
    pub region: Region,
    /// The volume.
    pub volume: VolumeRef,
    /// `pack`, `block list`, `manifest` or `log chunk`, whose hash is zeros where one is missing;
    /// `snapshot` for one whose objects are whole and that
    /// cannot be restored, by its manifest's hash.
    pub kind: String,
    /// The hash that it should have.
    pub hash: Hash,
    /// What is wrong with it.
    pub why: String,
    /// The snapshots that need it, and clusters whose next snapshot would.
    pub needed_by: Vec<Affected>,
    /// What cannot be read without it. None for a manifest, without which nothing can, and where
    /// no key opens the manifest.
    pub files: Vec<Range>,
    /// Ranges beyond those.
    pub more_ranges: u64,
    /// What was or can be done.
    pub remedy: Remedy,
}

/// A record that needs a damaged object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affected {
    /// Its owner.
    pub account: model::Account,
    /// The snapshot's name, or the cluster's.
    pub name: String,
    /// The record's ARN.
    pub arn: Arn,
}

/// Bytes of a file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The file's path in the snapshot.
    pub path: String,
    /// The first byte.
    pub start: u64,
    /// Behind the last byte.
    pub end: u64,
}

/// What was or can be done about damage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// It was fetched again from this region, and is whole.
    MendedFrom(Region),
    /// These regions list it: `--repair` would fetch it from one where it is whole.
    ListedIn(Vec<Region>),
    /// No other region has it.
    None,
    /// What is stored has its hash: it was written so, and is the same everywhere.
    StoredSo,
}

impl Report {
    pub(super) fn begin(ask: Ask) -> Self {
        Self {
            ask,
            behind: None,
            bytes_total: None,
            manifests: 0,
            snapshots: 0,
            unopened: 0,
            objects: 0,
            bytes: 0,
            restored: 0,
            sampled: None,
            findings: Vec::new(),
            more_findings: 0,
            mended: 0,
            damaged: 0,
        }
    }

    /// The report in a job's row, as far as the job is.
    pub fn of(job: &Job) -> Option<Self> {
        serde_json::from_str(&job.body).ok()
    }

    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("a report serializes")
    }

    pub(crate) fn add(&mut self, finding: Finding) {
        match finding.remedy {
            Remedy::MendedFrom(_) => self.mended += 1,
            _ => self.damaged += 1,
        }
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.more_findings += 1;
        }
    }
}

impl Finding {
    /// A snapshot that is stored as it was written, and cannot be restored.
    pub(crate) fn unrestorable(
        region: &Region,
        volume: &VolumeRef,
        manifest: Hash,
        needed_by: Vec<Affected>,
        why: String,
    ) -> Self {
        Self {
            region: region.clone(),
            volume: volume.clone(),
            kind: UNRESTORABLE.to_owned(),
            hash: manifest,
            why,
            needed_by,
            files: Vec::new(),
            more_ranges: 0,
            remedy: Remedy::StoredSo,
        }
    }

    /// A chunk of a cluster's log that is damaged, gone or does not follow the one before it.
    pub(crate) fn of_log(
        region: &Region,
        volume: &VolumeRef,
        hash: Hash,
        needed_by: Affected,
        why: String,
    ) -> Self {
        Self {
            region: region.clone(),
            volume: volume.clone(),
            kind: vault::ObjectKind::Chunk.to_string(),
            hash,
            why,
            needed_by: vec![needed_by],
            files: Vec::new(),
            more_ranges: 0,
            remedy: Remedy::None,
        }
    }

    pub(crate) fn new(
        region: &Region,
        volume: &VolumeRef,
        needed_by: Vec<Affected>,
        damage: &Damage,
        remedy: Remedy,
    ) -> Self {
        let ObjectId { kind, hash } = damage.object;
        let shown = damage.files.len().min(RANGES_MAX);
        Self {
            region: region.clone(),
            volume: volume.clone(),
            kind: kind.to_string(),
            hash,
            why: crate::fault::chain(&damage.error),
            needed_by,
            files: damage.files[..shown]
                .iter()
                .map(|range| Range {
                    path: range.path.clone(),
                    start: range.start,
                    end: range.end,
                })
                .collect(),
            more_ranges: damage.more + (damage.files.len() - shown) as u64,
            remedy,
        }
    }
}
