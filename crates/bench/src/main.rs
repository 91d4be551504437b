//! The measuring tool: drives a server with signed requests, and times the hot paths.
//!
//! It does not start servers or know what the figures should be; the scripts under bench/ do.
mod catalog_work;
mod connection;
mod load;
mod meter;
mod micro;
mod signed;
mod sparse;
mod vault_work;

use clap::{Parser, Subcommand};

/// Measures Snapferry and its peers.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Sends signed requests over kept connections; prints one JSON document of what it saw
    Load(load::Options),
    /// Times the hot paths, one line each
    Micro(micro::Options),
    /// Fills a catalog with snapshots, and looks at them
    Catalog(catalog_work::Options),
    /// Chains of snapshots at several thresholds for leaving sparse packs, as a table
    Sparse(sparse::Options),
    /// Writes and restores snapshots of a folder, with the vault alone
    Vault(vault_work::Options),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().verb {
        Verb::Load(options) => load::run(&options),
        Verb::Micro(options) => micro::run(&options),
        Verb::Catalog(options) => catalog_work::run(&options),
        Verb::Sparse(options) => sparse::run(&options),
        Verb::Vault(options) => vault_work::run(&options),
    }
}
