//! Makes drills of restore testing plans as these come due.
//!
//! A drill's job is found by its plan, its time and its resource, which no two have in common: however
//! many processes look, and whenever one dies, there is one of each.
use std::collections::HashSet;

use catalog::{
    CatalogError, CatalogExt, Stored, Tx, backup_jobs as rows, clusters, keyed, recovery_points,
    restore_testing,
};
use model::{
    Arn, ArnKind, BackupJob, BackupJobKind, ClusterName, Drill, Region, RestoreOf,
    RestoreTestingPlan, RestoreTestingSelection, Snapshot, SnapshotStatus, Tag, Timestamp,
    backup_job::resource_type,
    drill_checks,
    restore_testing::{CLUSTER_PREFIX, Origin, Stage, choose},
};

use super::{
    super::{door::Metadata, record},
    open,
};
use crate::{background::TaskError, context::ServiceContext};

/// Plans, resources and recovery points that are read at once.
const PLANS: usize = 20;
const RESOURCES: usize = 200;
const POINTS: usize = 200;
/// Drills that are written at once: what people ask for comes between.
const DRILLS: usize = 50;

/// Makes drills of all that is due in a region.
pub(super) async fn run(context: &ServiceContext, region: &Region) -> Result<(), TaskError> {
    let (here, now) = (region.clone(), context.now());
    let due = context
        .catalog
        .read(move |tx| restore_testing::due(tx, &here, now, PLANS));
    for plan in due.await? {
        let arn = plan.value.arn();
        fire(context, plan, now).await.map_err(|error| {
            let told = format!("the drills of the restore testing plan {arn} were not made");
            TaskError::doing(&told, &error)
        })?;
    }
    Ok(())
}

/// The last time at which a plan was due. Earlier ones that were missed are not made up for: there is
/// nothing that a test of then would tell and one of now does not.
fn last_time(plan: &RestoreTestingPlan, now: Timestamp) -> Option<Timestamp> {
    let (mut last, mut after) = (None, plan.looked_to);
    while let Ok(Some(at)) = plan.next(after) {
        if now < at {
            break;
        }
        last = Some(at);
        after = at;
    }
    last
}

async fn fire(
    context: &ServiceContext,
    stored: Stored<RestoreTestingPlan>,
    now: Timestamp,
) -> Result<(), CatalogError> {
    let plan = &stored.value;
    let planned_at = last_time(plan, now);
    if let Some(at) = planned_at {
        match now < at.plus(plan.start_window()) {
            true => drop(make(context, plan, (at, now), false).await?),
            false => {
                tracing::warn!(plan = %plan.arn(), %at, "its drills were not made: no server was at work within their start window");
            }
        }
    }
    let (plan, version) = (plan.clone(), stored.version);
    let looked = context.catalog.write(move |tx| {
        let key = [plan.account.as_str(), plan.name.as_str()];
        let found = keyed::get::<RestoreTestingPlan>(tx, &plan.region, &key)?;
        // One that was changed meanwhile is looked at again: its drills are there already.
        let Some(mut stored) = found.filter(|stored| stored.version == version) else {
            return Ok(());
        };
        stored.value.looked_to = now;
        stored.value.last_run = planned_at.or(stored.value.last_run);
        stored.value.reckon();
        keyed::update(tx, stored).map(drop)
    });
    looked.await
}

/// Makes the drills of a plan as if it were due now, except of resources that have one which is not over.
///
/// # Errors
/// The catalog's.
pub async fn run_now(
    context: &ServiceContext,
    plan: &RestoreTestingPlan,
) -> Result<Vec<Drill>, CatalogError> {
    let now = context.now();
    make(context, plan, (now, now), true).await
}

