//! Points in time: a server's log on its way out while it is written, and back into a server that does what it says.
//!
//! It does not know where the log is kept. A file of the log is a timeline, by its number; places are bytes in it.
pub(super) mod kept;
mod reader;
mod relay;
mod replay;
mod tail;
