//! A server that others follow: it logs what they need, and knows who they are.
//!
//! It does not know what they make of it.
use super::{
    super::{
        commits,
        handle::MySql,
        own_accounts,
        process::SERVER,
        replicating::{self, Purpose},
        run::RESTART_WAIT,
        session::{LOCK_WAIT_TIMEOUT, Session, code_of},
    },
    FOLLOWS,
};
use crate::{
    error::EngineError,
    home::Home,
    hosting::{fence::FENCED, hold::Hold},
};

impl MySql {
    /// Makes sure that a server may take writes, whatever whoever asks knows: two must never.
    ///
    /// # Errors
    /// [`EngineError::Fenced`].
    pub(in crate::mysql) async fn may_write(&self, home: &Home) -> Result<(), EngineError> {
        let is_shut = FOLLOWS.text(home).await?.is_some() || FENCED.text(home).await?.is_some();
        match is_shut {
            true => Err(EngineError::Fenced {
                home: home.dir.clone(),
            }),
            false => Ok(()),
        }
    }

    /// Has a running server that takes writes log them for those who follow it, forget those who do not, and tell
    /// clients of commits once those have them for whom they wait. One that did not log is started anew.
    ///
    /// # Errors
    /// What the server answers; as [`crate::Engine::start`].
    pub(in crate::mysql) async fn keep_followers(&self, home: &Home) -> Result<(), EngineError> {
        let followers = &home.replication.followers;
        if !followers.is_empty() && !replicating::has_logged(home)? {
            self.begin_to_log(home).await?;
        }
        if !replicating::has_logged(home)? {
            return Ok(());
        }
        let mut session = Session::open(home).await?;
        match own_accounts::forget_followers(&mut session, followers).await {
            // While a dump is read.
            Err(error) if code_of(&error) == Some(LOCK_WAIT_TIMEOUT) => {}
            done => done?,
        }
        commits::keep(&mut session, !home.replication.synchronous.is_empty()).await?;
        session.close().await;
        Ok(())
    }

    /// Starts a server anew that does not log, so that it does.
    ///
    /// # Errors
    /// As [`crate::Engine::start`].
    pub(in crate::mysql) async fn begin_to_log(&self, home: &Home) -> Result<(), EngineError> {
        let _held = Hold::take(home).await?;
        if replicating::has_logged(home)? {
            return Ok(());
        }
        self.may_write(home).await?;
        tracing::info!(home = %home.dir.display(), "the server is started anew, to log what it commits");
        SERVER.end(home, RESTART_WAIT).await?;
        self.launch(home, Purpose::Serve).await
    }
}
