//! Looks at what live records need in the vaults, and mends what is damaged when that was asked.
//!
//! Manifests are taken in a fixed order and what is found whole is noted, so a verification that
//! ends early goes on where it was. It pins nothing: what vanishes because its records were
//! deleted meanwhile is no damage.
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use catalog::{
    CatalogExt, clusters as rows, jobs,
    verified::{self, Place},
};
use model::{
    Account, Cluster, ErrorKind, Hash, Region, ResourceId, Snapshot, SnapshotName, Told, VolumeRef,
    WrappedKey,
};
use vault::{Check, Checked, Damage, DataKey, ObjectId, ObjectKind, Passed};

use super::{
    JobError,
    restore_sample::{self, Sampled, Verdict},
    run::{JobType, Run},
    verify_logs,
};
use crate::{
    events::kinds,
    jobs::progress::Counting,
    keys::{KeyError, KeyUser},
    verify::{self, Affected, Finding, Remedy, Repairers, Report},
};

/// Manifests listed at once.
const PAGE: usize = 100;
/// How often what was found whole is noted.
const NOTE_EVERY: Duration = Duration::from_secs(2);
/// Notes that one transaction keeps.
const NOTES: usize = 500;

/// The kind.
#[derive(Debug)]
pub struct VerifyVault;

impl JobType for VerifyVault {
    const NAME: &'static str = verify::JOB;
    const WORKS_ON: &'static str = "vault";
    const KEEPS_BODY: bool = true;
    type Body = Report;

    async fn run(run: &Run) -> Result<(), JobError> {
        self::run(run).await
    }
}

async fn run(run: &Run) -> Result<(), JobError> {
    let mut report: Report = run.body()?;
    restore_sample::clear(run).await?;
    let total = match report.bytes_total {
        Some(total) => total,
        None => count(run, &report).await?,
    };
    report.bytes_total = Some(total);
    run.progress.begin(total, report.bytes);
    let mut repairers = Repairers::new(&run.context);
    let mut passed: Option<(Region, VolumeRef, Arc<Passed>)> = None;
    loop {
        let places = page(run, &report, report.behind.clone()).await?;
        if places.is_empty() {
            break;
        }
        for place in places {
            let known = match passed.take() {
                Some((region, volume, known)) if region == place.0 && volume == place.1 => known,
                _ => noted(run, &place).await?,
            };
            one(run, &place, &known, &mut repairers, &mut report).await?;
            report.behind = Some(place.clone());
            keep(run, &report, &place, &known).await?;
            passed = Some((place.0, place.1, known));
        }
    }
    restore_some(run, &mut report).await?;
    verify_logs::verify(run, &mut report).await?;
    let last = jobs::Checkpoint {
        body: Some(report.to_text()),
        ..Default::default()
    };
    run.checkpoint(last).await?;
    let (lease, regions) = (run.lease.clone(), run.context.vaults.regions());
    run.context
        .catalog
        .write(move |tx| {
            verify::remember(tx, &report, &regions)?;
            jobs::finish(tx, &lease, &jobs::End::Done)
        })
        .await?;
    Ok(())
}

/// Restores the sample that was asked for, one snapshot after another, in an order that is the
/// job's own: every verification takes other ones.
async fn restore_some(run: &Run, report: &mut Report) -> Result<(), JobError> {
    if report.ask.restore_sample == 0 {
        return Ok(());
    }
    let picked = pick(run, report).await?;
    let bytes: u64 = picked.iter().map(|(_, _, bytes)| bytes).sum();
    let total = report.bytes_total.unwrap_or(0) + bytes;
    run.progress.begin(total, report.bytes);
    for (rank, place, _) in picked {
        if report.sampled.is_some_and(|last| rank <= last) {
            continue;
        }
        restore_one(run, &place, report).await?;
        report.sampled = Some(rank);
        keep(run, report, &place, &Passed::default()).await?;
    }
    Ok(())
}

/// The sample: each with its rank and the bytes of its files.
async fn pick(run: &Run, report: &Report) -> Result<Vec<(Hash, Place, u64)>, JobError> {
    let (mut picked, mut after) = (BTreeMap::new(), None);
    let most = report.ask.restore_sample as usize;
    loop {
        let places = page(run, report, after).await?;
        let Some(last) = places.last() else { break };
        after = Some(last.clone());
        for place in places {
            let (snapshots, _) = wanted(run, &place, report).await?;
            let content = snapshots.iter().find_map(|one| one.content.as_ref());
            if let Some(content) = content {
                picked.insert(rank(run, place.2), (place, content.logical_bytes));
                if most < picked.len() {
                    picked.pop_last();
                }
            }
        }
    }
    let picked = picked.into_iter();
    Ok(picked
        .map(|(rank, (place, bytes))| (rank, place, bytes))
        .collect())
}

