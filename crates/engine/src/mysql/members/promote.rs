//! Lets a server that followed take writes, without the loss of a commit that was told to a client.
//!
//! It does not know which one is chosen. The server that took writes before has ended; what it has in its log and
//! the new one lacks is given to that first, from its folder.
use std::{io, time::Duration};

use tokio::time::sleep;

use super::{
    super::{
        handle::MySql, points::kept::KEPT, process::SERVER, quoted::quoted_text,
        replicating::Purpose, session::Session,
    },
    FOLLOWS, events, heard,
    inherit::{first_needed, own_is_all, refuses},
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
/// Waits in a row, all in vain after everything was read, until it is read from the beginning.
const VAIN_WAITS: u32 = 3;
/// The same until a server has not got what it was to do. Workers may take that long for what is read.
const VAIN_WAITS_MAX: u32 = 600;

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
            SERVER.end(home, STOP_WAIT).await?;
            // One that cannot take over follows again, and is started as that.
            let taken = self.inherit(home, fenced).await;
            SERVER.or_end(home, taken).await?;
            // What was read of a log that it had before it followed says nothing of the one that it goes on with.
            KEPT.clear(home).await?;
            FOLLOWS.clear(home).await?;
        }
        self.launch(home, Purpose::Serve).await
    }
}

impl MySql {
    /// Gives a server that is down all that it lacks.
    async fn inherit(&self, home: &Home, fenced: Option<&Home>) -> Result<(), EngineError> {
        // Alone: no client's session holds up what it is to do, and no other server sends it anything.
        match self.launch(home, Purpose::Alone).await {
            // Its own files keep it from a start.
            Err(EngineError::ServerEnded { log, .. }) if !log.is_empty() => {
                return Err(refuses(home, log));
            }
            begun => begun?,
        }
        take_all(home, fenced).await
    }
}

/// Gives a server all that it lacks, and has it follow nobody any more.
async fn take_all(home: &Home, fenced: Option<&Home>) -> Result<(), EngineError> {
    let mut session = Session::open(home).await?;
    // What it has heard of comes first: the one that ended may have no log of it any more.
    if let Some(link) = Link::of(&mut session).await?
        && !link.retrieved.is_empty()
    {
        apply(&mut session, home, &link.retrieved).await?;
    }
    if let Some(fenced) = fenced {
        let lacking = give_left_log(&mut session, home, fenced).await?;
        if !lacking.is_empty() {
            apply(&mut session, home, &lacking).await?;
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
    let Some(left) = LeftLog::of(fenced).await? else {
        tracing::warn!(home = %home.dir.display(), "the log of the server that ended is lost, so another one goes on with what it has itself");
        own_is_all(home, home)?;
        return Ok(String::new());
    };
    let from = first_needed(session, home, &left, "").await?;
    detach(session).await?;
    let put = left.put(from, home).await.map_err(|error| match error {
        // What nobody can read now nobody can read later.
        EngineError::Io { source, .. } if source.kind() == io::ErrorKind::Unsupported => {
            refuses(home, source)
        }
        other => other,
    })?;
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

/// Has a server do what it was given, until it has these transactions.
async fn apply(session: &mut Session, home: &Home, gtids: &str) -> Result<(), EngineError> {
    let doing = "do what the server that ended had logged";
    session.run(doing, "START REPLICA SQL_THREAD").await?;
    let wait = format!(
        "SELECT WAIT_FOR_EXECUTED_GTID_SET({}, {APPLIED_WAIT_SECS})",
        quoted_text(gtids)
    );
    let mut in_vain = 0;
    while session.cell(doing, &wait).await? != "0" {
        if let Some(link) = Link::of(session).await? {
            if !link.applies {
                return Err(refuses(home, link.complaint));
            }
            in_vain = if link.has_read_all { in_vain + 1 } else { 0 };
        }
        match in_vain {
            VAIN_WAITS => heard::read_from_first(session, home).await?,
            VAIN_WAITS_MAX => return Err(refuses(home, "what it heard is not in its logs")),
            _ => {}
        }
        sleep(APPLIED_POLL).await;
    }
    Ok(())
}
