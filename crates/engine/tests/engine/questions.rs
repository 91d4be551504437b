//! Questions to restored clusters, and looks at their structure: against real PostgreSQL.
use std::time::{Duration, Instant};

use engine::{Answer, Asked, Engine, Home, Inspection, Question};
use model::Timestamp;

use crate::support::{Rig, client, client_as, number};

async fn ask_within(rig: &Rig, home: &Home, secs: u64, what: Asked) -> Answer {
    let question = Question {
        database: Some("app".to_owned()),
        wait: Duration::from_secs(secs),
        what,
    };
    rig.engine.ask(home, &question).await.expect("answers")
}

async fn ask(rig: &Rig, home: &Home, sql: &str) -> Answer {
    ask_within(rig, home, 60, Asked::Sql(sql.to_owned())).await
}

fn rows(count: u64, first: Option<&str>) -> Answer {
    Answer::Rows {
        count,
        first: first.map(str::to_owned),
    }
}

/// What the owner of a cluster can leave in it so that a check writes after all.
const TRAPS: &str = "CREATE TABLE goods AS SELECT n, 'g' || n AS name, now() AS made FROM generate_series(1, 100) n; \
    GRANT ALL ON goods TO PUBLIC; CREATE SEQUENCE taken; GRANT ALL ON SEQUENCE taken TO PUBLIC; \
    CREATE FUNCTION writes() RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS \
      'BEGIN DELETE FROM goods; RETURN 1; END'; \
    CREATE FUNCTION leaves() RETURNS int LANGUAGE plpgsql AS \
      'BEGIN EXECUTE ''RESET SESSION AUTHORIZATION''; EXECUTE ''SET ROLE rdsadmin''; RETURN 1; END'; \
    CREATE FUNCTION unbounded() RETURNS int LANGUAGE plpgsql AS \
      'BEGIN PERFORM set_config(''statement_timeout'', ''0'', false); LOOP PERFORM pg_sleep(0.01); END LOOP; END'";

