//! The binary `snapferry`: command line, settings, listener and wiring around the service.
//!
//! It does not know what the API's actions do.
mod client;
mod commands;
mod console;
mod deployment;
mod http;
mod logging;
mod outbound;
mod process;
mod settings;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::{
    commands::{
        cli::{Cli, Verb},
        invocation::{Invocation, Outcome},
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
    let invocation = Invocation {
        had_secrets: given.had_secrets,
        command_line: Cli::command,
    };
    match verb.run(&invocation) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Damaged) => ExitCode::from(DAMAGED),
        Err(failure) => {
            eprintln!("error: {}", failure.chain());
            if let Some(hint) = failure.hint() {
                eprintln!("\nhint: {hint}");
            }
            ExitCode::from(failure.exit_status())
        }
    }
}
