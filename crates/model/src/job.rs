//! Durable background work: the row that says what is to be done and how far it is.
use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    ids::{Account, Hash, JobId, Region, VolumeRef},
    names::{ClusterName, SnapshotName},
};

/// What a job does: the word for it in rows, logs, metrics and listings. Which there are is the
/// service's to know.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobKind(Cow<'static, str>);

impl JobKind {
    /// The kind of that word.
    pub const fn of(word: &'static str) -> Self {
        Self(Cow::Borrowed(word))
    }

    /// The kind that a row names.
    pub fn read(word: &str) -> Self {
        Self(Cow::Owned(word.to_owned()))
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A record by its names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named<N> {
    /// Its region.
    pub region: Region,
    /// Whose it is.
    pub account: Account,
    /// Its name.
    pub name: N,
}

/// What a job works on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// A cluster.
    Cluster(Named<ClusterName>),
    /// A snapshot.
    Snapshot(Named<SnapshotName>),
    /// A region's vault, or all; it belongs to the deployment.
    Vault(Option<Region>),
    /// The row does not say it in words that this release knows.
    Unreadable(String),
}

impl Subject {
    /// A cluster.
    pub fn cluster(region: &Region, account: &Account, name: &ClusterName) -> Self {
        Self::Cluster(Named {
            region: region.clone(),
            account: account.clone(),
            name: name.clone(),
        })
    }

    /// A snapshot.
    pub fn snapshot(region: &Region, account: &Account, name: &SnapshotName) -> Self {
        Self::Snapshot(Named {
            region: region.clone(),
            account: account.clone(),
            name: name.clone(),
        })
    }

    /// Reads what rows hold: the word for the sort, and the names as texts.
    pub fn read(sort: &str, region: &str, account: &str, name: &str) -> Self {
        let place = || Some((region.parse().ok()?, account.parse().ok()?));
        let read = match sort {
            "cluster" => {
                place()
                    .zip(ClusterName::parse(name).ok())
                    .map(|((region, account), name)| {
                        Self::Cluster(Named {
                            region,
                            account,
                            name,
                        })
                    })
            }
            "snapshot" => place().zip(SnapshotName::parse_existing(name).ok()).map(
                |((region, account), name)| {
                    Self::Snapshot(Named {
                        region,
                        account,
                        name,
                    })
                },
            ),
            "vault" => Some(Self::Vault(region.parse().ok())),
            _ => None,
        };
        read.unwrap_or_else(|| {
            Self::Unreadable(format!("{sort} {name:?} of {account:?} in {region:?}"))
        })
    }

    /// The word for the sort of thing that it is.
    pub fn sort(&self) -> &'static str {
        match self {
            Self::Cluster(_) => "cluster",
            Self::Snapshot(_) => "snapshot",
            Self::Vault(_) => "vault",
            Self::Unreadable(_) => "unreadable",
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Cluster(of) => of.name.as_str(),
            Self::Snapshot(of) => of.name.as_str(),
            Self::Vault(_) => "vault",
            Self::Unreadable(text) => text,
        }
    }

    /// Its region, where it is of one.
    pub fn region(&self) -> Option<&Region> {
        match self {
            Self::Cluster(of) => Some(&of.region),
            Self::Snapshot(of) => Some(&of.region),
            Self::Vault(region) => region.as_ref(),
            Self::Unreadable(_) => None,
        }
    }

    /// Whose it is, where it is an account's.
    pub fn account(&self) -> Option<&Account> {
        match self {
            Self::Cluster(of) => Some(&of.account),
            Self::Snapshot(of) => Some(&of.account),
            Self::Vault(_) | Self::Unreadable(_) => None,
        }
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Waits for a runner, or runs under a lease.
    Open,
    /// Did its work.
    Done,
    /// Was given up; `error` says why.
    Failed,
    /// Its record was deleted; what it had done is left to the sweep.
    Canceled,
}

impl JobState {
    /// The word in rows and listings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }
}

/// A manifest whose reach a job needs kept, or a volume that it is about to write to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The region whose vault it is in.
    pub region: Region,
    /// The volume.
    pub volume: VolumeRef,
    /// The manifest, once one is known.
    pub manifest: Option<Hash>,
}

/// What a job has moved; never falls, also across tries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes there are to do, as far as known.
    pub bytes_total: u64,
    /// Bytes done or found already there.
    pub bytes_done: u64,
    /// Bytes that went over the link or into the vault, all tries together.
    pub bytes_shipped: u64,
    /// Objects that went over, all tries together.
    pub objects_shipped: u64,
    /// Bytes found already held, in the last try.
    pub bytes_held: u64,
}

impl Progress {
    /// Whole percent done, at most 99: only the commit makes it 100.
    pub fn percent(&self) -> u8 {
        if self.bytes_total == 0 {
            return 0;
        }
        let percent = u128::from(self.bytes_done) * 100 / u128::from(self.bytes_total);
        u8::try_from(percent.min(99)).unwrap_or(99)
    }
}

/// A job's row. `body` is the kind's own document (a JSON text).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// What it works on.
    pub subject: Subject,
    /// Where it stands.
    pub state: JobState,
    /// The only node that may run it, when it touches that node's data folder.
    pub node: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Not before this moment.
    pub run_after: Timestamp,
    /// Who holds the lease.
    pub lease_owner: Option<String>,
    /// Until when.
    pub lease_until: Option<Timestamp>,
    /// Rises with every claim; a commit under an older fence is refused.
    pub fence: u64,
    /// Tries begun.
    pub attempts: u32,
    /// How far it is.
    pub progress: Progress,
    /// What it needs kept in the vaults.
    pub pins: Vec<Pin>,
    /// The kind's own document.
    pub body: String,
    /// Whether the document stays when the job has ended. It may hold wrapped keys, which must not
    /// outlast the work; what a job found is for later.
    pub keeps_body: bool,
    /// What went wrong last.
    pub error: Option<String>,
    /// The span that it was asked for in, as a W3C traceparent; none where nobody collects spans.
    #[serde(default)]
    pub traceparent: Option<String>,
}

impl Job {
    /// One that may be run at once, by any node.
    pub fn new(id: JobId, kind: JobKind, subject: Subject, body: String, now: Timestamp) -> Self {
        Self {
            id,
            kind,
            subject,
            state: JobState::Open,
            node: None,
            created_at: now,
            run_after: now,
            lease_owner: None,
            lease_until: None,
            fence: 0,
            attempts: 0,
            progress: Progress::default(),
            pins: Vec::new(),
            body,
            keeps_body: false,
            error: None,
            traceparent: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rows_say_reads_back_and_the_rest_is_told() {
        let (region, account) = ("eu-west-1".parse(), "000000000001".parse());
        let (region, account) = (region.expect("a region"), account.expect("an account"));
        let name = SnapshotName::parse_existing("nightly").expect("a name");
        let snapshot = Subject::snapshot(&region, &account, &name);
        for subject in [snapshot, Subject::Vault(None), Subject::Vault(Some(region))] {
            let texts = (
                subject.region().map_or("", Region::as_str),
                subject.account().map_or("", Account::as_str),
            );
            let read = Subject::read(subject.sort(), texts.0, texts.1, subject.name());
            assert_eq!(read, subject);
        }
        for (sort, name) in [("snapshot", "a b"), ("cluster", "-"), ("planet", "mars")] {
            let read = Subject::read(sort, "eu-west-1", "000000000001", name);
            assert!(matches!(&read, Subject::Unreadable(told) if told.contains(name)));
        }
    }
}
