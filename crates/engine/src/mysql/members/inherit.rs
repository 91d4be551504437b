//! What a server that is to take writes lacks of what the one before it committed, and whether it can have it.
//!
//! It gives it nothing.
use model::Told;

use super::{
    super::{handle::MySql, quoted::quoted_text, session::Session},
    left_log::LeftLog,
    link::Link,
};
use crate::{
    error::{Cause, EngineError},
    home::Home,
    interface::Inheritance,
};

/// What follows for whoever waits for it.
const LACKS: Told = Told::new(
    "the reader lacks transactions that the writer's log no longer has: \
     fail over when it was copied again, which takes minutes while the writer runs",
);
const REFUSES: Told = Told::new(
    "the reader cannot do what the writer's log has: \
     fail over when it was copied again, which takes minutes while the writer runs",
);
const LOST: Told =
    Told::new("the log of the cluster's writer is lost, and its commits wait for no reader");

impl MySql {
    /// What a follower would have if it took the writes of `writer`.
    ///
    /// # Errors
    /// As [`crate::Engine::inheritance`].
    pub(in crate::mysql) async fn inheritance_of(
        &self,
        home: &Home,
        writer: &Home,
    ) -> Result<Inheritance, EngineError> {
        let mut session = Session::open(home).await?;
        let link = Link::of(&mut session).await?;
        if let Some(link) = link.as_ref().filter(|link| link.is_stuck()) {
            return Err(refuses(home, link.complaint.clone()));
        }
        let inheritance = match LeftLog::of(writer).await? {
            Some(left) => {
                let heard = link.map_or_else(String::new, |link| link.retrieved);
                first_needed(&mut session, home, &left, &heard).await?;
                Inheritance::All
            }
            None => own_is_all(home, writer)?,
        };
        session.close().await;
        Ok(inheritance)
    }
}

/// The last of the logs before which the server has everything, with what it has heard of.
///
/// # Errors
/// [`EngineError::CannotTakeOver`] when there is none; what the server answers.
pub(super) async fn first_needed(
    session: &mut Session,
    home: &Home,
    left: &LeftLog,
    heard: &str,
) -> Result<usize, EngineError> {
    let doing = "find what it lacks in the log of the server that took writes";
    let mut is_complete = true;
    for (number, previous) in left.latest_first() {
        // Without a word of what came before it, one of those before it must tell.
        let Some(previous) = previous else { continue };
        let has_all = format!(
            "SELECT GTID_SUBSET(GTID_SUBTRACT({}, {}), @@GLOBAL.gtid_executed)",
            quoted_text(&previous.text()),
            quoted_text(heard)
        );
        is_complete = session.cell(doing, &has_all).await? == "1";
        if is_complete {
            return Ok(number);
        }
    }
    match is_complete {
        true => Ok(0),
        false => Err(cannot(
            home,
            LACKS,
            "it is behind by more than that one kept",
        )),
    }
}

/// Where the log of the one before it is lost: what a server has itself is all that clients were told of, when
/// commits wait for those like it.
///
/// # Errors
/// [`EngineError::CannotTakeOver`] when they do not.
pub(super) fn own_is_all(home: &Home, waits: &Home) -> Result<Inheritance, EngineError> {
    match waits.replication.synchronous.is_empty() {
        true => Err(cannot(home, LOST, "the log of the writer is lost")),
        false => Ok(Inheritance::Own),
    }
}

/// A server that does not do what it was told.
pub(super) fn refuses(home: &Home, why: impl Into<Cause>) -> EngineError {
    cannot(home, REFUSES, why)
}

fn cannot(home: &Home, told: Told, why: impl Into<Cause>) -> EngineError {
    EngineError::CannotTakeOver {
        home: home.dir.clone(),
        told,
        source: why.into(),
    }
}
