//! Ends everything that an OS user runs, at one stroke.
//!
//! Processes that make new ones faster than they are found cannot be ended one after another. A
//! signal that a user sends to all of its processes reaches them under one lock of the system's,
//! and a fork that is under way then fails.
use std::{process::Stdio, time::Duration};

use tokio::time::timeout;

use super::child::{own_uid, run_as};

/// The user's processes can stop the one that sends the signal: then it is tried again.
const WAIT: Duration = Duration::from_secs(2);

/// Sends SIGKILL to all processes of a cluster's user, as that user. Whether that was enough is
/// for the caller to look at.
pub(crate) async fn kill(user: u32) {
    if user == 0 || user == own_uid() || keeps_rights() {
        return;
    }
    let mut command = crate::programs::command("/bin/sh");
    command.args(["-c", "kill -KILL -1"]).current_dir("/");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    run_as(&mut command, Some((user, user)));
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    match timeout(WAIT, command.status()).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(user, %error, "no process of the user's was made"),
        Err(_) => tracing::debug!(user, "the user stopped its own end"),
    }
}

/// Whether a program that this process runs as another user would keep rights of root's: its signal
/// would then reach everybody.
fn keeps_rights() -> bool {
    let ambient = || {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("CapAmb:"))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    ambient() != Some(0)
}
