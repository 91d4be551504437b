//! Which blocks of a cluster's relations its log changes.
//!
//! It does not know what is done with that.
//!
//! The rule. What a relation's main fork holds changes by records alone that name the block, or by
//! records that make, cut or remove relations and databases as wholes: then all that was there
//! counts as changed. So a block that no record names between two checkpoints is on the disk what it
//! was. Hints, which readers leave, are no exception where pages have checksums: the first one behind
//! a checkpoint writes the page into the log. The other forks are no part of it: the map of free
//! space is in no record, and the bits of the map of visible pages are cleared by records that do not
//! name its blocks.
//!
//! What changes with no record is read always: a relation's first block, where SP-GiST keeps notes of
//! its own, and blocks that were all zero, which may be laid out anew before the first record of them.
//! And a map does not reach over the end of a server, clean or not: what is done to files of one that
//! does not run, and what a crash of the machine takes back, are in no record.
mod gather;
mod known;
mod map;

pub use gather::changes_between;
pub(super) use known::{Changes, Feed, Known};

#[cfg(test)]
mod tests;
