//! Brings the automated snapshots that a cluster's log leads on from.
use std::time::Duration;

use catalog::{CatalogError, CatalogExt, Tx, automated, jobs, retained_backups};
use model::{Cluster, Snapshot, SnapshotKind, SnapshotName, SnapshotStatus};

use super::log::Start;
use crate::{
    backups::{ends, records},
    context::ServiceContext,
    copies::Copier,
    jobs::JobError,
    keys::{KeyUser, snapshot_context},
    logs::bases,
};

/// How long a copy that failed stays, so that it can be seen, before the next try.
const FAILED_STAYS: Duration = Duration::from_secs(600);

/// Where the logs begin that are needed over there.
pub(super) struct Bases {
    /// Where each snapshot lies that is there or on its way, in the log's order.
    pub(super) starts: Vec<Start>,
    /// Whether a copy was just begun.
    pub(super) are_new: bool,
}

/// What there is.
struct Known {
    /// The cluster's newest snapshot of its newest stream.
    newest: Option<Snapshot>,
    /// All over there.
    there: Vec<Snapshot>,
}

fn known(tx: &mut dyn Tx, cluster: &Cluster, far: &Cluster) -> Result<Known, CatalogError> {
    let stream = cluster.logs.last().map(|stream| stream.id);
    let bases = bases::of_cluster(tx, cluster)?.into_iter();
    let newest = bases
        .filter(|base| Some(base.in_log.stream) == stream)
        .map(|base| base.snapshot)
        .rfind(|snapshot| snapshot.kind == SnapshotKind::Automated);
    let of = (&far.region, &far.account, &far.resource_id);
    let there = automated::of_cluster(tx, of)?.into_iter();
    Ok(Known {
        newest,
        there: there.map(|stored| stored.value).collect(),
    })
}

impl Known {
    /// The snapshot that is to be brought, if one is: one at a time.
    fn due(&self) -> Option<&Snapshot> {
        let newest = self.newest.as_ref()?;
        let is_it = |one: &Snapshot| one.in_log == newest.in_log;
        let holds_up = |one: &Snapshot| one.status == SnapshotStatus::Copying || is_it(one);
        (!self.there.iter().any(holds_up)).then_some(newest)
    }

    fn starts(&self) -> Vec<Start> {
        let counts = |one: &&Snapshot| one.status != SnapshotStatus::Failed;
        let in_log = self
            .there
            .iter()
            .filter(counts)
            .filter_map(|one| one.in_log);
        let mut starts: Vec<Start> = in_log.map(|at| (at.stream, at.start)).collect();
        starts.sort_unstable();
        starts.dedup();
        starts
    }
}

/// Begins the copy of the newest snapshot where there is none, and answers where the logs begin that go with those
/// that there are.
///
/// # Errors
/// The catalog's and the keys'.
pub(super) async fn bring(
    context: &ServiceContext,
    cluster: &Cluster,
    far: &Cluster,
) -> Result<Bases, JobError> {
    let (of, to) = (cluster.clone(), far.clone());
    let read = move |tx: &mut dyn Tx| known(tx, &of, &to);
    let mut found = context.catalog.read(read).await?;
    found.there = forget_failed(context, far, found.there).await?;
    let Some(source) = found.due().cloned() else {
        return Ok(Bases {
            starts: found.starts(),
            are_new: false,
        });
    };
    let begun = begin(context, &source, far).await?;
    found.there.extend(begun);
    Ok(Bases {
        starts: found.starts(),
        are_new: true,
    })
}

/// Deletes copies that failed a while ago; answers what is left.
async fn forget_failed(
    context: &ServiceContext,
    far: &Cluster,
    there: Vec<Snapshot>,
) -> Result<Vec<Snapshot>, JobError> {
    let now = context.now();
    let is_over = |one: &Snapshot| {
        one.status == SnapshotStatus::Failed && one.recorded_at.plus(FAILED_STAYS) < now
    };
    let (over, left): (Vec<_>, Vec<_>) = there.into_iter().partition(is_over);
    if !over.is_empty() {
        let of = (
            far.region.clone(),
            far.account.clone(),
            far.resource_id.clone(),
        );
        let deleted = context.catalog.write(move |tx| {
            for stored in automated::of_cluster(tx, (&of.0, &of.1, &of.2))? {
                if over.iter().any(|one| one.uid == stored.value.uid) {
                    ends::delete(tx, &stored.value)?;
                }
            }
            Ok::<_, CatalogError>(())
        });
        deleted.await?;
    }
    Ok(left)
}

