//! Readers, writers and signatures, against anything at all and what others made.
mod readers;
mod sigv4;
