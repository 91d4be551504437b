//! What a snapshot reaches: the clear header of its manifest, and where each block of a file lies.
//!
//! It does not know what the blocks hold.
pub(crate) mod block_map;
pub(crate) mod header;