/// Keeps a copy's record, and its job.
async fn begin(
    context: &ServiceContext,
    source: &Snapshot,
    far: &Cluster,
) -> Result<Option<Snapshot>, JobError> {
    let Some(mut content) = source.content.clone() else {
        return Ok(None);
    };
    let copier = Copier {
        context,
        reader: &source.account,
        account: &far.account,
        region: &far.region,
    };
    let named = (
        source.name.clone(),
        SnapshotKind::Automated,
        source.tags.clone(),
    );
    let mut copy = copier.record(source, named);
    copy.in_log = source.in_log;
    if let (Some(wrapped), Some(key)) = (&content.wrapped_key, &far.kms_key) {
        let at_source = KeyUser::rds(&source.account, &source.region);
        let here = KeyUser::rds(&far.account, &far.region);
        let plain = context.keys.unwrap(&at_source, wrapped).await?;
        let bound = snapshot_context(&copy.account, &copy.uid, &content.volume);
        let wrapped = context.keys.wrap(&here, key, &plain, bound).await?;
        copy.kms_key = Some(wrapped.key.clone());
        content.wrapped_key = Some(wrapped);
    }
    copy.content = Some(content);
    for name in names(source) {
        copy.name = name;
        let job = copier.job(source, &copy, None);
        let mut kept = copy.clone();
        // Its bytes are not there yet.
        kept.content = None;
        let made = context.catalog.write(move |tx| {
            let backup = retained_backups::get(tx, &kept.region, &kept.cluster_resource_id)?;
            if !backup.is_some_and(|stored| stored.value.is_brought()) {
                return Ok(None);
            }
            let kept = records::insert(tx, kept.clone())?;
            jobs::insert(tx, &job)?;
            Ok(Some(kept))
        });
        match made.await {
            // A cluster of that name in that region had one taken in the same minute.
            Err(CatalogError::Conflict { .. }) => {}
            other => return Ok(other?),
        }
    }
    Err(JobError::fail("the names for a copy are taken"))
}

/// What a copy may be called.
fn names(source: &Snapshot) -> Vec<SnapshotName> {
    let other = format!("{}-{}", source.name, source.region);
    let other = SnapshotName::parse_existing(&other).ok();
    [Some(source.name.clone()), other]
        .into_iter()
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use catalog::conformance::samples;
    use model::{InLog, LogPlace, Timestamp};
    use uuid::Uuid;

    use super::*;

    fn at(position: u64, status: SnapshotStatus) -> Snapshot {
        let place = LogPlace {
            timeline: 1,
            position,
        };
        Snapshot {
            status,
            in_log: Some(InLog {
                stream: Uuid::from_u128(1),
                start: place,
                end: place,
                at: Timestamp(position.cast_signed()),
            }),
            ..samples::snapshot("rds:c-1")
        }
    }

    #[test]
    fn one_is_brought_at_a_time_and_each_once() {
        let known = |newest: Option<u64>, there: &[(u64, SnapshotStatus)]| Known {
            newest: newest.map(|position| at(position, SnapshotStatus::Available)),
            there: there
                .iter()
                .map(|(place, status)| at(*place, *status))
                .collect(),
        };
        use SnapshotStatus::{Available, Copying, Failed};
        assert!(known(None, &[]).due().is_none());
        assert!(known(Some(5), &[]).due().is_some());
        assert!(known(Some(5), &[(5, Available)]).due().is_none());
        assert!(known(Some(5), &[(4, Available)]).due().is_some());
        assert!(
            known(Some(5), &[(4, Copying)]).due().is_none(),
            "one is on its way"
        );
        assert!(
            known(Some(5), &[(5, Failed)]).due().is_none(),
            "not at once again"
        );
        let known = known(Some(5), &[(4, Available), (3, Failed), (5, Copying)]);
        let positions: Vec<u64> = known.starts().iter().map(|(_, at)| at.position).collect();
        assert_eq!(positions, [4, 5]);
    }

    #[test]
    fn a_name_that_is_taken_has_another() {
        let source = at(1, SnapshotStatus::Available);
        let names: Vec<String> = names(&source).iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            ["rds:c-1".to_owned(), format!("rds:c-1-{}", source.region)]
        );
    }
}
