//! What is asked before a server is made to follow another one.
//!
//! It does not know how one follows.
use super::fence::FENCED;
use crate::{
    error::EngineError,
    home::{Home, Upstream},
};

/// The server that a home's is to follow.
///
/// # Errors
/// [`EngineError::BadValue`] when there is none.
pub(crate) fn upstream(home: &Home) -> Result<&Upstream, EngineError> {
    let upstream = home.replication.upstream.as_ref();
    upstream.ok_or_else(|| EngineError::BadValue {
        what: "the server to follow",
        value: String::new(),
        why: "is missing",
    })
}

/// Makes sure that nobody who knows of an older state of things ends a server that takes writes, let
/// alone copies over its files. One that is to follow was fenced before. The caller holds the lock.
///
/// # Errors
/// [`EngineError::TakesWrites`]; when the mark cannot be read.
pub(crate) async fn may_follow(home: &Home, took_writes: bool) -> Result<(), EngineError> {
    match took_writes && FENCED.text(home).await?.is_none() {
        true => Err(EngineError::TakesWrites {
            home: home.dir.clone(),
        }),
        false => Ok(()),
    }
}
