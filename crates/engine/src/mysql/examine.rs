//! A look at all of a cluster: every table read to its end, with its indexes.
//!
//! It does not know what the tables are for.
use std::{collections::BTreeSet, io, time::Duration};

use model::ErrorKind;

use super::{handle::MySql, quoted::quoted_name, session::Session};
use crate::{error::EngineError, home::Home, interface::Examined};

/// How long the check of one table may take.
const CHECK_WAIT: Duration = Duration::from_secs(60 * 60);
const TABLES: &str = "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA <> 'mysql' FROM information_schema.TABLES \
    WHERE TABLE_TYPE IN ('BASE TABLE', 'VIEW') AND TABLE_SCHEMA NOT IN ('performance_schema', 'sys') \
    ORDER BY TABLE_SCHEMA, TABLE_NAME";
const INDEXES: &str = "SELECT COUNT(DISTINCT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME) FROM information_schema.STATISTICS \
    WHERE TABLE_SCHEMA NOT IN ('performance_schema', 'sys')";
/// In the row of a check, what kind of word it is, and the word.
const KIND_AND_WORD: usize = 2;
/// A table whose owner discarded its file, or a view of something that is not there: they were so.
const AS_IT_WAS: [&str; 3] = ["discarded", "references invalid", "doesn't exist"];

impl MySql {
    pub(super) async fn examine_cluster(&self, home: &Home) -> Result<Examined, EngineError> {
        let mut session = Session::open(home).await?;
        let doing = "list its tables";
        let tables = session.rows(doing, TABLES).await?;
        let mut databases = BTreeSet::new();
        let (mut relations, mut counted) = (0, 0);
        for row in tables {
            let row = <[Option<String>; 3]>::try_from(row);
            let Ok([Some(database), Some(table), Some(is_own)]) = row else {
                continue;
            };
            let is_there = check(&mut session, &database, &table).await?;
            if is_there && is_own == "1" {
                counted += rows_of(&mut session, &database, &table).await?;
            }
            databases.insert(database);
            relations += 1;
        }
        let indexes = session.cell("count its indexes", INDEXES).await?;
        session.close().await;
        Ok(Examined {
            databases: databases.len() as u64,
            relations,
            indexes: indexes.parse().unwrap_or_default(),
            rows: counted,
        })
    }
}

async fn rows_of(session: &mut Session, database: &str, table: &str) -> Result<u64, EngineError> {
    let (database, table) = (quoted_name(database), quoted_name(table));
    let statement = format!("SELECT COUNT(*) FROM {database}.{table}");
    let doing = "count a table's rows";
    let rows = session.rows_within(CHECK_WAIT, doing, &statement).await?;
    let cell = rows.into_iter().flatten().flatten().next();
    Ok(cell.and_then(|cell| cell.parse().ok()).unwrap_or_default())
}

/// Has a table's rows read in the order of every index. Answers whether there is something to read.
async fn check(session: &mut Session, database: &str, table: &str) -> Result<bool, EngineError> {
    let doing = "read a table";
    let statement = format!(
        "CHECK TABLE {}.{}",
        quoted_name(database),
        quoted_name(table)
    );
    let mut is_there = true;
    for row in session.rows_within(CHECK_WAIT, doing, &statement).await? {
        let mut words = row.into_iter().skip(KIND_AND_WORD).flatten();
        let (kind, word) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let is_wrong = kind.eq_ignore_ascii_case("error");
        is_there &= !is_wrong;
        if is_wrong && !AS_IT_WAS.iter().any(|known| word.contains(known)) {
            return Err(EngineError::Sql {
                doing,
                kind: ErrorKind::Report,
                source: io::Error::other(format!("{database}.{table}: {word}")).into(),
            });
        }
    }
    Ok(is_there)
}
