//! Objects in a folder or a bucket: names, whole and durable writes, bounded reads.
//!
//! It does not know what is inside an object, but for what its name says.
pub(crate) mod bucket;
pub(crate) mod bucket_place;
pub(crate) mod direct_io;
pub(crate) mod direct_writer;
pub(crate) mod flow;
pub(crate) mod listing;
pub(crate) mod names;
pub(crate) mod object_reader;
pub(crate) mod object_source;
pub(crate) mod ranges;
pub mod records;
pub(crate) mod remote_reader;
pub(crate) mod retention;
pub(crate) mod stream_reader;
pub(crate) mod throttle;
pub(crate) mod unfinished;
pub(crate) mod vault;
