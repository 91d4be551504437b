//! What background work there is.
//!
//! It does not know what the jobs do.
use catalog::{Catalog, CatalogExt, jobs};
use serde_json::json;

use crate::commands::{
    arguments::ListFormat,
    failure::Failure,
    output::{ROWS_MAX, lines_of_json, print, run, table},
};

/// Lists the jobs of a catalog.
pub(super) fn list(catalog: &dyn Catalog, format: ListFormat) -> Result<(), Failure> {
    let jobs = run(async move { Ok(catalog.read(|tx| jobs::list(tx, None, ROWS_MAX)).await?) })?;
    print(&shown_jobs(&jobs, format))
}

fn shown_jobs(jobs: &[model::Job], format: ListFormat) -> String {
    match format {
        ListFormat::Text => table(
            &[
                "CREATED",
                "KIND",
                "STATE",
                "DONE",
                "REGION",
                "ACCOUNT",
                "SUBJECT",
                "TRIES",
                "LAST ERROR",
            ],
            jobs.iter().map(|job| {
                vec![
                    job.created_at.to_rfc3339_secs(),
                    job.kind.as_str().to_owned(),
                    job.state.as_str().to_owned(),
                    done(job),
                    job.subject
                        .region()
                        .map_or(String::new(), ToString::to_string),
                    job.subject
                        .account()
                        .map_or(String::new(), ToString::to_string),
                    job.subject.name().to_owned(),
                    job.attempts.to_string(),
                    job.error.clone().unwrap_or_default(),
                ]
            }),
        ),
        ListFormat::Json => lines_of_json(jobs.iter().map(|job| {
            json!({
                "id": job.id.to_string(),
                "kind": job.kind.as_str(),
                "state": job.state.as_str(),
                "node": job.node,
                "runner": job.lease_owner,
                "region": job.subject.region().map(model::Region::as_str),
                "account": job.subject.account().map(model::Account::as_str),
                "subject": job.subject.name(),
                "attempts": job.attempts,
                "created_at": job.created_at.to_rfc3339_micros(),
                "progress": {
                    "bytes_total": job.progress.bytes_total,
                    "bytes_done": job.progress.bytes_done,
                    "bytes_shipped": job.progress.bytes_shipped,
                    "objects_shipped": job.progress.objects_shipped,
                    "bytes_held": job.progress.bytes_held,
                },
                "error": job.error,
            })
        })),
    }
}

fn done(job: &model::Job) -> String {
    match job.state {
        model::JobState::Done => "100%".to_owned(),
        _ if job.progress.bytes_total == 0 => String::new(),
        _ => format!("{}%", job.progress.percent()),
    }
}
