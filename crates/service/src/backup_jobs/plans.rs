//! Makes jobs of backup plans' rules as these come due.
//!
//! A run's job is found by its rule, its time and its resource, which no two jobs have in common: so
//! however many processes look, and whenever one dies, there is one of each. What was missed while no
//! process looked is made up for once, and told.
use std::collections::{BTreeMap, HashSet};

use catalog::{
    CatalogError, CatalogExt, Stored, Tx, backup_jobs as rows, backup_plans, clusters, keyed,
};
use model::{
    Arn, BackupJob, BackupJobKind, BackupJobState, BackupPlan, BackupSelection, Cluster,
    ClusterStatus, MadeBy, PlanRule, Region, Timestamp, backup_job::resource_type,
    restore_testing::is_tested,
};

use super::{record, settings};
use crate::{background::TaskError, context::ServiceContext};

/// Plans that are read at once.
const PLANS: usize = 20;
/// Clusters that are read at once.
const CLUSTERS: usize = 500;
/// Jobs that are written at once: what people ask for comes between.
const JOBS: usize = 50;
/// Jobs that wait that are read at once.
const WAITING: usize = 500;
/// Runs of a rule that are told when more were missed.
const MISSED_MAX: usize = 24;

/// Makes jobs of all that is due in a region.
pub(crate) async fn run(context: &ServiceContext, region: &Region) -> Result<(), TaskError> {
    let mut seen = Vec::new();
    while !context.is_stopping() {
        let (here, now) = (region.clone(), context.now());
        let due = context
            .catalog
            .read(move |tx| backup_plans::due(tx, &here, now, PLANS));
        let due = due.await.map_err(TaskError::from)?;
        // One that stays due is tried again at the next turn.
        let new: Vec<Stored<BackupPlan>> = due
            .into_iter()
            .filter(|plan| !seen.contains(&plan.value.id))
            .collect();
        if new.is_empty() {
            break;
        }
        for plan in new {
            seen.push(plan.value.id.clone());
            fire(context, plan, now).await?;
        }
    }
    Ok(())
}

async fn fire(
    context: &ServiceContext,
    stored: Stored<BackupPlan>,
    now: Timestamp,
) -> Result<(), TaskError> {
    let plan = &stored.value;
    let what = || format!("the jobs of the backup plan {} were not made", plan.arn());
    let runs: Vec<Run> = plan
        .body
        .rules
        .iter()
        .flat_map(|rule| runs(plan, rule, now))
        .collect();
    let last_run = runs.iter().map(|run| run.at).max();
    let jobs = jobs(context, plan, &runs, now).await;
    let jobs = jobs.map_err(|error| TaskError::doing(&what(), &error))?;
    for batch in jobs.chunks(JOBS) {
        let batch = batch.to_vec();
        let kept = context.catalog.write(move |tx| {
            for job in &batch {
                keep(tx, job)?;
            }
            Ok::<_, CatalogError>(())
        });
        kept.await
            .map_err(|error| TaskError::doing(&what(), &error))?;
    }
    let (key, version) = (
        (plan.region.clone(), plan.account.clone(), plan.id.clone()),
        stored.version,
    );
    let looked = context.catalog.write(move |tx| {
        let (region, account, id) = &key;
        let found = keyed::get::<BackupPlan>(tx, region, &[account.as_str(), id])?;
        // One that was changed meanwhile is looked at again: its jobs are there already.
        let Some(mut stored) = found.filter(|stored| stored.version == version) else {
            return Ok(());
        };
        let plan = &mut stored.value;
        plan.looked_to = now;
        plan.last_run = last_run.or(plan.last_run);
        plan.reckon();
        keyed::update(tx, stored).map(drop)
    });
    looked
        .await
        .map_err(|error| TaskError::doing(&what(), &error))
}

/// Makes the jobs of a plan's rules as if they were due now; those of one rule, if it is named. They are what
/// a run at this second would have made, and none twice; nor is there one of a rule and a cluster for which one
/// waits already.
///
/// # Errors
/// The catalog's.
pub async fn run_now(
    context: &ServiceContext,
    plan: &BackupPlan,
    rule: Option<&str>,
) -> Result<Vec<BackupJob>, CatalogError> {
    let now = context.now();
    let rules = plan.body.rules.iter();
    let rules = rules.filter(|one| rule.is_none_or(|name| one.name == name));
    let runs: Vec<Run> = rules
        .map(|rule| Run {
            rule,
            at: now,
            missed: None,
        })
        .collect();
    let jobs = jobs(context, plan, &runs, now).await?;
    let mut kept = Vec::with_capacity(jobs.len());
    for batch in jobs.chunks(JOBS) {
        let batch = batch.to_vec();
        let made = context.catalog.write(move |tx| {
            let mut made = Vec::new();
            let waiting = waiting(tx, &batch)?;
            for job in &batch {
                if !waiting.contains(&pair(job)) && keep(tx, job)? {
                    made.push(job.clone());
                }
            }
            Ok::<_, CatalogError>(made)
        });
        kept.extend(made.await?);
    }
    context.backup_jobs.notify_one();
    Ok(kept)
}

/// A time at which a rule was due, and what becomes of it.
struct Run<'a> {
    rule: &'a PlanRule,
    at: Timestamp,
    /// Why it does not begin, if so.
    missed: Option<&'static str>,
}

