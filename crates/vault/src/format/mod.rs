//! The bytes of packs, lists, manifests and chunks of logs: how they are laid out, sealed and told apart.
//!
//! It does not know where objects are kept.
pub(crate) mod block;
pub(crate) mod body;
pub(crate) mod chunk;
pub(crate) mod cursor;
pub(crate) mod head;
pub(crate) mod list;
pub(crate) mod manifest;
pub(crate) mod pack;
pub(crate) mod part;
pub(crate) mod seal;
pub(crate) mod tables;
pub(crate) mod tree_hash;
