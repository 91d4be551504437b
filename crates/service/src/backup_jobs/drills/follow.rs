//! The steps of a drill: its cluster is asked for, made, read, held and deleted.
use catalog::{CatalogError, CatalogExt, Tx, jobs};
use model::{
    BackupJobState, Cluster, ClusterStatus, Drill, ErrorKind, JobId, JobState, Tag, Timestamp,
    Validation, ValidationStatus,
    restore_testing::{CLUSTER_TAG, DeletionStatus, Stage, is_tested},
};

use super::{
    super::{record::BeginError, restore::restored},
    end::{self, Signer, failed},
    pair::{Pair, deletion, find, keep},
};
use crate::{
    context::ServiceContext,
    fault::{Code, Fault},
    jobs::examine_restore,
};

/// Goes on with a drill, as far as that can be at once; answers whether it began. `may_begin`: there
/// is room for one more.
pub(super) async fn go_on(
    context: &ServiceContext,
    drill: &Drill,
    may_begin: bool,
) -> Result<bool, BeginError> {
    let now = context.now();
    match drill.stage {
        Stage::Waiting if drill.start_by <= now => {
            let why = "It did not begin within its start window.".to_owned();
            end::fail(context, drill, why).await?;
        }
        Stage::Waiting if may_begin => return begin(context, drill).await,
        Stage::Restoring => {
            let (seen, signer) = (drill.clone(), end::signer(context));
            let job = JobId::draw(&*context.entropy);
            let over = context
                .catalog
                .write(move |tx| restoring(tx, &seen, job, &signer));
            end::tell(context, over.await?);
        }
        Stage::Checking => {
            let (seen, signer) = (drill.clone(), end::signer(context));
            let job = JobId::draw(&*context.entropy);
            let over = context
                .catalog
                .write(move |tx| checking(tx, &seen, job, &signer));
            end::tell(context, over.await?);
        }
        Stage::Held => {
            let seen = drill.clone();
            let held = context.catalog.write(move |tx| held(tx, &seen, now));
            held.await?;
        }
        Stage::Deleting => delete(context, drill).await?,
        Stage::Waiting | Stage::Over => {}
    }
    Ok(false)
}

/// Asks for the cluster, unless a process that died had done so.
async fn begin(context: &ServiceContext, drill: &Drill) -> Result<bool, BeginError> {
    let Some(door) = context.restores.get() else {
        return Ok(false);
    };
    let (seen, begun_at) = (drill.clone(), context.now());
    let found = context.catalog.read(move |tx| {
        let pair = find(tx, &seen)?;
        let job = pair.and_then(|pair| pair.job).map(|stored| stored.value);
        let cluster = cluster_of(tx, &seen)?;
        Ok::<_, CatalogError>((job, cluster.is_some()))
    });
    let (Some(job), was_there) = found.await? else {
        let why = "Its job was forgotten before it began.".to_owned();
        return Ok(end::fail(context, drill, why).await.map(|()| false)?);
    };
    if !was_there {
        let tag = Tag {
            key: CLUSTER_TAG.to_owned(),
            value: drill.plan.clone(),
        };
        match door.restore(&job, &[tag]).await {
            Ok(()) => {}
            // Another process that still thinks that it leads was faster: the name is this drill's alone.
            Err(_) if is_there(context, drill).await? => {}
            Err(fault) if fault.code.kind() == ErrorKind::Refuse => {
                let why = fault.message.to_string();
                return Ok(end::fail(context, drill, why).await.map(|()| false)?);
            }
            Err(fault) => return Err(BeginError::Fault(fault)),
        }
    }
    let seen = drill.clone();
    let begun = context.catalog.write(move |tx| {
        let Some(mut pair) = find(tx, &seen)? else {
            return Ok(());
        };
        pair.drill.value.stage = Stage::Restoring;
        pair.drill.value.started_at = Some(begun_at);
        if let Some(job) = &mut pair.job {
            job.value.state = BackupJobState::Running;
        }
        keep(tx, pair).map(drop)
    });
    begun.await?;
    Ok(true)
}

async fn is_there(context: &ServiceContext, drill: &Drill) -> Result<bool, CatalogError> {
    let seen = drill.clone();
    let found = context.catalog.read(move |tx| cluster_of(tx, &seen));
    Ok(found.await?.is_some())
}

/// The drill's cluster, if it is there: none was of its name before.
fn cluster_of(tx: &mut dyn Tx, drill: &Drill) -> Result<Option<Cluster>, CatalogError> {
    restored(tx, &drill.cluster)
}

/// Has the cluster read once it is there. Answers the drill if it is over.
fn restoring(
    tx: &mut dyn Tx,
    seen: &Drill,
    job: JobId,
    signer: &Signer,
) -> Result<Option<Drill>, CatalogError> {
    let Some(mut pair) = find(tx, seen)? else {
        return Ok(None);
    };
    let now = tx.now();
    match cluster_of(tx, seen)? {
        None => return lost(tx, pair, signer).map(Some),
        Some(cluster) => match cluster.status {
            ClusterStatus::Creating => return Ok(None),
            ClusterStatus::Deleting => return lost(tx, pair, signer).map(Some),
            ClusterStatus::Failed => {
                let why = cluster.failure.as_ref();
                let why = why.map_or("The cluster could not be restored.", |why| why.as_str());
                end_job(&mut pair, BackupJobState::Failed, Some(why.to_owned()), now);
                failed(&mut pair.drill.value, "restores", why, now);
                pair.drill.value.stage = Stage::Deleting;
            }
            _ => {
                end_job(&mut pair, BackupJobState::Completed, None, now);
                let drill = &mut pair.drill.value;
                drill.restored_at = Some(now);
                drill.stage = Stage::Checking;
                let job = examine_restore::job(tx, job, drill, &cluster)?;
                jobs::insert(tx, &job)?;
            }
        },
    }
    keep(tx, pair)?;
    Ok(None)
}

