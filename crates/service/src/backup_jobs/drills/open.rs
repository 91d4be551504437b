//! The drills of a region that are not over.
use catalog::{CatalogError, Tx, restore_testing};
use model::{Drill, Region};

/// Drills that are read at once.
const BATCH: usize = 200;

/// All drills of a region that are not over, the oldest first.
pub(super) fn all(tx: &mut dyn Tx, region: &Region) -> Result<Vec<Drill>, CatalogError> {
    let (mut after, mut open) = (None, Vec::new());
    loop {
        let batch = restore_testing::open(tx, region, after.as_ref(), BATCH)?;
        let Some(last) = batch.last() else { break };
        after = Some((last.value.planned_at, last.value.id.clone()));
        open.extend(batch.into_iter().map(|stored| stored.value));
    }
    Ok(open)
}
