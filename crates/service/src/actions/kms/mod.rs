//! KMS actions (AWS JSON 1.1).
pub(super) mod cancel_key_deletion;
pub(super) mod create_alias;
pub(super) mod create_key;
pub(super) mod describe_key;
pub(super) mod disable_key;
pub(super) mod enable_key;
pub(super) mod get_key_policy;
pub(super) mod list_aliases;
pub(super) mod list_keys;
pub(super) mod put_key_policy;
pub(super) mod schedule_key_deletion;
mod shared;
