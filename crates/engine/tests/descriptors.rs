//! A process that has no descriptor left knows nothing, and does nothing about it. Alone in its
//! file: it takes all descriptors of its process.
#![allow(
    clippy::disallowed_methods,
    reason = "tests take the time, begin programs and threads themselves"
)]
#[path = "engine/support.rs"]
mod support;

use std::{fs, os::fd::OwnedFd};

use engine::{Engine, EngineError, ServerState};
use model::ErrorKind;
use rustix::process::{Resource, Rlimit};
use support::{Rig, client, number, postmaster};

#[tokio::test(flavor = "multi_thread")]
async fn without_descriptors_a_running_server_is_left_alone() {
    let rig = Rig::new();
    let home = rig.created("a").await;
    let master = client(&home).await;
    let first = postmaster(&home);
    let lock = home.data().join("postmaster.pid");
    let socket = home.socket_dir.join(format!(".s.PGSQL.{}", home.port));
    let found = rustix::process::getrlimit(Resource::Nofile);
    let few = Rlimit {
        current: Some(256),
        maximum: found.maximum,
    };
    rustix::process::setrlimit(Resource::Nofile, few).expect("lower");
    let mut taken: Vec<OwnedFd> = Vec::new();
    while let Ok(file) = fs::File::open("/dev/null") {
        taken.push(file.into());
    }
    // With none left, and with some: what cannot be read is another thing each time.
    for _ in 0..6 {
        match rig.engine.state(&home).await {
            Err(EngineError::CannotTell { .. }) => {}
            other => assert_ne!(other.expect("told"), ServerState::Ended),
        }
        if let Err(error) = rig.engine.start(&home).await {
            assert_ne!(error.kind(), ErrorKind::Refuse, "{error}");
        }
        assert!(fs::symlink_metadata(&lock).is_ok() && fs::symlink_metadata(&socket).is_ok());
        taken.pop();
    }
    drop(taken);
    assert_eq!(
        rig.engine.state(&home).await.expect("told"),
        ServerState::Answers
    );
    assert_eq!(postmaster(&home), first);
    assert_eq!(number(&master, "SELECT 1::int8").await, 1);
    rustix::process::setrlimit(Resource::Nofile, found).expect("as before");
}
