//! A look at a catalog's whole file for damage.
//!
//! It does not know what the tables are for.
use std::{path::Path, sync::mpsc, time::Duration};

use super::{
    connection::{connect, set},
    tx::failed,
};
use crate::{error::CatalogError, queue::spawn};

/// First the order of pages, rows and cells, which takes a second for some hundred megabytes; then
/// whether each index has what its table has, so that no row is taken for absent.
const LOOKS: [&str; 2] = ["PRAGMA quick_check(1)", "PRAGMA integrity_check(1)"];

/// Looks for damage, on a thread of its own. Answers what was found within `patience`; what is
/// found later is told by the log, and by [`crate::damage_seen`].
///
/// # Errors
/// `Corrupt`, or that there is no look.
pub(super) fn check(path: &Path, patience: Duration) -> Result<(), CatalogError> {
    let connection = connect(path)?;
    set(&connection, "query_only", true)?;
    let (tell, told) = mpsc::channel();
    spawn("catalog-check", move || {
        for look in LOOKS {
            let found = connection.query_row(look, [], |row| row.get::<_, String>(0));
            let outcome = match found {
                Ok(word) if word == "ok" => continue,
                Ok(found) => Err(CatalogError::corrupt(found)),
                Err(error) => Err(failed("looking for damage", error)),
            };
            tell.send(outcome).ok();
            return;
        }
        tell.send(Ok(())).ok();
    })?;
    match told.recv_timeout(patience) {
        Ok(outcome) => outcome,
        Err(_) => {
            tracing::info!(path = %path.display(), "the catalog is large: the look for damage goes on beside the work");
            Ok(())
        }
    }
}
