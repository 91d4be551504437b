//! `snapferry completion`: what makes a shell complete commands, flags, and names of what a server has.
//!
//! The script asks the program itself at each key, so it needs not be made anew for another release's
//! commands. It does not know what the names are of: an argument says it by its candidates.
use std::{env, ffi::OsString, time::Duration};

use clap::{Args, Command, ValueEnum};
use clap_complete::{CompleteEnv, engine::CompletionCandidate, env::Shells};
use serde_json::{Map, Value, json};

use crate::{
    client::{Api, Remote},
    commands::{
        failure::Failure,
        invocation::{Invocation, Outcome, Run},
        output::{print, run},
    },
};

/// What a shell sets when it asks.
const VARIABLE: &str = "SNAPFERRY_COMPLETE";
const NAME: &str = "snapferry";
/// Who presses a key waits no longer than this for names.
const PATIENCE: Duration = Duration::from_millis(200);

/// Print a script that makes a shell complete commands, flags and names
///
/// Names of clusters, snapshots and keys are asked of the server that the command line names, and none are
/// offered when it does not answer at once. Make the script anew after an upgrade, or at each start of the
/// shell.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    source <(snapferry completion bash)\n  \
    snapferry completion bash > /etc/bash_completion.d/snapferry\n  \
    snapferry completion zsh > \"${fpath[1]}/_snapferry\"\n  \
    snapferry completion fish > ~/.config/fish/completions/snapferry.fish")]
pub(crate) struct Completion {
    /// Of which shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// The shells.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Run for Completion {
    fn run(self, _: &Invocation) -> Result<Outcome, Failure> {
        let name = match self.shell {
            Shell::Bash => "bash",
            Shell::Zsh => "zsh",
            Shell::Fish => "fish",
        };
        let shells = Shells::builtins();
        let completer = shells.completer(name).expect("the library has all three");
        let mut script = Vec::new();
        completer
            .write_registration(VARIABLE, NAME, NAME, NAME, &mut script)
            .map_err(|source| Failure::Io {
                doing: "make the script",
                source,
            })?;
        print(&String::from_utf8_lossy(&script))?;
        Ok(Outcome::Done)
    }
}

/// Answers a shell that asks what could come next; whether one did.
pub(crate) fn answer(command_line: fn() -> Command) -> bool {
    let folder = env::current_dir().ok();
    let asked = CompleteEnv::with_factory(command_line).var(VARIABLE);
    // A shell cannot show why there is nothing.
    asked
        .try_complete(env::args_os(), folder.as_deref())
        .unwrap_or(true)
}

/// Names of snapshots.
pub(crate) fn snapshots() -> Vec<CompletionCandidate> {
    candidates("DescribeDBClusterSnapshots", "DBClusterSnapshotIdentifier")
}

/// Names of clusters.
pub(crate) fn clusters() -> Vec<CompletionCandidate> {
    candidates("DescribeDBClusters", "DBClusterIdentifier")
}

/// Restore tests.
pub(crate) fn drills() -> Vec<CompletionCandidate> {
    candidates("DescribeDrills", "DrillIdentifier")
}

/// Aliases of keys.
pub(crate) fn keys() -> Vec<CompletionCandidate> {
    candidates("ListAliases", "AliasName")
}

/// The first page of what an action lists.
fn candidates(action: &str, member: &str) -> Vec<CompletionCandidate> {
    let words: Vec<OsString> = env::args_os().collect();
    let value = |flag: &str| flag_of(&words, flag);
    let remote = Remote {
        endpoint: value("--endpoint"),
        profile: value("--profile"),
        region: value("--region"),
    };
    let asked = run(async {
        let api = Api::open(&remote)?;
        let call = api.call(api.region(), action, Map::new());
        let answer = tokio::time::timeout(PATIENCE, call).await;
        Ok(answer.unwrap_or(Ok(json!(null)))?)
    });
    let Ok(answer) = asked else {
        return Vec::new();
    };
    let rows = answer["items"].as_array().into_iter().flatten();
    let names = rows.filter_map(|row| row.get(member).and_then(Value::as_str));
    names.map(CompletionCandidate::new).collect()
}

/// The value of a flag among words, as `--flag value` or `--flag=value`.
fn flag_of(words: &[OsString], flag: &str) -> Option<String> {
    let mut words = words.iter().filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        match word.strip_prefix(flag) {
            Some("") => return words.next().map(str::to_owned),
            Some(rest) if rest.starts_with('=') => return Some(rest[1..].to_owned()),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_before_the_key_are_heard() {
        let words: Vec<OsString> = [
            "x",
            "--",
            "snapshot",
            "--region",
            "eu-west-1",
            "--endpoint=http://h",
            "--profile",
        ]
        .map(OsString::from)
        .into();
        assert_eq!(flag_of(&words, "--region").as_deref(), Some("eu-west-1"));
        assert_eq!(flag_of(&words, "--endpoint").as_deref(), Some("http://h"));
        assert_eq!(flag_of(&words, "--profile"), None);
        assert_eq!(flag_of(&words, "--reg"), None);
    }
}
