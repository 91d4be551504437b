//! psql, called by its library's variables.
//!
//! Source: "Environment Variables" and "The Password File", PostgreSQL's manual.
use crate::client_call::{ClientCall, ClientTarget};

/// How psql reaches a server.
pub(super) fn client(target: &ClientTarget<'_>) -> ClientCall {
    let mut variables = vec![
        ("PGHOST", target.host.to_owned()),
        ("PGPORT", target.port.to_string()),
        ("PGUSER", target.user.to_owned()),
    ];
    // The cluster's own first database is always there.
    let database = target.database.unwrap_or("postgres");
    variables.push(("PGDATABASE", database.to_owned()));
    match target.authorities {
        Some(file) => {
            variables.push(("PGSSLMODE", "verify-full".to_owned()));
            variables.push(("PGSSLROOTCERT", file.to_owned()));
        }
        None => variables.push(("PGSSLMODE", "prefer".to_owned())),
    }
    if let Some(file) = target.password_file {
        variables.push(("PGPASSFILE", file.to_owned()));
    }
    ClientCall {
        program: "psql",
        package: "postgresql-client",
        arguments: Vec::new(),
        variables,
    }
}

/// A password file that has one password for everything.
pub(super) fn client_password(password: &str) -> String {
    let escaped = password.replace('\\', "\\\\").replace(':', "\\:");
    format!("*:*:*:*:{escaped}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_checked_where_authorities_are_known() {
        let mut target = ClientTarget {
            host: "127.64.0.1",
            port: 5432,
            user: "ferryman",
            database: None,
            authorities: Some("/proc/self/fd/3"),
            password_file: None,
        };
        let of = |call: &ClientCall, name: &str| {
            let found = call.variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone())
        };
        let call = client(&target);
        assert_eq!(of(&call, "PGSSLMODE").as_deref(), Some("verify-full"));
        assert_eq!(of(&call, "PGDATABASE").as_deref(), Some("postgres"));
        assert_eq!(of(&call, "PGPASSFILE"), None);
        target.authorities = None;
        assert_eq!(of(&client(&target), "PGSSLMODE").as_deref(), Some("prefer"));
        assert_eq!(client_password(r"a:b\c"), "*:*:*:*:a\\:b\\\\c\n");
    }
}
