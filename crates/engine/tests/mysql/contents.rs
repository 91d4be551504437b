//! All that a cluster may hold comes back from a dump as it was.
use std::io::Write;

use engine::{Engine, Home};

use crate::support::{Rig, wait_until};

const CONTENTS: &str = include_str!("contents.sql");

/// What the dictionary knows, and what the server shows of it.
const FACTS: &[&str] = &[
    "SELECT schema_name, default_collation_name FROM information_schema.schemata ORDER BY 1",
    "SELECT table_schema, table_name, engine, row_format, create_options, table_type FROM information_schema.tables\n\
     WHERE table_schema NOT IN ('performance_schema', 'information_schema', 'sys') ORDER BY 1, 2",
    "SELECT table_schema, table_name, column_name, column_type, extra, generation_expression, column_default\n\
     FROM information_schema.columns WHERE table_schema NOT IN ('performance_schema', 'information_schema') ORDER BY 1, 2, ordinal_position",
    "SELECT table_schema, table_name, index_name, seq_in_index, column_name, collation, index_type, is_visible, expression\n\
     FROM information_schema.statistics WHERE table_schema NOT IN ('performance_schema') ORDER BY 1, 2, 3, 4",
    "SELECT name, row_format, page_size, zip_page_size, space_type, state FROM information_schema.innodb_tablespaces\n\
     WHERE name <> 'innodb_temporary' ORDER BY name",
    "SELECT name, n_cols, total_row_versions, instant_cols FROM information_schema.innodb_tables ORDER BY name",
    "SELECT table_schema, table_name, view_definition FROM information_schema.views WHERE table_schema <> 'sys' ORDER BY 1, 2",
    "SELECT routine_schema, routine_name, routine_definition, definer FROM information_schema.routines WHERE routine_schema <> 'sys' ORDER BY 1, 2",
    "SELECT trigger_schema, trigger_name, action_statement FROM information_schema.triggers WHERE trigger_schema <> 'sys' ORDER BY 1, 2",
    "SELECT event_schema, event_name, event_definition, status, starts FROM information_schema.events ORDER BY 1, 2",
    "SELECT constraint_schema, constraint_name, delete_rule FROM information_schema.referential_constraints ORDER BY 1, 2",
    "SELECT schema_name, table_name, column_name, histogram->>'$.\"number-of-buckets-specified\"' FROM information_schema.column_statistics",
    "SELECT user, host, plugin, HEX(authentication_string), max_questions, max_user_connections, user_attributes FROM mysql.user ORDER BY 1, 2",
    "SELECT * FROM mysql.role_edges ORDER BY 1, 2, 3, 4",
    "SELECT * FROM mysql.default_roles ORDER BY 1, 2",
    "SELECT user, host, priv, with_grant_option FROM mysql.global_grants ORDER BY 1, 2, 3",
    "SELECT user, db, table_name, column_name, column_priv FROM mysql.columns_priv",
    "SHOW GRANTS FOR partial@'%'",
    "XA RECOVER",
    "SELECT id FROM c.ft WHERE MATCH(t) AGAINST('fox')",
    "SELECT id FROM c.ft WHERE MATCH(u) AGAINST('許可')",
    "SELECT COUNT(*) FROM c.sp WHERE MBRContains(ST_SRID(ST_GeomFromText('POLYGON((0 0,0 20,20 20,20 0,0 0))'), 4326), p)",
    "SELECT id FROM c.idx WHERE 77 MEMBER OF (j->'$.tags') ORDER BY id",
    "SELECT id, hidden, v, s FROM c.idx WHERE a = 7 ORDER BY id",
    "SELECT id, SHA2(b, 256), LENGTH(b) FROM c.lob ORDER BY id",
    "SELECT VECTOR_TO_STRING(v) FROM c.vec",
    "SELECT c.twice(21)",
];

/// Every row of every table whose rows can be shown.
fn rows(rig: &Rig, home: &Home) -> String {
    let tables = rig.sql(
        home,
        "SELECT CONCAT('`', table_schema, '`.`', table_name, '`') FROM information_schema.tables WHERE engine = 'InnoDB'\n\
         AND table_schema NOT IN ('mysql', 'sys') AND table_name NOT IN ('discarded', 'lob', 'vec', 'sp') ORDER BY 1",
    );
    let selects = tables.lines().map(|table| {
        format!(
            "SELECT '{}'; SELECT * FROM {table} ORDER BY 1, 2;\n",
            table.replace('\'', "''")
        )
    });
    // Tables of one column have no second one to sort by.
    let selects: String = selects.collect();
    let single = [
        "`c`.`n`",
        "`c`.`parent`",
        "`c`.`logged`",
        "`#sql-like`.`#sql-ib-like`",
        "`c`.`a234567890123456789012345678901234567890123456789012345678901234`",
    ];
    let mut text = selects;
    for table in single.iter().map(|name| (*name).to_owned()).chain(
        tables
            .lines()
            .filter(|name| name.contains("a23456"))
            .map(str::to_owned),
    ) {
        text = text.replace(
            &format!("FROM {table} ORDER BY 1, 2;"),
            &format!("FROM {table} ORDER BY 1;"),
        );
    }
    rig.sql(home, &text)
}