/// Where a manifest stands in the job's own order of them.
fn rank(run: &Run, manifest: Hash) -> Hash {
    let id = run.job.id.to_string();
    // The last digits of an id are random.
    let mut mask = id.bytes().rev().cycle();
    Hash(manifest.0.map(|byte| byte ^ mask.next().unwrap_or(0)))
}

/// Restores one snapshot of the sample, and reports it when it does not come up.
async fn restore_one(run: &Run, place: &Place, report: &mut Report) -> Result<(), JobError> {
    let (snapshots, _) = wanted(run, place, report).await?;
    let Some((snapshot, content)) = snapshots
        .iter()
        .find_map(|one| Some((one, one.content.clone()?)))
    else {
        return Ok(());
    };
    let (data_key, sealed) = data_key(run, &snapshots, &[]).await?;
    if sealed && data_key.is_none() {
        return Ok(());
    }
    let (region, volume, manifest) = place;
    let sampled = Sampled {
        region: region.clone(),
        content,
        data_key,
        absent: crate::verify::absent(&run.context, region, volume).await?,
        engine: snapshot.engine.clone(),
        engine_version: snapshot.engine_version.clone(),
        master_username: snapshot.master_username.clone(),
    };
    let why = match restore_sample::look(run, sampled).await? {
        Verdict::Whole(examined) => {
            tracing::info!(%region, %manifest, ?examined, "a snapshot was restored and read");
            report.restored += 1;
            return Ok(());
        }
        Verdict::Broken(why) => why,
    };
    let (snapshots, _) = wanted(run, place, report).await?;
    if snapshots.is_empty() {
        return Ok(());
    }
    tracing::warn!(%region, %volume, %manifest, why, "a snapshot does not restore");
    run.context.vaults.damage.found();
    let needed_by = snapshots
        .iter()
        .map(|one| affected(&one.account, one.name.as_str(), one.arn()))
        .collect();
    events_of(run, &snapshots).await?;
    let finding = Finding::unrestorable(region, volume, *manifest, needed_by, why);
    report.add(finding);
    Ok(())
}

async fn page(run: &Run, report: &Report, after: Option<Place>) -> Result<Vec<Place>, JobError> {
    let region = report.ask.region.clone();
    Ok(run
        .context
        .catalog
        .read(move |tx| verified::places(tx, region.as_ref(), after.as_ref(), PAGE))
        .await?)
}

/// What earlier tries found whole in a volume.
async fn noted(run: &Run, (region, volume, _): &Place) -> Result<Arc<Passed>, JobError> {
    let (job, region, volume) = (run.job.id, region.clone(), volume.clone());
    let known = run
        .context
        .catalog
        .read(move |tx| verified::noted(tx, job, &region, &volume))
        .await?;
    Ok(Arc::new(Passed::before(known)))
}

/// The bytes of all that is to be looked at, each object once, from the manifests' headers. What
/// cannot be read does not count; it is told later.
async fn count(run: &Run, report: &Report) -> Result<u64, JobError> {
    let (mut total, mut after) = (0, None);
    let mut seen: (Option<(Region, VolumeRef)>, HashSet<ObjectId>) = (None, HashSet::new());
    loop {
        let places = page(run, report, after).await?;
        let Some(last) = places.last() else {
            return Ok(total);
        };
        after = Some(last.clone());
        for place in places {
            if run.progress.is_stopping() {
                return Err(JobError::Stopping);
            }
            let (snapshots, clusters) = wanted(run, &place, report).await?;
            if snapshots.is_empty() && clusters.is_empty() {
                continue;
            }
            let (region, volume, manifest) = place;
            let vault = run.context.vaults.get(&region)?;
            let absent = crate::verify::absent(&run.context, &region, &volume).await?;
            let Ok(header) = vault::read_header(&vault, &volume, manifest, &absent).await else {
                continue;
            };
            let volume = Some((region, volume));
            if seen.0 != volume {
                seen = (volume, HashSet::new());
            }
            total += header.manifest_bytes;
            for (object, size) in header.objects() {
                if vault::in_sample(object, report.ask.sample_percent) && seen.1.insert(object) {
                    total += size;
                }
            }
        }
    }
}

