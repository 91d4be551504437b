//! A session of the administrator's user over the cluster's own socket.
//!
//! It does not know what the session is for.
//!
//! Invariant: whatever the server sends, and however slowly, costs a bounded amount of memory and time.
use std::{collections::BTreeMap, io, path::PathBuf, time::Duration};

use model::ErrorKind;
use tokio::time::timeout;

use super::{
    options::{ADMIN, socket_path},
    wire::{Answer, Connection, Rows, ServerError, WireError},
};
use crate::{
    error::EngineError,
    home::Home,
    hosting::{child::own_uid, serving},
};

/// How long an ordinary statement may take.
pub(super) const STATEMENT_WAIT: Duration = Duration::from_secs(120);
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// "Too many connections", "Server shutdown in progress".
const PASSING: [u16; 2] = [1_040, 1_053];
/// "Lock wait timeout exceeded", which the lock of a dump may be behind.
pub(super) const LOCK_WAIT_TIMEOUT: u16 = 1_205;

/// Nothing that a database's owner chose may steer the administrator's session. Texts in single quotes then
/// end at a quote that is not doubled, and at nothing else.
const SETTLE: &str = "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES', autocommit = 1, sql_safe_updates = 0, \
    sql_select_limit = 18446744073709551615, max_execution_time = 0, transaction_read_only = 0, \
    lc_messages = 'en_US', time_zone = '+00:00', lock_wait_timeout = 60, wait_timeout = 28800, \
    completion_type = 0, foreign_key_checks = 1, unique_checks = 1";

/// Why there is no session.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The socket cannot be connected to, is another user's, or what answers is no server.
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What the server answers.
    Answer(ServerError),
    /// The server does not answer in time.
    Silence,
}

impl serving::Refusal for Refusal {
    fn is_passing(&self) -> bool {
        match self {
            Self::Silence => true,
            Self::Socket { source, .. } => source.kind() != io::ErrorKind::InvalidData,
            Self::Answer(error) => PASSING.contains(&error.code),
        }
    }
}

impl From<Refusal> for EngineError {
    fn from(refusal: Refusal) -> Self {
        let doing = "take a connection";
        match refusal {
            Refusal::Socket { path, source } => Self::NoSocket { path, source },
            Refusal::Answer(error) => refused(doing, error.into()),
            Refusal::Silence => Self::SqlTimeout {
                doing,
                secs: CONNECT_WAIT.as_secs(),
            },
        }
    }
}

/// A connected session. It runs one statement at a time.
#[derive(Debug)]
pub(super) struct Session {
    connection: Connection,
    /// A statement was not answered to its end: the session is of no more use.
    lost: bool,
}