#[tokio::test(flavor = "multi_thread")]
async fn a_question_reads_all_and_changes_nothing() {
    let rig = Rig::new();
    let home = rig.created("a").await;
    let owner = client(&home).await;
    owner.batch_execute(TRAPS).await.expect("is its own");
    owner
        .batch_execute(
            "ALTER TABLE goods ENABLE ROW LEVEL SECURITY; CREATE SCHEMA hidden; CREATE TABLE hidden.t AS SELECT 7 AS n",
        )
        .await
        .expect("is its own");
    assert_eq!(
        ask(&rig, &home, "select count(*) from goods").await,
        rows(1, Some("100"))
    );
    assert_eq!(
        ask(&rig, &home, "TABLE hidden.t; -- all").await,
        rows(1, Some("7"))
    );
    assert_eq!(
        ask(&rig, &home, "select 1 from goods where n > 100").await,
        rows(0, None)
    );
    assert_eq!(ask(&rig, &home, "select null").await, rows(1, None));
    assert_eq!(
        ask(&rig, &home, "select n from goods union select 0 order by 1").await,
        rows(101, Some("0"))
    );
    let age = |at| Asked::Age {
        table: vec!["public".to_owned(), "goods".to_owned()],
        column: "made".to_owned(),
        at,
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = Timestamp(i64::try_from(now.expect("after 1970").as_micros()).expect("fits"));
    let Answer::Rows {
        first: Some(secs), ..
    } = ask_within(&rig, &home, 60, age(now.plus(Duration::from_secs(3_600)))).await
    else {
        panic!("an age");
    };
    assert!(
        (3_500..3_700).contains(&secs.parse::<i64>().expect("seconds")),
        "{secs}"
    );

    let ended = async |sql: &str| match ask(&rig, &home, sql).await {
        Answer::Ended(why) => why,
        answer => panic!("{sql}: {answer:?}"),
    };
    for (sql, told) in [
        ("delete from goods", "no query that only reads"),
        (
            "with gone as (delete from goods returning n) select n from gone",
            "no query that only reads",
        ),
        (
            "insert into goods values (1) returning n",
            "no query that only reads",
        ),
        ("select 1; delete from goods", "multiple commands"),
        ("commit; delete from goods", "multiple commands"),
        ("begin read write", "no query that only reads"),
        (
            "copy goods to program 'touch /tmp/x'",
            "no query that only reads",
        ),
        ("select writes()", "tries to write"),
        ("select nextval('taken')", "tries to write"),
        ("select n from goods for update", "tries to write"),
        ("select leaves()", "permission denied"),
        ("select pg_read_file('/etc/passwd')", "may not do"),
        ("select n from goods where n = $1", "parameters"),
        ("select x from nowhere", "does not exist"),
        ("select generate_series(1, 1000000)", "more than 1000 rows"),
        ("select repeat('x', 10000000)", "too long"),
    ] {
        let why = ended(sql).await;
        assert!(why.contains(told), "{sql}: {why}");
    }
    let elsewhere = Question {
        database: Some("nowhere".to_owned()),
        wait: Duration::from_secs(9),
        what: Asked::Sql("select 1".to_owned()),
    };
    let answer = rig.engine.ask(&home, &elsewhere).await.expect("answers");
    assert!(
        matches!(&answer, Answer::Ended(why) if why.contains("nowhere")),
        "{answer:?}"
    );
    assert_eq!(number(&owner, "select count(*) from goods").await, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_runs_for_ever_is_ended() {
    let rig = Rig::new();
    let home = rig.created("a").await;
    let owner = client(&home).await;
    owner.batch_execute(TRAPS).await.expect("is its own");
    for sql in [
        "select pg_sleep(600)",
        "select count(*) from generate_series(1, 100000000000)",
    ] {
        let begun = Instant::now();
        let answer = ask_within(&rig, &home, 2, Asked::Sql(sql.to_owned())).await;
        assert_eq!(answer, Answer::Ended("it was ended after 2 s".to_owned()));
        assert!(begun.elapsed() < Duration::from_secs(60), "{sql}");
    }
    // One that takes its time-out away has the one that it began with.
    let answer = ask_within(&rig, &home, 2, Asked::Sql("select unbounded()".to_owned())).await;
    assert_eq!(answer, Answer::Ended("it was ended after 2 s".to_owned()));
    // What was answered and goes on afterwards has none, and its session is ended.
    let goes_on =
        "select set_config('statement_timeout', '0', false) union all select unbounded()::text";
    let answer = ask_within(&rig, &home, 2, Asked::Sql(goes_on.to_owned())).await;
    assert_eq!(answer, Answer::Ended("it was ended after 2 s".to_owned()));
    let left = "select count(*) from pg_stat_activity where usename = 'rdscheckadmin'";
    let waits = Instant::now();
    while number(&owner, left).await != 0 {
        assert!(
            waits.elapsed() < Duration::from_secs(60),
            "a session is left"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_questions_is_let_in_at_the_socket_alone() {
    let rig = Rig::new();
    let home = rig.created("a").await;
    assert_eq!(ask(&rig, &home, "select 1").await, rows(1, Some("1")));
    let refused = client_as(&home, "rdscheckadmin", "", "app").await;
    let error = refused.expect_err("nobody is let in over TCP");
    assert!(format!("{error:?}").contains("reject"), "{error:?}");
    // One that its owner made before is no more than any other.
    let other = rig.created("b").await;
    let owner = client(&other).await;
    owner
        .batch_execute("CREATE ROLE rdscheckadmin LOGIN PASSWORD 'x' CREATEDB")
        .await
        .expect("is its own");
    assert_eq!(ask(&rig, &other, "select 1").await, rows(1, Some("1")));
    let may = "select count(*) from pg_roles where rolname = 'rdscheckadmin' and rolcreatedb";
    assert_eq!(number(&owner, may).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn structure_that_is_not_sound_is_told() {
    let rig = Rig::new();
    let home = rig.created("a").await;
    let owner = client(&home).await;
    owner
        .batch_execute(
            "CREATE TABLE goods AS SELECT n FROM generate_series(1, 1000) n; CREATE INDEX goods_n ON goods (n)",
        )
        .await
        .expect("is its own");
    let inspect = async |what| rig.engine.inspect(&home, what).await.expect("looks");
    let sound = inspect(Inspection::Structure).await;
    assert!(sound.passed, "{}", sound.found);
    let checksums = inspect(Inspection::Checksums).await;
    assert!(checksums.passed, "{}", checksums.found);
    // An index whose order is not that of its rows any more, as after a change of collations.
    owner
        .batch_execute(
            "CREATE FUNCTION turned(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1'; \
             CREATE INDEX goods_turned ON goods (turned(n)); \
             CREATE OR REPLACE FUNCTION turned(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT -$1'",
        )
        .await
        .expect("is its own");
    let broken = inspect(Inspection::Structure).await;
    assert!(
        !broken.passed && broken.found.contains("goods_turned"),
        "{}",
        broken.found
    );
}
