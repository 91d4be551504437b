//! How a follower hears from the server that it follows: over TCP, by an account and a secret that are drawn for
//! each time that it begins to, and that its memory alone keeps.
//!
//! It does not know what it is sent.
use model::ErrorKind;
use zeroize::Zeroizing;

use super::super::{
    handle::MySql,
    own_accounts::{self, Account},
    quoted::quoted_text,
    session::Session,
};
use crate::{
    error::EngineError,
    home::{Home, Upstream},
};

/// The word of a thread that does what it is for.
const RUNS: &str = "Yes";

/// How the state begins of one that waits to hear more.
const READ_ALL: &str = "Replica has read all relay log";

/// How a server stands to another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mysql) struct Link {
    /// Where the other one is.
    pub(in crate::mysql) source: (String, String),
    /// Whether it hears from it.
    pub(in crate::mysql) receives: bool,
    /// Whether it does what it heard.
    pub(in crate::mysql) applies: bool,
    /// Whether nothing is left of what it heard, from where it read on.
    pub(in crate::mysql) has_read_all: bool,
    /// The transactions that it has heard of.
    pub(in crate::mysql) retrieved: String,
    /// What it has against what it was to do.
    pub(in crate::mysql) complaint: String,
}

impl Link {
    /// The session's server's; none when it was told of no other one.
    pub(in crate::mysql) async fn of(session: &mut Session) -> Result<Option<Self>, EngineError> {
        let shown = session.record("say whom it follows", "SHOW REPLICA STATUS");
        let Some(mut shown) = shown.await? else {
            return Ok(None);
        };
        let mut take = |name: &str| shown.remove(name).unwrap_or_default();
        Ok(Some(Self {
            source: (take("Source_Host"), take("Source_Port")),
            receives: take("Replica_IO_Running") == RUNS,
            applies: take("Replica_SQL_Running") == RUNS,
            has_read_all: take("Replica_SQL_Running_State").starts_with(READ_ALL),
            retrieved: take("Retrieved_Gtid_Set").replace('\n', ""),
            complaint: take("Last_SQL_Error"),
        }))
    }

    /// Whether it has stopped at something that it could not do.
    pub(in crate::mysql) fn is_stuck(&self) -> bool {
        !self.applies && !self.complaint.is_empty()
    }

    /// Whether it hears from the server there, and does what it hears.
    fn holds(&self, upstream: &Upstream) -> bool {
        let there = (upstream.host.as_str(), upstream.port.to_string());
        let (host, port) = &self.source;
        self.receives && self.applies && (host.as_str(), port) == (there.0, &there.1)
    }
}

impl MySql {
    /// Has a running follower hear from the server that it follows, where it does not. Without one that answers it
    /// waits, which is no error.
    ///
    /// # Errors
    /// What its own server answers.
    pub(in crate::mysql) async fn attach(&self, home: &Home) -> Result<(), EngineError> {
        let Some(upstream) = &home.replication.upstream else {
            return Ok(());
        };
        let mut session = Session::open(home).await?;
        let link = Link::of(&mut session).await?;
        if link.is_none_or(|link| !link.holds(upstream))
            && let Some(account) = admitted(upstream, home).await?
        {
            tracing::info!(home = %home.dir.display(), host = upstream.host, port = upstream.port, "a server follows");
            let is_private = self.tls.get().is_some();
            follow(&mut session, upstream, &account, is_private).await?;
        }
        session.close().await;
        Ok(())
    }
}

/// An account at the server that is to be followed; none while that is not to be had.
async fn admitted(upstream: &Upstream, home: &Home) -> Result<Option<Account>, EngineError> {
    let mut source = match Session::open(&upstream.home(home)).await {
        Ok(session) => session,
        Err(refusal) => {
            let error = EngineError::from(refusal);
            tracing::debug!(home = %home.dir.display(), %error, "the server to follow does not answer yet");
            return Ok(None);
        }
    };
    match own_accounts::admit(&mut source, &home.replication.name).await {
        Ok(account) => {
            source.close().await;
            Ok(Some(account))
        }
        // While a dump is read, among others.
        Err(error) if error.kind() == ErrorKind::Retry => {
            tracing::debug!(home = %home.dir.display(), %error, "the server to follow takes no account now");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Has it ask for all that it has not. What it has not come to of what it heard, it is told again.
async fn follow(
    session: &mut Session,
    upstream: &Upstream,
    account: &Account,
    is_private: bool,
) -> Result<(), EngineError> {
    let doing = "follow";
    let change = format!(
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST = {}, SOURCE_PORT = {}, SOURCE_USER = '', \
         SOURCE_AUTO_POSITION = 1, SOURCE_SSL = {}, GET_SOURCE_PUBLIC_KEY = 1, \
         SOURCE_CONNECT_RETRY = 1, SOURCE_RETRY_COUNT = 0, SOURCE_HEARTBEAT_PERIOD = 5",
        quoted_text(&upstream.host),
        upstream.port,
        u8::from(is_private),
    );
    let start = Zeroizing::new(format!(
        "START REPLICA USER = {} PASSWORD = {}",
        quoted_text(&account.name),
        quoted_text(&account.secret)
    ));
    for statement in ["STOP REPLICA", &change, &start] {
        session.run(doing, statement).await?;
    }
    Ok(())
}

/// Has a server forget that it followed another one, and what it heard from it.
///
/// # Errors
/// What the server answers.
pub(in crate::mysql) async fn detach(session: &mut Session) -> Result<(), EngineError> {
    for statement in ["STOP REPLICA", "RESET REPLICA ALL"] {
        session.run("follow no more", statement).await?;
    }
    Ok(())
}
