//! A session of the administrator's role, or of the one that checks what was restored, over the cluster's own socket.
//!
//! It does not know what the session is for.
//!
//! Invariant: whatever the server sends, and however slowly, costs a bounded amount of memory and
//! time. Its notices go nowhere.
use std::{
    future::poll_fn,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use model::ErrorKind;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};
use tokio_postgres::{
    Client, Config, Connection, NoTls, Row,
    config::SslMode,
    error::SqlState,
    tls::NoTlsStream,
    types::{FromSql, ToSql},
};

use super::{
    bounded::Bounded,
    conf::{self, ADMIN, CHECKER},
};
use crate::hosting::{child::own_uid, serving};
use crate::{Cause, EngineError, Home};

/// How long an ordinary statement may take.
pub(super) const STATEMENT_WAIT: Duration = Duration::from_secs(120);
/// How long a statement may take that writes all of a large server's memory to the disk.
pub(super) const CHECKPOINT_WAIT: Duration = Duration::from_secs(15 * 60);
/// Nothing that a database's owner set may steer the administrator's session.
const OPTIONS: &str = "-c search_path=pg_catalog -c statement_timeout=0 -c lock_timeout=0 \
    -c idle_session_timeout=0 -c idle_in_transaction_session_timeout=0 \
    -c default_transaction_read_only=off -c default_transaction_isolation=read\\ committed \
    -c session_replication_role=origin -c log_statement=none -c pg_stat_statements.track=none \
    -c log_min_duration_statement=-1 -c log_min_duration_sample=-1 -c log_min_error_statement=panic \
    -c log_transaction_sample_rate=0 -c debug_print_parse=off -c debug_print_rewritten=off \
    -c debug_print_plan=off \
    -c client_min_messages=error -c datestyle=iso -c synchronous_commit=local";
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// Why there is no session.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The socket cannot be connected to, or is another user's.
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What the server answers.
    Answer(tokio_postgres::Error),
    /// The server does not answer in time.
    Silence,
}

impl serving::Refusal for Refusal {
    fn is_passing(&self) -> bool {
        match self {
            Self::Silence => true,
            Self::Socket { source, .. } => source.kind() != io::ErrorKind::InvalidData,
            Self::Answer(error) => match error.code() {
                Some(code) => {
                    // Too many connections pass, too: clients come and go.
                    *code == SqlState::CANNOT_CONNECT_NOW || *code == SqlState::TOO_MANY_CONNECTIONS
                }
                // No answer of the server's: the connection was closed. One that sends what no
                // server does will go on with it.
                None => !is_nonsense(error),
            },
        }
    }
}

/// Whether a server sent what is not the protocol, or too much of it.
fn is_nonsense(error: &tokio_postgres::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref());
    source.is_some_and(|source: &io::Error| {
        matches!(
            source.kind(),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
        )
    })
}

impl From<Refusal> for EngineError {
    fn from(refusal: Refusal) -> Self {
        let doing = "take a connection";
        match refusal {
            Refusal::Socket { path, source } => Self::NoSocket { path, source },
            Refusal::Answer(error) => refused(doing, error),
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
    /// The connection's own task: it ends with the session at the latest.
    driver: JoinSet<()>,
    /// Whether it ended by what is not the protocol, or too much of it.
    was_nonsense: Arc<AtomicBool>,
}

impl Session {
    /// Connects to one of the cluster's databases, and ends the session.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(super) async fn try_out(home: &Home, database: &str) -> Result<(), Refusal> {
        Self::open(home, database).await?.close().await;
        Ok(())
    }

    /// Connects to one of the cluster's databases.
    ///
    /// # Errors
    /// What the system or the server answers, or that it does not.
    pub(super) async fn open(home: &Home, database: &str) -> Result<Self, Refusal> {
        Self::open_as(home, database, ADMIN, OPTIONS).await
    }

    /// Connects as the role that checks what was restored, for statements that take no longer than `wait`.
    /// It may set nothing that only a superuser does.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(super) async fn open_as_checker(
        home: &Home,
        database: &str,
        wait: Duration,
    ) -> Result<Self, Refusal> {
        let options = format!(
            "-c statement_timeout={} -c lock_timeout=0 -c idle_session_timeout=0 \
             -c idle_in_transaction_session_timeout=0 -c default_transaction_read_only=on \
             -c search_path=pg_catalog,public -c client_min_messages=error -c datestyle=iso",
            wait.as_millis()
        );
        Self::open_as(home, database, CHECKER, &options).await
    }

    async fn open_as(
        home: &Home,
        database: &str,
        role: &str,
        options: &str,
    ) -> Result<Self, Refusal> {
        let mut config = Config::new();
        config
            .user(role)
            .dbname(database)
            .application_name("snapferry")
            .ssl_mode(SslMode::Disable)
            .options(options);
        let user = home.os_uid.unwrap_or_else(own_uid);
        // The whole conversation: a server that is stopped takes the connection and says nothing.
        let deadline = Instant::now() + CONNECT_WAIT;
        let socket = conf::socket_path(home);
        let stream = timeout_at(deadline, Bounded::connect(&socket, user)).await;
        let stream = stream
            .map_err(|_| Refusal::Silence)?
            .map_err(|source| Refusal::Socket {
                path: socket,
                source,
            })?;
        let connected = timeout_at(deadline, config.connect_raw(stream, NoTls)).await;
        let (client, connection) = connected
            .map_err(|_| Refusal::Silence)?
            .map_err(Refusal::Answer)?;
        let mut driver = JoinSet::new();
        let was_nonsense = Arc::new(AtomicBool::new(false));
        driver.spawn(drive(connection, Arc::clone(&was_nonsense)));
        Ok(Self {
            client,
            driver,
            was_nonsense,
        })
    }

