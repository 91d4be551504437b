//! DB clusters: records by name and by resource id.
//!
//! A change of state that `model::ClusterStatus` does not allow is refused.
use model::{Account, Cluster, ClusterName, ClusterStatus, Hash, Region, ResourceId, VolumeRef};

use serde_json::Value;

use crate::{
    error::CatalogError,
    tables::{
        dirty_volumes, instances,
        record::{self, Record, Table, read},
        stored::{Stored, encode, insert_versioned, update_versioned, word},
    },
    transaction::Tx,
    value::{Row, args},
};

fn what(cluster: &Cluster) -> String {
    format!("the cluster {}", cluster.arn())
}

impl Record for Cluster {
    const KIND: &'static str = "clusters";
    const TAG: &'static str = "cluster";
    const TABLE: Table = Table::new(
        "clusters",
        3,
        &[
            "region",
            "account",
            "name",
            "resource_id",
            "status",
            "volume",
            "base_manifest",
            "version",
            "body",
        ],
    );

    fn region(&self) -> Option<&Region> {
        Some(&self.region)
    }

    fn key(&self) -> Vec<&str> {
        vec![self.account.as_str(), self.name.as_str()]
    }

    fn put_back(tx: &mut dyn Tx, record: Self, line: &Value) -> Result<(), CatalogError> {
        let stored = insert(tx, record)?;
        instances::of_older(tx, &stored.value, line)
    }
}

fn log(tx: &mut dyn Tx, cluster: &Cluster, version: u64) -> Result<(), CatalogError> {
    let parts = [cluster.account.as_str(), cluster.name.as_str()];
    record::log::<Cluster>(tx, Some(&cluster.region), &parts, version)
}

/// Keeps a new cluster.
///
/// # Errors
/// `Conflict` when its name or resource id is taken.
pub fn insert(tx: &mut dyn Tx, cluster: Cluster) -> Result<Stored<Cluster>, CatalogError> {
    let stored = insert_versioned(tx, cluster, what, |tx, cluster, version| {
        tx.execute(
            "INSERT INTO clusters (region, account, name, resource_id, status, volume, \
             base_manifest, version, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
             ON CONFLICT DO NOTHING",
            args![
                &cluster.region,
                &cluster.account,
                cluster.name.as_str(),
                cluster.resource_id.as_str(),
                cluster.status.as_str(),
                &cluster.volume,
                cluster.base.as_ref().map(|base| base.manifest),
                version,
                encode(cluster)
            ],
        )
    })?;
    log(tx, &stored.value, stored.version)?;
    Ok(stored)
}

/// Finds a cluster by its name.
///
/// # Errors
/// The database's.
pub fn get(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    name: &ClusterName,
) -> Result<Option<Stored<Cluster>>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM clusters WHERE region = ?1 AND account = ?2 AND name = ?3",
        args![region, account, name.as_str()],
    )?;
    Ok(read(&rows)?.pop())
}

/// Finds a cluster by its name for life.
///
/// # Errors
/// The database's.
pub fn get_by_resource_id(
    tx: &mut dyn Tx,
    id: &ResourceId,
) -> Result<Option<Stored<Cluster>>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM clusters WHERE resource_id = ?1",
        args![id.as_str()],
    )?;
    Ok(read(&rows)?.pop())
}

/// Writes a changed record; region, account and name stay.
///
/// # Errors
/// `Stale` when it was changed or deleted since `stored` was read, `IllegalMove` when a cluster
/// that stands where it did cannot become what this one is.
pub fn update(tx: &mut dyn Tx, stored: Stored<Cluster>) -> Result<Stored<Cluster>, CatalogError> {
    let Cluster {
        region,
        account,
        name,
        ..
    } = &stored.value;
    let before = row(tx, region, account, name)?;
    if let Some(before) = before.as_ref().filter(|row| row.version == stored.version) {
        let (from, to) = (before.status, stored.value.status);
        if from != to && !from.may_become(to) {
            return Err(CatalogError::IllegalMove {
                what: what(&stored.value),
                from: from.as_str(),
                to: to.as_str(),
            });
        }
    }
    let stored = update_versioned(tx, stored, what, |tx, stored, version| {
        let cluster = &stored.value;
        tx.execute(
            "UPDATE clusters SET resource_id = ?5, status = ?6, volume = ?7, \
             base_manifest = ?8, version = ?9, body = ?10 \
             WHERE region = ?1 AND account = ?2 AND name = ?3 AND version = ?4",
            args![
                &cluster.region,
                &cluster.account,
                cluster.name.as_str(),
                stored.version,
                cluster.resource_id.as_str(),
                cluster.status.as_str(),
                &cluster.volume,
                cluster.base.as_ref().map(|base| base.manifest),
                version,
                encode(cluster)
            ],
        )
    })?;
    let cluster = &stored.value;
    log(tx, cluster, stored.version)?;
    let after = cluster.base.as_ref().map(|base| base.manifest);
    if let Some((volume, manifest)) = before.and_then(|row| row.root)
        && (cluster.volume != volume || after != Some(manifest))
    {
        dirty_volumes::root_ended(tx, &cluster.region, &volume, manifest)?;
    }
    Ok(stored)
}

