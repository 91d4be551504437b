//! Another name for what exists.
use model::ClusterName;

use super::{Fixture, read, samples, write};
use crate::{
    error::CatalogError,
    tables::{clusters, instances, outbox},
    transaction::CatalogExt,
};

/// A cluster that is renamed keeps its instances, frees its name, and the record log hears of both
/// names; a name that is taken is refused.
pub async fn a_cluster_gets_another_name(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let name = |text: &str| ClusterName::parse(text).expect("a name");
    let (before, other) = write(&catalog, |tx| {
        let kept = clusters::insert(tx, samples::cluster("before"))?;
        instances::insert(tx, samples::writer(&kept.value))?;
        Ok((kept, clusters::insert(tx, samples::cluster("other"))?))
    })
    .await;
    let logged = read(&catalog, |tx| outbox::take(tx, 100)).await.len();
    let (taken, to) = (before.clone(), other.value.name.clone());
    let refused = catalog.write(move |tx| clusters::rename(tx, taken.clone(), to.clone()));
    let error = refused.await.expect_err("the name is another's");
    assert!(matches!(error, CatalogError::Conflict { .. }), "{error}");
    let (old, to) = (before.clone(), name("after"));
    let after = write(&catalog, move |tx| {
        clusters::rename(tx, old.clone(), to.clone())
    })
    .await;
    assert_eq!(after.value.resource_id, before.value.resource_id);
    let stale = before.clone();
    let again = catalog.write(move |tx| clusters::rename(tx, stale.clone(), name("third")));
    let error = again.await.expect_err("it was renamed meanwhile");
    assert!(matches!(error, CatalogError::Stale { .. }), "{error}");
    let (was, is) = (before.value.clone(), after.value.clone());
    let (gone, there, writer, entries) = read(&catalog, move |tx| {
        Ok((
            clusters::get(tx, &was.region, &was.account, &was.name)?,
            clusters::get(tx, &is.region, &is.account, &is.name)?,
            instances::writer(tx, &is.resource_id)?,
            outbox::take(tx, 100)?.len(),
        ))
    })
    .await;
    assert_eq!((gone, there), (None, Some(after)));
    assert!(writer.is_some(), "its instances stay");
    assert_eq!(entries, logged + 2, "both names are told");
}
