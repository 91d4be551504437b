//! Catalogs through their public door, in files and in a real PostgreSQL.
mod crash;
mod older;
mod pages;
mod postgres;
mod sqlite;
mod support;
