//! How a database's own client for people is called.
//!
//! It knows no particular client: every engine's folder has its own.

/// What a client is to reach.
#[derive(Debug, Clone, Copy)]
pub struct ClientTarget<'a> {
    /// Name or address of the server.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// Who asks.
    pub user: &'a str,
    /// The first database, unless the client's own choice.
    pub database: Option<&'a str>,
    /// A PEM file of authorities, one of which must have signed the server's certificate for that host. Without
    /// one TLS is used where the server offers it, and nothing is checked.
    pub authorities: Option<&'a str>,
    /// A file that has what [`Profile::client_password`](crate::Profile::client_password) makes; without one the
    /// client asks for a password.
    pub password_file: Option<&'a str>,
}

/// A program, and how it is begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCall {
    /// Its name in the search path.
    pub program: &'static str,
    /// What its package is called, for who has none.
    pub package: &'static str,
    /// Arguments, which other users of the machine can read.
    pub arguments: Vec<String>,
    /// Variables.
    pub variables: Vec<(&'static str, String)>,
}
