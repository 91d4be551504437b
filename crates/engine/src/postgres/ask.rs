//! Questions to a restored cluster, by a role of their own that reads all and changes nothing.
//!
//! It does not know what answers are good.
//!
//! Invariant: what is asked runs as that role, which logs in at the socket and is no superuser's session
//! underneath, and in a transaction that was read-only before it began; one statement of it, for a bounded
//! time and with a bounded answer.
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Error, SimpleQueryMessage, error::SqlState};

use super::{
    conf::{ADMIN, CHECKER},
    handle::Postgres,
    session::{self, Session, column, is_passing, quoted_name, quoted_text, refused},
};
use crate::{Answer, Asked, EngineError, Home, Question};

/// Rows of an answer at most: more are to be counted by the query itself.
const ROWS_MAX: u64 = 1_000;
/// What sorts and joins of a question may write to the disk.
const TEMP_FILES_MAX: &str = "1GB";
/// How much longer a question may take than its server lets it, before its session is ended.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_DATABASE: &str = "postgres";

impl Postgres {
    pub(super) async fn ask_cluster(
        &self,
        home: &Home,
        question: &Question,
    ) -> Result<Answer, EngineError> {
        let admin = Session::open(home, ADMIN).await?;
        let database = question.database.as_deref().unwrap_or(FIRST_DATABASE);
        make_role(&admin, database).await?;
        let session = match Session::open_as_checker(home, database, question.wait).await {
            Ok(session) => session,
            Err(session::Refusal::Answer(error)) if error.code().is_some() && !is_lost(&error) => {
                admin.close().await;
                return Ok(Answer::Ended(format!(
                    "the database {database} lets nobody in: {}",
                    said(&error)
                )));
            }
            Err(refusal) => return Err(refusal.into()),
        };
        let pid = session
            .row(
                "tell its process",
                "SELECT pg_catalog.pg_backend_pid()",
                &[],
            )
            .await?;
        let pid: i32 = column(&pid, 0)?;
        let sql = sql_of(&question.what);
        let asked = timeout(question.wait + PATIENCE, ask(&session, &sql));
        let answer = match asked.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) if session.was_nonsense() => {
                Answer::Ended("its session was ended: its answer is too long".to_owned())
            }
            // It says nothing of what was asked.
            Ok(Err(error)) if is_lost(&error) => {
                return Err(refused("ask what is to be checked", error));
            }
            Ok(Err(error)) => ended(&error, question.wait),
            Err(_) => {
                // Its own timeout was taken away.
                let end = "SELECT pg_catalog.pg_terminate_backend($1)";
                admin.row("end a question", end, &[&pid]).await?;
                too_long(question.wait)
            }
        };
        session.close().await;
        admin.close().await;
        Ok(answer)
    }
}

/// Whether an error is about the server or the session, and says nothing of what was asked.
fn is_lost(error: &Error) -> bool {
    error.is_closed() || error.code().is_some_and(is_passing)
}

/// Makes the role, or what is there of that name into it, lets it into a database, and ends its sessions from
/// before: it has room for few.
async fn make_role(admin: &Session, database: &str) -> Result<(), EngineError> {
    let doing = "make the role of checks";
    let found = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)";
    let row = admin.row(doing, found, &[&CHECKER]).await?;
    let role = quoted_name(CHECKER);
    let verb = match column::<bool>(&row, 0)? {
        true => "ALTER",
        false => "CREATE",
    };
    // Rows that policies hide are checked as well.
    let make = format!(
        "{verb} ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION INHERIT BYPASSRLS \
         CONNECTION LIMIT 2 PASSWORD NULL; GRANT pg_read_all_data TO {role}; \
         ALTER ROLE {role} SET temp_file_limit = '{TEMP_FILES_MAX}'"
    );
    admin.run(doing, &make).await?;
    let end = "SELECT count(pg_catalog.pg_terminate_backend(pid, 5000)) \
         FROM pg_catalog.pg_stat_activity WHERE usename = $1";
    admin.row(doing, end, &[&CHECKER]).await?;
    let found = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)";
    let row = admin.row(doing, found, &[&database]).await?;
    // Of one that is not there the question's own session tells.
    if column::<bool>(&row, 0)? {
        admin.run(doing, &let_in(database)).await?;
    }
    Ok(())
}

