//! `DescribeJobs`: the caller's work in the region that is not over, and how far it is.
use catalog::{CatalogExt, jobs};
use model::Job;
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionContext, Api, Output};
use service::fault::Fault;

/// Jobs that are told; an account has some tens at once.
const JOBS_MAX: usize = 1_000;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeJobs {}

/// The answer: the newest first, a thousand at most.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Jobs {
    jobs: Vec<OpenJob>,
}

impl Output for Jobs {}

/// A job that is not over.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct OpenJob {
    job_identifier: String,
    /// Such as `copy-snapshot`.
    job_type: String,
    /// What it works on: `snapshot` or `cluster`.
    source_type: &'static str,
    source_identifier: String,
    create_time: String,
    /// Bytes there are to do, as far as known; 0 while nothing is.
    bytes_total: u64,
    /// Bytes done or found already there.
    bytes_done: u64,
    /// Bytes that went over the link or into the vault, all tries together.
    bytes_shipped: u64,
    percent_progress: u8,
    /// Tries begun.
    attempts: u32,
}

impl OpenJob {
    fn of(job: Job) -> Self {
        Self {
            job_identifier: job.id.to_string(),
            job_type: job.kind.as_str().to_owned(),
            source_type: job.subject.sort(),
            source_identifier: job.subject.name().to_owned(),
            create_time: job.created_at.to_rfc3339_micros(),
            bytes_total: job.progress.bytes_total,
            bytes_done: job.progress.bytes_done,
            bytes_shipped: job.progress.bytes_shipped,
            percent_progress: job.progress.percent(),
            attempts: job.attempts,
        }
    }
}

impl Action for DescribeJobs {
    const NAME: &'static str = "DescribeJobs";
    const API: Api = Api::Snapferry;
    const READS: bool = true;
    type Output = Jobs;

    async fn run(self, cx: &ActionContext) -> Result<Jobs, Fault> {
        let (region, account) = (cx.region.clone(), cx.caller.account.clone());
        let read = move |tx: &mut dyn catalog::Tx| jobs::open_of(tx, &region, &account, JOBS_MAX);
        let found = cx.service.catalog.read(read).await?;
        Ok(Jobs {
            jobs: found.into_iter().map(OpenJob::of).collect(),
        })
    }
}
