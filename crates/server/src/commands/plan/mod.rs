//! `snapferry plan`: backup plans, vaults and restore testing plans of a file, over the API of a server
//! anywhere.
mod diff;
mod file;
mod preview;
mod steps;
mod world;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use model::{Clock, SystemClock};
use serde_json::{Map, Value, json};

use self::preview::Preview;
use crate::{
    client::{Api, Remote},
    commands::{
        arguments::Format,
        failure::Failure,
        invocation::{Invocation, Outcome, Run},
        output::{lines_of_json, print, run, table},
    },
};

/// Have the backup plans of a file, over the API
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    snapferry plan apply plans.toml --dry-run\n  \
    snapferry plan preview plans.toml\n  \
    snapferry plan apply plans.toml\n  \
    snapferry plan run production --rule night"
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
    /// Show when the rules of a file are due next, until when what they make is kept, and how much stays
    ///
    /// Nobody is asked: it is what the file says.
    #[command(after_help = "Examples:\n  \
        snapferry plan preview plans.toml\n  \
        snapferry plan preview plans.toml --runs 50 --json")]
    Preview {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Times that are shown
        #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
        runs: u16,
        #[command(flatten)]
        format: Format,
    },
    /// Have the rules of a backup plan run now, as if they were due
    ///
    /// Each cluster that the plan's selections have gets a backup job of each rule, with the rule's vault,
    /// lifecycle and copies.
    #[command(after_help = "Examples:\n  \
        snapferry plan run production\n  \
        snapferry plan run production --rule night --json")]
    Run {
        /// The plan's name, or its id
        #[arg(value_name = "PLAN")]
        plan: String,
        /// Only this rule
        #[arg(long, value_name = "NAME")]
        rule: Option<String>,
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        format: Format,
    },
}

impl Run for Plan {
    fn run(self, _: &Invocation) -> Result<Outcome, Failure> {
        match self.verb {
            PlanVerb::Apply {
                file,
                dry_run,
                prune,
                remote,
            } => apply(&file, dry_run, prune, &remote)?,
            PlanVerb::Preview { file, runs, format } => {
                let file = file::read(&file)?;
                let preview = Preview::of(&file, SystemClock.now(), usize::from(runs));
                print(&match format {
                    Format::Json => format!("{}\n", preview.json()),
                    Format::Text => preview.text(),
                })?;
            }
            PlanVerb::Run {
                plan,
                rule,
                remote,
                format,
            } => begin(&plan, rule, &remote, format)?,
        }
        Ok(Outcome::Done)
    }
}

fn apply(file: &Path, dry_run: bool, prune: bool, remote: &Remote) -> Result<(), Failure> {
    let wanted = file::read(file)?;
    let api = Api::open(remote)?;
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
    })
}

/// Has a plan's rules run now.
fn begin(plan: &str, rule: Option<String>, remote: &Remote, format: Format) -> Result<(), Failure> {
    let api = Api::open(remote)?;
    let mut asked = Map::new();
    let id = run(world::id_of(&api, plan))?;
    asked.insert("BackupPlanId".to_owned(), json!(id));
    asked.extend(rule.map(|rule| ("RuleName".to_owned(), json!(rule))));
    let made = run(async { Ok(api.call(api.region(), "RunBackupPlan", asked).await?) })?;
    let jobs = made["BackupJobs"].as_array().cloned().unwrap_or_default();
    let cell = |job: &Value, name: &str| job[name].as_str().unwrap_or_default().to_owned();
    let row = |job: &Value| {
        ["RuleName", "BackupVaultName", "ResourceArn", "BackupJobId"].map(|name| cell(job, name))
    };
    print(&match format {
        Format::Json => lines_of_json(jobs.into_iter()),
        Format::Text => table(
            &["RULE", "VAULT", "CLUSTER", "JOB"],
            jobs.iter().map(|job| row(job).to_vec()),
        ),
    })
}

fn count(steps: usize) -> String {
    match steps {
        1 => "1 step".to_owned(),
        more => format!("{more} steps"),
    }
}
