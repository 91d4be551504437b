//! The one question callers have about an error.

/// What a caller should do about an error. Every error of a store or an engine answers it by a
/// method `kind`; what decides anything else matches the error itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Nothing was tried: what it needs is held by others, and the same works once that is free.
    Wait,
    /// The same call may succeed later.
    Retry,
    /// What was asked cannot be done as things are; nothing was changed.
    Refuse,
    /// What is kept is damaged, gone, or has no room: it must be put right first.
    Repair,
    /// A defect or an environment that someone must look at.
    Report,
    /// The caller itself asked for the end.
    Stop,
}
