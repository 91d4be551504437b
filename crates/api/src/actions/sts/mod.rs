//! STS actions.
pub(super) mod assume_role;
pub(super) mod get_caller_identity;
pub(super) mod get_session_token;
