//! Another program in this one's place, and files for it that lie in memory alone.
//!
//! It does not know the program.
use std::{
    fs::{File, Permissions},
    io::{self, Write},
    os::{
        fd::AsRawFd,
        unix::{fs::PermissionsExt, process::CommandExt},
    },
    process::Command,
};

use rustix::fs::{MemfdFlags, memfd_create};

/// A file that only this process and the program in its place can read, and that is gone with them.
#[derive(Debug)]
pub(crate) struct PassedFile(File);

impl PassedFile {
    /// One with that content.
    ///
    /// # Errors
    /// When the system has no memory for it.
    pub(crate) fn of(content: &[u8]) -> io::Result<Self> {
        // Not closed by the program's start: that is what it is for.
        let mut file = File::from(memfd_create("snapferry", MemfdFlags::empty())?);
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(content)?;
        Ok(Self(file))
    }

    /// Where the program finds it.
    pub(crate) fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }
}

/// Begins a program in this one's place; answers only when that failed. `files` stay open for it.
pub(crate) fn replace(
    program: &str,
    arguments: &[String],
    variables: &[(&str, String)],
    files: &[PassedFile],
) -> io::Error {
    debug_assert!(files.iter().all(|file| 2 < file.0.as_raw_fd()));
    #[expect(clippy::disallowed_methods, reason = "it takes this program's place")]
    let mut command = Command::new(program);
    let variables = variables.iter().map(|(name, value)| (name, value));
    command.args(arguments).envs(variables).exec()
}
