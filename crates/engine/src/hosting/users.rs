//! The users that programs can run as, and what programs say in one line.
//!
//! It does not know which programs.
use std::{
    fs,
    io::Read,
    process::{Command, Stdio},
};

use super::child::own_uid;
use crate::{error::EngineError, home::Home, reach};

/// Bytes of a program's answer that are read.
const LINE_BYTES_MAX: u64 = 4 << 10;

/// The first line of what a program says; none when it fails or says nothing.
pub(crate) fn first_line(command: &mut Command) -> Option<String> {
    let mut child = command
        .env_clear()
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut told = Vec::new();
    // With its reader gone, a program that says more ends.
    let read = child
        .stdout
        .take()
        .map(|stdout| stdout.take(LINE_BYTES_MAX).read_to_end(&mut told));
    let status = child.wait().ok()?;
    read?.ok().filter(|_| status.success())?;
    let text = String::from_utf8_lossy(&told);
    Some(text.lines().next()?.trim().to_owned()).filter(|line| !line.is_empty())
}

/// The name of the user that this process runs as; the socket's `peer` rule asks for a name.
fn own_user_name() -> Option<String> {
    first_line(crate::programs::command("/usr/bin/id").arg("-un"))
}

/// That name, without which no server's settings can be written.
///
/// # Errors
/// When the user has none.
pub(crate) fn need_own_user_name() -> Result<String, EngineError> {
    own_user_name().ok_or_else(|| EngineError::BadValue {
        what: "this process's user",
        value: own_uid().to_string(),
        why: "has no name, which the server's socket needs",
    })
}

/// The first of these users that there is and that is not root, for programs that refuse root and nameless users.
pub(crate) fn helper_user(names: &[&str]) -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    names.iter().find_map(|name| find_user(&users, name))
}

fn find_user(users: &str, name: &str) -> Option<(u32, u32)> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next()? == name;
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        (found && uid != 0).then_some((uid, gid))
    })
}

/// Refuses a user that no server can run as, or who cannot get to the home's files.
///
/// # Errors
/// [`EngineError::BadValue`], [`EngineError::Unreachable`].
pub(crate) fn check_server_user(home: &Home) -> Result<(), EngineError> {
    match home.os_uid {
        None if own_uid() == 0 => Err(EngineError::BadValue {
            what: "the server's user",
            value: "root".to_owned(),
            why: "cannot run a database server: a user number is needed",
        }),
        Some(0) => Err(EngineError::BadValue {
            what: "the server's user",
            value: "0".to_owned(),
            why: "is root, as which no database server runs",
        }),
        Some(uid) => {
            for folder in [home.dir.parent(), home.socket_dir.parent()]
                .into_iter()
                .flatten()
            {
                if let Some(folder) = reach::first_unreachable(folder, uid) {
                    return Err(EngineError::Unreachable { folder, uid });
                }
            }
            Ok(())
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found() {
        let users = "root:x:0:0:root:/root:/bin/sh\npostgres:x:101:104:,,,:/var:/bin/bash\n";
        assert_eq!(find_user(users, "postgres"), Some((101, 104)));
        assert_eq!(find_user(users, "root"), None);
        assert_eq!(find_user(users, "nobody"), None);
    }
}
