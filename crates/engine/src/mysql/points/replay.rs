//! From the files of a dump and the log behind it to a running cluster as it was at a moment.
//!
//! It does not know where the log was kept. A server does what the log says as one that follows another would: rows
//! are changed as rows, and nothing in the log is a statement of anybody's session.
//!
//! Invariant: what the server has in the end is the dump and the log up to the moment, by the numbers of the
//! transactions, neither more nor less.
use std::time::Duration;

use tokio::time::sleep;

use super::{
    super::{
        handle::MySql,
        load,
        members::{
            events,
            follow::{executed, known},
            link::{Link, detach},
        },
        own_accounts,
        process::SERVER,
        profile::PROFILE,
        quoted::quoted_text,
        replicating::Purpose,
        run::RESTART_WAIT,
        session::Session,
    },
    relay::{RelayLogs, Stretch, forget_given},
};
use crate::{
    error::EngineError,
    home::Home,
    hosting::{
        chosen::{self, is_yes},
        server_log,
        whole::mark_whole,
    },
    log::{LogSource, ReplayTarget},
};

/// What is done while the log is.
const DOING: &str = "do what the log says";
/// Seconds that one wait for transactions takes.
const APPLIED_WAIT_SECS: u8 = 1;
const APPLIED_POLL: Duration = Duration::from_millis(20);
/// Waits in a row in which everything was read and nobody did anything, until it is known that something is missing.
const VAIN_WAITS_MAX: u32 = 20;
/// The last number that a transaction can have.
const NUMBER_MAX: u64 = (1 << 63) - 2;
/// The user of the server's own threads, and how their states begin when they have nothing to do.
const SERVERS_OWN: &str = "system user";
const IDLE: [&str; 2] = [
    "Waiting for an event from Coordinator",
    "Replica has read all relay log",
];

impl MySql {
    /// Loads a dump, and applies the log behind it.
    pub(in crate::mysql) async fn load_and_replay(
        &self,
        home: &Home,
        document: &str,
        target: &ReplayTarget,
        log: &mut dyn LogSource,
    ) -> Result<(), EngineError> {
        let (_held, document, places) = self.prepare_load(home, document).await?;
        let recovered = async {
            self.launch(home, Purpose::Replay).await?;
            load::verify::check(home, places).await?;
            let all = replay(home, &document.gtid_executed, target, log).await?;
            // The log is no more trusted than the dump.
            load::verify::check(home, places).await?;
            write_down(home).await?;
            SERVER.end(home, RESTART_WAIT).await?;
            forget_given(home).await?;
            self.launch(home, Purpose::Confirm).await?;
            confirm(home, &all).await?;
            mark_whole(home).await
        };
        SERVER.or_end(home, recovered.await).await
    }
}

/// Has the server do all of the log, but for the transactions that the dump has. Answers those that it has then.
async fn replay(
    home: &Home,
    has: &str,
    target: &ReplayTarget,
    log: &mut dyn LogSource,
) -> Result<String, EngineError> {
    let mut session = Session::open(home).await?;
    // The dump may be one of a server that followed another.
    detach(&mut session).await?;
    known(&mut session, has).await?;
    bear_empty_tables(&mut session).await?;
    let mut all = executed(&mut session).await?;
    let mut logs = RelayLogs::new(home, target);
    loop {
        let stretch = logs.next(log).await?;
        if let Some(first) = stretch.first() {
            apply(&mut session, home, first, &stretch).await?;
            detach(&mut session).await?;
            all = format!("{all},{}", stretch.gtids.text());
        }
        if stretch.is_last {
            break;
        }
    }
    check_exact(&mut session, &all).await?;
    own_accounts::forget_followers(&mut session, &[]).await?;
    events::switch_on(session).await?;
    Ok(all)
}

/// Tables in memory are empty in a dump, and the log changes rows of theirs that are not there. Where there are such
/// tables, rows that are not there are no reason to stop.
async fn bear_empty_tables(session: &mut Session) -> Result<(), EngineError> {
    let count = "SELECT COUNT(*) FROM information_schema.TABLES WHERE ENGINE = 'MEMORY' AND TABLE_SCHEMA NOT IN \
                 ('mysql', 'sys', 'information_schema', 'performance_schema')";
    if session.cell(DOING, count).await? == "0" {
        return Ok(());
    }
    session
        .run(DOING, "SET GLOBAL replica_exec_mode = 'IDEMPOTENT'")
        .await
}

