//! What the actions around clusters share: subnet groups, parameter groups, event subscriptions.
//!
//! An account has few of each (there are quotas), so lists are made whole, and cut into pages.
pub mod names;
pub mod of_cluster;
pub mod of_instance;
pub mod parameters;
pub mod subnets;
pub mod subscriptions;

use catalog::{CatalogError, CatalogExt, Stored, Tx, clusters, keyed};
use model::{Account, Cluster, Region, Tag};

use crate::action::ActionContext;
use service::fault::Fault;

/// More than any quota allows.
const ALL: usize = 10_000;

/// A record that actions find by its name and tag.
pub(crate) trait Named: keyed::Keyed + Clone + Send + Sync {
    /// Its name.
    fn name(&self) -> &str;
    /// Its tags.
    fn tags(&mut self) -> &mut Vec<Tag>;
}

/// All records of the caller's whose key begins with `within`, by name. Those of `always` are there,
/// too, unless the catalog has one of the same name.
pub(crate) async fn all<R: Named>(
    cx: &ActionContext,
    within: Vec<&'static str>,
    always: Vec<R>,
) -> Result<Vec<R>, Fault> {
    let (region, account) = (cx.region.clone(), cx.caller.account.clone());
    let mut found: Vec<R> = cx
        .service
        .catalog
        .read(move |tx| {
            let mut above = vec![account.as_str()];
            above.extend(&within);
            let rows = keyed::list::<R>(tx, &region, &above, ALL)?;
            Ok::<_, CatalogError>(rows.into_iter().map(|stored| stored.value).collect())
        })
        .await?;
    for one in always {
        if found.iter().all(|kept| kept.name() != one.name()) {
            found.push(one);
        }
    }
    found.sort_by(|one, other| one.name().cmp(other.name()));
    Ok(found)
}

/// Keeps a record that was changed, also one that was only always there.
pub(crate) fn keep<R: keyed::Keyed>(tx: &mut dyn Tx, stored: Stored<R>) -> Result<R, CatalogError> {
    let kept = match stored.version {
        0 => keyed::insert(tx, stored.value)?,
        _ => keyed::update(tx, stored)?,
    };
    Ok(kept.value)
}

/// What is always there, as if the catalog had it.
pub(crate) fn always<R>(value: R) -> Stored<R> {
    Stored { version: 0, value }
}

/// The caller's clusters for which something holds.
pub(crate) fn clusters_with(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    holds: impl Fn(&Cluster) -> bool,
) -> Result<Vec<Cluster>, CatalogError> {
    let all = clusters::list(tx, region, account, None, ALL)?;
    let found = all.into_iter().map(|stored| stored.value);
    Ok(found.filter(holds).collect())
}
