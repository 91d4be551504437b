//! `snapferry plan`: backup plans, vaults and restore testing plans of a file, over the API of a server
//! anywhere.
mod diff;
mod file;
mod steps;
mod world;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::{
    client::{Api, Remote},
    commands::{
        failure::Failure,
        invocation::{Invocation, Outcome, Run},
        output::{print, run},
    },
};

/// Have the backup plans of a file, over the API
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    snapferry plan apply plans.toml --dry-run\n  \
    snapferry plan apply plans.toml\n  \
    snapferry plan apply plans.json --prune"
)]
pub(crate) struct Plan {
    #[command(subcommand)]
    verb: PlanVerb,
}

/// `snapferry plan ...`.
#[derive(Debug, Subcommand)]
enum PlanVerb {
    /// Show how what is there differs from a file, and make it so
    ///
    /// The file has AWS Backup's own members, as TOML (by its name) or JSON: Vaults, Plans with their
    /// Selections, RestoreTestingPlans with theirs. All are found by name in the region that is spoken to;
    /// what is as the file says is left alone. A wrong file changes nothing, and the line is told.
    #[command(after_help = "Examples:\n  \
        snapferry plan apply plans.toml --dry-run\n  \
        snapferry plan apply plans.toml --region eu-west-1\n  \
        snapferry plan apply plans.json --prune")]
    Apply {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Show what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
        /// Delete plans and selections that the file does not have, too; never vaults
        #[arg(long)]
        prune: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

impl Run for Plan {
    fn run(self, _: &Invocation) -> Result<Outcome, Failure> {
        let PlanVerb::Apply {
            file,
            dry_run,
            prune,
            remote,
        } = self.verb;
        let wanted = file::read(&file)?;
        let api = Api::open(&remote)?;
        run(async {
            let there = world::look(&api).await?;
            let steps = steps::between(&there, &wanted, prune)?;
            for step in &steps {
                print(&step.text())?;
            }
            if steps.is_empty() {
                return print("Everything is as the file says.\n");
            }
            if dry_run {
                return print(&format!(
                    "{} to do; nothing was done.\n",
                    count(steps.len())
                ));
            }
            let mut ids = there.plan_ids();
            for step in &steps {
                step.take(&api, &mut ids).await?;
            }
            print(&format!("{} done.\n", count(steps.len())))
        })?;
        Ok(Outcome::Done)
    }
}

fn count(steps: usize) -> String {
    match steps {
        1 => "1 step".to_owned(),
        more => format!("{more} steps"),
    }
}
