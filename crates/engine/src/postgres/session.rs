//! A session of the administrator's role over the cluster's own socket.
//!
//! It does not know what the session is for.
use std::time::Duration;

use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{
    Client, Config, NoTls, Row,
    config::SslMode,
    error::SqlState,
    types::{FromSql, ToSql},
};

use super::ADMIN;
use crate::{EngineError, Home};

/// How long an ordinary statement may take.
pub(super) const STATEMENT_WAIT: Duration = Duration::from_secs(120);
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// Why there is no session.
#[derive(Debug)]
pub(super) enum Refusal {
    /// What the system or the server answers.
    Answer(tokio_postgres::Error),
    /// The server does not answer in time.
    Silence,
}

impl Refusal {
    /// Whether the next try may succeed, a moment later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Silence => true,
            Self::Answer(error) => match error.code() {
                Some(code) => {
                    // Too many connections pass, too: clients come and go.
                    *code == SqlState::CANNOT_CONNECT_NOW || *code == SqlState::TOO_MANY_CONNECTIONS
                }
                // No answer of the server's: the socket is not there yet, or was closed.
                None => true,
            },
        }
    }
}

impl From<Refusal> for EngineError {
    fn from(refusal: Refusal) -> Self {
        let doing = "take a connection";
        match refusal {
            Refusal::Answer(source) => Self::Sql { doing, source },
            Refusal::Silence => Self::SqlTimeout {
                doing,
                secs: CONNECT_WAIT.as_secs(),
            },
        }
    }
}

/// A connected session.
#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    driver: JoinHandle<Result<(), tokio_postgres::Error>>,
}

impl Session {
    /// Connects to one of the cluster's databases.
    ///
    /// # Errors
    /// What the system or the server answers, or that it does not.
    pub(super) async fn open(home: &Home, database: &str) -> Result<Self, Refusal> {
        let mut config = Config::new();
        config
            .host_path(&home.socket_dir)
            .port(home.port)
            .user(ADMIN)
            .dbname(database)
            .application_name("snapferry")
            .ssl_mode(SslMode::Disable)
            // Nothing that a database's owner set may steer the administrator's session.
            .options(
                "-c search_path=pg_catalog -c statement_timeout=0 -c lock_timeout=0 \
                 -c idle_session_timeout=0 -c idle_in_transaction_session_timeout=0 \
                 -c default_transaction_read_only=off -c default_transaction_isolation=read\\ committed \
                 -c client_min_messages=error -c datestyle=iso",
            );
        // The whole conversation: a server that is stopped takes the connection and says nothing.
        let connected = timeout(CONNECT_WAIT, config.connect(NoTls)).await;
        let (client, connection) = connected
            .map_err(|_| Refusal::Silence)?
            .map_err(Refusal::Answer)?;
        // The connection's own task: it ends with the client, so nothing outlives the session.
        let driver = tokio::spawn(connection);
        Ok(Self { client, driver })
    }

    /// Runs statements without a result.
    ///
    /// # Errors
    /// What the server answers, or that it does not.
    pub(super) async fn run(&self, doing: &'static str, sql: &str) -> Result<(), EngineError> {
        let result = timeout(STATEMENT_WAIT, self.client.batch_execute(sql)).await;
        self.judge(doing, result)
    }

    /// Runs a query that answers one row.
    ///
    /// # Errors
    /// What the server answers, or that it does not.
    pub(super) async fn row(
        &self,
        doing: &'static str,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, EngineError> {
        let result = timeout(STATEMENT_WAIT, self.client.query_one(sql, values)).await;
        self.judge(doing, result)
    }

    /// Runs a query that answers one row, however long that takes.
    ///
    /// # Errors
    /// What the server answers.
    pub(super) async fn slow_row(
        &self,
        doing: &'static str,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, EngineError> {
        self.judge(doing, Ok(self.client.query_one(sql, values).await))
    }

    fn judge<T>(
        &self,
        doing: &'static str,
        result: Result<Result<T, tokio_postgres::Error>, tokio::time::error::Elapsed>,
    ) -> Result<T, EngineError> {
        match result {
            Ok(result) => result.map_err(|source| EngineError::Sql { doing, source }),
            Err(_) => Err(EngineError::SqlTimeout {
                doing,
                secs: STATEMENT_WAIT.as_secs(),
            }),
        }
    }

    /// Whether the connection has ended.
    pub(super) fn is_lost(&self) -> bool {
        self.client.is_closed() || self.driver.is_finished()
    }

    /// Ends the session, and waits until the server has let it go.
    pub(super) async fn close(self) {
        drop(self.client);
        // A server that does not hang up loses nothing but this wait.
        let _ = timeout(CONNECT_WAIT, self.driver).await;
    }
}

/// A column of an answer. A server with hostile content may answer any type.
///
/// # Errors
/// When the column is of another type, or null.
pub(super) fn column<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, EngineError> {
    row.try_get(at).map_err(|source| EngineError::Sql {
        doing: "answer what was asked",
        source,
    })
}

/// A name in double quotes.
pub(super) fn quoted_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in single quotes; such a text must not depend on how backslashes are read.
pub(super) fn quoted_text(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
