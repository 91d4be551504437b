//! The verbs about DB clusters, over the API of a server anywhere.
//!
//! It does not know where the server is.
mod connect;
mod list;

use clap::{Args, Subcommand};

use self::connect::Connect;
use crate::{
    client::Remote,
    commands::{
        arguments::ListFormat,
        failure::Failure,
        invocation::{Invocation, Outcome, Run},
    },
};

/// Look at DB clusters, when each was last backed up, and inside them, over the API
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    snapferry cluster list\n  \
    snapferry cluster list --region eu-west-1 --json\n  \
    snapferry cluster connect orders"
)]
pub(crate) struct Cluster {
    #[command(subcommand)]
    verb: ClusterVerb,
}

/// `snapferry cluster ...`.
#[derive(Debug, Subcommand)]
enum ClusterVerb {
    /// List the clusters of a region, each with its newest available snapshot and that one's age
    #[command(after_help = "Examples:\n  \
        snapferry cluster list\n  \
        snapferry cluster list --endpoint https://db.example:8085 --json")]
    List {
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        format: ListFormat,
    },
    Connect(Connect),
}

impl Run for Cluster {
    fn run(self, _: &Invocation) -> Result<Outcome, Failure> {
        match self.verb {
            ClusterVerb::List { remote, format } => list::list(&remote, format)?,
            ClusterVerb::Connect(connect) => connect.connect()?,
        }
        Ok(Outcome::Done)
    }
}
