//! What a server is to have, what it has, and what one did not start with: a file beside its settings,
//! where the server's user cannot change it.
//!
//! It does not know which parameters there are.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde::{Deserialize, Serialize};

use super::files;
use crate::{
    error::EngineError,
    home::Home,
    parameters::{Configured, Parameter, WantedParameters},
};

/// Values by name.
pub(crate) type Values = BTreeMap<String, String>;

/// Whether a value of a boolean parameter is a yes.
pub(crate) fn is_yes(value: &str) -> bool {
    ["1", "on", "true", "yes"].contains(&value.to_ascii_lowercase().as_str())
}

const FILE: &str = "parameters.json";

/// Values with which a server did not start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    /// All that it had.
    pub(crate) values: Values,
    /// Its last words.
    pub(crate) why: String,
}

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    /// What is wanted.
    pub(crate) wanted: WantedParameters,
    /// What the last server that came up had, with what it was told since.
    pub(crate) running: Values,
    /// What a server was started with that has not come up yet.
    pub(crate) tried: Option<Values>,
    /// What one did not come up with.
    pub(crate) refused: Option<Refused>,
}

impl State {
    /// Reads it; empty for a cluster of which nothing was ever wanted.
    pub(crate) fn load(home: &Home) -> Result<Self, EngineError> {
        let path = home.conf().join(FILE);
        let failed = |source| EngineError::io("read", &path, source);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(error.into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(failed(error)),
        }
    }

    pub(crate) fn save(&self, home: &Home) -> Result<(), EngineError> {
        let bytes = serde_json::to_vec(self).expect("names are texts");
        files::keep(home, FILE, &bytes)
    }

    /// What a server has that was started with all that is wanted.
    pub(crate) fn whole(&self) -> Values {
        let wanted = self.wanted.iter();
        wanted
            .filter_map(|(name, wanted)| Some((name.clone(), wanted.value.clone()?)))
            .collect()
    }
}

/// Whether anything was ever wanted of a cluster's server.
pub(crate) fn exists(home: &Home) -> Result<bool, EngineError> {
    let path = home.conf().join(FILE);
    let failed = |source| EngineError::io("look at", &path, source);
    path.try_exists().map_err(failed)
}

/// What a server's settings are to hold at this moment.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn in_effect(home: &Home) -> Result<Values, EngineError> {
    let state = State::load(home)?;
    Ok(state.tried.unwrap_or(state.running))
}

/// A server is about to be started: with all that is wanted, unless one did not start with that.
///
/// # Errors
/// When the file cannot be read or written.
pub(crate) fn begin(home: &Home) -> Result<(), EngineError> {
    let mut state = State::load(home)?;
    let whole = state.whole();
    let is_refused = |refused: &Refused| refused.values == whole;
    let tried = match state.refused.as_ref().is_some_and(is_refused) {
        true => None,
        false => Some(whole).filter(|whole| *whole != state.running),
    };
    if tried == state.tried {
        return Ok(());
    }
    state.tried = tried;
    state.save(home)
}

/// A server came up.
///
/// # Errors
/// As [`begin`].
pub(crate) fn confirm(home: &Home) -> Result<(), EngineError> {
    let mut state = State::load(home)?;
    let Some(tried) = state.tried.take() else {
        return Ok(());
    };
    state.running = tried;
    state.refused = None;
    state.save(home)
}

/// A server ended instead of coming up. Answers whether it had anything new, so that the next one,
/// without that, may come up.
///
/// # Errors
/// As [`begin`].
pub(crate) fn give_up(home: &Home, why: &str) -> Result<bool, EngineError> {
    let mut state = State::load(home)?;
    let Some(values) = state.tried.take() else {
        return Ok(false);
    };
    state.refused = Some(Refused {
        values,
        why: why.to_owned(),
    });
    state.save(home)?;
    Ok(true)
}

/// What was given up may be tried again.
///
/// # Errors
/// As [`begin`].
pub(crate) fn forgive(home: &Home) -> Result<(), EngineError> {
    let mut state = State::load(home)?;
    state.refused = None;
    state.save(home)
}

/// What came of what is wanted.
#[derive(Debug)]
pub(crate) struct Settled {
    /// What the server has.
    pub(crate) before: Values,
    /// What it is to have from now on.
    pub(crate) now: Values,
    pub(crate) configured: Configured,
}

/// Notes what is wanted of a cluster's server, which `lives` or not: all that may be chosen, and of a
/// living one at once what can be.
///
/// # Errors
/// As [`begin`].
pub(crate) fn settle(
    home: &Home,
    known: &[Parameter],
    wanted: WantedParameters,
    lives: bool,
) -> Result<Settled, EngineError> {
    let free: BTreeMap<&str, &Parameter> = known
        .iter()
        .filter(|parameter| parameter.kept.is_none())
        .map(|parameter| (parameter.name.as_str(), parameter))
        .collect();
    let mut state = State::load(home)?;
    let before = state.clone();
    if lives && let Some(tried) = state.tried.take() {
        // Its start was not seen to the end.
        state.running = tried;
    }
    // What a group has of another release, or an older list, reaches no server.
    state.wanted = wanted
        .into_iter()
        .filter(|(name, _)| free.contains_key(name.as_str()))
        .collect();
    let had = state.running.clone();
    if lives {
        state.running = next(&state, |name| {
            free.get(name).is_none_or(|parameter| parameter.is_static)
        });
    }
    if state != before {
        state.save(home)?;
    }
    let whole = state.whole();
    let running = &state.running;
    let refused = state.refused.filter(|refused| refused.values == whole);
    let names = refused.map(|refused| {
        let values = refused.values.into_iter();
        let new = values.filter(|(name, value)| running.get(name) != Some(value));
        new.map(|(name, _)| name).collect()
    });
    Ok(Settled {
        before: had,
        now: running.clone(),
        configured: Configured {
            waits: whole != *running,
            refused: names,
        },
    })
}

/// What a running server can have of what is wanted.
fn next(state: &State, is_static: impl Fn(&str) -> bool) -> Values {
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
        let state = State {
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
            ..State::default()
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
}
