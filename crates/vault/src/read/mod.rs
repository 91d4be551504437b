//! A snapshot out, whole or only checked.
//!
//! It does not know what the files are for.
mod check;
mod diff;
mod job;
mod plan;
pub(crate) mod repair;
mod restore;
mod scatter;
mod tree;

pub use check::{Check, Checked, Damage, DamagedBytes, Passed, check, in_sample};
pub use diff::{FileDiff, Side, diff};
pub(crate) use plan::stretches;
pub use restore::{Restored, restore};
