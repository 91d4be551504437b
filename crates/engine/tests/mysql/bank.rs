//! Accounts whose balances are 0 together, and a ledger that says why each is what it is: rows that show whether a
//! state of a cluster is one.
use engine::Home;

use crate::support::Rig;

const ACCOUNTS: u32 = 20_000;

/// Statements that make, change, empty and drop tables.
pub(crate) const CHANGES: &str = "DROP TABLE IF EXISTS bank.t, bank.u; CREATE TABLE bank.t(id INT PRIMARY KEY, v TEXT) COMPRESSION='zlib';\n\
         INSERT INTO bank.t SELECT id, filler FROM bank.account WHERE id < 300; ALTER TABLE bank.t ADD COLUMN w INT, ADD KEY(w);\n\
         RENAME TABLE bank.t TO bank.u; TRUNCATE TABLE bank.u; INSERT INTO bank.u(id) VALUES (1); OPTIMIZE TABLE bank.u;";

/// Accounts whose balances are 0 together, and what was moved between them.
pub(crate) fn bank() -> String {
    format!(
        "CREATE DATABASE bank; USE bank; SET SESSION cte_max_recursion_depth = 1000000;\n\
         CREATE TABLE account(id INT PRIMARY KEY, balance BIGINT NOT NULL, filler VARCHAR(200), KEY(balance));\n\
         CREATE TABLE ledger(id BIGINT AUTO_INCREMENT PRIMARY KEY, writer INT NOT NULL, turn BIGINT NOT NULL,\n\
             src INT, dst INT, amount BIGINT, UNIQUE KEY(writer, turn));\n\
         INSERT INTO account WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {ACCOUNTS})\n\
             SELECT n, 0, REPEAT(SHA2(n, 256), 2) FROM s;\n\
         DELIMITER //\n\
         CREATE PROCEDURE move_some(who INT, turns INT)\n\
         BEGIN\n\
           DECLARE x, y, m INT; DECLARE last BIGINT;\n\
           WHILE 0 < turns DO\n\
             SET x = 1 + FLOOR(RAND() * {ACCOUNTS}), y = 1 + FLOOR(RAND() * {ACCOUNTS}), m = 1 + FLOOR(RAND() * 99), turns = turns - 1;\n\
             START TRANSACTION;\n\
             SELECT COALESCE(MAX(turn), 0) INTO last FROM ledger WHERE writer = who;\n\
             UPDATE account SET balance = balance - m WHERE id = LEAST(x, y);\n\
             UPDATE account SET balance = balance + m WHERE id = GREATEST(x, y);\n\
             INSERT INTO ledger(writer, turn, src, dst, amount) VALUES (who, last + 1, LEAST(x, y), GREATEST(x, y), m);\n\
             COMMIT;\n\
           END WHILE;\n\
         END//\n\
         DELIMITER ;\n"
    )
}

/// What must be true of every state of the bank, and how many turns each writer has in it.
pub(crate) fn audited(rig: &Rig, home: &Home) -> Vec<u64> {
    let wrong = rig.sql(
        home,
        "SELECT SUM(balance) FROM bank.account;\n\
         SELECT COUNT(*) FROM bank.account a LEFT JOIN (SELECT id, SUM(d) s FROM\n\
             (SELECT src id, -amount d FROM bank.ledger UNION ALL SELECT dst, amount FROM bank.ledger) x GROUP BY id) l\n\
             USING(id) WHERE a.balance <> COALESCE(l.s, 0);\n\
         SELECT COUNT(*) FROM (SELECT writer FROM bank.ledger GROUP BY writer HAVING COUNT(*) <> MAX(turn)) x;",
    );
    assert_eq!(wrong, "0\n0\n0\n", "sum, accounts off, writers with gaps");
    let checked = rig.sql(home, "CHECK TABLE bank.account, bank.ledger");
    assert!(
        checked.lines().all(|line| line.ends_with("OK")),
        "{checked}"
    );
    turns(rig, home)
}

pub(crate) fn turns(rig: &Rig, home: &Home) -> Vec<u64> {
    let text = rig.sql(
        home,
        "SELECT COALESCE(MAX(turn), 0) FROM (SELECT 1 w UNION SELECT 2 UNION SELECT 3) s\n\
         LEFT JOIN bank.ledger ON writer = w GROUP BY w ORDER BY w",
    );
    text.lines()
        .map(|line| line.parse().expect("a number"))
        .collect()
}
