//! Clusters that are copies of what one initdb left: each has an identity of its own.
use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt, path::PathBuf};

use engine::{Engine, Home};
use rustix::process::Signal;

use crate::support::{Rig, client, kill, number, postmaster};

/// A cluster's system identifier, and its nonce: PostgreSQL's tool prints both.
fn identity(rig: &Rig, home: &Home) -> (String, String) {
    let told = std::process::Command::new(rig.program("pg_controldata"))
        .env_clear()
        .arg(home.data())
        .output()
        .expect("it runs");
    assert!(told.status.success() && told.stderr.is_empty(), "{told:?}");
    let text = String::from_utf8(told.stdout).expect("text");
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit(' ').next())
            .expect("it is told")
            .to_owned()
    };
    (
        value("Database system identifier"),
        value("Mock authentication nonce"),
    )
}

/// The templates that are kept.
fn kept(folder: &std::path::Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("it lists");
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_are_clusters_of_their_own() {
    let rig = Rig::apart();
    let folder = rig.path().join("templates");
    rig.engine.keep_templates(folder.clone());
    let homes = [
        rig.created("first").await,
        rig.created("second").await,
        rig.created("third").await,
    ];
    let template = kept(&folder);
    assert_eq!(template.len(), 1, "{template:?}");
    for path in [&folder, &template[0]] {
        let facts = fs::symlink_metadata(path).expect("it is there");
        assert_eq!(facts.mode() & 0o777, 0o700);
        assert_eq!(facts.uid(), rustix::process::geteuid().as_raw());
    }
    let control = fs::metadata(template[0].join("global/pg_control")).expect("it is there");
    assert_eq!(control.uid(), rustix::process::geteuid().as_raw());
    let all: Vec<_> = homes.iter().map(|home| identity(&rig, home)).collect();
    let (numbers, nonces): (BTreeSet<_>, BTreeSet<_>) = all.iter().cloned().unzip();
    assert_eq!((numbers.len(), nonces.len()), (3, 3), "{all:?}");
    // A copy recovers by its own log.
    let second = &homes[1];
    let master = client(second).await;
    let rows = "CREATE TABLE t AS SELECT generate_series(1, 100) n";
    master.batch_execute(rows).await.expect("it writes");
    kill(postmaster(second), Signal::KILL);
    rig.engine.start(second).await.expect("it recovers");
    let master = client(second).await;
    assert_eq!(number(&master, "SELECT count(*) FROM t").await, 100);
    assert_eq!(identity(&rig, second), all[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_of_no_use_is_made_again() {
    let rig = Rig::apart();
    let folder = rig.path().join("templates");
    rig.engine.keep_templates(folder.clone());
    rig.created("first").await;
    let control = kept(&folder)[0].join("global/pg_control");
    let mut bytes = fs::read(&control).expect("it reads");
    bytes[100] ^= 1;
    fs::write(&control, &bytes).expect("it writes");
    let second = rig.created("second").await;
    assert_eq!(number(&client(&second).await, "SELECT 1::int8").await, 1);
    assert_ne!(fs::read(&control).expect("it is there again"), bytes);
    // Half a copy of it is none.
    fs::rename(&kept(&folder)[0], folder.join(".new")).expect("it moves");
    rig.created("third").await;
    assert_eq!(
        kept(&folder),
        [control
            .parent()
            .and_then(|path| path.parent())
            .expect("a folder")]
    );
}
