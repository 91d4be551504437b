//! One connection to the database, with its prepared statements, for one thread.
//!
//! It does not know where transactions begin and end.
//!
//! Each thread that runs transactions has a session and a runtime of its own, so an answer wakes
//! no other thread, and callers' runtimes of any kind will do.
use std::{cell::RefCell, collections::HashMap, future::Future, time::Duration};

use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};
use tokio_postgres::{
    Client, SimpleQueryMessage, Statement,
    types::{FromSql, IsNull, ToSql, Type, to_sql_checked},
};

use super::{
    error::{SessionError, WrongArgument, in_words},
    url::Place,
};
use crate::{
    error::{CatalogError, ErrorKind},
    value::{Arg, Row, Value},
};

/// How long the server may take over one statement; it ends the statement itself a bit earlier.
const STATEMENT_WAIT: Duration = Duration::from_secs(20);
/// Statements kept prepared; all are dropped when there are more.
const STATEMENTS_MAX: usize = 256;

/// What every session asks for.
/// - A transaction whose process is frozen must not hold up the other nodes: the server ends it.
/// - What is answered is on the server's disk, whatever the database's default says.
/// - Predicate locks on index ranges get less into one another's way than those on whole tables.
const SETUP: &str = "\
    SET statement_timeout = '15s'; \
    SET lock_timeout = '10s'; \
    SET idle_in_transaction_session_timeout = '3s'; \
    SET enable_seqscan = off; \
    SET client_min_messages = error; \
    SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') \
    WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)";

/// One connection.
pub(super) struct Session {
    client: Client,
    /// Statements that go out ahead of the next one, in one turn with it.
    ahead: RefCell<String>,
    statements: HashMap<String, Statement>,
    // Last: the connection's task ends with its runtime.
    runtime: Runtime,
}

