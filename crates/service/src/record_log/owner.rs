//! Whose vault it is: a mark in the vault names the one catalog whose records say what lives there.
//!
//! It does not know what else is in either.
//!
//! Two catalogs on one vault would each sweep what only the other knows. So a vault bears marks
//! `records/owner.<generation>.<uuid>`, of which the highest counts, and a catalog has an id. A
//! catalog that was copied or rebuilt names its predecessor and takes the vault over with the
//! next generation; any other one is refused. And a catalog that is older than the vault's record log
//! is refused too: a backup that was brought back does not know what was written since.
use catalog::{CatalogError, CatalogExt, Tx, meta};
use model::{Entropy, Region, Timestamp};
use serde::{Deserialize, Serialize};
use vault::{Vault, VaultError, records::list_records};

use super::{
    batch::{BatchError, FOLDER, Named, Seal},
    checkpoint::RecordLogWriter,
};

/// The catalog's note of its own id.
const ID: &str = "catalog_id";
/// The catalog's note of the id of the one that it came from.
const PREDECESSOR: &str = "catalog_predecessor";

/// A mark.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    catalog: String,
    at: Timestamp,
}

/// Why a vault is not this catalog's.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// It is another's.
    #[error("the vault of {region} belongs to another catalog ({catalog}), since {}", at.to_rfc3339_secs())]
    Another {
        /// The vault's region.
        region: Region,
        /// The owner's id.
        catalog: String,
        /// Since when.
        at: Timestamp,
    },
    /// Its mark does not open.
    #[error("the vault of {region} belongs to a deployment with another master key")]
    OtherKey {
        /// The vault's region.
        region: Region,
        source: BatchError,
    },
    /// It knows changes that the catalog does not.
    #[error("the vault of {region} has logged {} changes that this catalog does not know: it was brought back from a backup, or its database lost commits", .logged - .known)]
    Newer {
        /// The vault's region.
        region: Region,
        /// The record log's position.
        logged: u64,
        /// The catalog's.
        known: u64,
    },
    /// The vault fails.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A mark cannot be read.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The catalog fails.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl OwnerError {
    /// Whether the vault is surely not this catalog's, rather than out of reach.
    pub fn is_certain(&self) -> bool {
        matches!(
            self,
            Self::Another { .. } | Self::OtherKey { .. } | Self::Newer { .. }
        )
    }
}

/// What a vault says of itself.
#[derive(Debug)]
struct Standing {
    /// The highest generation, and the mark that counts in it.
    mark: Option<(u64, String)>,
    /// The newest position that was logged.
    logged: u64,
}

