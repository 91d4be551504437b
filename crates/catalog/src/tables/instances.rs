//! DB instances: the servers of clusters, found by their cluster and by their node.
//!
//! It does not know how a server is run. An instance ends with its cluster's record.
use model::{
    Account, Cluster, Instance, InstanceId, InstanceName, InstanceRole, Placement, Region,
    ResourceId, instance,
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    error::CatalogError,
    tables::{
        parameter_status,
        record::{self, Record, Table, read},
        stored::{Stored, decode, encode, insert_versioned, update_versioned},
        uids,
    },
    transaction::Tx,
    value::{Row, args},
};

/// An instance with its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The cluster.
    pub cluster: Cluster,
    /// The instance.
    pub instance: Instance,
}

impl Record for Instance {
    const KIND: &'static str = "instances";
    const TAG: &'static str = "instance";
    const TABLE: Table = Table::new(
        "instances",
        3,
        &[
            "region", "account", "id", "cluster", "role", "node", "version", "body",
        ],
    );
    const KEEPS_ACCOUNT: Option<&'static str> = None;

    fn region(&self) -> Option<&Region> {
        Some(&self.region)
    }

    fn key(&self) -> Vec<&str> {
        vec![self.account.as_str(), self.id.as_str()]
    }

    fn put_back(tx: &mut dyn Tx, record: Self, _line: &Value) -> Result<(), CatalogError> {
        if let Some(uid) = record.placement.os_uid {
            uids::note(tx, uid)?;
        }
        // One that was told of an older record of the cluster gives way.
        delete(tx, &record)?;
        insert(tx, record).map(drop)
    }
}

fn what(instance: &Instance) -> String {
    format!("the instance {}", instance.arn())
}

fn log(tx: &mut dyn Tx, instance: &Instance, version: u64) -> Result<(), CatalogError> {
    let parts = [instance.account.as_str(), instance.id.as_str()];
    record::log::<Instance>(tx, Some(&instance.region), &parts, version)
}

/// Keeps a new instance.
///
/// # Errors
/// `Conflict` when its id is taken.
pub fn insert(tx: &mut dyn Tx, instance: Instance) -> Result<Stored<Instance>, CatalogError> {
    let stored = insert_versioned(tx, instance, what, |tx, instance, version| {
        tx.execute(
            "INSERT INTO instances (region, account, id, cluster, role, node, version, body) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
            args![
                &instance.region,
                &instance.account,
                instance.id.as_str(),
                instance.cluster.as_str(),
                instance.role.as_str(),
                &instance.placement.node,
                version,
                encode(instance)
            ],
        )
    })?;
    log(tx, &stored.value, stored.version)?;
    Ok(stored)
}

/// Writes a changed record; region, account, id and cluster stay.
///
/// # Errors
/// `Stale` when it was changed or deleted since `stored` was read.
pub fn update(tx: &mut dyn Tx, stored: Stored<Instance>) -> Result<Stored<Instance>, CatalogError> {
    let stored = update_versioned(tx, stored, what, |tx, stored, version| {
        let instance = &stored.value;
        tx.execute(
            "UPDATE instances SET role = ?5, node = ?6, version = ?7, body = ?8 \
             WHERE region = ?1 AND account = ?2 AND id = ?3 AND version = ?4",
            args![
                &instance.region,
                &instance.account,
                instance.id.as_str(),
                stored.version,
                instance.role.as_str(),
                &instance.placement.node,
                version,
                encode(instance)
            ],
        )
    })?;
    log(tx, &stored.value, stored.version)?;
    Ok(stored)
}

/// Forgets an instance; answers whether there was one.
///
/// # Errors
/// The database's.
pub fn delete(tx: &mut dyn Tx, instance: &Instance) -> Result<bool, CatalogError> {
    let deleted = tx.execute(
        "DELETE FROM instances WHERE region = ?1 AND account = ?2 AND id = ?3",
        args![&instance.region, &instance.account, instance.id.as_str()],
    )?;
    if deleted == 1 {
        parameter_status::forget(tx, &instance.id)?;
        let version = tx.next_version()?;
        log(tx, instance, version)?;
    }
    Ok(deleted == 1)
}

/// A cluster's instances, the writer first, then by id.
///
/// # Errors
/// The database's.
pub fn of_cluster(
    tx: &mut dyn Tx,
    cluster: &ResourceId,
) -> Result<Vec<Stored<Instance>>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM instances WHERE cluster = ?1",
        args![cluster.as_str()],
    )?;
    let mut found: Vec<Stored<Instance>> = read(&rows)?;
    found.sort_by_key(|one| (one.value.role != InstanceRole::Writer, one.value.id.clone()));
    Ok(found)
}

/// The instance that takes a cluster's writes; none until the cluster has a place.
///
/// # Errors
/// The database's.
pub fn writer(
    tx: &mut dyn Tx,
    cluster: &ResourceId,
) -> Result<Option<Stored<Instance>>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM instances WHERE cluster = ?1 AND role = ?2",
        args![cluster.as_str(), InstanceRole::Writer.as_str()],
    )?;
    rows.first().map(Instance::from_row).transpose()
}

