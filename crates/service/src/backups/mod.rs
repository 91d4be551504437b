//! Automated backups: snapshots that are taken of every cluster each day, and kept for its
//! retention period.
//!
//! An automated snapshot is a snapshot as any other, taken by the same job and swept like it; who
//! asks for it, and what ends it, is here.
pub mod ends;
pub mod records;
pub mod retained;
pub(crate) mod retention;
pub(crate) mod schedule;
