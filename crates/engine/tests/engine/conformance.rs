//! The suite of engines, run by each of them.
use std::{ops::Deref, sync::Arc};

use crate::support::{Rig, free_port};
use engine::{Engine, FakeEngine, Home, conformance::Fixture, engine_conformance_tests};

impl Fixture for Rig {
    fn new() -> Self {
        Self::new()
    }
    fn engine(&self) -> Arc<dyn Engine> {
        self.engine.clone()
    }
    fn home(&self, name: &str) -> Home {
        self.deref().home(name)
    }
}

/// The engine without a database.
struct Fake(tempfile::TempDir, Arc<FakeEngine>);

impl Fixture for Fake {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self(folder, Arc::default())
    }
    fn engine(&self) -> Arc<dyn Engine> {
        self.1.clone()
    }
    fn home(&self, name: &str) -> Home {
        Home {
            dir: self.0.path().join(name),
            socket_dir: self.0.path().join(format!("s-{name}")),
            host: "127.0.0.1".to_owned(),
            port: free_port(),
            os_uid: None,
            os_uid_shared: false,
            version: "2.1".to_owned(),
            replication: Default::default(),
        }
    }
}

mod postgres {
    use super::*;
    engine_conformance_tests!(Rig);
}
mod fake {
    use super::*;
    engine_conformance_tests!(Fake);
}
