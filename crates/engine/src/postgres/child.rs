//! Programs that this process runs, and as whom.
//!
//! It does not know which programs.
use std::process::Command;

/// Lines of a program's output that go into an error.
const TAIL_LINES: usize = 12;

/// This process's user.
pub(super) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Gives a program a clean environment and another user.
pub(super) fn run_as(command: &mut Command, user: Option<(u32, u32)>) {
    use std::os::unix::process::CommandExt;
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
pub(super) fn last_lines(bytes: &[u8]) -> String {
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
