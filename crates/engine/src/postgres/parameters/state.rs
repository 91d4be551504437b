//! What a server is to have, what it has, and what one did not start with: a file beside its settings,
//! where the server's user cannot change it.
//!
//! It does not know which parameters there are.
use std::{collections::BTreeMap, fs};

use serde::{Deserialize, Serialize};

use crate::{error::EngineError, home::Home, parameters::WantedParameters, postgres::files};

/// What RDS has beside PostgreSQL's own: whether clients without TLS are refused.
pub(in crate::postgres) const FORCE_TLS: &str = "rds.force_ssl";
/// Whether the log tells what logical replication needs.
pub(in crate::postgres) const LOGICAL: &str = "rds.logical_replication";

/// Values by name.
pub(in crate::postgres) type Values = BTreeMap<String, String>;

/// Whether a value of a boolean parameter is a yes.
pub(in crate::postgres) fn is_yes(value: &str) -> bool {
    ["1", "on", "true", "yes"].contains(&value.to_ascii_lowercase().as_str())
}

const FILE: &str = "parameters.json";

/// Values with which a server did not start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refused {
    /// All that it had.
    pub(super) values: Values,
    /// Its last words.
    pub(super) why: String,
}

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    /// What is wanted.
    pub(super) wanted: WantedParameters,
    /// What the last server that came up had, with what it was told since.
    pub(super) running: Values,
    /// What a server was started with that has not come up yet.
    pub(super) tried: Option<Values>,
    /// What one did not come up with.
    pub(super) refused: Option<Refused>,
}

impl State {
    /// Reads it; empty for a cluster of which nothing was ever wanted.
    pub(super) fn load(home: &Home) -> Result<Self, EngineError> {
        let path = home.conf().join(FILE);
        let failed = |source| EngineError::io("read", &path, source);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(error.into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(failed(error)),
        }
    }

    pub(super) fn save(&self, home: &Home) -> Result<(), EngineError> {
        let bytes = serde_json::to_vec(self).expect("names are texts");
        files::keep(home, FILE, &bytes)
    }

    /// What a server has that was started with all that is wanted.
    pub(super) fn whole(&self) -> Values {
        let wanted = self.wanted.iter();
        wanted
            .filter_map(|(name, wanted)| Some((name.clone(), wanted.value.clone()?)))
            .collect()
    }
}

/// Whether anything was ever wanted of a cluster's server.
pub(super) fn exists(home: &Home) -> Result<bool, EngineError> {
    let path = home.conf().join(FILE);
    let failed = |source| EngineError::io("look at", &path, source);
    path.try_exists().map_err(failed)
}

/// What a server's settings are to hold at this moment.
///
/// # Errors
/// When the file cannot be read.
pub(in crate::postgres) fn in_effect(home: &Home) -> Result<Values, EngineError> {
    let state = State::load(home)?;
    Ok(state.tried.unwrap_or(state.running))
}

/// A server is about to be started: with all that is wanted, unless one did not start with that.
///
/// # Errors
/// When the file cannot be read or written.
pub(in crate::postgres) fn begin(home: &Home) -> Result<(), EngineError> {
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
pub(in crate::postgres) fn confirm(home: &Home) -> Result<(), EngineError> {
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
pub(in crate::postgres) fn give_up(home: &Home, why: &str) -> Result<bool, EngineError> {
    let mut state = State::load(home)?;
    let Some(values) = state.tried.take() else {
        return Ok(false);
    };
    state.refused = Some(Refused {
        values,
        why: complaint(why.as_bytes()),
    });
    state.save(home)?;
    Ok(true)
}

/// What was given up may be tried again.
///
/// # Errors
/// As [`begin`].
pub(in crate::postgres) fn forgive(home: &Home) -> Result<(), EngineError> {
    let mut state = State::load(home)?;
    state.refused = None;
    state.save(home)
}

/// The server's words: the first line that tells of an error.
pub(super) fn complaint(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    // A log's end comes as one line.
    let mut lines = text.lines().flat_map(|line| line.split(" | "));
    let told = lines.find_map(|line| line.split_once("FATAL:  "));
    let told = told.map_or("the server refuses it", |(_, told)| told);
    told.chars()
        .filter(|c| !c.is_control())
        .take(model::limits::ECHO_CHARS_MAX)
        .collect()
}
