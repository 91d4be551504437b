//! Reads all of a cluster that was restored for a test, on the node that has it, and writes what it
//! found into the drill.
use std::sync::Arc;

use catalog::{CatalogError, CatalogExt, Stored, Tx, instances, jobs, keyed};
use engine::Examined;
use model::{
    Account, Cluster, Drill, Job, JobId, JobKind, Region, ResourceId, Told, Validation,
    ValidationStatus,
    job::Subject,
    restore_testing::{Check, Stage},
};
use serde::{Deserialize, Serialize};

use super::{
    JobError, own_checks,
    restore_sample::{Verdict, judge},
    run::{JobType, Run},
};
use crate::clusters::files;

/// The job's document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Body {
    /// The cluster.
    pub cluster: ResourceId,
    /// The drill's region, account and id.
    pub region: Region,
    /// Whose it is.
    pub account: Account,
    /// Its id.
    pub drill: String,
}

/// The kind.
#[derive(Debug)]
pub struct ExamineRestore;

impl JobType for ExamineRestore {
    const NAME: &'static str = "examine-restore";
    const WORKS_ON: &'static str = "cluster";
    type Body = Body;

    async fn run(run: &Run) -> Result<(), JobError> {
        self::run(run).await
    }

    fn give_up(tx: &mut dyn Tx, job: &Job, reason: &Told) -> Result<(), CatalogError> {
        let Ok(body) = super::run::body::<Body>(job) else {
            return Ok(());
        };
        let why = format!("It could not be looked at: {}", reason.as_str());
        write(tx, &body, vec![check("connects", false, why)])
    }
}

/// The job for a drill's cluster, on its writer's node.
///
/// # Errors
/// The catalog's.
pub(crate) fn job(
    tx: &mut dyn Tx,
    id: JobId,
    drill: &Drill,
    cluster: &Cluster,
) -> Result<Job, CatalogError> {
    let body = Body {
        cluster: cluster.resource_id.clone(),
        region: drill.region.clone(),
        account: drill.account.clone(),
        drill: drill.id.clone(),
    };
    let writer = instances::writer(tx, &cluster.resource_id)?;
    let subject = Subject::cluster(&cluster.region, &cluster.account, &cluster.name);
    let kind = JobKind::of(ExamineRestore::NAME);
    let body = serde_json::to_string(&body).expect("a job's document serializes");
    Ok(Job {
        node: writer.map(|stored| stored.value.placement.node),
        ..Job::new(id, kind, subject, body, tx.now())
    })
}

async fn run(run: &Run) -> Result<(), JobError> {
    let body: Body = run.body()?;
    let context = &run.context;
    let cluster = run.cluster(&body.cluster).await?;
    let place = run.placed(&cluster).await?;
    let home = files::home(context, &cluster, &place);
    let engine = Arc::clone(context.engine_of(&cluster)?);
    let verdict = match run.slot.waiting(engine.examine(&home)).await {
        Ok(examined) => Verdict::Whole(examined),
        Err(error) => judge(error)?,
    };
    let seen = body.clone();
    let drill = context.catalog.read(move |tx| find(tx, &seen)).await?;
    let mut found = Vec::new();
    if let Some(drill) = drill.map(|stored| stored.value) {
        found = checks(&verdict, drill.rows_min);
        // What cannot be read is asked nothing.
        if matches!(verdict, Verdict::Whole(_)) {
            let asking = own_checks::make(engine.as_ref(), &home, &drill, &cluster);
            found.extend(run.slot.waiting(asking).await?);
        }
    }
    let lease = run.lease.clone();
    let written = context.catalog.write(move |tx| {
        jobs::guard(tx, &lease)?;
        write(tx, &body, found.clone())?;
        jobs::finish(tx, &lease, &jobs::End::Done)?;
        Ok::<_, JobError>(())
    });
    written.await
}

fn check(name: &str, passed: bool, found: String) -> Check {
    Check {
        name: name.to_owned(),
        passed,
        found,
        asked: None,
    }
}

/// What was found, one by one.
fn checks(verdict: &Verdict, rows_min: Option<u64>) -> Vec<Check> {
    let connects = check("connects", true, "it takes connections".to_owned());
    let Examined {
        databases,
        relations,
        indexes,
        rows,
    } = match verdict {
        Verdict::Whole(examined) => *examined,
        Verdict::Broken(why) => return vec![connects, check("relations", false, why.clone())],
    };
    let counted = match rows_min {
        Some(min) => format!("{rows} rows of at least {min}"),
        None => format!("{rows} rows"),
    };
    vec![
        connects,
        check(
            "relations",
            true,
            format!("all {relations} relations of {databases} databases were read"),
        ),
        check("indexes", true, format!("{indexes} indexes were checked")),
        check("rows", rows_min.is_none_or(|min| min <= rows), counted),
    ]
}

fn find(tx: &mut dyn Tx, body: &Body) -> Result<Option<Stored<Drill>>, CatalogError> {
    let key = [body.account.as_str(), body.drill.as_str()];
    let found = keyed::get::<Drill>(tx, &body.region, &key)?;
    Ok(found.filter(|stored| stored.value.stage == Stage::Checking))
}

/// Writes what was found into the drill, if that still waits for it.
fn write(tx: &mut dyn Tx, body: &Body, checks: Vec<Check>) -> Result<(), CatalogError> {
    let Some(mut stored) = find(tx, body)? else {
        return Ok(());
    };
    let drill = &mut stored.value;
    let wrong = checks.iter().find(|one| !one.passed);
    drill.validation = wrong.map(|one| Validation {
        status: ValidationStatus::Failed,
        message: Some(format!("{}: {}", one.name, one.found)),
    });
    drill.checks = checks;
    drill.checked_at = Some(tx.now());
    drill.stage = Stage::Held;
    keyed::update(tx, stored).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_rows_and_what_cannot_be_read_do_not_pass() {
        let whole = Verdict::Whole(Examined {
            databases: 1,
            relations: 7,
            indexes: 3,
            rows: 10,
        });
        let failed = |verdict: &Verdict, rows_min| -> Vec<String> {
            let all = checks(verdict, rows_min).into_iter();
            all.filter(|one| !one.passed).map(|one| one.name).collect()
        };
        assert_eq!(failed(&whole, None), [""; 0]);
        assert_eq!(failed(&whole, Some(10)), [""; 0]);
        assert_eq!(failed(&whole, Some(11)), ["rows"]);
        let broken = Verdict::Broken("a page is damaged".to_owned());
        assert_eq!(failed(&broken, None), ["relations"]);
    }
}
