//! Nodes: who may have a name, and who is heard of.
//!
//! It does not know what nodes do.
use std::time::Duration;

use super::{Fixture, read, samples, write};
use crate::tables::{
    clusters, instances,
    nodes::{self, Entry, NodeState, Taken},
};

const LONG: Duration = Duration::from_secs(3_600);

fn entry(name: &str, home: &str, incarnation: &str) -> Entry {
    Entry {
        name: name.to_owned(),
        home: home.to_owned(),
        incarnation: incarnation.to_owned(),
        endpoint: "http://127.0.0.1:1".to_owned(),
        build: "0.1.0".to_owned(),
        zone: Some("east".to_owned()),
    }
}

/// A name belongs to one data folder, and to the last process on it.
pub async fn names_are_one_folders(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let enter =
        |entry: Entry, silence| write(&catalog, move |tx| nodes::enter(tx, &entry, silence));
    let beat =
        |incarnation: &'static str| write(&catalog, move |tx| nodes::beat(tx, "a", incarnation));
    assert_eq!(enter(entry("a", "h1", "p1"), LONG).await, Ok(()));
    assert_eq!(beat("p1").await, Some(NodeState::Serving));
    // The same folder's next process need not wait: it has the folder's lock.
    assert_eq!(enter(entry("a", "h1", "p2"), LONG).await, Ok(()));
    assert_eq!(beat("p1").await, None, "it was replaced");
    assert_eq!(beat("p2").await, Some(NodeState::Serving));
    // Another folder's waits until the name's last one is surely dead.
    let refused = enter(entry("a", "h2", "p3"), LONG).await;
    assert!(matches!(refused, Err(Taken::Alive { .. })), "{refused:?}");
    assert_eq!(enter(entry("a", "h2", "p3"), Duration::ZERO).await, Ok(()));
    assert_eq!(beat("p2").await, None);
    write(&catalog, |tx| nodes::leave(tx, "a", "p2")).await;
    assert_eq!(
        beat("p3").await,
        Some(NodeState::Serving),
        "only its own process ends it"
    );
    write(&catalog, |tx| nodes::leave(tx, "a", "p3")).await;
    assert_eq!(
        enter(entry("a", "h3", "p4"), LONG).await,
        Ok(()),
        "it left in order"
    );
}

/// A folder's clusters are never looked for in another.
pub async fn clusters_keep_their_folder(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let node = write(&catalog, |tx| {
        let stored = clusters::insert(tx, samples::cluster("c"))?;
        let writer = instances::insert(tx, samples::writer(&stored.value))?;
        Ok(writer.value.placement.node)
    })
    .await;
    let (first, second) = (entry(&node, "h1", "p1"), entry(&node, "h2", "p2"));
    let refused = write(&catalog, move |tx| nodes::enter(tx, &first, Duration::ZERO)).await;
    assert_eq!(
        refused,
        Ok(()),
        "the first to come is the folder of that name"
    );
    let refused = write(&catalog, move |tx| {
        nodes::enter(tx, &second, Duration::ZERO)
    })
    .await;
    assert_eq!(refused, Err(Taken::Clusters(1)));
}

/// The list tells who lives and what they hold; a drained node says so until it starts anew.
pub async fn nodes_are_listed_and_drained(fixture: &impl Fixture) {
    let catalog = fixture.open();
    for (name, home) in [("b", "h1"), ("a", "h2")] {
        let entry = entry(name, home, name);
        write(&catalog, move |tx| nodes::enter(tx, &entry, LONG))
            .await
            .expect("free");
    }
    assert!(write(&catalog, |tx| nodes::drain(tx, "b")).await);
    assert!(!write(&catalog, |tx| nodes::drain(tx, "none")).await);
    let beaten = write(&catalog, |tx| nodes::beat(tx, "b", "b")).await;
    assert_eq!(beaten, Some(NodeState::Draining));
    let listed = read(&catalog, |tx| nodes::list(tx)).await;
    let shown: Vec<_> = listed
        .iter()
        .map(|one| (one.node.name.as_str(), one.node.state, one.leases))
        .collect();
    assert_eq!(
        shown,
        [("a", NodeState::Serving, 0), ("b", NodeState::Draining, 0)]
    );
    assert!(listed.iter().all(|one| one.silent < LONG));
    let first = |silence| read(&catalog, move |tx| nodes::first_alive(tx, silence));
    assert_eq!(first(LONG).await.as_deref(), Some("a"));
    write(&catalog, |tx| nodes::leave(tx, "a", "a")).await;
    assert_eq!(first(LONG).await.as_deref(), Some("b"));
    assert_eq!(first(Duration::ZERO).await, None);
    assert!(
        !write(&catalog, |tx| nodes::drain(tx, "a")).await,
        "it does not run"
    );
}