fn end_job(pair: &mut Pair, state: BackupJobState, why: Option<String>, now: Timestamp) {
    if let Some(job) = &mut pair.job {
        job.value.state = state;
        job.value.ended_at = Some(now);
        job.value.message = why;
    }
}

/// Ends a drill whose cluster was deleted before all was known of it.
fn lost(tx: &mut dyn Tx, mut pair: Pair, signer: &Signer) -> Result<Drill, CatalogError> {
    let (now, why) = (tx.now(), "The cluster was deleted before it was looked at.");
    if let Some(job) = &pair.job
        && job.value.state == BackupJobState::Running
    {
        end_job(&mut pair, BackupJobState::Failed, Some(why.to_owned()), now);
    }
    failed(&mut pair.drill.value, "connects", why, now);
    pair.drill.value.deletion = Some(deletion(DeletionStatus::Successful, None));
    end::over(tx, pair, now, signer)
}

/// Ends a drill whose cluster goes while it is read: the job that reads it ends then without a word. One
/// whose job is gone with the catalog that it was in, or was canceled, is read again.
fn checking(
    tx: &mut dyn Tx,
    seen: &Drill,
    id: JobId,
    signer: &Signer,
) -> Result<Option<Drill>, CatalogError> {
    let Some(pair) = find(tx, seen)? else {
        return Ok(None);
    };
    let cluster = cluster_of(tx, seen)?;
    let Some(cluster) = cluster.filter(|one| one.status != ClusterStatus::Deleting) else {
        return lost(tx, pair, signer).map(Some);
    };
    let job = examine_restore::job(tx, id, &pair.drill.value, &cluster)?;
    let before = jobs::of_subject(tx, &job.subject, &job.kind)?;
    if !before.iter().any(|one| one.state == JobState::Open) {
        jobs::insert(tx, &job)?;
    }
    Ok(None)
}

/// Has the cluster deleted once nothing else is said of it. What nobody looked at is what the checks
/// found; what somebody began to look at and did not end has timed out.
fn held(tx: &mut dyn Tx, seen: &Drill, now: Timestamp) -> Result<(), CatalogError> {
    let Some(mut pair) = find(tx, seen)? else {
        return Ok(());
    };
    let drill = &mut pair.drill.value;
    if drill.outcome().is_none() {
        if drill.held_until().is_some_and(|until| now < until) {
            return Ok(());
        }
        let (status, message) = match &drill.validation {
            None => (ValidationStatus::Successful, end::summary(drill)),
            Some(_) => (
                ValidationStatus::TimedOut,
                "Nobody said within the validation window whether it is good.".to_owned(),
            ),
        };
        drill.validation = Some(Validation {
            status,
            message: Some(message),
        });
    }
    drill.stage = Stage::Deleting;
    keep(tx, pair).map(drop)
}

/// Asks for the cluster's end, and waits for it. One without its tag is its owner's now.
async fn delete(context: &ServiceContext, drill: &Drill) -> Result<(), BeginError> {
    let seen = drill.clone();
    let found = context.catalog.read(move |tx| {
        let job = find(tx, &seen)?.and_then(|pair| pair.job);
        Ok::<_, CatalogError>((cluster_of(tx, &seen)?, job.map(|stored| stored.value)))
    });
    let (cluster, job) = found.await?;
    let Some(cluster) = cluster else {
        let gone = deletion(DeletionStatus::Successful, None);
        return Ok(end::deleted(context, drill, gone).await?);
    };
    if cluster.status == ClusterStatus::Deleting {
        return Ok(());
    }
    let left_alone = |why: String| deletion(DeletionStatus::Failed, Some(why));
    if !is_tested(cluster.name.as_str(), &cluster.tags) {
        let why = format!("The cluster has the tag {CLUSTER_TAG} no more: it is left alone.");
        return Ok(end::deleted(context, drill, left_alone(why)).await?);
    }
    let (Some(job), Some(door)) = (job, context.restores.get()) else {
        return Ok(());
    };
    match door.delete(&job).await {
        Ok(()) => {}
        // It is being changed, or a snapshot of it taken.
        Err(Fault {
            code: Code::InvalidDbClusterState,
            ..
        }) => return Ok(()),
        Err(fault) if fault.code.kind() == ErrorKind::Refuse => {
            let why = fault.message.to_string();
            return Ok(end::deleted(context, drill, left_alone(why)).await?);
        }
        Err(fault) => return Err(BeginError::Fault(fault)),
    }
    let seen = drill.clone();
    let begun = context.catalog.write(move |tx| {
        let Some(mut pair) = find(tx, &seen)? else {
            return Ok(());
        };
        pair.drill.value.deletion = Some(deletion(DeletionStatus::Deleting, None));
        keep(tx, pair).map(drop)
    });
    Ok(begun.await?)
}
