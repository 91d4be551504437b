//! mysql, called by its options.
//!
//! Source: "mysql Client Options", "Command Options for Connecting to the Server" and "Using Option Files",
//! MySQL's manual.
use crate::client_call::{ClientCall, ClientTarget};

/// How mysql reaches a server.
pub(super) fn client(target: &ClientTarget<'_>) -> ClientCall {
    let mut arguments = Vec::new();
    // An option file must come first.
    match target.password_file {
        Some(file) => arguments.push(format!("--defaults-extra-file={file}")),
        None => arguments.push("--password".to_owned()),
    }
    arguments.push(format!("--host={}", target.host));
    arguments.push(format!("--port={}", target.port));
    arguments.push(format!("--user={}", target.user));
    arguments.push("--protocol=TCP".to_owned());
    match target.authorities {
        Some(file) => {
            arguments.push("--ssl-mode=VERIFY_IDENTITY".to_owned());
            arguments.push(format!("--ssl-ca={file}"));
        }
        None => arguments.push("--ssl-mode=PREFERRED".to_owned()),
    }
    if let Some(database) = target.database {
        arguments.push(format!("--database={database}"));
    }
    ClientCall {
        program: "mysql",
        package: "mysql-client",
        arguments,
        variables: Vec::new(),
    }
}

/// An option file that has a password.
pub(super) fn client_password(password: &str) -> String {
    let escaped = password.replace('\\', "\\\\");
    format!("[client]\npassword=\"{escaped}\"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_no_argument() {
        let call = client(&ClientTarget {
            host: "127.64.0.1",
            port: 3306,
            user: "ferryman",
            database: Some("shop"),
            authorities: Some("/proc/self/fd/4"),
            password_file: Some("/proc/self/fd/3"),
        });
        assert_eq!(
            call.arguments,
            [
                "--defaults-extra-file=/proc/self/fd/3",
                "--host=127.64.0.1",
                "--port=3306",
                "--user=ferryman",
                "--protocol=TCP",
                "--ssl-mode=VERIFY_IDENTITY",
                "--ssl-ca=/proc/self/fd/4",
                "--database=shop",
            ]
        );
        assert_eq!(
            client_password(r#"a"\b"#),
            "[client]\npassword=\"a\"\\\\b\"\n"
        );
    }
}
