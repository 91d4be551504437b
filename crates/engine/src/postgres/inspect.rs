//! A look at what a cluster's tables and indexes consist of, beyond that they can be read.
//!
//! It does not know what is done about what is wrong.
use std::time::Duration;

use super::{
    conf::ADMIN,
    examine::{counted, databases, has_checks, make_checks, open, unmake_checks},
    handle::Postgres,
    session::{Session, column},
};
use crate::{EngineError, Home, Inspected, Inspection};

/// How long the look at one database may take.
const WAIT: Duration = Duration::from_secs(6 * 60 * 60);
/// Every row of a table is looked for in its indexes, and each page of these from its parent.
const INDEXES: &str = "SELECT count(*) FROM (\
     SELECT pg_catalog.bt_index_parent_check(c.oid::regclass, true::boolean) \
       FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid JOIN pg_am m ON m.oid = c.relam \
      WHERE m.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence <> 't' \
        AND i.indisvalid AND i.indisready OFFSET 0) AS checked";
const TABLES: &str = "SELECT (SELECT count(*) FROM pg_class c JOIN pg_am m ON m.oid = c.relam \
       WHERE m.amname = 'heap' AND c.relkind IN ('r', 'm', 't') AND c.relpersistence <> 't'), \
     (SELECT c.oid::regclass || ', block ' || v.blkno || ': ' || v.msg \
        FROM pg_class c JOIN pg_am m ON m.oid = c.relam, \
        LATERAL pg_catalog.verify_heapam(c.oid::regclass, true::boolean, false::boolean, \
          'none'::text, NULL::bigint, NULL::bigint) AS v \
       WHERE m.amname = 'heap' AND c.relkind IN ('r', 'm', 't') AND c.relpersistence <> 't' LIMIT 1)";
/// How many databases' counters of bad pages there are; they rise as pages are read.
const FAILURES: &str = "SELECT current_setting('data_checksums') = 'on', \
     coalesce(sum(checksum_failures), 0)::bigint FROM pg_stat_database";

impl Postgres {
    pub(super) async fn inspect_cluster(
        &self,
        home: &Home,
        what: Inspection,
    ) -> Result<Inspected, EngineError> {
        match what {
            Inspection::Structure => structure(home).await,
            Inspection::Checksums => checksums(home).await,
        }
    }
}

async fn checksums(home: &Home) -> Result<Inspected, EngineError> {
    let session = open(home, ADMIN).await?;
    let row = session.row("count damaged pages", FAILURES, &[]).await?;
    session.close().await;
    let (is_on, failures): (bool, i64) = (column(&row, 0)?, column(&row, 1)?);
    Ok(match (is_on, failures) {
        (false, _) => Inspected::bad("the cluster's pages have no checksums".to_owned()),
        (true, 0) => Inspected::good(
            "pages have checksums, and none was wrong of those that the server has read".to_owned(),
        ),
        (true, some) => Inspected::bad(format!("{some} pages have wrong checksums")),
    })
}

async fn structure(home: &Home) -> Result<Inspected, EngineError> {
    let (mut indexes, mut tables) = (0, 0);
    for database in databases(home).await? {
        let session = open(home, &database).await?;
        if !has_checks(&session).await? {
            session.close().await;
            let told = "this machine's database programs come without the extension amcheck";
            return Ok(Inspected::bad(told.to_owned()));
        }
        let seen = of_database(&session).await;
        session.close().await;
        match seen {
            Ok((more_indexes, more_tables, None)) => {
                indexes += more_indexes;
                tables += more_tables;
            }
            Ok((_, _, Some(wrong))) => {
                return Ok(Inspected::bad(format!(
                    "in the database {database}: {wrong}"
                )));
            }
            // It is the server's own word on what is wrong.
            Err(EngineError::Sql {
                source,
                kind: model::ErrorKind::Report,
                ..
            }) => {
                return Ok(Inspected::bad(format!(
                    "in the database {database}: {}",
                    said(source.as_ref())
                )));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Inspected::good(format!(
        "{indexes} indexes have all rows of their tables, and {tables} tables are sound"
    )))
}

fn said(error: &(dyn std::error::Error + 'static)) -> String {
    let answer = error.downcast_ref::<tokio_postgres::Error>();
    answer
        .and_then(|error| error.as_db_error())
        .map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

/// Indexes and tables of a database that were looked at, and what is wrong.
async fn of_database(session: &Session) -> Result<(u64, u64, Option<String>), EngineError> {
    let doing = "look at indexes and tables";
    if let Err(error) = make_checks(session).await {
        return match error {
            EngineError::Sql {
                source,
                kind: model::ErrorKind::Report,
                ..
            } => Ok((0, 0, Some(not_made(&said(source.as_ref()))))),
            error => Err(error),
        };
    }
    let row = session.row_within(WAIT, doing, INDEXES, &[]).await?;
    let checked = counted(column(&row, 0)?);
    let row = session.row_within(WAIT, doing, TABLES, &[]).await?;
    unmake_checks(session).await?;
    Ok((checked, counted(column(&row, 0)?), column(&row, 1)?))
}

/// Why nothing was checked: functions elsewhere than in the catalog are not the server's.
fn not_made(why: &str) -> String {
    format!("nothing was checked, since amcheck cannot be brought to pg_catalog: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_catalogs_own_functions_are_called() {
        for sql in [INDEXES, TABLES] {
            assert!(sql.contains("pg_catalog.") && !sql.contains('{'), "{sql}");
        }
        assert!(TABLES.contains("pg_catalog.verify_heapam(") && INDEXES.contains("true::boolean)"));
        assert!(not_made("x").contains("nothing was checked"));
    }
}
