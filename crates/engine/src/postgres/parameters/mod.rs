//! The parameters of PostgreSQL's servers: which there are, what is kept of them, and how a running
//! server comes to have those that are wanted.
pub(super) mod cache;
mod list;
mod owned;
pub(super) mod state;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Stdio,
    time::Duration,
};

use tokio::time::timeout;

use super::{
    child::{own_uid, run_as},
    conf,
    handle::Postgres,
    hold::Hold,
    install, process,
    profile::PROFILE,
};
use crate::{
    blocking::blocking,
    certify::Tls,
    error::EngineError,
    home::Home,
    parameters::{Configured, Parameter, WantedParameters},
    programs::command,
};

use state::{Values, complaint};

/// How long the server's program may take to judge values.
const CHECK_WAIT: Duration = Duration::from_secs(20);

/// The user that programs on no cluster's behalf run as.
fn nobody() -> Option<(u32, u32)> {
    match own_uid() {
        0 => install::helper_user(),
        _ => None,
    }
}

impl Postgres {
    /// Has the server's own program judge values that fit their parameters' types; answers what it
    /// says against them.
    pub(super) async fn judge(
        &self,
        version: &str,
        values: &Values,
    ) -> Result<Option<String>, EngineError> {
        let program = self.installs.of(version)?.program("postgres");
        let mut asked = command(&program);
        // It reads its settings, answers one of them, and has touched nothing.
        asked.args(["-C", "data_directory", "-D", "/"]);
        asked.args(["-c", "config_file=/dev/null"]);
        for (name, value) in values.iter().filter(|(name, _)| !owned::is_amazons(name)) {
            asked.arg("-c").arg(format!("{name}={value}"));
        }
        asked.current_dir("/").stdin(Stdio::null());
        run_as(&mut asked, nobody());
        let mut asked = tokio::process::Command::from(asked);
        let Ok(output) = timeout(CHECK_WAIT, asked.kill_on_drop(true).output()).await else {
            return Err(EngineError::Program {
                title: PROFILE.title,
                program: "postgres",
                status: "no end in time".to_owned(),
                tail: String::new(),
            });
        };
        let output = output.map_err(|source| EngineError::io("run", program, source))?;
        Ok(match output.status.success() {
            true => None,
            false => Some(complaint(&output.stderr)),
        })
    }

    /// Has a cluster's server get what is wanted of it: at once where that is possible, else at its
    /// next start.
    pub(super) async fn configure_cluster(
        &self,
        home: &Home,
        wanted: &WantedParameters,
    ) -> Result<Configured, EngineError> {
        if wanted.is_empty() && !state::exists(home)? {
            return Ok(Configured::default());
        }
        let known = self.list(&home.version).await?;
        let _held = Hold::take(home).await?;
        let (at, tls, wanted) = (home.clone(), self.tls.get().cloned(), wanted.clone());
        blocking(move || configure(&at, tls.as_ref(), &known, wanted)).await
    }
}

fn configure(
    home: &Home,
    tls: Option<&Tls>,
    known: &[Parameter],
    wanted: WantedParameters,
) -> Result<Configured, EngineError> {
    let free: BTreeMap<&str, &Parameter> = known
        .iter()
        .filter(|parameter| parameter.kept.is_none())
        .map(|parameter| (parameter.name.as_str(), parameter))
        .collect();
    let mut state = state::State::load(home)?;
    let before = state.clone();
    let lives = process::postmaster(home)?.is_some();
    if lives && let Some(tried) = state.tried.take() {
        // Its start was not seen to the end.
        state.running = tried;
    }
    // What a group has of another release, or an older list, reaches no server.
    state.wanted = wanted
        .into_iter()
        .filter(|(name, _)| free.contains_key(name.as_str()))
        .collect();
    let mut changed = false;
    if lives {
        let now = next(&state, |name| {
            free.get(name).is_none_or(|parameter| parameter.is_static)
        });
        changed = now != state.running;
        state.running = now;
    }
    if state != before {
        state.save(home)?;
    }
    if changed {
        let own_user = install::need_own_user_name()?;
        conf::write(home, &own_user, conf::Purpose::Serve, tls)?;
        process::reload(home)?;
    }
    let whole = state.whole();
    let running = &state.running;
    let refused = state.refused.filter(|refused| refused.values == whole);
    let names = refused.map(|refused| {
        let values = refused.values.into_iter();
        let new = values.filter(|(name, value)| running.get(name) != Some(value));
        new.map(|(name, _)| name).collect()
    });
    Ok(Configured {
        waits: lives && whole != *running,
        refused: names,
    })
}

/// What a running server can have of what is wanted.
fn next(state: &state::State, is_static: impl Fn(&str) -> bool) -> Values {
    let names: BTreeSet<&String> = state.running.keys().chain(state.wanted.keys()).collect();
    let value = |name: &String| {
        let wanted = state.wanted.get(name);
        let waits = is_static(name) || wanted.is_some_and(|wanted| wanted.at_restart);
        match waits {
            true => state.running.get(name).cloned(),
            false => wanted.and_then(|wanted| wanted.value.clone()),
        }
    };
    names
        .into_iter()
        .filter_map(|name| Some((name.clone(), value(name)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::WantedValue;

    fn wanted(value: Option<&str>, at_restart: bool) -> WantedValue {
        WantedValue {
            value: value.map(str::to_owned),
            at_restart,
        }
    }

    #[test]
    fn what_needs_a_restart_waits_for_it() {
        let text = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let state = state::State {
            wanted: BTreeMap::from([
                ("dynamic".to_owned(), wanted(Some("2"), false)),
                ("later".to_owned(), wanted(Some("2"), true)),
                ("reset_later".to_owned(), wanted(None, true)),
                ("static".to_owned(), wanted(Some("2"), false)),
            ]),
            running: [
                ("dynamic", "1"),
                ("gone", "1"),
                ("reset_later", "1"),
                ("static", "1"),
                ("static_gone", "1"),
            ]
            .map(text)
            .into(),
            ..state::State::default()
        };
        let now = next(&state, |name| name.starts_with("static"));
        let expected = [
            ("dynamic", "2"),
            ("reset_later", "1"),
            ("static", "1"),
            ("static_gone", "1"),
        ];
        assert_eq!(now, Values::from(expected.map(text)));
        let whole = [("dynamic", "2"), ("later", "2"), ("static", "2")];
        assert_eq!(state.whole(), Values::from(whole.map(text)));
    }

    #[test]
    fn the_servers_complaint_is_its_fatal_line() {
        let said = b"2026 [1] LOG:  x\n2026 [1] FATAL:  invalid value for parameter \"TimeZone\": \"Mars\"\n2026 [1] HINT:  y\n";
        assert_eq!(
            complaint(said),
            "invalid value for parameter \"TimeZone\": \"Mars\""
        );
        assert_eq!(complaint(b""), "the server refuses it");
    }
}
