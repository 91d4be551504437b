//! `snapferry job`: background work.
mod list;
mod watch;

use std::sync::Arc;

use catalog::Catalog;
use clap::{Args, Subcommand};
use service::Mode;

use self::watch::Watch;
use crate::{
    commands::{
        arguments::{Folder, Format, ListFormat},
        failure::Failure,
        invocation::{Invocation, Outcome, Run},
        output::attach,
    },
    deployment::catalogs,
};

/// Look at background work
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    snapferry job list\n  \
    snapferry job list --json\n  \
    snapferry job watch"
)]
pub(crate) struct Job {
    #[command(subcommand)]
    verb: JobVerb,
}

/// `snapferry job ...`.
#[derive(Debug, Subcommand)]
enum JobVerb {
    /// List jobs: what is created, copied, restored and deleted, and how far it is
    #[command(after_help = "Examples:\n  \
        snapferry job list\n  \
        snapferry job list --data /srv/snapferry --json")]
    List {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        format: ListFormat,
    },
    /// Watch jobs until they end: bytes, rate and the time that is left
    ///
    /// A bar for each job on a terminal, else a line for each now and then. Ctrl-C ends the watching, not the
    /// jobs. The exit status is 1 when a job that was watched failed.
    #[command(after_help = "Examples:\n  \
        snapferry job watch\n  \
        snapferry job watch nightly-eu --timeout 3600\n  \
        snapferry job watch --json")]
    Watch {
        /// Only the job of this id, or those on the snapshot or cluster of this name [default: all that are open]
        #[arg(value_name = "JOB")]
        job: Option<String>,
        /// How long to watch [default: until they are done]
        #[arg(long, value_name = "SECONDS")]
        timeout: Option<u64>,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        format: Format,
    },
}

/// Whose jobs.
#[derive(Debug, Args)]
struct Place {
    #[command(flatten)]
    folder: Folder,
    /// Look into the default data folder of `snapferry serve --dev`
    #[arg(long, conflicts_with = "data")]
    dev: bool,
}

impl Place {
    fn catalog(&self) -> Result<Arc<dyn Catalog>, Failure> {
        let mode = if self.dev { Mode::Dev } else { Mode::Closed };
        Ok(match &self.folder.shared.catalog {
            Some(url) => catalogs::open_shared(url)?,
            None => catalogs::open(&attach(&self.folder, mode)?, None)?,
        })
    }
}

impl Run for Job {
    fn run(self, _: &Invocation) -> Result<Outcome, Failure> {
        match self.verb {
            JobVerb::List { place, format } => list::list(&*place.catalog()?, format)?,
            JobVerb::Watch {
                job,
                timeout,
                place,
                format,
            } => Watch::new(place.catalog()?, job, timeout, format).run()?,
        }
        Ok(Outcome::Done)
    }
}
