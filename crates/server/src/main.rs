//! The binary `snapferry`: command line, settings, listener and wiring around the service.
//!
//! It does not know what the API's actions do.
mod account_verbs;
mod bar;
mod body;
mod buffers;
mod carrier;
mod catalogs;
mod cli;
mod conceal;
mod courier;
mod credentials;
mod data_dir;
mod failure;
mod forms;
mod front;
mod guard;
mod help_page;
mod listen;
mod logging;
mod master_key;
mod memory;
mod node_verbs;
mod offline;
mod open_files;
mod outbound;
mod outside_kms;
mod pace;
mod peers;
mod places;
mod rebuild_verb;
mod reference;
mod roles;
mod rotate_verb;
mod s3;
mod serve;
mod settings;
mod user_limits;
mod vault_verbs;
mod vaults;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{CatalogVerb, Cli, MasterKeyVerb, Verb};

/// Less CPU a copy than with glibc's (docs/benchmarks/profile.md), and as little memory when idle as
/// long as it asks for no huge pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
/// The exit status of work that was done and met damage.
const DAMAGED: u8 = 3;

fn main() -> ExitCode {
    // Before anything is read that is secret.
    if let Err(error) = memory::hide() {
        eprintln!("warning: a core file of this process could hold secrets: {error}");
    }
    let given = conceal::arguments();
    let verb = Cli::parse_from(given.all).verb;
    if given.had_secrets && !matches!(verb, Verb::Serve(_)) {
        eprintln!("warning: {}", conceal::ADVICE);
    }
    let done = match verb {
        Verb::Serve(arguments) => serve::run(*arguments, given.had_secrets),
        Verb::Account { verb } => account_verbs::account(verb),
        Verb::AccessKey { verb } => account_verbs::access_key(verb),
        Verb::Actions { all, format } => verbs::actions(all, format),
        Verb::Ca { verb } => verbs::ca(&verb),
        Verb::Job { verb } => verbs::job(verb),
        Verb::Node { verb } => node_verbs::node(verb),
        Verb::Catalog {
            verb: CatalogVerb::Copy { from, to, format },
        } => node_verbs::copy(&from, &to, format),
        Verb::Catalog {
            verb: CatalogVerb::Rebuild(asked),
        } => match rebuild_verb::rebuild(*asked) {
            Ok(true) => Ok(()),
            Ok(false) => return ExitCode::from(DAMAGED),
            Err(failure) => Err(failure),
        },
        Verb::MasterKey {
            verb: MasterKeyVerb::Rotate(asked),
        } => rotate_verb::rotate(*asked),
        Verb::Vault { verb } => match vault_verbs::vault(verb) {
            Ok(true) => Ok(()),
            Ok(false) => return ExitCode::from(DAMAGED),
            Err(failure) => Err(failure),
        },
        Verb::Reference => verbs::print(&reference::page()),
        Verb::Openapi => verbs::print(&reference::openapi()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {}", failure.chain());
            if let Some(hint) = failure.hint() {
                eprintln!("\nhint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}