/// Gives a cluster another name; its name for life, and all that goes by it, stay.
///
/// # Errors
/// `Conflict` when the name is taken, `Stale` when the cluster was changed or deleted since
/// `stored` was read.
pub fn rename(
    tx: &mut dyn Tx,
    mut stored: Stored<Cluster>,
    name: ClusterName,
) -> Result<Stored<Cluster>, CatalogError> {
    let before = std::mem::replace(&mut stored.value.name, name);
    let cluster = &stored.value;
    if get(tx, &cluster.region, &cluster.account, &cluster.name)?.is_some() {
        return Err(CatalogError::Conflict {
            what: what(cluster),
        });
    }
    let stored = update_versioned(tx, stored, what, |tx, stored, version| {
        let cluster = &stored.value;
        tx.execute(
            "UPDATE clusters SET name = ?5, version = ?6, body = ?7              WHERE region = ?1 AND account = ?2 AND name = ?3 AND version = ?4",
            args![
                &cluster.region,
                &cluster.account,
                before.as_str(),
                stored.version,
                cluster.name.as_str(),
                version,
                encode(cluster)
            ],
        )
    })?;
    let cluster = &stored.value;
    let parts = [cluster.account.as_str(), before.as_str()];
    record::log_unversioned::<Cluster>(tx, Some(&cluster.region), &parts)?;
    log(tx, cluster, stored.version)?;
    Ok(stored)
}

/// What the row of a cluster's name says of it.
struct Kept {
    version: u64,
    status: ClusterStatus,
    resource_id: ResourceId,
    /// The base that it needs.
    root: Option<(VolumeRef, Hash)>,
}

fn row(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    name: &ClusterName,
) -> Result<Option<Kept>, CatalogError> {
    let rows = tx.query(
        "SELECT version, status, volume, base_manifest, resource_id FROM clusters \
         WHERE region = ?1 AND account = ?2 AND name = ?3",
        args![region, account, name.as_str()],
    )?;
    let kept = |row: &Row| {
        Ok(Kept {
            version: row.count(0)?,
            status: word(row, 1)?,
            resource_id: row.parsed(4)?,
            root: match row.text_or_null(3)? {
                Some(_) => Some((row.parsed(2)?, row.parsed(3)?)),
                None => None,
            },
        })
    };
    rows.first().map(kept).transpose()
}

/// Forgets a cluster and its instances; answers whether there was one.
///
/// # Errors
/// The database's.
pub fn delete(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    name: &ClusterName,
) -> Result<bool, CatalogError> {
    let before = row(tx, region, account, name)?;
    let deleted = tx.execute(
        "DELETE FROM clusters WHERE region = ?1 AND account = ?2 AND name = ?3",
        args![region, account, name.as_str()],
    )?;
    if deleted == 1 {
        let parts = [account.as_str(), name.as_str()];
        record::log_unversioned::<Cluster>(tx, Some(region), &parts)?;
        let before = before.map(|row| (row.resource_id, row.root));
        if let Some((resource_id, _)) = &before {
            instances::delete_of(tx, resource_id)?;
        }
        if let Some((volume, manifest)) = before.and_then(|(_, root)| root) {
            dirty_volumes::root_ended(tx, region, &volume, manifest)?;
        }
    }
    Ok(deleted == 1)
}

/// An account's clusters by name, from the one behind `after` on; at most `limit`.
///
/// # Errors
/// The database's.
pub fn list(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    after: Option<&ClusterName>,
    limit: usize,
) -> Result<Vec<Stored<Cluster>>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM clusters WHERE region = ?1 AND account = ?2 AND ?3 < name \
         ORDER BY name LIMIT ?4",
        args![
            region,
            account,
            after.map_or("", ClusterName::as_str),
            limit
        ],
    )?;
    read(&rows)
}

/// A region's clusters by account and name, from the one behind `after` on; at most `limit`.
///
/// # Errors
/// The database's.
pub fn of_region(
    tx: &mut dyn Tx,
    region: &Region,
    after: Option<&Cluster>,
    limit: usize,
) -> Result<Vec<Stored<Cluster>>, CatalogError> {
    record::page(tx, Some(region), after, limit)
}

/// How many clusters an account has in a region.
///
/// # Errors
/// The database's.
pub fn count(tx: &mut dyn Tx, region: &Region, account: &Account) -> Result<u64, CatalogError> {
    let rows = tx.query(
        "SELECT count(*) FROM clusters WHERE region = ?1 AND account = ?2",
        args![region, account],
    )?;
    rows.first().map_or(Ok(0), |row| row.count(0))
}