    /// Runs statements without a result.
    ///
    /// # Errors
    /// What the server answers, or that it does not.
    pub(super) async fn run(&self, doing: &'static str, sql: &str) -> Result<(), EngineError> {
        self.run_within(STATEMENT_WAIT, doing, sql).await
    }

    /// Runs statements without a result that have a secret in their text. Users may look at what sessions are
    /// doing, and the owner of a cluster may have it log that.
    ///
    /// # Errors
    /// What the server answers, or that it does not.
    pub(super) async fn run_unseen(
        &self,
        doing: &'static str,
        sql: &str,
    ) -> Result<(), EngineError> {
        // On its own: a text is shown from before its first statement is run.
        self.run(doing, "SET track_activities = off").await?;
        self.run(doing, sql).await?;
        self.run(doing, "RESET track_activities").await
    }

    /// Runs statements without a result that may take as long as `wait`.
    ///
    /// # Errors
    /// What the server answers, or that it does not.
    pub(super) async fn run_within(
        &self,
        wait: Duration,
        doing: &'static str,
        sql: &str,
    ) -> Result<(), EngineError> {
        let result = timeout(wait, self.client.batch_execute(sql)).await;
        judge(wait, doing, result)
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
        self.row_within(STATEMENT_WAIT, doing, sql, values).await
    }

    /// Runs a query that answers one row and may take as long as `wait`.
    ///
    /// # Errors
    /// What the server answers, or that it does not.
    pub(super) async fn row_within(
        &self,
        wait: Duration,
        doing: &'static str,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, EngineError> {
        let result = timeout(wait, self.client.query_one(sql, values)).await;
        judge(wait, doing, result)
    }

    /// What speaks to the server.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Whether the connection has ended.
    pub(super) fn is_lost(&self) -> bool {
        self.client.is_closed()
    }

    /// Whether it ended by what the server sent: it would send as much again.
    pub(super) fn was_nonsense(&self) -> bool {
        self.was_nonsense.load(Ordering::Acquire)
    }

    /// Ends the session, and waits until the server has let it go.
    pub(super) async fn close(mut self) {
        drop(self.client);
        // A server that does not hang up loses nothing but this wait.
        let _ = timeout(CONNECT_WAIT, self.driver.join_next()).await;
    }
}

/// Moves the session's bytes until it ends. What the server says beside its answers is dropped.
async fn drive(mut connection: Connection<Bounded, NoTlsStream>, was_nonsense: Arc<AtomicBool>) {
    while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
        match message {
            Ok(_) => {}
            Err(error) if is_nonsense(&error) => {
                // Before the connection goes: whoever waits for an answer looks then.
                was_nonsense.store(true, Ordering::Release);
                let cause = std::error::Error::source(&error);
                tracing::warn!(
                    cause,
                    "a session ended: what answers is no server of PostgreSQL's"
                );
                return;
            }
            // Who waits for an answer hears that there is none.
            Err(_) => return,
        }
    }
}

fn judge<T>(
    wait: Duration,
    doing: &'static str,
    result: Result<Result<T, tokio_postgres::Error>, tokio::time::error::Elapsed>,
) -> Result<T, EngineError> {
    match result {
        Ok(result) => result.map_err(|error| refused(doing, error)),
        Err(_) => Err(EngineError::SqlTimeout {
            doing,
            secs: wait.as_secs(),
        }),
    }
}

/// What the server refused, and what that says of another try.
pub(super) fn refused(doing: &'static str, error: tokio_postgres::Error) -> EngineError {
    let kind = match error.code() {
        // As many snapshots of the cluster are being taken as it has slots for.
        Some(&SqlState::CONFIGURATION_LIMIT_EXCEEDED) => ErrorKind::Wait,
        // Without an answer of the server's, the connection failed.
        None => ErrorKind::Retry,
        Some(code) if is_passing(code) => ErrorKind::Retry,
        Some(_) if error.is_closed() => ErrorKind::Retry,
        Some(_) => ErrorKind::Report,
    };
    EngineError::Sql {
        doing,
        kind,
        source: error.into(),
    }
}

/// Whether a server begins or ends just now, or has too many clients.
pub(super) fn is_passing(code: &SqlState) -> bool {
    [
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::TOO_MANY_CONNECTIONS,
    ]
    .contains(code)
}

/// Whether an error says that the session is no more.
pub(super) fn is_lost(error: &Cause) -> bool {
    let Some(error) = error.downcast_ref::<tokio_postgres::Error>() else {
        return false;
    };
    let lost = [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN];
    error.is_closed() || error.code().is_none_or(|code| lost.contains(code))
}

/// A column of an answer. A server with hostile content may answer any type.
///
/// # Errors
/// When the column is of another type, or null.
pub(super) fn column<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, EngineError> {
    row.try_get(at)
        .map_err(|error| refused("answer what was asked", error))
}

/// A name in double quotes.
pub(super) fn quoted_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in single quotes; such a text must not depend on how backslashes are read.
pub(super) fn quoted_text(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
