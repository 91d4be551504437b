//! The reference pages that the program makes of itself: its command line, from the same
//! definitions as its help, its JSON door, and a settings file.
//!
//! It does not know what the verbs do.
use std::fmt::Write;

use clap::{Arg, Args, Command};

use crate::commands::{
    exit_status::ExitStatus,
    failure::Failure,
    invocation::{Invocation, Outcome, Run},
    output::print,
    schemas, settings_file,
};

/// What holds for all verbs; the table of `ExitStatus` follows.
const PREFACE: &str = "
Verbs with `--endpoint` speak to a server over its API, here or elsewhere; verbs with `--data` or `--catalog` work on a deployment's own records beside its server, and `serve` is one. Data goes to standard output, all else to standard error.

| exit status | meaning |
| --- | --- |
";

/// Print this command line's reference page
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct Reference {
    /// What verbs print with --json, as JSON Schema, instead
    #[arg(long)]
    schemas: bool,
    /// A settings file with every setting commented out, instead
    #[arg(long, conflicts_with = "schemas")]
    settings: bool,
}

impl Run for Reference {
    fn run(self, invocation: &Invocation) -> Result<Outcome, Failure> {
        print(&match (self.schemas, self.settings) {
            (true, _) => schemas::text(),
            (_, true) => settings_file::text(),
            _ => page((invocation.command_line)()),
        })?;
        Ok(Outcome::Done)
    }
}

/// The page as Markdown: `docs/reference/cli.md`.
pub(crate) fn page(mut command: Command) -> String {
    command.build();
    let mut page = String::from(
        "# Command line\n\nMade by `snapferry reference > docs/reference/cli.md`; a test compares the two. Do not edit it.\n",
    );
    page.push_str(PREFACE);
    for (number, meaning) in ExitStatus::ALL {
        writeln!(page, "| {number} | {meaning} |").expect("a String takes all");
    }
    describe(&command, "snapferry", &mut page);
    page
}

fn describe(command: &Command, name: &str, page: &mut String) {
    let about = command
        .get_long_about()
        .or_else(|| command.get_about())
        .map(ToString::to_string)
        .unwrap_or_default();
    write!(page, "\n## {name}\n\n{about}\n").expect("a String takes all");
    let arguments: Vec<&Arg> = command
        .get_arguments()
        .filter(|argument| is_own(argument))
        .collect();
    if !arguments.is_empty() {
        page.push_str("\n| flag | variable | what it does |\n| --- | --- | --- |\n");
    }
    for argument in arguments {
        row(argument, page);
    }
    if let Some(examples) = command.get_after_help() {
        let examples = examples.to_string();
        let lines: Vec<&str> = examples.lines().skip(1).map(str::trim_start).collect();
        write!(page, "\n```sh\n{}\n```\n", lines.join("\n")).expect("a String takes all");
    }
    for below in command
        .get_subcommands()
        .filter(|below| !below.is_hide_set() && below.get_name() != "help")
    {
        describe(below, &format!("{name} {}", below.get_name()), page);
    }
}

fn is_own(argument: &Arg) -> bool {
    !argument.is_hide_set() && argument.get_id() != "help" && argument.get_id() != "version"
}

fn row(argument: &Arg, page: &mut String) {
    let flag = match argument.get_long() {
        Some(long) => format!("--{long}"),
        None => String::new(),
    };
    let value = match argument.get_value_names() {
        Some([name, ..]) if flag.is_empty() => name.to_string(),
        Some([name, ..]) if argument.get_action().takes_values() => {
            if argument
                .get_num_args()
                .is_some_and(|count| count.min_values() == 0)
            {
                format!("[={name}]")
            } else {
                format!(" {name}")
            }
        }
        _ => String::new(),
    };
    let variable = argument
        .get_env()
        .map(|name| format!("`{}`", name.to_string_lossy()))
        .unwrap_or_default();
    let help = argument
        .get_long_help()
        .or_else(|| argument.get_help())
        .map(ToString::to_string)
        .unwrap_or_default();
    let mut text = help
        .replace("\n\n", ". ")
        .replace('\n', " ")
        .replace('|', "\\|");
    let choices: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|_| {
            argument.get_action().takes_values()
                && argument.get_value_names() != Some(&["BOOL".into()])
        })
        .map(|choice| format!("`{}`", choice.get_name()))
        .collect();
    if !choices.is_empty() {
        write!(text, "; one of {}", choices.join(", ")).expect("a String takes all");
    }
    writeln!(page, "| `{flag}{value}` | {variable} | {text} |").expect("a String takes all");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::commands::cli::Cli;

    #[test]
    fn the_reference_page_is_up_to_date() {
        let stored = include_str!("../../../../docs/reference/cli.md");
        assert!(
            stored == page(Cli::command()),
            "run: cargo run -p snapferry -- reference > docs/reference/cli.md"
        );
    }

    #[test]
    fn the_schemas_are_up_to_date() {
        let stored = include_str!("../../../../docs/reference/cli.schema.json");
        assert!(
            stored == schemas::text(),
            "run: cargo run -p snapferry -- reference --schemas > docs/reference/cli.schema.json"
        );
    }

    #[test]
    fn the_openapi_document_is_up_to_date() {
        let stored = include_str!("../../../../docs/reference/openapi.json");
        assert!(
            stored == api::openapi::text(),
            "run: cargo run -p snapferry -- openapi > docs/reference/openapi.json"
        );
    }
}
