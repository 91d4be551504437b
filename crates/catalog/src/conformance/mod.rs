//! The suite that every catalog must pass, whichever database is behind it.
//!
//! It does not know the database: it is given a [`Fixture`] that opens fresh catalogs.
//!
//! Cases panic where a catalog is wrong. [`conformance_tests!`](crate::conformance_tests) makes
//! a test of each.
mod commits;
mod leases;
mod records;
pub mod samples;
mod snapshots;
mod upkeep;

use std::{future::Future, sync::Arc};

pub use commits::*;
pub use leases::*;
pub use records::*;
pub use snapshots::*;
pub use upkeep::*;

use crate::{
    error::CatalogError,
    transaction::{Catalog, CatalogExt, Tx},
};

/// Opens catalogs on a place of its own, with a clock that goes.
pub trait Fixture: Send + Sync {
    /// A fresh, empty place.
    fn new() -> Self;
    /// Opens the catalog there; may be called again, also while another is open.
    fn open(&self) -> Arc<dyn Catalog>;
}

/// Makes a test of each case, for one fixture.
#[macro_export]
macro_rules! conformance_tests {
    ($fixture:ty) => {
        $crate::conformance_tests!(@each $fixture:
            names_clash, versions_are_compared, versions_are_never_used_twice,
            clusters_are_found, access_keys_live, keys_and_aliases_live, facts_stay,
            quotas_hold_under_concurrency, one_failure_leaves_the_others,
            a_panic_undoes_its_own_only, readers_cannot_write, reads_see_what_was_answered,
            what_was_answered_survives, two_openers_share,
            cancel_against_finish, expired_leases_are_fenced, live_leases_are_respected,
            jobs_wait_for_their_node_kind_and_time, accounts_take_turns, progress_never_falls,
            jobs_are_listed_and_pruned,
            pages_meet_every_snapshot_once, scopes_and_filters_select, sharing_follows_updates,
            roots_are_what_is_needed, pins_end_with_their_job,
            the_condemned_come_and_go, letters_keep_their_order, uids_are_given_once,
            events_are_paged,
        );
    };
    (@each $fixture:ty: $($case:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let fixture = <$fixture as $crate::conformance::Fixture>::new();
                $crate::conformance::$case(&fixture).await;
            }
        )*
    };
}

/// A write that must succeed.
pub(crate) fn write<T, F>(
    catalog: &Arc<dyn Catalog>,
    work: F,
) -> impl Future<Output = T> + Send + use<T, F>
where
    T: Send + 'static,
    F: Fn(&mut dyn Tx) -> Result<T, CatalogError> + Send + Sync + 'static,
{
    let catalog = Arc::clone(catalog);
    async move { catalog.write(work).await.expect("the write is good") }
}

/// A read that must succeed.
pub(crate) fn read<T, F>(
    catalog: &Arc<dyn Catalog>,
    work: F,
) -> impl Future<Output = T> + Send + use<T, F>
where
    T: Send + 'static,
    F: Fn(&mut dyn Tx) -> Result<T, CatalogError> + Send + Sync + 'static,
{
    let catalog = Arc::clone(catalog);
    async move { catalog.read(work).await.expect("the read is good") }
}
