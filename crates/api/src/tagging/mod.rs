//! What the actions of the tagging API share.
pub mod resources;
pub mod write;
