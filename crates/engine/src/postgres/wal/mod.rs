//! The write-ahead log as its files have it: pages, records, and what records do to files.
//!
//! It does not know dumps or loads, and applies nothing.
//!
//! The log may be hostile: a cluster's owner can write it. So every length is bounded before it
//! is believed, and nothing here panics on any bytes. Formats are those of PostgreSQL 15 to 18,
//! which differ in a page's magic number alone as far as they are read here.
mod event;
mod listing;
mod reader;
mod record;
mod segments;

pub(super) use event::Event;
pub use listing::list_log;
pub(super) use reader::{Files, LogFault, Pages, Reader};
pub(super) use record::{Record, Relation};
pub(super) use segments::{HEAD_BYTES, PAGE_BYTES, Segments, is_history};

#[cfg(test)]
pub(super) mod sample;
#[cfg(test)]
mod tests;
