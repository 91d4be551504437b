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
mod traces;
mod units;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::{
    commands::{
        cli::{Cli, Verb},
        completion,
        exit_status::ExitStatus,
        invocation::{Invocation, Outcome},
    },
    process::{conceal, memory},
};

/// Less CPU a copy than with glibc's (docs/benchmarks/profile.md), and as little memory when idle as
/// long as it asks for no huge pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn main() -> ExitCode {
    // Before anything is read that is secret.
    if let Err(error) = memory::hide() {
        eprintln!("warning: a core file of this process could hold secrets: {error}");
    }
    if completion::answer(Cli::command) {
        return ExitStatus::Done.into();
    }
    let given = conceal::arguments();
    let verb = match Cli::try_parse_from(given.all) {
        Ok(cli) => cli.verb,
        // Help that was asked for is no error.
        Err(error) => {
            let _ = error.print();
            let wrong = error.use_stderr();
            return if wrong {
                ExitStatus::Usage
            } else {
                ExitStatus::Done
            }
            .into();
        }
    };
    if given.had_secrets && !matches!(verb, Verb::Serve(_)) {
        eprintln!("warning: {}", conceal::ADVICE);
    }
    let invocation = Invocation {
        had_secrets: given.had_secrets,
        command_line: Cli::command,
    };
    match verb.run(&invocation) {
        Ok(Outcome::Done) => ExitStatus::Done.into(),
        Ok(Outcome::Damaged) => ExitStatus::Damaged.into(),
        Err(failure) => {
            eprintln!("error: {}", failure.chain());
            if let Some(hint) = failure.hint() {
                eprintln!("\nhint: {hint}");
            }
            failure.exit_status().into()
        }
    }
}