/// The records that were asked for and need a manifest, as they are now.
async fn wanted(
    run: &Run,
    place: &Place,
    report: &Report,
) -> Result<(Vec<Snapshot>, Vec<Cluster>), JobError> {
    let place = place.clone();
    let (mut snapshots, mut clusters) = run
        .context
        .catalog
        .read(move |tx| verified::needing(tx, &place))
        .await?;
    let ask = &report.ask;
    let theirs = |account: &Account| ask.account.as_ref().is_none_or(|asked| asked == account);
    let named = |name: &SnapshotName| ask.snapshot.as_ref().is_none_or(|asked| asked == name);
    snapshots.retain(|snapshot| theirs(&snapshot.account) && named(&snapshot.name));
    clusters.retain(|cluster| ask.snapshot.is_none() && theirs(&cluster.account));
    Ok((snapshots, clusters))
}

/// Looks at all that one manifest reaches.
async fn one(
    run: &Run,
    place: &Place,
    passed: &Arc<Passed>,
    repairers: &mut Repairers<'_>,
    report: &mut Report,
) -> Result<(), JobError> {
    let (snapshots, clusters) = wanted(run, place, report).await?;
    if snapshots.is_empty() && clusters.is_empty() {
        return Ok(());
    }
    let (key, sealed) = data_key(run, &snapshots, &clusters).await?;
    // A manifest that was mended is read again, and what it reaches with it.
    for again in [true, false] {
        let (checked, damage) = look(run, place, key.clone(), passed, report).await?;
        if !damage.is_empty() && !is_needed(run, place, report).await? {
            return Ok(());
        }
        let manifest_mended = tell(run, place, damage, repairers, report).await?;
        if !(again && manifest_mended) {
            report.objects += checked.objects;
            report.bytes += checked.bytes;
            break;
        }
    }
    report.manifests += 1;
    report.snapshots += snapshots.len() as u64;
    report.unopened += u64::from(sealed && key.is_none());
    Ok(())
}

/// The data key, by the first record whose KMS key can be used; and whether there should be one.
async fn data_key(
    run: &Run,
    snapshots: &[Snapshot],
    clusters: &[Cluster],
) -> Result<(Option<DataKey>, bool), JobError> {
    let of_snapshots = snapshots.iter().map(|one| {
        let key = one
            .content
            .as_ref()
            .and_then(|content| content.wrapped_key.as_ref());
        (&one.account, &one.region, key)
    });
    let of_clusters = clusters.iter().map(|one| {
        let key = one.base.as_ref().and_then(|base| base.wrapped_key.as_ref());
        (&one.account, &one.region, key)
    });
    let mut sealed = false;
    for (account, region, wrapped) in of_snapshots.chain(of_clusters) {
        let Some(wrapped): Option<&WrappedKey> = wrapped else {
            continue;
        };
        sealed = true;
        match run
            .context
            .keys
            .unwrap(&KeyUser::rds(account, region), wrapped)
            .await
        {
            Ok(key) => return Ok((Some(key), true)),
            Err(error @ (KeyError::Catalog(_) | KeyError::Unavailable { .. })) => {
                return Err(error.into());
            }
            // Disabled, deleted, or no longer the account's: another record may have another.
            Err(_) => {}
        }
    }
    Ok((None, sealed))
}

/// Checks a manifest on a blocking thread, and notes meanwhile what was found whole. A manifest
/// that cannot be read is damage like any other.
async fn look(
    run: &Run,
    place: &Place,
    data_key: Option<DataKey>,
    passed: &Arc<Passed>,
    report: &Report,
) -> Result<(Checked, Vec<Damage>), JobError> {
    let (region, volume, manifest) = place.clone();
    let vault = run.context.vaults.get(&region)?;
    let absent = crate::verify::absent(&run.context, &region, &volume).await?;
    let (ask, known, progress) = (report.ask.clone(), passed.clone(), run.progress.clone());
    let checking = tokio::task::spawn_blocking(move || {
        let check = Check {
            vault: &vault,
            volume: &volume,
            manifest,
            data_key: data_key.as_ref(),
            read_data: ask.read_data,
            sample_percent: ask.sample_percent,
            condemned: &absent,
            passed: &known,
        };
        vault::check(check, &Counting(&progress))
    });
    tokio::pin!(checking);
    let checked = loop {
        tokio::select! {
            checked = &mut checking => break checked,
            () = tokio::time::sleep(NOTE_EVERY) => note(run, place, passed).await?,
        }
    };
    let checked =
        checked.map_err(|error| JobError::retry(format!("the look ended early: {error}")))?;
    let whole_manifest = |error| Damage {
        object: ObjectId {
            kind: ObjectKind::Manifest,
            hash: manifest,
        },
        error,
        files: Vec::new(),
        more: 0,
    };
    match checked {
        Ok(mut checked) => {
            let damage = std::mem::take(&mut checked.damage);
            Ok((checked, damage))
        }
        Err(error) if matches!(error.kind(), ErrorKind::Repair | ErrorKind::Refuse) => {
            Ok((Checked::default(), vec![whole_manifest(error)]))
        }
        Err(error) => Err(error.into()),
    }
}

