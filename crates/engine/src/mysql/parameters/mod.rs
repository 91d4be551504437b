//! The parameters of MySQL's servers: which there are, what is kept of them, and how a running server comes to
//! have those that are wanted.
mod list;
mod owned;

use std::{collections::BTreeSet, process::Stdio, time::Duration};

use tokio::time::timeout;

use super::{
    handle::MySql,
    options,
    process::SERVER,
    profile::PROFILE,
    quoted::{quoted_name, quoted_text},
    session::Session,
};
use crate::{
    blocking::blocking,
    error::EngineError,
    home::Home,
    hosting::{
        child::{own_uid, run_as},
        chosen::{self, Settled, Values},
        hold::Hold,
        users,
    },
    parameters::{Configured, Parameter, ParameterType, WantedParameters},
};

/// How long the server's program may take to judge values.
const CHECK_WAIT: Duration = Duration::from_secs(20);

impl MySql {
    /// Has the server's own program judge values that fit their parameters' types; answers what it
    /// says against them.
    ///
    /// # Errors
    /// When it cannot be run.
    pub(super) async fn judge(
        &self,
        version: &str,
        values: &Values,
    ) -> Result<Option<String>, EngineError> {
        let install = self.installs.of(version)?;
        let mut asked = crate::programs::command(&install.program);
        asked.args(options::of_install(install));
        asked.args([
            "--validate_config",
            "--secure_file_priv=NULL",
            "--datadir=/",
        ]);
        asked.args(
            values
                .iter()
                .map(|(name, value)| options::of_parameter(name, value)),
        );
        asked.current_dir("/").stdin(Stdio::null());
        let nobody = match own_uid() {
            0 => users::helper_user(&["mysql", "nobody"]),
            _ => None,
        };
        run_as(&mut asked, nobody);
        let mut asked = tokio::process::Command::from(asked);
        let Ok(output) = timeout(CHECK_WAIT, asked.kill_on_drop(true).output()).await else {
            return Err(EngineError::Program {
                title: PROFILE.title,
                program: PROFILE.program,
                status: "no end in time".to_owned(),
                tail: String::new(),
            });
        };
        let output = output.map_err(|source| EngineError::io("run", &install.program, source))?;
        Ok(match output.status.success() {
            true => None,
            false => Some(complaint(&output.stderr)),
        })
    }

    /// Has a cluster's server get what is wanted of it: at once where that is possible, else at its
    /// next start.
    ///
    /// # Errors
    /// As [`crate::Engine::configure`].
    pub(super) async fn configure_cluster(
        &self,
        home: &Home,
        wanted: &WantedParameters,
    ) -> Result<Configured, EngineError> {
        if wanted.is_empty() && !chosen::exists(home)? {
            return Ok(Configured::default());
        }
        let known = self.list(&home.version).await?;
        let _held = Hold::take(home).await?;
        let (at, wanted, all) = (home.clone(), wanted.clone(), known.clone());
        let settled = blocking(move || {
            let lives = SERVER.first(&at)?.is_some();
            chosen::settle(&at, &all, wanted, lives)
        });
        let settled = settled.await?;
        if settled.before != settled.now {
            tell(home, &known, &settled).await?;
        }
        Ok(settled.configured)
    }
}

/// Tells a running server what it is to have from now on.
async fn tell(home: &Home, known: &[Parameter], settled: &Settled) -> Result<(), EngineError> {
    let names: BTreeSet<&String> = settled.before.keys().chain(settled.now.keys()).collect();
    let mut session = Session::open(home).await?;
    for name in names {
        let value = settled.now.get(name);
        if settled.before.get(name) == value {
            continue;
        }
        let Some(parameter) = known.iter().find(|parameter| parameter.name == *name) else {
            continue;
        };
        let set = format!(
            "SET GLOBAL {} = {}",
            quoted_name(name),
            written(parameter, value)
        );
        session.run("take a parameter", &set).await?;
    }
    session.close().await;
    Ok(())
}

/// A value as a statement has it; without one, what the server was begun with.
fn written(parameter: &Parameter, value: Option<&String>) -> String {
    let Some(value) = value.or(parameter.default.as_ref()) else {
        return "''".to_owned();
    };
    match parameter.values {
        // They fit their types: what is written so is a number.
        ParameterType::Integer(..) | ParameterType::Real(..) => value.clone(),
        _ => quoted_text(value),
    }
}

/// The server's words: the first line that tells of an error.
pub(super) fn complaint(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    // A log's end comes as one line.
    let mut lines = text.lines().flat_map(|line| line.split(" | "));
    let told = lines.find_map(|line| line.split_once("[ERROR] "));
    let told = told.map_or("the server refuses it", |(_, told)| told);
    // Behind its number and the part of the server that says it.
    let told = told.rsplit_once("] ").map_or(told, |(_, told)| told);
    // Where its program lies is nobody's business.
    let told = match told.split_once(": ") {
        Some((program, rest)) if program.starts_with('/') => rest,
        _ => told,
    };
    told.chars()
        .filter(|c| !c.is_control())
        .take(model::limits::ECHO_CHARS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_complaint_is_its_first_error() {
        let said = b"2026-11-29T00:42:21.8Z 0 [Warning] [MY-000081] [Server] option adjusted\n\
            2026-11-29T00:42:21.8Z 0 [ERROR] [MY-000077] [Server] /x/mysqld: Error while setting value 'abc' to 'sql_mode'.\n";
        assert_eq!(
            complaint(said),
            "Error while setting value 'abc' to 'sql_mode'."
        );
        assert_eq!(complaint(b""), "the server refuses it");
    }
}
