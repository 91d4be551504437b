//! The suite that every engine must pass, whichever database it runs.
//!
//! It does not know the database: it is given a [`Fixture`] that has an engine and makes homes.
//!
//! Cases panic where an engine is wrong. [`engine_conformance_tests!`](crate::engine_conformance_tests)
//! makes a test of each.
pub mod dumps;
pub mod lives;
mod sink;

use std::sync::Arc;

use crate::{
    home::Home,
    interface::{Engine, NewCluster},
};

/// An engine, and a place for clusters of its own.
pub trait Fixture: Send + Sync {
    /// With nothing in its place.
    fn new() -> Self;
    /// The engine.
    fn engine(&self) -> Arc<dyn Engine>;
    /// A home that nothing is in yet, with an address of its own. What is there is removed with the
    /// fixture.
    fn home(&self, name: &str) -> Home;
}

/// Makes a test of each case, for one fixture.
#[macro_export]
macro_rules! engine_conformance_tests {
    ($fixture:ty) => {
        $crate::engine_conformance_tests!(@each $fixture, lives:
            it_says_what_it_is, a_cluster_is_made_stopped_started_and_removed);
        $crate::engine_conformance_tests!(@each $fixture, dumps:
            a_dump_comes_back_and_a_damaged_one_does_not);
    };
    (@each $fixture:ty, $module:ident: $($case:ident),+) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::conformance::$module::$case::<$fixture>().await;
            }
        )+
    };
}

/// What clusters of the suite begin with.
fn spec(engine: &dyn Engine) -> NewCluster {
    NewCluster {
        master_username: "captain".to_owned(),
        master_verifier: engine.verifier("correct horse"),
        database_name: Some("app".to_owned()),
    }
}