async fn note(run: &Run, (region, volume, _): &Place, passed: &Passed) -> Result<(), JobError> {
    let hashes: Vec<_> = passed
        .take_new()
        .into_iter()
        .map(|(hash, _)| hash)
        .collect();
    for hashes in hashes.chunks(NOTES) {
        let (lease, job, region, volume, hashes) = (
            run.lease.clone(),
            run.job.id,
            region.clone(),
            volume.clone(),
            hashes.to_vec(),
        );
        run.context
            .catalog
            .write(move |tx| {
                jobs::guard(tx, &lease)?;
                verified::note(tx, job, &region, &volume, &hashes)
            })
            .await?;
    }
    Ok(())
}

/// Whether records that were asked for need the manifest still.
async fn is_needed(run: &Run, place: &Place, report: &Report) -> Result<bool, JobError> {
    let (snapshots, clusters) = wanted(run, place, report).await?;
    Ok(!(snapshots.is_empty() && clusters.is_empty()))
}

/// Reports damage, after mending it when that was asked; answers whether the manifest was mended.
async fn tell(
    run: &Run,
    place: &Place,
    damage: Vec<Damage>,
    repairers: &mut Repairers<'_>,
    report: &mut Report,
) -> Result<bool, JobError> {
    let (region, volume, _) = place;
    let (snapshots, clusters) = wanted(run, place, report).await?;
    let mut manifest_mended = false;
    for damage in damage {
        let object = damage.object;
        let remedy = match damage.error.kind() {
            // Another key or release: other bytes would be no better.
            ErrorKind::Refuse => Remedy::StoredSo,
            _ if report.ask.repair => repairers.repair(region, volume, object).await?,
            _ => repairers.look(region, volume, object).await?,
        };
        run.context.vaults.damage.found();
        manifest_mended |=
            object.kind == ObjectKind::Manifest && matches!(remedy, Remedy::MendedFrom(_));
        let needed_by = snapshots
            .iter()
            .map(|one| affected(&one.account, one.name.as_str(), one.arn()))
            .chain(
                clusters
                    .iter()
                    .map(|one| affected(&one.account, one.name.as_str(), one.arn())),
            )
            .collect();
        tracing::warn!(%region, %volume, %object, error = %damage.error, ?remedy, "damage in the vault");
        if report.ask.repair && remedy == Remedy::None {
            let ids = clusters.iter().map(|one| one.resource_id.clone());
            leave_base(run, ids.collect()).await?;
        }
        let finding = Finding::new(region, volume, needed_by, &damage, remedy);
        if !matches!(finding.remedy, Remedy::MendedFrom(_)) {
            events_of(run, &snapshots).await?;
        }
        report.add(finding);
    }
    Ok(manifest_mended)
}

/// What is lost must not be what the next snapshot builds on: that one will be a full one.
async fn leave_base(run: &Run, clusters: Vec<ResourceId>) -> Result<(), JobError> {
    run.context
        .catalog
        .write(move |tx| {
            for id in &clusters {
                if let Some(mut stored) = rows::get_by_resource_id(tx, id)? {
                    stored.value.base = None;
                    rows::update(tx, stored)?;
                }
            }
            Ok::<_, JobError>(())
        })
        .await
}

fn affected(account: &Account, name: &str, arn: model::Arn) -> Affected {
    Affected {
        account: account.clone(),
        name: name.to_owned(),
        arn,
    }
}

/// What the owner of a snapshot that cannot be restored is told; the report names the objects.
static DAMAGED: Told = Told::new("bytes that it needs are damaged or gone");

/// Tells the owners of snapshots that cannot be restored.
async fn events_of(run: &Run, snapshots: &[Snapshot]) -> Result<(), JobError> {
    let snapshots = snapshots.to_vec();
    run.context
        .catalog
        .write(move |tx| {
            for snapshot in &snapshots {
                kinds::snapshot_damaged(tx, snapshot, &DAMAGED)?;
            }
            Ok::<_, JobError>(())
        })
        .await
}

/// Keeps how far it is, and the notes that belong to it.
async fn keep(run: &Run, report: &Report, place: &Place, passed: &Passed) -> Result<(), JobError> {
    note(run, place, passed).await?;
    let last = jobs::Checkpoint {
        body: Some(report.to_text()),
        ..Default::default()
    };
    Ok(run.checkpoint(last).await?)
}
