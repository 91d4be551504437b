//! The parameters of PostgreSQL's servers: which there are, what is kept of them, and how a running
//! server comes to have those that are wanted.
mod list;
pub(super) mod owned;

use std::{process::Stdio, time::Duration};

use tokio::time::timeout;

use super::{conf, handle::Postgres, install, process, profile::PROFILE};
use crate::hosting::{
    child::{own_uid, run_as},
    chosen::{self, Values},
    hold::Hold,
    users,
};
use crate::{
    blocking::blocking,
    error::EngineError,
    home::Home,
    parameters::{Configured, WantedParameters},
    programs::command,
};

/// How long the server's program may take to judge values.
const CHECK_WAIT: Duration = Duration::from_secs(20);

/// The user that programs on no cluster's behalf run as.
fn nobody() -> Option<(u32, u32)> {
    match own_uid() {
        0 => users::helper_user(&install::HELPERS),
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
        for (name, value) in values.iter().filter(|(name, _)| !owned::is_beside(name)) {
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
        if wanted.is_empty() && !chosen::exists(home)? {
            return Ok(Configured::default());
        }
        let known = self.list(&home.version).await?;
        let _held = Hold::take(home).await?;
        let (at, tls, wanted) = (home.clone(), self.tls.get().cloned(), wanted.clone());
        blocking(move || {
            let lives = process::postmaster(&at)?.is_some();
            let settled = chosen::settle(&at, &known, wanted, lives)?;
            if settled.before != settled.now {
                let own_user = users::need_own_user_name()?;
                conf::write(&at, &own_user, conf::Purpose::Serve, tls.as_ref())?;
                process::reload(&at)?;
            }
            Ok(settled.configured)
        })
        .await
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