/// The times of a rule that have come since they were looked at. Of those only the last one begins,
/// and that within its window: a server that was away for long makes no storm of backups.
fn runs<'a>(plan: &BackupPlan, rule: &'a PlanRule, now: Timestamp) -> Vec<Run<'a>> {
    let mut times = std::collections::VecDeque::new();
    let mut after = plan.looked_to;
    while let Ok(Some(at)) = rule.next(after) {
        if now < at {
            break;
        }
        times.push_back(at);
        if MISSED_MAX < times.len() {
            times.pop_front();
        }
        after = at;
    }
    let last = times.back().copied();
    let missed = |at: Timestamp| {
        if at.plus(rule.start_window()) <= now {
            return Some("The job did not begin within its start window: no server was at work.");
        }
        (Some(at) != last).then_some(
            "The job was missed while no server was at work, and a later one of its rule took its place.",
        )
    };
    times
        .iter()
        .map(|at| Run {
            rule,
            at: *at,
            missed: missed(*at),
        })
        .collect()
}

/// A job for each run and each cluster that is selected.
async fn jobs(
    context: &ServiceContext,
    plan: &BackupPlan,
    runs: &[Run<'_>],
    now: Timestamp,
) -> Result<Vec<BackupJob>, CatalogError> {
    let (region, account, id) = (plan.region.clone(), plan.account.clone(), plan.id.clone());
    let selected = context.catalog.read(move |tx| {
        let above = [account.as_str(), id.as_str()];
        let selections = keyed::list::<BackupSelection>(tx, &region, &above, usize::MAX)?;
        let selections = selections.into_iter().map(|stored| stored.value);
        let selections: Vec<BackupSelection> = selections.collect();
        let settings = settings::get(tx, &region, &account)?.value;
        let (mut found, mut after) = (Vec::new(), None);
        while !selections.is_empty() {
            let batch = clusters::list(tx, &region, &account, after.as_ref(), CLUSTERS)?;
            let Some(last) = batch.last() else { break };
            after = Some(last.value.name.clone());
            for cluster in batch.into_iter().map(|stored| stored.value) {
                let arn = cluster.arn();
                let opted_in = settings.opts_in(resource_type(&cluster.engine));
                let mut by = selections.iter();
                let by = by.find(|one| one.has(&arn, &cluster.tags, opted_in));
                let by = by.filter(|_| !is_tested(cluster.name.as_str(), &cluster.tags));
                if let Some(by) = by.filter(|_| cluster.status != ClusterStatus::Deleting) {
                    found.push((cluster, by.iam_role.clone()));
                }
            }
        }
        Ok::<_, CatalogError>(found)
    });
    let selected: Vec<(Cluster, String)> = selected.await?;
    let pairs = runs.iter().flat_map(|run| {
        selected
            .iter()
            .map(move |(cluster, role)| (run, cluster, role))
    });
    Ok(pairs
        .map(|(run, cluster, role)| job(context, plan, run, (cluster, role), now))
        .collect())
}

fn job(
    context: &ServiceContext,
    plan: &BackupPlan,
    run: &Run<'_>,
    (cluster, role): (&Cluster, &str),
    now: Timestamp,
) -> BackupJob {
    let (rule, body) = (run.rule, &plan.body);
    let uuid = || context.entropy.uuid();
    let copies = rule.copies.iter();
    let copies: BTreeMap<_, _> = copies
        .map(|copy| (uuid().to_string(), copy.clone()))
        .collect();
    BackupJob {
        state: match run.missed {
            Some(_) => BackupJobState::Expired,
            None => BackupJobState::Created,
        },
        message: run.missed.map(str::to_owned),
        ended_at: run.missed.map(|_| now),
        iam_role: role.to_owned(),
        lifecycle: rule.lifecycle.clone(),
        idempotency_token: Some(format!(
            "{}/{}/{}",
            rule.id,
            run.at.seconds(),
            cluster.resource_id
        )),
        start_by: run.at.plus(rule.start_window()),
        complete_by: Some(run.at.plus(rule.completion_window())),
        rule: Some(MadeBy {
            plan: plan.id.clone(),
            plan_name: body.name.clone(),
            version: body.version.clone(),
            rule: rule.id.clone(),
            rule_name: rule.name.clone(),
            schedule: rule.schedule.clone(),
            time_zone: rule.time_zone.clone(),
        }),
        tags: rule.tags.clone(),
        copies,
        ..BackupJob::of_cluster(cluster, rule.vault.clone(), &uuid(), now)
    }
}

/// The rule and the resource of a job.
fn pair(job: &BackupJob) -> (Option<String>, Arn) {
    let rule = job.rule.as_ref().map(|made_by| made_by.rule.clone());
    (rule, job.resource.clone())
}

/// The rules and resources for which jobs wait, in the account of those that are to be kept.
fn waiting(
    tx: &mut dyn Tx,
    jobs: &[BackupJob],
) -> Result<HashSet<(Option<String>, Arn)>, CatalogError> {
    let (mut found, mut after) = (HashSet::new(), None);
    while let Some(asked) = jobs.first() {
        let state = BackupJobState::Created;
        let batch = rows::in_state(tx, &asked.region, state, after.as_ref(), WAITING)?;
        let Some(last) = batch.last() else { break };
        after = Some((last.value.created_at, last.value.id.clone()));
        let own = batch.into_iter().map(|stored| stored.value);
        let own = own.filter(|one| one.account == asked.account && one.kind == asked.kind);
        found.extend(own.map(|one| pair(&one)));
    }
    Ok(found)
}

/// Keeps a run's job, unless there is one. Answers whether it was kept.
fn keep(tx: &mut dyn Tx, job: &BackupJob) -> Result<bool, CatalogError> {
    let (owner, kind) = ((&job.region, &job.account), BackupJobKind::Backup);
    let token = job.idempotency_token.as_deref().unwrap_or_default();
    if rows::of_token(tx, owner, kind, token)?.is_some() {
        return Ok(false);
    }
    match record::insert(tx, job.clone()) {
        Ok(_) => Ok(true),
        // Another process was faster.
        Err(CatalogError::Conflict { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