#[tokio::test(flavor = "multi_thread")]
async fn all_contents_come_back() {
    let Some(rig) = Rig::new() else { return };
    let home = rig.created("a").await;
    rig.sql(&home, CONTENTS);
    // A transaction over many pages that is open while the dump runs, and a table that only its session has.
    let mut open = rig.client(&home);
    let input = open.stdin.as_mut().expect("a pipe");
    let statements = "CREATE TEMPORARY TABLE c.mine(a INT); BEGIN; UPDATE c.r1 SET v = 'lost'; INSERT INTO c.r2 SELECT a + 100000, v FROM c.r2;\n";
    input.write_all(statements.as_bytes()).expect("writes");
    wait_until("the transaction is under way", || {
        open_transactions(&rig, &home, "COALESCE(MAX(trx_rows_modified), 0)") >= 4000
    });
    let info = rig.dump(&home, "d").await.expect("dumps");
    drop(open.stdin.take());
    open.wait().expect("ends");
    wait_until("it is rolled back", || {
        // The prepared one stays.
        open_transactions(&rig, &home, "COUNT(*)") == 1
    });
    let copy = rig.loaded("d", &info, "b").await;
    wait_until("its like is rolled back", || {
        open_transactions(&rig, &copy, "COUNT(*)") == 1
    });
    compare(&rig, &home, &copy);
    goes_on(&rig, &home, &copy);
    rig.engine
        .stop(&copy, std::time::Duration::from_secs(30))
        .await
        .expect("stops");
    let again = rig.dump(&copy, "e").await.expect("a stopped one dumps");
    let second = rig.loaded("e", &again, "c").await;
    let lost = rig.sql(&second, "SELECT COUNT(*) FROM c.r1 WHERE v = 'lost'");
    assert_eq!(lost, "0\n");
}

/// A figure over the transactions that are open. InnoDB keeps this list for whoever reads it again within 100 ms, and
/// counts from the last reading: without a pause, a machine fast enough sees its first state for ever.
fn open_transactions(rig: &Rig, home: &Home, figure: &str) -> u64 {
    let read = format!("DO SLEEP(0.2); SELECT {figure} FROM information_schema.innodb_trx");
    let answer = rig.sql(home, &read);
    answer.trim().parse().expect("a number")
}

/// Both have the same rows, and the same facts.
fn compare(rig: &Rig, home: &Home, copy: &Home) {
    for fact in FACTS {
        let (here, there) = (rig.sql(home, fact), rig.sql(copy, fact));
        assert!(!here.is_empty() && here == there, "{fact}\n{here}\n{there}");
    }
    let (here, there) = (rows(rig, home), rows(rig, copy));
    let difference = here.lines().zip(there.lines()).find(|(a, b)| a != b);
    assert_eq!((difference, here.len()), (None, there.len()));
    assert!(500_000 < here.len(), "{}", here.len());
}

/// What the copy goes on with.
fn goes_on(rig: &Rig, home: &Home, copy: &Home) {
    rig.sql(copy, "INSERT INTO c.ai(v) VALUES (3)");
    assert_eq!(
        rig.sql(copy, "SELECT MAX(id) FROM c.ai"),
        "1002\n",
        "never used again"
    );
    assert_eq!(
        rig.sql(copy, "SELECT COUNT(*) FROM c.mem"),
        "0\n",
        "tables in memory are empty"
    );
    let gone = rig
        .try_sql(copy, "SELECT * FROM c.discarded")
        .expect_err("it has no file");
    assert!(gone.contains("1814"), "{gone}");
    rig.sql(copy, "XA COMMIT 'gtrid', 'bqual', 9; DELETE FROM c.parent WHERE id = 1; INSERT INTO c.parent VALUES (9);");
    assert_eq!(
        rig.sql(copy, "SELECT a FROM c.logged ORDER BY a"),
        "9\n77\n"
    );
    assert_eq!(
        rig.sql(copy, "SELECT COUNT(*) FROM c.child"),
        "2\n",
        "the deletion went on"
    );
    assert_eq!(
        rig.sql(copy, "SELECT @@offline_mode, @@event_scheduler"),
        "0\tON\n"
    );
    let uuid = "SELECT @@server_uuid";
    assert_ne!(
        rig.sql(copy, uuid),
        rig.sql(home, uuid),
        "it is another server"
    );
    let checked = rig.sql(copy, "CHECK TABLE c.r1, c.r2, c.r3, c.r4, c.r5, c.p1, c.p2, c.g1, c.g2, c.s1, c.parts, c.ft, c.sp, c.idx, c.lob, c.inst, c.child, c.types");
    assert!(
        checked.lines().all(|line| line.ends_with("OK")),
        "{checked}"
    );
}
