//! The log of a running server, out of it as it was written, and back into one at a moment.
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use async_trait::async_trait;
use engine::{
    DumpInfo, Engine, EngineError, Home, LogPiece, LogSource, LogTail, ReplayTarget, SinkError,
};
use model::{ErrorKind, LogPlace, Timestamp};

use crate::{
    members::{cell, cluster, killed, rows},
    support::{MASTER, PASSWORD, Rig, wait_until},
};

/// What an acknowledged insert is followed by: its moment, by the server's clock.
const NOW: &str = "SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)";
const TABLE: &str = "CREATE TABLE app.t (i INT AUTO_INCREMENT PRIMARY KEY, v LONGTEXT)";
/// A row of 4 MB, and a log that ends behind it.
const MUCH: &str =
    "INSERT INTO app.t(v) VALUES (REPEAT('0123456789abcdef', 262144)); FLUSH BINARY LOGS;";
/// The byte of a log that says that it is written to.
const IN_USE: usize = 21;

/// What was read of a log.
#[derive(Debug, Default, Clone)]
pub(crate) struct Pieces(VecDeque<LogPiece>);

#[async_trait]
impl LogSource for Pieces {
    async fn next(&mut self) -> Result<Option<LogPiece>, SinkError> {
        Ok(self.0.pop_front())
    }
}

impl Pieces {
    /// Reads on to where the log ends now.
    pub(crate) async fn read(&mut self, tail: &mut dyn LogTail) {
        loop {
            let durable = tail.place();
            let piece = tail.next(durable, 1 << 20).await.expect("it is there");
            let is_last = piece.is_last;
            if !piece.bytes.is_empty() {
                self.0.push_back(piece);
            }
            if is_last {
                return;
            }
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|piece| piece.bytes.len()).sum()
    }

    /// The logs that they are pieces of.
    fn files(&self) -> BTreeMap<u32, Vec<u8>> {
        let mut files = BTreeMap::<u32, Vec<u8>>::new();
        for piece in &self.0 {
            let file = files.entry(piece.start.timeline).or_default();
            assert_eq!(file.len() as u64, piece.start.position, "{piece:?}");
            file.extend(&piece.bytes);
        }
        files
    }
}

/// A running cluster whose log is to be kept, with a table.
async fn logging(rig: &Rig, name: &str) -> Home {
    let mut home = rig.home(name);
    home.replication.is_logged = true;
    let spec = rig.spec();
    rig.engine.create(&home, &spec).await.expect("creates");
    rig.sql(&home, TABLE);
    home
}

async fn tail_of(rig: &Rig, home: &Home, from: Option<LogPlace>) -> Box<dyn LogTail> {
    rig.engine.tail(home, from).await.expect("begins")
}

fn now(rig: &Rig, home: &Home) -> Timestamp {
    Timestamp(cell(rig, home, NOW).parse().expect("a moment"))
}