/// An account's instances in a region, by id.
///
/// # Errors
/// The database's.
pub fn list(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
) -> Result<Vec<Stored<Instance>>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM instances WHERE region = ?1 AND account = ?2 ORDER BY id",
        args![region, account],
    )?;
    read(&rows)
}

/// Finds an instance by its name. An account has tens of them at most.
///
/// # Errors
/// The database's.
pub fn named(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    name: &InstanceName,
) -> Result<Option<Stored<Instance>>, CatalogError> {
    let all = list(tx, region, account)?;
    Ok(all
        .into_iter()
        .find(|one| one.value.name.as_ref() == Some(name)))
}

/// Finds an instance of a cluster by its name for life.
///
/// # Errors
/// The database's.
pub fn of_id(
    tx: &mut dyn Tx,
    cluster: &ResourceId,
    id: &InstanceId,
) -> Result<Option<Stored<Instance>>, CatalogError> {
    let all = of_cluster(tx, cluster)?;
    Ok(all.into_iter().find(|one| one.value.id == *id))
}

/// Writes into a cluster's instances whom each follows; to be called in every transaction that
/// changes which there are, their roles, their states or their addresses.
///
/// # Errors
/// The database's.
pub fn relink(tx: &mut dyn Tx, cluster: &Cluster) -> Result<(), CatalogError> {
    let stored = of_cluster(tx, &cluster.resource_id)?;
    let mut linked: Vec<Instance> = stored.iter().map(|one| one.value.clone()).collect();
    instance::link(&mut linked, cluster);
    for (before, now) in stored.into_iter().zip(linked) {
        if before.value != now {
            update(
                tx,
                Stored {
                    value: now,
                    ..before
                },
            )?;
        }
    }
    Ok(())
}

/// Every instance whose files a node has, with its cluster; by region, account and the cluster's
/// name.
///
/// # Errors
/// The database's.
pub fn on_node(tx: &mut dyn Tx, node: &str) -> Result<Vec<Member>, CatalogError> {
    let rows = tx.query(
        "SELECT c.body, i.body FROM instances AS i JOIN clusters AS c ON c.resource_id = i.cluster \
         WHERE i.node = ?1 ORDER BY c.region, c.account, c.name, i.id",
        args![node],
    )?;
    let member = |row: &Row| {
        Ok(Member {
            cluster: decode(Cluster::TAG, row.text(0)?)?,
            instance: decode(Instance::TAG, row.text(1)?)?,
        })
    };
    rows.iter().map(member).collect()
}

/// How many clusters have files on a node.
///
/// # Errors
/// The database's.
pub(super) fn clusters_on(tx: &mut dyn Tx, node: &str) -> Result<u64, CatalogError> {
    let rows = tx.query(
        "SELECT count(DISTINCT cluster) FROM instances WHERE node = ?1",
        args![node],
    )?;
    rows.first().map_or(Ok(0), |row| row.count(0))
}

/// Forgets all instances of a cluster.
pub(super) fn delete_of(tx: &mut dyn Tx, cluster: &ResourceId) -> Result<(), CatalogError> {
    for stored in of_cluster(tx, cluster)? {
        delete(tx, &stored.value)?;
    }
    Ok(())
}

/// What a line about a cluster has that was written before there were instances.
#[derive(Deserialize)]
struct Before {
    #[serde(default)]
    placement: Option<Placement>,
}

/// Makes the writer that an older record of a cluster tells of, unless the cluster has instances.
pub(super) fn of_older(
    tx: &mut dyn Tx,
    cluster: &Cluster,
    line: &Value,
) -> Result<(), CatalogError> {
    let before = Before::deserialize(line).map_err(|error| {
        let what = "a cluster out of the record log".to_owned();
        CatalogError::damaged(what, Some(std::sync::Arc::new(error)))
    })?;
    let Some(placement) = before.placement else {
        return Ok(());
    };
    if of_cluster(tx, &cluster.resource_id)?.is_empty() {
        let writer = Instance::first_writer(cluster, placement);
        Instance::put_back(tx, writer, line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::InstanceStatus;

    use super::*;

    #[test]
    fn an_older_record_is_an_available_writer_without_a_name() {
        let body = serde_json::json!({
            "region": "us-east-1", "account": "000000000001",
            "id": "db-ABCDEFGHIJKLMNOPQRSTUVWXYZ", "cluster": "cluster-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
            "role": "writer", "availability_zone": null, "class": null,
            "placement": {"node": "n", "host": "h", "port": 1, "os_uid": null, "attempt": "try-1"},
        });
        let read: Instance = decode(Instance::TAG, &body.to_string()).expect("it reads");
        assert_eq!(
            (&read.name, read.status),
            (&None, InstanceStatus::Available)
        );
        assert_eq!(read.promotion_tier, instance::DEFAULT_TIER);
        assert!(!read.placement.has_peers() && read.placement.has_attempt("try-1"));
    }
}