/// Makes drills of what a plan tests, unless they are there; answers those that were made.
async fn make(
    context: &ServiceContext,
    plan: &RestoreTestingPlan,
    (planned_at, now): (Timestamp, Timestamp),
    unless_open: bool,
) -> Result<Vec<Drill>, CatalogError> {
    let (of, draw) = (plan.clone(), context.entropy.uuid().as_u64_pair().0);
    let chosen = context
        .catalog
        .read(move |tx| candidates(tx, &of, now, draw));
    let chosen: Vec<(Snapshot, RestoreTestingSelection)> = chosen.await?;
    tracing::info!(plan = %plan.arn(), recovery_points = chosen.len(), "restores recovery points for a test");
    let drills: Vec<(Drill, BackupJob)> = chosen
        .iter()
        .filter_map(|(point, selection)| {
            drill(context, plan, (point, selection), (planned_at, now))
        })
        .collect();
    let mut made = Vec::with_capacity(drills.len());
    for batch in drills.chunks(DRILLS) {
        let batch = batch.to_vec();
        let kept = context.catalog.write(move |tx| {
            let mut kept = Vec::new();
            let open = match (unless_open, batch.first()) {
                (true, Some((drill, _))) => tested(tx, drill)?,
                _ => HashSet::new(),
            };
            for (drill, job) in &batch {
                if open.contains(&drill.resource) {
                    continue;
                }
                let token = job.idempotency_token.as_deref().unwrap_or_default();
                let owner = (&job.region, &job.account);
                if rows::of_token(tx, owner, BackupJobKind::Restore, token)?.is_none() {
                    record::insert(tx, job.clone())?;
                    kept.push(keyed::insert(tx, drill.clone())?.value);
                }
            }
            Ok::<_, CatalogError>(kept)
        });
        made.extend(kept.await?);
    }
    Ok(made)
}

/// The resources of which a drill's plan has drills that are not over.
fn tested(tx: &mut dyn Tx, of: &Drill) -> Result<HashSet<Arn>, CatalogError> {
    let open = open::all(tx, &of.region)?.into_iter();
    let own = open.filter(|one| one.account == of.account && one.plan == of.plan);
    Ok(own.map(|one| one.resource).collect())
}

/// One recovery point of each resource that a plan tests, with the selection that has it.
fn candidates(
    tx: &mut dyn Tx,
    plan: &RestoreTestingPlan,
    now: Timestamp,
    draw: u64,
) -> Result<Vec<(Snapshot, RestoreTestingSelection)>, CatalogError> {
    let owner = (&plan.region, &plan.account);
    let above = [plan.account.as_str(), plan.name.as_str()];
    let selections = keyed::list::<RestoreTestingSelection>(tx, &plan.region, &above, usize::MAX)?;
    let selections: Vec<RestoreTestingSelection> =
        selections.into_iter().map(|stored| stored.value).collect();
    let (mut found, mut after) = (Vec::new(), String::new());
    while plan.points.snapshots && !selections.is_empty() {
        let rows = recovery_points::protected(tx, owner, None, &after, RESOURCES)?;
        let newest: Vec<Snapshot> = rows.into_iter().map(|row| row.value).collect();
        let Some(last) = newest.last().and_then(|one| one.recovery_point.as_ref()) else {
            break;
        };
        after = last.resource.to_string();
        for snapshot in &newest {
            let Some(point) = &snapshot.recovery_point else {
                continue;
            };
            let tags = tags_of(tx, &point.resource, snapshot)?;
            let kind = resource_type(&snapshot.engine);
            let mut by = selections.iter();
            let Some(by) = by.find(|one| one.has(&point.resource, kind, &tags)) else {
                continue;
            };
            let points = within(tx, plan, &point.resource, now)?;
            let drawn = draw.wrapping_add(found.len() as u64);
            found.extend(choose(plan.points.choice, points, drawn).map(|one| (one, by.clone())));
        }
    }
    Ok(found)
}

/// The tags of a resource; of one that is gone those of its recovery point.
fn tags_of(tx: &mut dyn Tx, resource: &Arn, snapshot: &Snapshot) -> Result<Vec<Tag>, CatalogError> {
    let name = resource
        .locate(ArnKind::Cluster)
        .and_then(|located| ClusterName::parse(located.name).ok());
    let cluster = match name {
        Some(name) => clusters::get(tx, &resource.region, &resource.account, &name)?,
        None => None,
    };
    Ok(cluster.map_or_else(|| snapshot.tags.clone(), |stored| stored.value.tags))
}

/// A resource's recovery points that a plan may take, the newest first.
fn within(
    tx: &mut dyn Tx,
    plan: &RestoreTestingPlan,
    resource: &Arn,
    now: Timestamp,
) -> Result<Vec<Snapshot>, CatalogError> {
    let owner = (&plan.region, &plan.account);
    let since = plan.points.since(now);
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let rows = recovery_points::of_resource(tx, owner, resource, after.as_ref(), POINTS)?;
        let Some(last) = rows.last() else { break };
        after = Some((last.value.recorded_at, last.value.name.to_string()));
        let is_old = last.value.recorded_at < since;
        let rows = rows.into_iter().map(|row| row.value);
        found.extend(rows.filter(|one| since <= one.recorded_at && may_take(plan, one)));
        let is_known = plan.points.choice == model::restore_testing::Choice::Latest;
        if is_old || is_known && !found.is_empty() {
            break;
        }
    }
    Ok(found)
}

