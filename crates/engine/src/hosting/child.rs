//! Programs that this process runs, and as whom.
//!
//! It does not know which programs.
use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use tokio::io::AsyncReadExt;

use crate::programs;

/// Where util-linux has the program that begins a session.
const SETSID: [&str; 2] = ["/usr/bin/setsid", "/bin/setsid"];
/// Lines of a program's output that go into an error.
const TAIL_LINES: usize = 12;

/// Bytes of a program's complaints that are kept.
const TOLD_BYTES_MAX: u64 = 64 << 10;

/// This process's user.
pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// A program that outlives this one, after the words of another that begins it: in a session of its own,
/// so that neither a terminal's end nor its Ctrl-C reaches it, and nobody who gets hold of it gets at the
/// terminal.
pub(crate) fn outliving(before: Vec<OsString>, program: &Path) -> Command {
    // The standard library begins no session. Each of these words becomes the next, with the same
    // number; only the leader of a process group would not.
    let setsid = SETSID
        .into_iter()
        .find(|path| Path::new(path).try_exists().is_ok_and(|is_there| is_there));
    let words = setsid.map(OsString::from).into_iter().chain(before);
    let mut words = words.chain([program.as_os_str().to_owned()]);
    let mut command = programs::command(words.next().unwrap_or_default());
    command.args(words);
    if setsid.is_none() {
        // Ctrl-C is for the terminal's own process group.
        command.process_group(0);
    }
    command
}

/// Gives a program a clean environment and another user.
pub(crate) fn run_as(command: &mut Command, user: Option<(u32, u32)>) {
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC");
    if let Some((uid, gid)) = user {
        // As root, the standard library also drops the other groups when it changes the user.
        command.uid(uid).gid(gid);
    }
}

/// The last lines of a program's output on one line, without control characters.
pub(crate) fn last_lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    let joined = last.join(" | ");
    joined
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Runs a program to its end; answers how it ended, and the first of what it said went wrong.
pub(crate) async fn run_quietly(
    mut command: tokio::process::Command,
) -> std::io::Result<(std::process::ExitStatus, Vec<u8>)> {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut told = Vec::new();
    if let Some(mut stderr) = child.stderr.take() {
        (&mut stderr)
            .take(TOLD_BYTES_MAX)
            .read_to_end(&mut told)
            .await?;
        tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await?;
    }
    Ok((child.wait().await?, told))
}
