//! The servers of a cluster that has several: how they come to follow one, and how another one takes its writes.
//!
//! It does not know why one is wanted, nor which of them is to take writes.
mod copy;
pub(super) mod events;
pub(super) mod follow;
mod heard;
mod inherit;
mod lead;
mod left_log;
pub(super) mod link;
mod promote;

use crate::hosting::mark::Mark;

/// Says that a server follows: nothing but a promotion makes a writer of it.
pub(super) const FOLLOWS: Mark = Mark("follows");
