//! Secrets on the command line, which every user of the machine can read while a process has it.
//!
//! The process takes such arguments over into its environment, which only its own user can read,
//! and begins anew under the same id with a command line that does not have them. That leaves a
//! moment, so it is told each time. It does not know what the arguments mean.
use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::process::CommandExt,
    process::Command,
};

/// Begins the names of the variables that hold an argument each, by its place.
const VARIABLE: &str = "SNAPFERRY_ARGUMENT_";
/// Flags whose value is a secret.
const SECRETS: [&str; 3] = [
    "--webhook-secret",
    "--kms-secret-access-key",
    "--metrics-token",
];
/// Stands for a secret.
const HIDDEN: &str = "xxxxx";
/// What is to be done instead.
pub(crate) const ADVICE: &str = "a secret is on the command line, where every user of the machine could read it until it was \
     taken away: rather set its variable (such as SNAPFERRY_CATALOG), or write it into the file that --config names";

/// The command line as it was meant, and whether secrets were on it.
pub(crate) struct Arguments {
    pub(crate) all: Vec<OsString>,
    pub(crate) had_secrets: bool,
}

/// The arguments of this process. Where a secret is among them, the process begins anew without.
pub(crate) fn arguments() -> Arguments {
    let mut all: Vec<OsString> = env::args_os().collect();
    let mut restored = false;
    for (at, argument) in all.iter_mut().enumerate() {
        if let Some(meant) = env::var_os(format!("{VARIABLE}{at}")) {
            // A variable of another command line, which a parent left behind, is not this one's.
            if conceal(&meant).as_ref() == Some(argument) || argument == HIDDEN {
                *argument = meant;
                restored = true;
            }
        }
    }
    if restored {
        return Arguments {
            all,
            had_secrets: true,
        };
    }
    let shown = shown(&all);
    let had_secrets = shown != all;
    if had_secrets {
        begin_again(&all, &shown);
    }
    Arguments { all, had_secrets }
}

/// Ends here unless the system refuses.
fn begin_again(all: &[OsString], shown: &[OsString]) {
    #[expect(clippy::disallowed_methods, reason = "it is this program itself")]
    let mut again = Command::new("/proc/self/exe");
    if let [own, rest @ ..] = shown {
        again.arg0(own).args(rest);
    }
    for (at, (meant, shown)) in all.iter().zip(shown).enumerate() {
        if meant != shown {
            again.env(format!("{VARIABLE}{at}"), meant);
        }
    }
    let error = again.exec();
    eprintln!("warning: the command line cannot be replaced: {error}");
}

/// The arguments without their secrets.
fn shown(all: &[OsString]) -> Vec<OsString> {
    let is_secret = |flag: &OsStr| SECRETS.iter().any(|secret| flag == *secret);
    all.iter()
        .enumerate()
        .map(|(at, argument)| {
            if 0 < at && is_secret(&all[at - 1]) {
                return HIDDEN.into();
            }
            conceal(argument).unwrap_or_else(|| argument.clone())
        })
        .collect()
}

/// An argument without the secret in it; none when it has none.
fn conceal(argument: &OsStr) -> Option<OsString> {
    let text = argument.to_str()?;
    for secret in SECRETS {
        if let Some(value) = text.strip_prefix(secret)
            && value.starts_with('=')
        {
            return Some(format!("{secret}={HIDDEN}").into());
        }
    }
    let concealed = conceal_query(&conceal_user(text));
    (concealed != text).then(|| concealed.into())
}

/// `scheme://user:password@host`, without the password.
fn conceal_user(text: &str) -> String {
    let parts = || {
        let (scheme, rest) = text.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let at = rest[..end].rfind('@')?;
        let colon = rest[..at].find(':')?;
        Some((scheme, &rest[..colon], &rest[at..]))
    };
    match parts() {
        Some((scheme, user, rest)) => format!("{scheme}://{user}:{HIDDEN}{rest}"),
        None => text.to_owned(),
    }
}

/// `?password=…`, without it.
fn conceal_query(text: &str) -> String {
    let Some((before, query)) = text.split_once('?').filter(|_| text.contains("://")) else {
        return text.to_owned();
    };
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name @ ("password" | "sslpassword"), _)) => format!("{name}={HIDDEN}"),
            _ => pair.to_owned(),
        })
        .collect();
    format!("{before}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::commands::cli::Cli;

    /// What `--help` is not to print of a variable is not to stand on the command line either.
    #[test]
    fn every_flag_with_a_secret_is_known() {
        let root = Cli::command();
        let mut open: Vec<&clap::Command> = vec![&root];
        let mut secrets: Vec<String> = Vec::new();
        while let Some(command) = open.pop() {
            open.extend(command.get_subcommands());
            let hidden = command
                .get_arguments()
                .filter(|flag| flag.is_hide_env_values_set());
            secrets.extend(hidden.filter_map(|flag| Some(format!("--{}", flag.get_long()?))));
        }
        // Its secret is a part of a URL.
        secrets.retain(|flag| flag != "--catalog");
        secrets.sort();
        secrets.dedup();
        let mut known = SECRETS.map(str::to_owned);
        known.sort();
        assert_eq!(secrets, known);
    }

    #[test]
    fn secrets_are_found_wherever_they_stand() {
        for (meant, expected) in [
            ("postgres://ferry:hush@db/x", "postgres://ferry:xxxxx@db/x"),
            (
                "--catalog=postgresql://a:h:u@sh@b:1,c:2/d?x=1",
                "--catalog=postgresql://a:xxxxx@b:1,c:2/d?x=1",
            ),
            (
                "postgres://a@b/c?password=hush&sslmode=require",
                "postgres://a@b/c?password=xxxxx&sslmode=require",
            ),
            ("--webhook-secret=hush", "--webhook-secret=xxxxx"),
            ("https://a:hush@kms.example", "https://a:xxxxx@kms.example"),
        ] {
            let found = conceal(OsStr::new(meant));
            assert_eq!(found, Some(OsString::from(expected)), "{meant}");
        }
        for plain in [
            "postgres://ferry@db:5432/x?sslmode=verify-full",
            "--data=/srv/a:b@c",
            "s3://bucket/a:b@c",
            "--webhook-secrets=x",
        ] {
            assert_eq!(conceal(OsStr::new(plain)), None, "{plain}");
        }
    }

    #[test]
    fn the_value_after_a_secrets_flag_is_hidden() {
        let all = [
            "snapferry",
            "serve",
            "--kms-secret-access-key",
            "hush",
            "--dev",
        ];
        let expected = [
            "snapferry",
            "serve",
            "--kms-secret-access-key",
            HIDDEN,
            "--dev",
        ];
        assert_eq!(
            shown(&all.map(OsString::from)),
            expected.map(OsString::from)
        );
    }
}
