//! The binary `snapferry`: command line, settings, listener and wiring around the service.
//!
//! It does not know what the API's actions do.
mod commands;
mod deployment;
mod http;
mod logging;
mod outbound;
mod process;
mod settings;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    commands::{
        account, catalog_rebuild,
        cli::{CatalogVerb, Cli, MasterKeyVerb, Verb},
        node, output, reference, rotate_master_key, serve, vault,
    },
    process::{conceal, memory},
};

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
        Verb::Account { verb } => account::account(verb),
        Verb::AccessKey { verb } => account::access_key(verb),
        Verb::Actions { all, format } => output::actions(all, format),
        Verb::Ca { verb } => output::ca(&verb),
        Verb::Job { verb } => output::job(verb),
        Verb::Node { verb } => node::node(verb),
        Verb::Catalog {
            verb: CatalogVerb::Copy { from, to, format },
        } => node::copy(&from, &to, format),
        Verb::Catalog {
            verb: CatalogVerb::Rebuild(asked),
        } => match catalog_rebuild::rebuild(*asked) {
            Ok(true) => Ok(()),
            Ok(false) => return ExitCode::from(DAMAGED),
            Err(failure) => Err(failure),
        },
        Verb::MasterKey {
            verb: MasterKeyVerb::Rotate(asked),
        } => rotate_master_key::rotate(*asked),
        Verb::Vault { verb } => match vault::vault(verb) {
            Ok(true) => Ok(()),
            Ok(false) => return ExitCode::from(DAMAGED),
            Err(failure) => Err(failure),
        },
        Verb::Reference => output::print(&reference::page()),
        Verb::Openapi => output::print(&api::openapi::text()),
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
