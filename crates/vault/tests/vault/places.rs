//! The suite of vault places, run by each kind of place.
use std::sync::Arc;

use object_store::memory::InMemory;
use tokio::runtime::Runtime;
use vault::{Bucket, Vault, conformance::Fixture, vault_conformance_tests};

use crate::bucket::server::{Server, quick};

/// Folders on this machine.
struct Folder(Runtime, tempfile::TempDir);

impl Fixture for Folder {
    fn new() -> Self {
        Self(Runtime::new().unwrap(), tempfile::tempdir().unwrap())
    }
    fn runtime(&self) -> &Runtime {
        &self.0
    }
    fn open(&self, region: &str) -> Vault {
        Vault::local_folder(&self.1.path().join(region)).unwrap()
    }
}

/// A bucket over HTTP.
struct S3(Runtime, Server);

impl Fixture for S3 {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let server = Server::start(&runtime);
        Self(runtime, server)
    }
    fn runtime(&self) -> &Runtime {
        &self.0
    }
    fn open(&self, region: &str) -> Vault {
        self.1.region(region)
    }
}

/// A bucket in memory, which other crates' tests use.
struct Memory(Runtime, Bucket);

impl Fixture for Memory {
    fn new() -> Self {
        let store = Arc::new(InMemory::new());
        let bucket = Bucket::new(store, "vaults", quick()).unwrap();
        Self(Runtime::new().unwrap(), bucket)
    }
    fn runtime(&self) -> &Runtime {
        &self.0
    }
    fn open(&self, region: &str) -> Vault {
        self.1.vault(&region.parse().unwrap())
    }
}

mod folder {
    use super::*;
    vault_conformance_tests!(Folder);
}
mod bucket {
    use super::*;
    vault_conformance_tests!(S3);
}
mod memory {
    use super::*;
    vault_conformance_tests!(Memory);
}