impl Session {
    /// Connects to the cluster's server, and ends the session.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(super) async fn try_out(home: &Home) -> Result<(), Refusal> {
        Self::open(home).await?.close().await;
        Ok(())
    }

    /// Connects to the cluster's server.
    ///
    /// # Errors
    /// What the system or the server answers, or that it does not.
    pub(super) async fn open(home: &Home) -> Result<Self, Refusal> {
        let path = socket_path(home);
        let user = home.os_uid.unwrap_or_else(own_uid);
        let opened = async {
            let mut connection = Connection::open(&path, user, ADMIN).await?;
            connection.query(SETTLE).await?;
            Ok(connection)
        };
        // The whole conversation: a server that is stopped takes the connection and says nothing.
        match timeout(CONNECT_WAIT, opened).await {
            Ok(Ok(connection)) => Ok(Self {
                connection,
                lost: false,
            }),
            Ok(Err(WireError::Refused(error))) => Err(Refusal::Answer(error)),
            Ok(Err(WireError::Lost(source))) => Err(Refusal::Socket { path, source }),
            Err(_) => Err(Refusal::Silence),
        }
    }

    /// Runs a statement without a result.
    ///
    /// # Errors
    /// What the server answers, or that it does not.
    pub(super) async fn run(&mut self, doing: &'static str, sql: &str) -> Result<(), EngineError> {
        self.run_within(STATEMENT_WAIT, doing, sql).await
    }

    /// Runs a statement without a result that may take as long as `wait`.
    ///
    /// # Errors
    /// What the server answers, or that it does not.
    pub(super) async fn run_within(
        &mut self,
        wait: Duration,
        doing: &'static str,
        sql: &str,
    ) -> Result<(), EngineError> {
        self.rows_within(wait, doing, sql).await.map(drop)
    }

    /// Runs a statement; its rows, all cells as text.
    ///
    /// # Errors
    /// What the server answers, or that it does not.
    pub(super) async fn rows(
        &mut self,
        doing: &'static str,
        sql: &str,
    ) -> Result<Rows, EngineError> {
        self.rows_within(STATEMENT_WAIT, doing, sql).await
    }

    /// Runs a statement that may take as long as `wait`; its rows, all cells as text.
    ///
    /// # Errors
    /// What the server answers, or that it does not.
    pub(super) async fn rows_within(
        &mut self,
        wait: Duration,
        doing: &'static str,
        sql: &str,
    ) -> Result<Rows, EngineError> {
        Ok(self.answer_within(wait, doing, sql).await?.rows)
    }

    /// The first row that a query answers, by the names of its columns; cells without a value are left out.
    ///
    /// # Errors
    /// What the server answers, or that it does not.
    pub(super) async fn record(
        &mut self,
        doing: &'static str,
        sql: &str,
    ) -> Result<Option<BTreeMap<String, String>>, EngineError> {
        let answer = self.answer_within(STATEMENT_WAIT, doing, sql).await?;
        let (names, row) = (answer.names, answer.rows.into_iter().next());
        Ok(row.map(|row| {
            let cells = names.into_iter().zip(row);
            cells
                .filter_map(|(name, cell)| Some((name, cell?)))
                .collect()
        }))
    }

    async fn answer_within(
        &mut self,
        wait: Duration,
        doing: &'static str,
        sql: &str,
    ) -> Result<Answer, EngineError> {
        if self.lost {
            let gone = io::Error::from(io::ErrorKind::NotConnected);
            return Err(refused(doing, gone.into()));
        }
        // Also when this future is dropped before its end.
        self.lost = true;
        let Ok(answer) = timeout(wait, self.connection.query(sql)).await else {
            return Err(EngineError::SqlTimeout {
                doing,
                secs: wait.as_secs(),
            });
        };
        self.lost = matches!(answer, Err(WireError::Lost(_)));
        answer.map_err(|error| refused(doing, error))
    }

    /// The first cell of the only row that a query answers.
    ///
    /// # Errors
    /// What the server answers, or that it does not; another number of rows, or NULL.
    pub(super) async fn cell(
        &mut self,
        doing: &'static str,
        sql: &str,
    ) -> Result<String, EngineError> {
        let rows = self.rows(doing, sql).await?;
        let cell = match <[_; 1]>::try_from(rows) {
            Ok([row]) => row.into_iter().next().flatten(),
            Err(_) => None,
        };
        cell.ok_or_else(|| {
            let odd = io::Error::new(io::ErrorKind::InvalidData, "not one row with a value");
            refused(doing, odd.into())
        })
    }

    /// Ends the session, and waits until the server has let it go.
    pub(super) async fn close(self) {
        if !self.lost {
            // A server that does not hang up loses nothing but this wait.
            let _ = timeout(CONNECT_WAIT, self.connection.quit()).await;
        }
    }
}

/// What the server refused, and what that says of another try.
fn refused(doing: &'static str, error: WireError) -> EngineError {
    let (kind, source) = match error {
        WireError::Refused(error) => {
            let again = PASSING.contains(&error.code) || error.code == LOCK_WAIT_TIMEOUT;
            let kind = match again {
                true => ErrorKind::Retry,
                false => ErrorKind::Report,
            };
            (kind, error.into())
        }
        WireError::Lost(error) => (ErrorKind::Retry, error.into()),
    };
    EngineError::Sql {
        doing,
        kind,
        source,
    }
}

/// MySQL's number for what the server refused; none for any other error.
pub(super) fn code_of(error: &EngineError) -> Option<u16> {
    match error {
        EngineError::Sql { source, .. } => {
            source.downcast_ref::<ServerError>().map(|error| error.code)
        }
        _ => None,
    }
}
