//! Catalogs through their public door, in files and in a real PostgreSQL.
#![allow(
    clippy::disallowed_methods,
    reason = "tests take the time, begin programs and threads themselves"
)]
mod crash;
mod older;
mod pages;
mod postgres;
mod sqlite;
mod support;
