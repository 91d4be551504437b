//! The suite of engines.
use std::{ops::Deref, sync::Arc};

use engine::{
    Engine, Home,
    conformance::{Fixture, dumps, lives},
};

use crate::support::Rig;

impl Fixture for Rig {
    fn new() -> Self {
        Self::new().expect("looked for before")
    }
    fn engine(&self) -> Arc<dyn Engine> {
        self.engine.clone()
    }
    fn home(&self, name: &str) -> Home {
        self.deref().home(name)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_it_is() {
    if Rig::new().is_some() {
        lives::it_says_what_it_is::<Rig>().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_made_stopped_started_and_removed() {
    if Rig::new().is_some() {
        lives::a_cluster_is_made_stopped_started_and_removed::<Rig>().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_comes_back_and_a_damaged_one_does_not() {
    if Rig::new().is_some() {
        dumps::a_dump_comes_back_and_a_damaged_one_does_not::<Rig>().await;
    }
}
