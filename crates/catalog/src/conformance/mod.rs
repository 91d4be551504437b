//! The suite that every catalog must pass, whichever database is behind it.
//!
//! It does not know the database: it is given a [`Fixture`] that opens fresh catalogs.
//!
//! Cases panic where a catalog is wrong. [`conformance_tests!`](crate::conformance_tests) makes
//! a test of each.
pub mod commits;
pub mod dirty_volumes;
pub mod leases;
pub mod nodes;
pub mod owners;
pub mod recorded;
pub mod records;
pub mod recovery_points;
pub mod renames;
pub mod samples;
pub mod snapshots;
pub mod upkeep;

use std::{future::Future, sync::Arc};

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
        $crate::conformance_tests!(@each $fixture, records:
            names_clash, groups_live_and_are_counted, versions_are_compared, states_move_as_they_may, versions_are_never_used_twice,
            clusters_are_found, instances_are_their_clusters, access_keys_live, keys_and_aliases_live, facts_stay);
        $crate::conformance_tests!(@each $fixture, recovery_points:
            recovery_points_are_their_vaults_and_resources, alike_jobs_are_counted,
            drills_are_open_until_they_are_over);
        $crate::conformance_tests!(@each $fixture, renames: a_cluster_gets_another_name);
        $crate::conformance_tests!(@each $fixture, recorded:
            all_kinds_are_walked_and_put_back, older_clusters_get_their_writer);
        $crate::conformance_tests!(@each $fixture, owners:
            grants_live_and_die_with_their_key, rotations_come_due, multi_region_keys, accounts_and_their_holdings);
        $crate::conformance_tests!(@each $fixture, commits:
            quotas_hold_under_concurrency, sums_have_what_was_kept, one_failure_leaves_the_others,
            a_panic_undoes_its_own_only, readers_cannot_write, reads_see_what_was_answered,
            what_was_answered_survives, two_openers_share);
        $crate::conformance_tests!(@each $fixture, leases:
            cancel_against_finish, expired_leases_are_fenced, live_leases_are_respected,
            a_dead_process_leaves_nothing_held, jobs_wait_for_their_node_kind_and_time,
            a_wrong_clock_holds_no_job_up, a_runner_names_what_it_has_no_room_for,
            putting_off_is_no_attempt, accounts_take_turns, regions_have_turns_of_their_own, a_jobs_subject_is_read_or_told, progress_never_falls, jobs_are_listed_and_pruned, the_last_of_a_kind_are_kept,
            pins_end_with_their_job, tickets_are_redeemed_once);
        $crate::conformance_tests!(@each $fixture, snapshots:
            pages_meet_every_snapshot_once, scopes_and_filters_select, sharing_follows_updates,
            roots_are_what_is_needed, the_last_snapshot_of_each_cluster_is_told);
        $crate::conformance_tests!(@each $fixture, dirty_volumes:
            the_last_to_need_a_manifest_marks, jobs_mark_what_they_leave, marks_go_as_they_were_read);
        $crate::conformance_tests!(@each $fixture, nodes:
            names_are_one_folders, clusters_keep_their_folder, nodes_are_listed_and_drained);
        $crate::conformance_tests!(@each $fixture, upkeep:
            the_condemned_come_and_go, entries_keep_their_order, the_highest_uid_is_known,
            events_are_paged, webhooks_keep_their_place, what_is_verified_is_noted);
    };
    (@each $fixture:ty, $module:ident: $($case:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let fixture = <$fixture as $crate::conformance::Fixture>::new();
                $crate::conformance::$module::$case(&fixture).await;
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
