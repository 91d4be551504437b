//! STS actions.
pub(super) mod get_caller_identity;
