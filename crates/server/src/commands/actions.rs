//! `snapferry actions`: the API's actions that are here.
use clap::Args;
use serde_json::json;

use crate::commands::{
    arguments::ListFormat,
    failure::Failure,
    invocation::{Invocation, Outcome, Run},
    output::{lines_of_json, print, table},
};

/// List the API's actions that are implemented
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    snapferry actions\n  \
    snapferry actions --all --format json")]
pub(crate) struct Actions {
    /// Also those of RDS, KMS, STS, tagging and AWS Backup that are not
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    format: ListFormat,
}

impl Run for Actions {
    fn run(self, _: &Invocation) -> Result<Outcome, Failure> {
        let mut rows: Vec<(&str, &str, bool)> = Vec::new();
        for (api, names) in api::KNOWN {
            for name in *names {
                let implemented = api::find(Some(*api), name).is_some();
                if implemented || self.all {
                    rows.push((api.as_str(), name, implemented));
                }
            }
        }
        let word = |implemented| if implemented { "yes" } else { "no" };
        print(&match self.format {
        ListFormat::Text => table(
            &["API", "ACTION", "IMPLEMENTED"],
            rows.iter().map(|(api, name, implemented)| {
                vec![
                    (*api).to_owned(),
                    (*name).to_owned(),
                    word(*implemented).to_owned(),
                ]
            }),
        ),
        ListFormat::Json => lines_of_json(rows.iter().map(|(api, name, implemented)| {
            json!({ "api": api, "action": name, "implemented": implemented })
        })),
    })?;
        Ok(Outcome::Done)
    }
}