fn may_take(plan: &RestoreTestingPlan, snapshot: &Snapshot) -> bool {
    let (region, account) = (&snapshot.region, &snapshot.account);
    let point = snapshot.recovery_point.as_ref();
    snapshot.status == SnapshotStatus::Available
        && point.is_some_and(|point| {
            let vault = Arn::of(ArnKind::BackupVault, region, account, point.vault.as_str());
            plan.points.has_vault(&vault)
        })
}

/// What the restore is told: what is inferred, and what the selection says instead of it.
fn metadata(inferred: Metadata, selection: &RestoreTestingSelection, cluster: &str) -> Metadata {
    let mut all = inferred;
    let own = selection.overrides.iter();
    for (name, value) in
        own.filter(|(name, _)| !name.to_ascii_lowercase().starts_with(drill_checks::OWN))
    {
        all.retain(|there, _| !there.eq_ignore_ascii_case(name));
        all.insert(name.clone(), value.clone());
    }
    all.retain(|there, _| !there.eq_ignore_ascii_case("DBClusterIdentifier"));
    all.insert("DBClusterIdentifier".to_owned(), cluster.to_owned());
    all
}

/// A new drill and its job; none while the door to the API is not open yet.
fn drill(
    context: &ServiceContext,
    plan: &RestoreTestingPlan,
    (snapshot, selection): (&Snapshot, &RestoreTestingSelection),
    (planned_at, now): (Timestamp, Timestamp),
) -> Option<(Drill, BackupJob)> {
    let point = snapshot.recovery_point.as_ref()?;
    let door = context.restores.get()?;
    let id = context.entropy.uuid();
    // A Multi-AZ DB cluster's name leaves room for those of its instances.
    let short: String = id.simple().to_string().chars().take(20).collect();
    let name = format!("{CLUSTER_PREFIX}{short}");
    let (region, account) = (&plan.region, &plan.account);
    let cluster = Arn::of(ArnKind::Cluster, region, account, &name);
    let start_by = planned_at.plus(plan.start_window());
    let bytes = snapshot.content.as_ref().map(|one| one.logical_bytes);
    let rows_min = selection.overrides.iter();
    let mut rows_min =
        rows_min.filter(|(name, _)| name.eq_ignore_ascii_case(drill_checks::ROWS_MIN));
    // Of one resource, whichever of its points two processes draw at once.
    let token = format!(
        "restore-testing/{}/{}/{}",
        plan.name,
        planned_at.seconds(),
        point.resource
    );
    let job = BackupJob {
        iam_role: selection.iam_role.clone(),
        idempotency_token: Some(token),
        start_by,
        bytes,
        rule: None,
        restore: Some(RestoreOf {
            cluster: cluster.clone(),
            metadata: metadata(door.inferred(snapshot), selection, &name),
            point_made_at: snapshot.recorded_at,
            testing_plan: Some(plan.name.clone()),
            validation: None,
            deletion: None,
        }),
        ..BackupJob::of_point(BackupJobKind::Restore, snapshot, point, (&id, now))
    };
    let drill = Drill {
        region: region.clone(),
        account: account.clone(),
        id: job.id.clone(),
        plan: plan.name.clone(),
        selection: selection.name.clone(),
        resource: point.resource.clone(),
        resource_type: job.resource_type.clone(),
        point: snapshot.arn(),
        vault: point.vault.clone(),
        point_made_at: snapshot.recorded_at,
        bytes: bytes.unwrap_or_default(),
        manifest: snapshot
            .content
            .as_ref()
            .map(|one| one.manifest.to_string()),
        cluster,
        planned_at,
        start_by,
        validation_window_hours: selection.validation_window_hours,
        rows_min: rows_min
            .next()
            .and_then(|(_, rows)| rows.trim().parse().ok()),
        // Only what reads is kept.
        wanted: drill_checks::read(&selection.overrides).unwrap_or_default(),
        stage: Stage::Waiting,
        started_at: None,
        restored_at: None,
        checked_at: None,
        checks: Vec::new(),
        validation: None,
        deletion: None,
        ended_at: None,
        origin: Some(Origin::of(snapshot)),
        receipt: None,
    };
    Some((drill, job))
}