async fn standing(vault: &Vault) -> Result<Standing, VaultError> {
    let mut found = Standing {
        mark: None,
        logged: 0,
    };
    for entry in list_records(vault, FOLDER).await? {
        match Named::parse(&entry.path) {
            Some(Named::Batch(position) | Named::Checkpoint(position)) => {
                found.logged = found.logged.max(position);
            }
            // Sorted by name: of two marks of one generation the first counts, for both writers.
            Some(Named::Owner(generation))
                if found
                    .mark
                    .as_ref()
                    .is_none_or(|(known, _)| *known < generation) =>
            {
                found.mark = Some((generation, entry.path));
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Makes sure that a region's vault is this catalog's; one that is nobody's, or was its
/// predecessor's, becomes so. With `accept_older`, a catalog that is older than the vault's record log
/// goes on from there: what only the record log knows is then nobody's, and is swept.
///
/// # Errors
/// [`OwnerError`].
pub async fn claim(
    record_log: &RecordLogWriter,
    vault: &Vault,
    region: &Region,
    now: Timestamp,
    accept_older: bool,
) -> Result<(), OwnerError> {
    let drawn = record_log.entropy.uuid().to_string();
    for _ in 0..2 {
        // The vault first: what it logs was committed before.
        let standing = standing(vault).await?;
        let (own, predecessor, known) = record_log
            .catalog
            .read(|tx| {
                let (own, old) = (meta::get(tx, ID)?, meta::get(tx, PREDECESSOR)?);
                Ok::<_, CatalogError>((own, old, meta::version(tx)?))
            })
            .await?;
        let own = match own {
            Some(own) => own,
            None => {
                let id = drawn.clone();
                let noted = record_log
                    .catalog
                    .write(move |tx| meta::get_or_set(tx, ID, &id));
                let noted: Result<String, CatalogError> = noted.await;
                noted?
            }
        };
        let mark = match &standing.mark {
            Some((_, path)) => Some(read(&record_log.seal, vault, region, path).await?),
            None => None,
        };
        let ours = match &mark {
            Some(mark) if mark.catalog == own => true,
            Some(mark) if Some(&mark.catalog) != predecessor.as_ref() => {
                return Err(OwnerError::Another {
                    region: region.clone(),
                    catalog: mark.catalog.clone(),
                    at: mark.at,
                });
            }
            _ => false,
        };
        if known < standing.logged {
            if !accept_older {
                return Err(OwnerError::Newer {
                    region: region.clone(),
                    logged: standing.logged,
                    known,
                });
            }
            let floor = standing.logged;
            let raised = record_log
                .catalog
                .write(move |tx| meta::raise_version(tx, floor));
            let raised: Result<(), CatalogError> = raised.await;
            raised?;
            tracing::warn!(%region, logged = floor, known, "an older catalog goes on with a newer vault");
        }
        if ours {
            return Ok(());
        }
        sign(record_log, vault, &standing, own, now).await?;
        // Once more, in case another catalog did the same.
    }
    Ok(())
}

/// Writes the mark of the next generation.
async fn sign(
    record_log: &RecordLogWriter,
    vault: &Vault,
    standing: &Standing,
    catalog: String,
    at: Timestamp,
) -> Result<(), VaultError> {
    let highest = standing.mark.as_ref().map_or(0, |(highest, _)| *highest);
    let text = serde_json::to_vec(&Mark { catalog, at }).expect("a mark serializes");
    let path = Named::Owner(highest + 1).path(&*record_log.entropy);
    record_log.seal.put(vault, &path, &text).await
}

async fn read(seal: &Seal, vault: &Vault, region: &Region, path: &str) -> Result<Mark, OwnerError> {
    let read = seal.document(vault, path, "a mark").await;
    read.map_err(|error| match error {
        BatchError::Sealed { .. } => OwnerError::OtherKey {
            region: region.clone(),
            source: error,
        },
        other => other.into(),
    })
}

/// The catalogs that a vault has had, the present one last; none when it bears no mark.
///
/// # Errors
/// [`OwnerError`].
pub async fn lineage(
    seal: &Seal,
    vault: &Vault,
    region: &Region,
) -> Result<Vec<String>, OwnerError> {
    let mut catalogs = Vec::new();
    let mut highest = None;
    // Sorted by name, so by generation; the first of each counts, as in `standing`.
    for entry in list_records(vault, FOLDER).await? {
        if let Some(Named::Owner(generation)) = Named::parse(&entry.path)
            && highest < Some(generation)
        {
            highest = Some(generation);
            catalogs.push(read(seal, vault, region, &entry.path).await?.catalog);
        }
    }
    Ok(catalogs)
}

/// Makes a catalog the owner of a vault, whoever was it before.
///
/// # Errors
/// The vault's.
pub async fn take_over(
    record_log: &RecordLogWriter,
    vault: &Vault,
    id: &str,
    now: Timestamp,
) -> Result<(), VaultError> {
    let standing = standing(vault).await?;
    sign(record_log, vault, &standing, id.to_owned(), now).await
}

/// A catalog's id, once it has one.
///
/// # Errors
/// The catalog's.
pub fn id(tx: &mut dyn Tx) -> Result<Option<String>, CatalogError> {
    meta::get(tx, ID)
}

/// Gives a catalog an id, and the id of the one whose records it has.
///
/// # Errors
/// The catalog's.
pub fn name(tx: &mut dyn Tx, id: &str, predecessor: Option<&str>) -> Result<(), CatalogError> {
    if let Some(predecessor) = predecessor {
        meta::set(tx, PREDECESSOR, predecessor)?;
    }
    meta::set(tx, ID, id)
}

/// Gives a catalog that holds another's records an id of its own, as that one's successor.
///
/// # Errors
/// The catalog's.
pub async fn succeed(
    catalog: &dyn catalog::Catalog,
    entropy: &dyn Entropy,
) -> Result<(), CatalogError> {
    let new = entropy.uuid().to_string();
    catalog
        .write(move |tx| {
            if let Some(old) = meta::get(tx, ID)? {
                name(tx, &new, Some(&old))?;
            }
            Ok(())
        })
        .await
}