impl Session {
    /// Connects, and sets the session up.
    pub(super) fn open(place: &Place) -> Result<Self, SessionError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| SessionError::Lost(std::sync::Arc::new(error)))?;
        let client = runtime.block_on(async {
            let connecting = place.config.connect(place.tls.clone());
            let (client, connection) = timeout(STATEMENT_WAIT, connecting)
                .await
                .map_err(|_| SessionError::Lost(in_words("connecting took too long")))?
                .map_err(|error| SessionError::of("connecting to its PostgreSQL server", error))?;
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection of the catalog ended");
                }
            });
            Ok::<_, SessionError>(client)
        })?;
        let session = Self {
            client,
            ahead: RefCell::default(),
            statements: HashMap::new(),
            runtime,
        };
        session.simple(SETUP)?;
        let encoding = session.one_text("SHOW server_encoding")?;
        if encoding != "UTF8" {
            return Err(SessionError::Failed(CatalogError::Failed {
                doing: "connecting to its PostgreSQL server",
                kind: ErrorKind::Repair,
                source: in_words(format!(
                    "the database's encoding is {encoding}: make one with ENCODING 'UTF8'"
                )),
            }));
        }
        Ok(session)
    }

    fn wait<T>(
        &self,
        doing: &'static str,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, SessionError> {
        self.runtime
            .block_on(async { timeout(STATEMENT_WAIT, work).await })
            .map_err(|_| SessionError::Lost(in_words("the server took too long to answer")))?
            .map_err(|error| SessionError::of(doing, error))
    }

    /// Leaves statements whose answers say nothing to go out with the next statement. When they
    /// fail, that one fails: they are for the inside of a transaction, or begin one that reads.
    pub(super) fn ahead(&self, sql: &str) {
        let mut ahead = self.ahead.borrow_mut();
        if !ahead.is_empty() {
            ahead.push_str("; ");
        }
        ahead.push_str(sql);
    }

    /// Sends what was left to go ahead.
    pub(super) fn settle(&self) -> Result<(), SessionError> {
        let ahead = self.ahead.take();
        if !ahead.is_empty() {
            self.wait("running a statement", self.client.simple_query(&ahead))?;
        }
        Ok(())
    }

    /// Runs statements without arguments, in one turn.
    pub(super) fn simple(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>, SessionError> {
        self.settle()?;
        self.wait("running a statement", self.client.simple_query(sql))
    }

    /// Runs statements that may take as long as they need, such as an index on many rows.
    pub(super) fn patient(&self, sql: &str) -> Result<(), SessionError> {
        self.settle()?;
        let running = self.client.simple_query(sql);
        self.runtime
            .block_on(running)
            .map(drop)
            .map_err(|error| SessionError::of("running a statement", error))
    }

    /// Waits for a statement, and for what goes ahead of it: all of it is sent before any of it
    /// is answered.
    fn wait_behind<T>(
        &self,
        doing: &'static str,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, SessionError> {
        let ahead = self.ahead.take();
        if ahead.is_empty() {
            return self.wait(doing, work);
        }
        self.wait(doing, async {
            let (first, then) = tokio::join!(biased; self.client.simple_query(&ahead), work);
            first?;
            then
        })
    }

    /// The first column of the last row that statements without arguments answer.
    pub(super) fn one_text(&self, sql: &str) -> Result<String, SessionError> {
        let answer = self.simple(sql)?;
        answer
            .iter()
            .rev()
            .find_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            })
            .ok_or_else(|| SessionError::Lost(in_words("the server answered no row")))
    }

    fn prepared(&mut self, sql: &str) -> Result<Statement, SessionError> {
        if let Some(found) = self.statements.get(sql) {
            return Ok(found.clone());
        }
        self.settle()?;
        let translated = sql.replace('?', "$");
        let statement = self.wait("preparing a statement", self.client.prepare(&translated))?;
        if STATEMENTS_MAX <= self.statements.len() {
            self.statements.clear();
        }
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Runs a statement; answers how many rows it changed.
    pub(super) fn execute(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<u64, SessionError> {
        self.execute_with(sql, &borrowed(args))
    }

    /// As [`Session::execute`], with arguments of any type that the driver knows.
    pub(super) fn execute_with(
        &mut self,
        sql: &str,
        args: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, SessionError> {
        let statement = self.prepared(sql)?;
        self.wait_behind("running a statement", self.client.execute(&statement, args))
    }

    /// Runs a query.
    pub(super) fn query(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<Vec<Row>, SessionError> {
        let statement = self.prepared(sql)?;
        let args = borrowed(args);
        let rows = self.wait_behind("running a query", self.client.query(&statement, &args))?;
        rows.iter()
            .map(|row| {
                let columns = 0..row.len();
                let values = columns.map(|column| {
                    row.try_get::<_, Value>(column).map_err(|error| {
                        SessionError::Failed(CatalogError::damaged(
                            format!("column {column} of a row"),
                            Some(std::sync::Arc::new(error)),
                        ))
                    })
                });
                Ok(Row::new(values.collect::<Result<_, _>>()?))
            })
            .collect()
    }
}

fn borrowed<'a>(args: &'a [Arg<'_>]) -> Vec<&'a (dyn ToSql + Sync)> {
    args.iter().map(|arg| arg as &(dyn ToSql + Sync)).collect()
}

type Fault = Box<dyn std::error::Error + Sync + Send>;

impl ToSql for Arg<'_> {
    fn to_sql(&self, ty: &Type, out: &mut bytes::BytesMut) -> Result<IsNull, Fault> {
        let wrong = |given| {
            Err(Fault::from(WrongArgument {
                given,
                expected: ty.name().to_owned(),
            }))
        };
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) => match *ty {
                Type::INT8 => number.to_sql(ty, out),
                Type::INT4 => i32::try_from(*number)?.to_sql(ty, out),
                _ => wrong("BIGINT"),
            },
            Self::Text(text) if *ty == Type::TEXT || *ty == Type::VARCHAR => text.to_sql(ty, out),
            Self::Made(text) if *ty == Type::TEXT || *ty == Type::VARCHAR => text.to_sql(ty, out),
            Self::Text(_) | Self::Made(_) => wrong("TEXT"),
            Self::Blob(bytes) if *ty == Type::BYTEA => bytes.to_sql(ty, out),
            Self::Blob(_) => wrong("BYTEA"),
        }
    }

    fn accepts(_: &Type) -> bool {
        // Asked of the Rust type alone, before it is known which kind of argument this is.
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Fault> {
        Ok(match *ty {
            Type::INT8 => Self::Int(i64::from_sql(ty, raw)?),
            Type::INT4 => Self::Int(i64::from(i32::from_sql(ty, raw)?)),
            Type::BOOL => Self::Int(i64::from(bool::from_sql(ty, raw)?)),
            Type::TEXT | Type::VARCHAR => Self::Text(String::from_sql(ty, raw)?),
            Type::BYTEA => Self::Blob(Vec::from_sql(ty, raw)?),
            _ => {
                return Err(format!("a column of the type {} has no place here", ty.name()).into());
            }
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Fault> {
        Ok(Self::Null)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
