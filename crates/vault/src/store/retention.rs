//! Keeping objects by the store itself, against whoever has its credentials: a bucket's object lock.
//!
//! It does not know which objects need it, nor how the store is asked.
use std::fmt;

use futures_util::future::BoxFuture;
use model::Timestamp;
use object_store::path::Path;

/// What a store does about an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retained {
    /// It keeps the object until that moment, or longer.
    Kept,
    /// It cannot: the bucket has no object lock.
    NoLock,
}

/// Asking a store to keep an object.
pub type Keeping<'a> = BoxFuture<'a, object_store::Result<Retained>>;

/// A store that can keep objects.
pub trait Retention: fmt::Debug + Send + Sync {
    /// Has an object kept until a moment, so that nobody deletes it or shortens that. One that is kept for
    /// longer stays so. `path` is its full name in the bucket.
    fn keep<'a>(&'a self, path: &'a Path, until: Timestamp) -> Keeping<'a>;
}