/// A cluster from a dump and what was read of the log behind it.
pub(crate) async fn replayed(
    rig: &Rig,
    (dump, info): (&str, &DumpInfo),
    name: &str,
    pieces: &Pieces,
    until: Option<Timestamp>,
) -> Result<Home, EngineError> {
    let mut home = rig.place(dump, name);
    home.replication.is_logged = true;
    let (from, _) = info.in_log.expect("it lies in the log");
    let mut log = pieces.clone();
    log.0.retain(|piece| from <= piece.start);
    let target = ReplayTarget {
        from,
        until,
        timeline: from.timeline,
        histories: Vec::new(),
    };
    let loaded = rig
        .engine
        .load_until(&home, &info.document, &target, &mut log);
    loaded.await.map(|()| home)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_comes_byte_for_byte_and_stays_until_it_is_kept() {
    let Some(rig) = Rig::new() else { return };
    let home = logging(&rig, "a").await;
    let mut tail = tail_of(&rig, &home, None).await;
    let begin = tail.place();
    assert_eq!(begin.position, 0);
    let mut pieces = Pieces::default();
    for _ in 0..2 {
        rig.sql(&home, MUCH);
        pieces.read(&mut *tail).await;
    }
    rig.sql(&home, "INSERT INTO app.t(v) VALUES ('a')");
    pieces.read(&mut *tail).await;
    let files = pieces.files();
    assert_eq!(files.len(), 3);
    for (number, bytes) in &files {
        let path = home.data().join(format!("binlog.{number:06}"));
        let mut own = std::fs::read(path).expect("it is kept");
        if *number == begin.timeline + 2 {
            // The server writes this one still.
            assert_eq!((own[IN_USE], bytes[IN_USE]), (1, 0));
            own[IN_USE] = 0;
        }
        assert!(own == *bytes, "{number} differs");
    }
    let place = tail.place();
    let idle = tail.next(place, 1 << 20).await.expect("answers");
    assert!(idle.bytes.is_empty() && idle.is_last);
    // Another one goes on where this one was, also within a file.
    drop(tail);
    rig.sql(&home, "INSERT INTO app.t(v) VALUES ('b')");
    let mut tail = tail_of(&rig, &home, Some(place)).await;
    let piece = tail.next(place, 1 << 20).await.expect("it is there");
    assert!(piece.start == place && !piece.bytes.is_empty());
    // What is not durable elsewhere stays, however much it is.
    drop(tail);
    for _ in 0..18 {
        rig.sql(&home, MUCH);
    }
    rig.engine.trim_log(&home).await.expect("trims");
    let log = |number| home.data().join(format!("binlog.{number:06}"));
    assert!(log(place.timeline).exists());
    let mut tail = tail_of(&rig, &home, Some(place)).await;
    Pieces::default().read(&mut *tail).await;
    rig.engine.trim_log(&home).await.expect("trims");
    assert!(
        !log(place.timeline).exists(),
        "72 MB that are kept elsewhere"
    );
    // It is as if nobody had read it.
    drop(tail);
    rig.engine.end_tail(&home).await.expect("ends");
    rig.engine.end_tail(&home).await.expect("has ended");
    let error = rig.engine.tail(&home, Some(place)).await;
    let error = error.err().expect("nothing kept it");
    assert!(matches!(error, EngineError::LogGone { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_between_two_commits_has_the_first_and_not_the_second() {
    let Some(rig) = Rig::new() else { return };
    let home = logging(&rig, "source").await;
    rig.sql(
        &home,
        "INSERT INTO app.t(v) VALUES ('before the log is read')",
    );
    let mut tail = tail_of(&rig, &home, None).await;
    let info = rig.dump(&home, "dump").await.expect("dumps");
    let insert = format!("INSERT INTO app.t(v) VALUES ('x'); {NOW};");
    let told = rig.sql(&home, &insert.repeat(150));
    let moments: Vec<Timestamp> = told
        .lines()
        .map(|line| Timestamp(line.parse().expect("a moment")))
        .collect();
    // A session that says another time than it is.
    rig.sql(
        &home,
        "SET SESSION timestamp = 86400; INSERT INTO app.t(v) VALUES ('long ago')",
    );
    let mut pieces = Pieces::default();
    pieces.read(&mut *tail).await;
    let later = now(&rig, &home).plus(Duration::from_secs(60));
    let wanted = [
        (Some(moments[0]), 2),
        (Some(moments[122]), 124),
        // Nothing in the log is later.
        (Some(later), 152),
        (None, 152),
    ];
    for (number, (until, count)) in wanted.into_iter().enumerate() {
        let name = format!("r{number}");
        let made = replayed(&rig, ("dump", &info), &name, &pieces, until).await;
        let made = made.expect("recovers");
        assert_eq!(rows(&rig, &made), count, "{number}");
        let numbers = "SELECT REPLACE(@@GLOBAL.gtid_executed, '\n', '')";
        let ahead = format!(
            "SELECT GTID_SUBTRACT({:?}, {:?})",
            cell(&rig, &home, numbers),
            cell(&rig, &made, numbers)
        );
        let ahead = cell(&rig, &home, &ahead);
        assert_eq!(ahead.is_empty(), count == 152, "{ahead}");
        rig.sql(&made, "INSERT INTO app.t(v) VALUES ('it takes writes')");
        assert_eq!(cell(&rig, &made, "SELECT @@log_bin, @@gtid_mode"), "1\tON");
        assert_eq!(
            cell(
                &rig,
                &made,
                "SELECT @@innodb_flush_log_at_trx_commit, @@event_scheduler, @@offline_mode"
            ),
            "1\tON\t0"
        );
        // Its own log can be kept from its beginning on.
        let own = tail_of(&rig, &made, None).await;
        assert_eq!(own.place().position, 0);
        let entries = std::fs::read_dir(made.data()).expect("a folder");
        let heard = entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("relay."));
        assert_eq!(heard.count(), 0, "what it was given is gone");
        drop(own);
        rig.engine.remove(&made).await.expect("goes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_with_a_hole_or_damage_leads_nowhere() {
    let Some(rig) = Rig::new() else { return };
    let home = logging(&rig, "source").await;
    let mut tail = tail_of(&rig, &home, None).await;
    let info = rig.dump(&home, "dump").await.expect("dumps");
    for _ in 0..3 {
        rig.sql(
            &home,
            "INSERT INTO app.t(v) VALUES ('x'), ('y'); INSERT INTO app.t(v) VALUES ('z'); FLUSH BINARY LOGS",
        );
    }
    let mut pieces = Pieces::default();
    pieces.read(&mut *tail).await;
    let without = |position| {
        let mut pieces = pieces.clone();
        pieces.0.remove(position);
        pieces
    };
    let changed = |change: fn(&mut LogPiece)| {
        let mut pieces = pieces.clone();
        change(&mut pieces.0[1]);
        pieces
    };
    assert_eq!(pieces.0.len(), 4);
    let bad = [
        ("the first", without(0)),
        ("one in the midst", without(1)),
        (
            "an end",
            changed(|piece| piece.bytes.truncate(piece.bytes.len() - 90)),
        ),
        (
            "a beginning",
            changed(|piece| {
                piece.bytes.drain(..4);
            }),
        ),
        (
            "a bit",
            changed(|piece| {
                let at = piece.bytes.len() - 120;
                piece.bytes[at] ^= 4;
            }),
        ),
    ];
    for (number, (what, log)) in bad.iter().enumerate() {
        let name = format!("r{number}");
        let made = replayed(&rig, ("dump", &info), &name, log, None).await;
        let error = made.err().unwrap_or_else(|| panic!("without {what}"));
        assert!(
            matches!(error, EngineError::BadLog { .. }),
            "{what}: {error}"
        );
        assert_eq!(error.kind(), ErrorKind::Refuse, "{what}");
    }
    // As it was it does.
    let made = replayed(&rig, ("dump", &info), "whole", &pieces, None).await;
    assert_eq!(rows(&rig, &made.expect("recovers")), 9);
}

/// What is kept ends with a piece, and pieces are cut by their size.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_ends_amid_a_transaction_leads_to_the_one_before() {
    let Some(rig) = Rig::new() else { return };
    let home = logging(&rig, "source").await;
    let mut tail = tail_of(&rig, &home, None).await;
    let info = rig.dump(&home, "dump").await.expect("dumps");
    rig.sql(&home, "INSERT INTO app.t(v) VALUES ('x')");
    let between = now(&rig, &home);
    rig.sql(&home, MUCH);
    let mut pieces = Pieces::default();
    pieces.read(&mut *tail).await;
    let last = pieces.0.back().expect("pieces").start.timeline;
    let whole = pieces.clone();
    // Without the log behind the large transaction, and without that one's end.
    pieces.0.retain(|piece| piece.start.timeline < last);
    assert!(2 < pieces.0.len(), "it comes in pieces");
    pieces.0.pop_back();
    for (name, until) in [("latest", None), ("between", Some(between))] {
        let made = replayed(&rig, ("dump", &info), name, &pieces, until).await;
        let made = made.expect("recovers");
        assert_eq!(rows(&rig, &made), 1, "{name}");
        rig.engine.remove(&made).await.expect("goes");
    }
    // Where there is more behind it, something is missing.
    let behind = whole
        .0
        .into_iter()
        .filter(|piece| piece.start.timeline == last);
    pieces.0.extend(behind);
    let made = replayed(&rig, ("dump", &info), "hole", &pieces, None).await;
    let error = made.expect_err("a hole");
    assert!(matches!(error, EngineError::BadLog { .. }), "{error}");
}

/// What a tenant may have put into the log to be done by somebody who may more.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_gives_nobody_rights_that_he_had_not() {
    let Some(rig) = Rig::new() else { return };
    let home = logging(&rig, "source").await;
    let mut tail = tail_of(&rig, &home, None).await;
    let info = rig.dump(&home, "dump").await.expect("dumps");
    let master = (MASTER, PASSWORD);
    let evil = "CREATE USER app IDENTIFIED BY 'app pass';\n\
         GRANT SELECT, INSERT, UPDATE, DELETE ON *.* TO app;\n\
         DELIMITER //\n\
         CREATE FUNCTION app.f() RETURNS INT NOT DETERMINISTIC MODIFIES SQL DATA SQL SECURITY INVOKER BEGIN\n\
           DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END;\n\
           UPDATE mysql.user SET File_priv = 'Y', Super_priv = 'Y' WHERE User = 'app';\n\
           RETURN 1;\n\
         END//\n\
         CREATE TRIGGER app.g BEFORE INSERT ON app.t FOR EACH ROW SET NEW.v = CONCAT(app.f(), '-', CURRENT_USER())//\n\
         DELIMITER ;\n\
         INSERT INTO app.t(i) VALUES (app.f());";
    rig.try_sql_as(&home, master, evil).expect("it may");
    for refused in [
        "SET SESSION binlog_format = 'STATEMENT'",
        "SET SESSION sql_log_bin = 0",
        "SET SESSION gtid_next = 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:1'",
        "BINLOG ''",
        "PURGE BINARY LOGS BEFORE NOW()",
    ] {
        let answer = rig.try_sql_as(&home, master, refused);
        let error = answer.expect_err(refused);
        assert!(error.contains("denied"), "{refused}: {error}");
    }
    let mut pieces = Pieces::default();
    pieces.read(&mut *tail).await;
    let made = replayed(&rig, ("dump", &info), "r", &pieces, None).await;
    let made = made.expect("recovers");
    for at in [&home, &made] {
        assert_eq!(
            cell(&rig, at, "SELECT v FROM app.t"),
            format!("1-{MASTER}@%"),
            "by its own rights, once"
        );
        let rights = "SELECT File_priv, Super_priv FROM mysql.user WHERE User = 'app'";
        assert_eq!(cell(&rig, at, rights), "N\tN");
        let app = ("app", "app pass");
        rig.try_sql_as(
            at,
            app,
            "INSERT INTO app.t(i) VALUES (7); DELETE FROM app.t WHERE i = 7",
        )
        .expect("it may");
        for refused in [
            "UPDATE mysql.user SET Super_priv = 'Y'",
            "INSERT INTO sys.sys_config VALUES ('a', 'b', NOW(), 'c')",
            "SET GLOBAL max_connections = 5",
        ] {
            rig.try_sql_as(at, app, refused).expect_err(refused);
        }
    }
    // A statement is done by nobody: no server of ours logs one.
    rig.sql(
        &home,
        "SET SESSION binlog_format = 'STATEMENT'; UPDATE app.t SET v = 'a statement'",
    );
    pieces.read(&mut *tail).await;
    let error = replayed(&rig, ("dump", &info), "s", &pieces, None).await;
    let error = error.expect_err("it is refused");
    assert!(matches!(error, EngineError::BadLog { .. }), "{error}");
}

/// Of transactions that changed a table in memory alone a dump's tables do not say that it has them.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_a_writer_with_tables_in_memory_follows() {
    let Some(rig) = Rig::new() else { return };
    let (writer, _) = cluster(&rig, &["first"]).await;
    rig.sql(
        &writer,
        "CREATE TABLE app.m (i INT PRIMARY KEY) ENGINE=MEMORY; INSERT INTO app.m VALUES (1)",
    );
    let second = rig.readers(&writer, &["second"]).await.remove(0);
    rig.sql(&writer, "INSERT INTO app.t(v) VALUES ('later')");
    wait_until("it follows", || rows(&rig, &second) == rows(&rig, &writer));
}

/// What a server does otherwise when it is told by another one than when it is asked.
#[tokio::test(flavor = "multi_thread")]
async fn events_tables_in_memory_and_open_transactions_are_as_they_were() {
    let Some(rig) = Rig::new() else { return };
    let home = logging(&rig, "source").await;
    rig.sql(
        &home,
        "CREATE TABLE app.m (i INT PRIMARY KEY, v INT) ENGINE=MEMORY; INSERT INTO app.m VALUES (1, 1), (2, 2);\n\
         CREATE EVENT app.old ON SCHEDULE EVERY 1 DAY STARTS '2099-01-01' DO DO 1",
    );
    let mut tail = tail_of(&rig, &home, None).await;
    let info = rig.dump(&home, "dump").await.expect("dumps");
    rig.sql(
        &home,
        "UPDATE app.m SET v = 5 WHERE i = 1; INSERT INTO app.m VALUES (3, 3); DELETE FROM app.m WHERE i = 2;\n\
         CREATE EVENT app.new ON SCHEDULE EVERY 1 DAY STARTS '2099-01-01' DO DO 2;\n\
         XA START 'half'; INSERT INTO app.t(v) VALUES ('half'); XA END 'half'; XA PREPARE 'half';\n",
    );
    rig.sql(
        &home,
        "CREATE TABLE app.u AS SELECT 1 AS i; TRUNCATE TABLE app.u; INSERT INTO app.u VALUES (9)",
    );
    let mut pieces = Pieces::default();
    pieces.read(&mut *tail).await;
    let made = replayed(&rig, ("dump", &info), "r", &pieces, None).await;
    let made = made.expect("recovers");
    let events =
        "SELECT GROUP_CONCAT(EVENT_NAME, ' ', STATUS ORDER BY 1) FROM information_schema.EVENTS";
    let all = "new ENABLED,old ENABLED";
    assert_eq!(cell(&rig, &home, events), all);
    assert_eq!(cell(&rig, &made, events), all);
    assert_eq!(
        cell(&rig, &made, "SELECT COUNT(*), MAX(i) FROM app.u"),
        "1\t9"
    );
    assert_eq!(rows(&rig, &made), 0);
    assert!(cell(&rig, &made, "XA RECOVER").ends_with("half"));
    rig.sql(&made, "XA COMMIT 'half'");
    assert_eq!(rows(&rig, &made), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_killed_goes_on_in_the_same_log() {
    let Some(rig) = Rig::new() else { return };
    let rig = std::sync::Arc::new(rig);
    let home = logging(&rig, "source").await;
    let mut tail = tail_of(&rig, &home, None).await;
    let info = rig.dump(&home, "dump").await.expect("dumps");
    let mut pieces = Pieces::default();
    for turn in 0..2_u64 {
        let writer = rig.repeating(&home, &"INSERT INTO app.t(v) VALUES ('x');".repeat(20));
        wait_until("it writes", || 20 * (turn + 1) < rows(&rig, &home));
        pieces.read(&mut *tail).await;
        killed(&rig, &home).await;
        drop(writer);
        let place = tail.place();
        let error = tail.next(place, 1 << 20).await.expect_err("it is gone");
        assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
        rig.engine.start(&home).await.expect("starts");
        tail = tail_of(&rig, &home, Some(place)).await;
        pieces.read(&mut *tail).await;
    }
    rig.sql(&home, "FLUSH BINARY LOGS");
    pieces.read(&mut *tail).await;
    for (number, bytes) in pieces.files() {
        let own = std::fs::read(home.data().join(format!("binlog.{number:06}")));
        let mut own = own.expect("it is there");
        own[IN_USE] = 0;
        assert!(own == bytes, "{number} differs");
    }
    let made = replayed(&rig, ("dump", &info), "r", &pieces, None).await;
    let made = made.expect("recovers");
    let sum = "SELECT COUNT(*), MIN(i), MAX(i), SUM(i) FROM app.t";
    assert_eq!(cell(&rig, &made, sum), cell(&rig, &home, sum));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_numbered_from_the_start_again_has_a_gap() {
    let Some(rig) = Rig::new() else { return };
    let home = logging(&rig, "source").await;
    for while_it_is_read in [true, false] {
        let mut tail = tail_of(&rig, &home, None).await;
        let mut pieces = Pieces::default();
        rig.sql(&home, "INSERT INTO app.t(v) VALUES ('x')");
        pieces.read(&mut *tail).await;
        let place = tail.place();
        // The master user may. The new log has the same number, and is soon longer than the one that was read.
        let reset = format!("RESET BINARY LOGS AND GTIDS TO {}", place.timeline);
        rig.try_sql_as(&home, (MASTER, PASSWORD), &reset)
            .expect("it may");
        rig.sql(&home, "INSERT INTO app.t(v) VALUES (REPEAT('x', 9000))");
        let ended = match while_it_is_read {
            true => tail.next(place, 1 << 20).await.err(),
            false => {
                drop(tail);
                rig.engine.tail(&home, Some(place)).await.err()
            }
        };
        let error = ended.expect("it is another log");
        assert!(matches!(error, EngineError::LogGone { .. }), "{error}");
    }
    // And so does a file that is lost.
    let mut tail = tail_of(&rig, &home, None).await;
    Pieces::default().read(&mut *tail).await;
    let place = tail.place();
    drop(tail);
    rig.sql(&home, "FLUSH BINARY LOGS; FLUSH BINARY LOGS");
    let lost = format!("binlog.{:06}", place.timeline + 1);
    std::fs::remove_file(home.data().join(lost)).expect("removes");
    let mut tail = tail_of(&rig, &home, Some(place)).await;
    tail.next(place, 1 << 20)
        .await
        .expect("the rest of the file");
    let place = tail.place();
    let error = tail.next(place, 1 << 20).await;
    let error = error.expect_err("another one was there");
    assert!(matches!(error, EngineError::LogGone { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_did_not_log_does_once_its_log_is_to_be_kept() {
    let Some(rig) = Rig::new() else { return };
    let mut home = rig.created("a").await;
    let error = rig.engine.tail(&home, None).await.err();
    let error = error.expect("it does not log");
    assert!(matches!(error, EngineError::NoLog { .. }), "{error}");
    home.replication.is_logged = true;
    let mut tail = tail_of(&rig, &home, None).await;
    let info = rig.dump(&home, "dump").await.expect("dumps");
    rig.sql(&home, TABLE);
    let mut pieces = Pieces::default();
    pieces.read(&mut *tail).await;
    assert!(!pieces.0.is_empty());
    // A load has it log from its beginning on.
    let mut copy = rig.place("dump", "copy");
    copy.replication.is_logged = true;
    rig.engine.load(&copy, &info.document).await.expect("loads");
    let mut own = tail_of(&rig, &copy, None).await;
    rig.sql(&copy, TABLE);
    pieces = Pieces::default();
    pieces.read(&mut *own).await;
    assert!(!pieces.0.is_empty());
}
