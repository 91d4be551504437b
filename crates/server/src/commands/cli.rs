//! The command line: the commands there are.
//!
//! It does not know what they do: a command is a file, and a line here and in `mod.rs`.
use clap::{Parser, Subcommand};

use super::{
    access_key, account, actions, audit, ca, catalog, cluster, completion, data, doctor, drill,
    env, events,
    exit_status::ExitStatus,
    failure::Failure,
    invocation::{Invocation, Outcome, Run},
    job, key, login, man, master_key, node, openapi, plan, receipt, reference, serve, snapshot,
    vault,
};

const EXAMPLES: &str = "Examples:\n  \
        snapferry serve                                     serve on 127.0.0.1:8085, signatures checked\n  \
        snapferry serve --dev                               for a laptop or CI: signatures not checked\n  \
        snapferry access-key create --account 123456789012  let another account in\n  \
        snapferry cluster list                              what is backed up, and since when\n  \
        snapferry snapshot copy nightly nightly-eu --to eu-west-1\n  \
        snapferry job watch                                 what is being created, copied and restored\n  \
        snapferry events --follow                           what happened, and what happens\n  \
        snapferry doctor                                    what this machine lacks";

/// Snapshots of real PostgreSQL clusters, copied between regions, accounts and encryption keys
///
/// Snapferry serves the Amazon RDS API for DB clusters and their snapshots, over real PostgreSQL and
/// real storage. The AWS CLI, boto3 and other AWS SDKs work with it unchanged.
#[derive(Debug, Parser)]
#[command(
    name = "snapferry",
    version,
    propagate_version = false,
    arg_required_else_help = true,
    after_help = EXAMPLES,
    after_long_help = long_help()
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Below the help that --help gives: what the program exits with.
fn long_help() -> String {
    format!(
        "{EXAMPLES}\n\nExit status:\n{}\n\nEach command has examples of its own: snapferry COMMAND --help",
        ExitStatus::lines()
    )
}

macro_rules! commands {
    ($($module:ident::$command:ident,)*) => {
        /// What can be asked of the program.
        #[derive(Debug, Subcommand)]
        pub(crate) enum Verb {
            $($command(Box<$module::$command>),)*
        }

        impl Verb {
            /// Does it.
            ///
            /// # Errors
            /// Whatever kept it from its work.
            pub(crate) fn run(self, invocation: &Invocation) -> Result<Outcome, Failure> {
                match self {
                    $(Self::$command(command) => command.run(invocation),)*
                }
            }
        }
    };
}

commands! {
    serve::Serve,
    doctor::Doctor,
    login::Login,
    env::Env,
    cluster::Cluster,
    snapshot::Snapshot,
    key::Key,
    events::Events,
    plan::Plan,
    drill::Drill,
    receipt::Receipt,
    account::Account,
    access_key::AccessKey,
    actions::Actions,
    ca::Ca,
    job::Job,
    node::Node,
    audit::Audit,
    data::Data,
    catalog::Catalog,
    master_key::MasterKey,
    vault::Vault,
    completion::Completion,
    man::Man,
    reference::Reference,
    openapi::Openapi,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_has_examples() {
        fn check(command: &clap::Command) {
            if !command.is_hide_set() {
                let help = command
                    .get_after_help()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                assert!(
                    help.starts_with("Examples:\n"),
                    "{} has no examples",
                    command.get_name()
                );
                assert!(
                    command.get_about().is_some(),
                    "{} says nothing",
                    command.get_name()
                );
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}
