//! The pages, one file each. Adding one is its file and its row here.
mod audit;
mod backups;
mod cluster;
mod clusters;
mod copy;
mod delete;
mod drill;
mod drills;
mod health;
mod jobs;
mod key;
mod keys;
mod members;
mod overview;
mod plan;
mod plans;
mod restore;
mod snapshot;
mod snapshots;
mod take;
mod testing_plan;

use std::{future::Future, pin::Pin};

use bytes::Bytes;
use maud::Markup;
use tokio::sync::mpsc;
use wire::Parameters;

use super::{
    refusal::Refusal,
    visit::{Done, Entry, Visit},
};

type Shown<'a> = Pin<Box<dyn Future<Output = Result<Markup, Refusal>> + Send + 'a>>;
type Watch = for<'a> fn(&'a Visit<'a>) -> Result<mpsc::Receiver<Bytes>, Refusal>;
type Submitted<'a> = Pin<Box<dyn Future<Output = Result<Done, Refusal>> + Send + 'a>>;

/// A page.
pub(super) struct Page {
    /// Its content.
    pub(super) show: for<'a> fn(&'a Visit<'a>) -> Shown<'a>,
    /// What its forms do.
    pub(super) submit: Option<for<'a> fn(&'a Visit<'a>, &'a Parameters) -> Submitted<'a>>,
    /// What there is to watch, as a stream of its own.
    pub(super) watch: Option<Watch>,
}

macro_rules! pages {
    ($($module:ident $path:literal $title:literal $($key:literal)? $(=> $submit:ident)? $(, $watch:ident)?;)*) => {
        /// All of them, in the order of the navigation.
        pub(super) static ENTRIES: &[Entry] = &[$(Entry {
            path: $path,
            title: $title,
            key: pages!(@key $($key)?),
        },)*];

        /// What they do, in the same order.
        static PAGES: &[Page] = &[$(Page {
            show: |visit| Box::pin($module::show(visit)),
            submit: pages!(@submit $module $($submit)?),
            watch: pages!(@watch $module $($watch)?),
        },)*];
    };
    (@key) => { None };
    (@key $key:literal) => { Some($key) };
    (@watch $module:ident) => { None };
    (@watch $module:ident $watch:ident) => { Some(|visit| $module::$watch(visit)) };
    (@submit $module:ident) => { None };
    (@submit $module:ident $submit:ident) => {
        Some(|visit, form| Box::pin($module::$submit(visit, form)))
    };
}

pages! {
    overview "" "Overview" "o";
    clusters "clusters" "Clusters" "c";
    cluster "cluster" "Cluster";
    snapshots "snapshots" "Snapshots" "s";
    snapshot "snapshot" "Snapshot" => share;
    take "take" "Take a snapshot" => submit;
    copy "copy" "Copy a snapshot" => submit;
    restore "restore" "Restore a snapshot" => submit;
    delete "delete" "Delete a snapshot" => submit;
    jobs "jobs" "Jobs" "j" => cancel, watch;
    plans "plans" "Plans" "p";
    plan "plan" "Backup plan" => back_up;
    drills "drills" "Drills" "d";
    testing_plan "testing-plan" "Restore testing plan";
    drill "drill" "Drill";
    keys "keys" "Keys" "k";
    key "key" "Key";
    audit "audit" "Audit" "a";
    health "health" "Health" "h";
}

/// The page of an address, with its entry.
pub(super) fn find(path: &str) -> Option<(&'static Page, &'static Entry)> {
    let mut pages = PAGES.iter().zip(ENTRIES);
    pages.find(|(_, entry)| entry.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_keys_are_each_pages_own() {
        for (number, page) in ENTRIES.iter().enumerate() {
            for other in &ENTRIES[..number] {
                assert_ne!(page.path, other.path);
                assert!(
                    page.key.is_none() || page.key != other.key,
                    "{}",
                    page.title
                );
            }
        }
    }
}
