//! Checks that a restore test's owner asked for, made in the restored cluster.
//!
//! It does not know what becomes of their results.
use std::time::Duration;

use engine::{Answer, Asked, Engine, EngineError, Home, Inspected, Inspection, Question};
use model::{
    Cluster, Drill,
    drill_checks::{Subject, WantedCheck},
    restore_testing::Check,
};
use tokio::time::{Instant, timeout};

/// Characters of what a database says that are kept of it.
const WORDS_MAX: usize = 400;
/// How long a drill's own checks may take together: other accounts' drills wait for their end.
const BUDGET: Duration = Duration::from_secs(3_600);

/// Makes a drill's checks, one after the other.
///
/// # Errors
/// What says nothing about the cluster.
pub(super) async fn make(
    engine: &dyn Engine,
    home: &Home,
    drill: &Drill,
    cluster: &Cluster,
) -> Result<Vec<Check>, EngineError> {
    let mut made = Vec::with_capacity(drill.wanted.len());
    let begun = Instant::now();
    for wanted in &drill.wanted {
        let left = BUDGET.saturating_sub(begun.elapsed());
        // A question is ended by its server first, unless all time is used up.
        let making = one(engine, home, (drill, cluster), (wanted, left));
        let (passed, found) = match timeout(left, making).await {
            Ok(found) => found?,
            Err(_) => (false, used_up()),
        };
        made.push(Check {
            name: wanted.name.clone(),
            passed,
            found,
            asked: Some(wanted.asked()),
        });
    }
    Ok(made)
}

async fn one(
    engine: &dyn Engine,
    home: &Home,
    (drill, cluster): (&Drill, &Cluster),
    (wanted, left): (&WantedCheck, Duration),
) -> Result<(bool, String), EngineError> {
    let what = match &wanted.subject {
        Subject::Amcheck => return inspected(engine.inspect(home, Inspection::Structure).await),
        Subject::Checksums => return inspected(engine.inspect(home, Inspection::Checksums).await),
        Subject::Sql { sql, .. } => Asked::Sql(sql.clone()),
        Subject::NewestRow { table, column, .. } => Asked::Age {
            table: table.clone(),
            column: column.clone(),
            at: drill.point_made_at,
        },
    };
    let question = Question {
        database: wanted
            .database
            .clone()
            .or_else(|| cluster.database_name.clone()),
        wait: wanted.wait().min(left),
        what,
    };
    let answer = engine.ask(home, &question).await?;
    Ok(judged(&wanted.subject, &answer))
}

/// What a check is told that was not done in time.
fn used_up() -> String {
    let minutes = BUDGET.as_secs() / 60;
    format!("it was not done within the {minutes} minutes that all checks have together")
}

fn shortened(text: &str) -> String {
    text.chars().take(WORDS_MAX).collect()
}

fn inspected(found: Result<Inspected, EngineError>) -> Result<(bool, String), EngineError> {
    found.map(|inspected| (inspected.passed, shortened(&inspected.found)))
}

/// Whether an answer is as it has to be, and what was found.
fn judged(subject: &Subject, answer: &Answer) -> (bool, String) {
    let (count, first) = match answer {
        Answer::Ended(why) => return (false, shortened(why)),
        Answer::Rows { count, first } => (*count, first.as_deref()),
    };
    match subject {
        Subject::Sql { expect, .. } => {
            let (passed, found) = expect.judge(count, first);
            (passed, shortened(&found))
        }
        Subject::NewestRow { age_max_secs, .. } => newest(first, *age_max_secs),
        Subject::Amcheck | Subject::Checksums => (false, "it was not looked at".to_owned()),
    }
}

fn newest(first: Option<&str>, age_max_secs: u64) -> (bool, String) {
    let Some(age) = first.and_then(|first| first.parse::<i64>().ok()) else {
        return (false, "there is no row with a time".to_owned());
    };
    // One that lies ahead is none too old.
    let passed = u64::try_from(age).unwrap_or(0) <= age_max_secs;
    let told = format!(
        "the newest row is {age} s older than the recovery point, of at most {age_max_secs} s"
    );
    (passed, told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_answered_does_not_pass() {
        let subject = Subject::Sql {
            sql: "x".to_owned(),
            expect: model::drill_checks::Expect::Empty,
        };
        let ended = Answer::Ended("it was ended after 5 s".to_owned());
        assert_eq!(
            judged(&subject, &ended),
            (false, "it was ended after 5 s".to_owned())
        );
        let none = Answer::Rows {
            count: 0,
            first: None,
        };
        assert!(judged(&subject, &none).0);
    }

    #[test]
    fn what_is_judged_is_shortened() {
        let subject = Subject::Sql {
            sql: "x".to_owned(),
            expect: model::drill_checks::Expect::Value("v".repeat(1_024)),
        };
        let answer = Answer::Rows {
            count: 1,
            first: Some("w".repeat(100_000)),
        };
        let (passed, found) = judged(&subject, &answer);
        assert!(!passed && found.chars().count() == WORDS_MAX);
    }

    #[test]
    fn the_newest_row_is_as_old_as_it_may_be() {
        assert!(newest(Some("60"), 60).0 && !newest(Some("61"), 60).0);
        assert!(newest(Some("-5"), 0).0 && !newest(None, 60).0);
    }
}