/// Has the server do what lies ready.
async fn apply(
    session: &mut Session,
    home: &Home,
    first: &str,
    stretch: &Stretch,
) -> Result<(), EngineError> {
    // A statement in the log would be done with all rights, whoever began it: only changes of rows are taken, and
    // what changes tables and accounts, which its server had allowed.
    let change = format!(
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST = 'localhost', SOURCE_AUTO_POSITION = 0, \
         REQUIRE_ROW_FORMAT = 1, RELAY_LOG_FILE = {}, RELAY_LOG_POS = 4",
        quoted_text(first)
    );
    session.run(DOING, &change).await?;
    session.run(DOING, "START REPLICA SQL_THREAD").await?;
    let wait = format!(
        "SELECT WAIT_FOR_EXECUTED_GTID_SET({}, {APPLIED_WAIT_SECS})",
        quoted_text(&stretch.gtids.text())
    );
    let mut in_vain = 0;
    while session.cell(DOING, &wait).await? != "0" {
        if let Some(link) = Link::of(session).await? {
            if !link.applies {
                return Err(stopped(home, &link.complaint));
            }
            let is_idle = link.has_read_all && !is_busy(session).await?;
            in_vain = if is_idle { in_vain + 1 } else { 0 };
        }
        if VAIN_WAITS_MAX < in_vain {
            return Err(stopped(home, "it read all, and has not done all"));
        }
        sleep(APPLIED_POLL).await;
    }
    Ok(())
}

/// Whether a thread of the server's own does something: one change of a large table takes as long as it takes.
async fn is_busy(session: &mut Session) -> Result<bool, EngineError> {
    let shown = session.rows(DOING, "SHOW PROCESSLIST").await?;
    let cell = |row: &[Option<String>], at: usize| row.get(at).cloned().flatten();
    Ok(shown.iter().any(|row| {
        let state = cell(row, 6).unwrap_or_default();
        cell(row, 1).as_deref() == Some(SERVERS_OWN)
            && !state.is_empty()
            && !IDLE.iter().any(|idle| state.starts_with(idle))
    }))
}

fn stopped(home: &Home, complaint: &str) -> EngineError {
    EngineError::BadLog {
        why: format!(
            "the server stopped at it: {complaint} {}",
            server_log::tail(home, &PROFILE)
        ),
    }
}

/// Makes sure that the server has these transactions and no others.
async fn check_exact(session: &mut Session, all: &str) -> Result<(), EngineError> {
    exact(session, "@@GLOBAL.gtid_executed", all).await
}

/// Makes sure that transactions, as the server is told of them, are these and no others.
async fn exact(session: &mut Session, has: &str, all: &str) -> Result<(), EngineError> {
    let all = quoted_text(all);
    let asked =
        format!("SELECT CONCAT(GTID_SUBTRACT({all}, {has}), '/', GTID_SUBTRACT({has}, {all}))");
    match session
        .cell("tell its transactions", &asked)
        .await?
        .as_str()
    {
        "/" => Ok(()),
        other => Err(EngineError::BadLog {
            why: format!("transactions that are missing or too many: {other}"),
        }),
    }
}

/// Has the server write down all that it did.
async fn write_down(home: &Home) -> Result<(), EngineError> {
    let mut session = Session::open(home).await?;
    for statement in [
        "SET GLOBAL innodb_flush_log_at_trx_commit = 1",
        "FLUSH NO_WRITE_TO_BINLOG ENGINE LOGS",
    ] {
        session.run("write its redo log", statement).await?;
    }
    session.close().await;
    Ok(())
}

/// Looks at the server that was started with what the other one wrote down, and lets clients in.
async fn confirm(home: &Home, all: &str) -> Result<(), EngineError> {
    let mut session = Session::open(home).await?;
    // What it commits itself by now is no fault of the log's.
    let own = session
        .cell("tell its name", "SELECT @@GLOBAL.server_uuid")
        .await?;
    let executed = executed(&mut session).await?;
    let own = format!("{own}:1-{NUMBER_MAX}");
    let others = format!(
        "SELECT GTID_SUBTRACT({}, GTID_SUBTRACT({own}, {all}))",
        quoted_text(&executed),
        own = quoted_text(&own),
        all = quoted_text(all)
    );
    let others = session.cell("tell its transactions", &others).await?;
    exact(&mut session, &quoted_text(&others), all).await?;
    let chosen = chosen::in_effect(home)?;
    let has_events = chosen
        .get("event_scheduler")
        .is_none_or(|value| is_yes(value));
    let events = has_events.then_some("SET GLOBAL event_scheduler = ON");
    for statement in events.into_iter().chain(["SET GLOBAL offline_mode = OFF"]) {
        session.run("take clients", statement).await?;
    }
    session.close().await;
    Ok(())
}