/// Reading all data lets nobody into a database whose owner took that from everybody.
fn let_in(database: &str) -> String {
    let (database, role) = (quoted_name(database), quoted_name(CHECKER));
    format!("GRANT CONNECT ON DATABASE {database} TO {role}")
}

fn sql_of(what: &Asked) -> String {
    match what {
        Asked::Sql(sql) => sql.clone(),
        Asked::Age { table, column, at } => {
            let table: Vec<String> = table.iter().map(|name| quoted_name(name)).collect();
            let (column, at) = (quoted_name(column), quoted_text(&at.to_rfc3339_micros()));
            format!(
                "SELECT extract(epoch FROM {at}::timestamptz - max({column})::timestamptz)::bigint FROM {}",
                table.join(".")
            )
        }
    }
}

/// Asks one question. As a cursor's it can be a query alone, and its answer is fetched as far as it is
/// wanted: a row, and then the count of the others.
async fn ask(session: &Session, sql: &str) -> Result<Answer, Error> {
    let client = session.client();
    client.batch_execute("BEGIN READ ONLY").await?;
    // Prepared, it is one statement, whatever stands in it.
    if !client.prepare(sql).await?.params().is_empty() {
        let told = "it has parameters, and nobody gives them values";
        return Ok(Answer::Ended(told.to_owned()));
    }
    let declared = match client
        .prepare(&format!("DECLARE checked NO SCROLL CURSOR FOR {sql}"))
        .await
    {
        Ok(statement) => client.execute(&statement, &[]).await.map(drop),
        Err(error) => Err(error),
    };
    if let Err(error) = declared {
        return match error.code() {
            Some(&SqlState::SYNTAX_ERROR | &SqlState::FEATURE_NOT_SUPPORTED) => Ok(Answer::Ended(
                format!("it is no query that only reads: {}", said(&error)),
            )),
            _ => Err(error),
        };
    }
    let fetched = client.simple_query("FETCH 1 FROM checked").await?;
    let first = fetched.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.try_get(0).ok().flatten().map(str::to_owned)),
        _ => None,
    });
    let Some(first) = first else {
        return Ok(Answer::Rows {
            count: 0,
            first: None,
        });
    };
    let moved = client
        .simple_query(&format!("MOVE {ROWS_MAX} IN checked"))
        .await?;
    let others = moved.iter().find_map(|message| match message {
        SimpleQueryMessage::CommandComplete(count) => Some(*count),
        _ => None,
    });
    let count = others.unwrap_or(0) + 1;
    if ROWS_MAX < count {
        let told = format!("it answers more than {ROWS_MAX} rows: have the query count them");
        return Ok(Answer::Ended(told));
    }
    Ok(Answer::Rows { count, first })
}

fn too_long(wait: Duration) -> Answer {
    Answer::Ended(format!("it was ended after {} s", wait.as_secs()))
}

/// Why there is no answer.
fn ended(error: &Error, wait: Duration) -> Answer {
    match error.code() {
        Some(&SqlState::QUERY_CANCELED) => too_long(wait),
        Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => {
            Answer::Ended(format!("it tries to write: {}", said(error)))
        }
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Answer::Ended(format!(
            "it asks for what checks may not do: {}",
            said(error)
        )),
        _ => Answer::Ended(format!("it was refused: {}", said(error))),
    }
}

fn said(error: &Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_named_in_quotes() {
        assert_eq!(
            let_in("a\"b"),
            format!("GRANT CONNECT ON DATABASE \"a\"\"b\" TO \"{CHECKER}\"")
        );
    }

    /// A server that ends or is full is no answer, which would be signed.
    #[test]
    fn a_lost_session_is_asked_again() {
        for code in ["57P01", "57P02", "57P03", "53300"] {
            assert!(is_passing(&SqlState::from_code(code)), "{code}");
        }
        for code in ["57014", "42501", "25006", "3D000"] {
            assert!(!is_passing(&SqlState::from_code(code)), "{code}");
        }
    }
}
