//! Lets a server that followed take writes, without the loss of a commit that was told to a client.
//!
//! It does not know which one is chosen. The server that took writes before has ended; what it has in its log and
//! the new one lacks is given to that first, from its folder.
use std::time::Duration;

use model::ErrorKind;
use tokio::time::sleep;

use super::{
    super::{
        handle::MySql, process::SERVER, quoted::quoted_text, replicating::Purpose, session::Session,
    },
    FOLLOWS, events,
    left_log::LeftLog,
    link::{Link, detach},
};
use crate::{error::EngineError, home::Home};

/// How long a follower may take to stop: sessions of its readers may hold it up, and what it had not come to it is
/// given again.
const STOP_WAIT: Duration = Duration::from_secs(5);
/// Seconds that one wait for transactions takes.
const APPLIED_WAIT_SECS: u8 = 1;
const APPLIED_POLL: Duration = Duration::from_millis(100);

impl MySql {
    /// Lets the server take writes at its home's address. `fenced` took them before, and has ended.
    pub(in crate::mysql) async fn promote_follower(
        &self,
        home: &Home,
        fenced: Option<&Home>,
    ) -> Result<(), EngineError> {
        self.check(home)?;
        let _held = SERVER.hold_to_promote(home, fenced).await?;
        if FOLLOWS.text(home).await?.is_some() {
            // Alone: no client's session holds up what it is to do, and no other server sends it anything.
            SERVER.end(home, STOP_WAIT).await?;
            self.launch(home, Purpose::Alone).await?;
            take_all(home, fenced).await?;
            FOLLOWS.clear(home).await?;
        }
        self.launch(home, Purpose::Serve).await
    }
}

/// Gives a server all that it lacks, and has it follow nobody any more.
async fn take_all(home: &Home, fenced: Option<&Home>) -> Result<(), EngineError> {
    let mut session = Session::open(home).await?;
    // What it has heard of comes first: the one that ended may have no log of it any more.
    if let Some(link) = Link::of(&mut session).await?
        && !link.retrieved.is_empty()
    {
        apply(&mut session, &link.retrieved).await?;
    }
    if let Some(fenced) = fenced {
        let lacking = give_left_log(&mut session, home, fenced).await?;
        if !lacking.is_empty() {
            apply(&mut session, &lacking).await?;
        }
    }
    detach(&mut session).await?;
    let open = "SET GLOBAL super_read_only = OFF, GLOBAL read_only = OFF";
    session.run("take writes", open).await?;
    events::switch_on(session).await
}

/// Puts the log of the server that ended before this one. Answers the transactions in it.
async fn give_left_log(
    session: &mut Session,
    home: &Home,
    fenced: &Home,
) -> Result<String, EngineError> {
    let doing = "take over the log of the server that ended";
    let left = LeftLog::of(fenced).await?;
    let from = first_needed(session, &left).await?;
    detach(session).await?;
    let put = left.put(from, home).await?;
    let Some(first) = put.first.filter(|_| !put.gtids.is_empty()) else {
        return Ok(String::new());
    };
    let gtids = put.gtids.text();
    tracing::info!(home = %home.dir.display(), %gtids, "the log of the server that ended is taken over");
    let change = format!(
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST = 'localhost', SOURCE_AUTO_POSITION = 0, \
         RELAY_LOG_FILE = {}, RELAY_LOG_POS = 4",
        quoted_text(&first)
    );
    session.run(doing, &change).await?;
    Ok(gtids)
}

/// The last of the logs before which the server has everything.
async fn first_needed(session: &mut Session, left: &LeftLog) -> Result<usize, EngineError> {
    let doing = "find what it lacks in the log of the server that ended";
    let mut is_complete = true;
    for (number, previous) in left.latest_first() {
        // Without a word of what came before it, one of those before it must tell.
        let Some(previous) = previous else { continue };
        let has_all = format!(
            "SELECT GTID_SUBSET({}, @@GLOBAL.gtid_executed)",
            quoted_text(&previous.text())
        );
        is_complete = session.cell(doing, &has_all).await? == "1";
        if is_complete {
            return Ok(number);
        }
    }
    match is_complete {
        true => Ok(0),
        false => Err(EngineError::Sql {
            doing,
            kind: ErrorKind::Report,
            source: "it is behind by more than that one kept".into(),
        }),
    }
}

/// Has a server do what it was given, until it has these transactions.
async fn apply(session: &mut Session, gtids: &str) -> Result<(), EngineError> {
    let doing = "do what the server that ended had logged";
    session.run(doing, "START REPLICA SQL_THREAD").await?;
    let wait = format!(
        "SELECT WAIT_FOR_EXECUTED_GTID_SET({}, {APPLIED_WAIT_SECS})",
        quoted_text(gtids)
    );
    while session.cell(doing, &wait).await? != "0" {
        let link = Link::of(session).await?;
        if let Some(link) = link.filter(|link| !link.applies) {
            return Err(EngineError::Sql {
                doing,
                kind: ErrorKind::Report,
                source: link.complaint.into(),
            });
        }
        sleep(APPLIED_POLL).await;
    }
    Ok(())
}
