//! A settings file that has every setting, commented out, of the same definitions as the help.
//!
//! It does not know what a setting does.
use std::fmt::Write;

use clap::{Arg, ArgAction, Args, Command};

use crate::settings::Layer;

const WIDTH: usize = 100;
const PREFACE: &str = "\
# Settings of `snapferry serve --config FILE`; `snapferry doctor --config FILE` looks at what they need.
#
# A line such as #key = value says the default, or in capitals what belongs there. A flag or a variable
# (SNAPFERRY_...) goes before this file.
";
/// The settings that are no flags.
const TABLES: &str = r#"
# Where events are posted to, in place of webhook-url: docs/guides/webhooks.md.
#[[webhook]]
#url = "https://alerts.example.net/snapferry"
#secret = "SIXTEEN CHARACTERS OR MORE"
#topic = "arn:aws:sns:us-east-1:000000000000:alerts"

# Accounts that may act for others, by AssumeRole: docs/guides/keys-and-accounts.md.
#[[role]]
#arn = "arn:aws:iam::111122223333:role/backup"
#trusts = ["444455556666"]

# Regions that other deployments host: docs/guides/regions.md.
#[regions.eu-west-1]
#endpoint = "https://snapferry.example.net:8085"
#peer-key-file = "/etc/snapferry/eu-west-1.key"
"#;
/// Settings with this prefix are a table of the file.
const KMS: &str = "kms-";

/// The file.
pub(crate) fn text() -> String {
    let command = Layer::augment_args(Command::new("serve"));
    let (kms, plain): (Vec<&Arg>, Vec<&Arg>) = command
        .get_arguments()
        .partition(|argument| name(argument).starts_with(KMS));
    let mut text = String::from(PREFACE);
    for argument in plain {
        describe(argument, name(argument), &mut text);
    }
    text.push_str("\n#[kms]\n");
    for argument in kms {
        describe(argument, &name(argument)[KMS.len()..], &mut text);
    }
    text + TABLES
}

fn name(argument: &Arg) -> &str {
    argument.get_long().unwrap_or_default()
}

fn describe(argument: &Arg, key: &str, text: &mut String) {
    let help = argument
        .get_long_help()
        .or_else(|| argument.get_help())
        .map(ToString::to_string)
        .unwrap_or_default();
    text.push('\n');
    for paragraph in help.split("\n\n") {
        let mut line = String::from("#");
        for word in paragraph.split_whitespace() {
            if WIDTH < line.len() + 1 + word.len() {
                writeln!(text, "{line}").expect("a String takes all");
                line.truncate(1);
            }
            line.push(' ');
            line.push_str(word);
        }
        writeln!(text, "{line}").expect("a String takes all");
    }
    writeln!(text, "#{key} = {}", value(argument, &help)).expect("a String takes all");
}

/// The default, where it is a value; else what belongs there.
fn value(argument: &Arg, help: &str) -> String {
    let default = help
        .split_once("[default: ")
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or("", |(default, _)| default);
    let first = default.split([' ', ',']).next().unwrap_or_default();
    let stands_for = argument
        .get_value_names()
        .and_then(|names| names.first())
        .map_or("", |name| name.as_str());
    if stands_for == "BOOL" {
        return (first == "true").to_string();
    }
    if first.parse::<u64>().is_ok() && stands_for != "ID" {
        return first.to_owned();
    }
    let is_value = default != "none" && (first == default || first.starts_with('/'));
    let shown = if is_value && !first.is_empty() {
        first
    } else {
        stands_for
    };
    match argument.get_action() {
        ArgAction::Append => format!("[{shown:?}]"),
        _ => format!("{shown:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The settings of the file, each as if its line were no comment.
    fn settings() -> Vec<String> {
        let text = text();
        let lines = text.lines().filter_map(|line| line.strip_prefix('#'));
        lines
            .filter(|line| {
                line.starts_with(|first: char| first.is_ascii_lowercase() || first == '[')
            })
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn each_line_is_a_setting_of_its_type() {
        assert!(
            text()
                .lines()
                .all(|line| line.is_empty() || line.starts_with('#'))
        );
        let settings = settings();
        let tables = settings
            .iter()
            .position(|line| line == "[kms]")
            .expect("a table");
        assert!(tables > 40, "{settings:?}");
        for line in &settings[..tables] {
            let Err(error) = toml::from_str::<Layer>(line) else {
                continue;
            };
            // What stands for a value is none.
            let said = error.message();
            assert!(
                !said.contains("unknown field") && !said.contains("invalid type"),
                "{line}: {said}"
            );
            assert!(
                line.ends_with(|last: char| "]\"".contains(last)),
                "{line}: {said}"
            );
        }
        let tables = settings[tables..]
            .join("\n")
            .replace("\"NAME\"", "\"us-east-1\"");
        toml::from_str::<Layer>(&tables).expect("legal tables");
    }

    #[test]
    fn a_default_is_shown_as_it_is_written() {
        for line in [
            "listen = \"127.0.0.1:8085\"",
            "data = \"/var/lib/snapferry\"",
            "cluster-force-tls = true",
            "dev = false",
            "snapshot-memory = \"128MiB\"",
            "lease-seconds = 15",
            "host = [\"NAME\"]",
            "account = \"000000000000\"",
        ] {
            assert!(settings().iter().any(|setting| setting == line), "{line}");
        }
    }
}
