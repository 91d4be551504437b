//! DB cluster snapshots: records, whom they are shared with, and the manifests they need.
//!
//! It does not know what a manifest holds. A change of state that `model::SnapshotStatus` does not
//! allow is refused.
//!
//! Pages are ordered by account and name: that key never changes during a record's life, so a
//! walk over the pages meets every snapshot that exists throughout it exactly once.
use std::collections::BTreeMap;

use model::{
    Account, Hash, Region, ResourceId, Snapshot, SnapshotKind, SnapshotName, SnapshotStatus,
    VolumeRef,
};

use serde_json::Value;

use crate::{
    error::CatalogError,
    tables::{
        dirty_volumes,
        record::{self, Record, Table, read},
        recovery_points,
        stored::{Stored, encode, insert_versioned, one_of, update_versioned, word},
    },
    transaction::Tx,
    value::{Arg, Row, Sums, args},
};

/// The grantee that stands for every account.
const ALL: &str = "all";

/// How many snapshots of a kind an account has in a region.
static TALLIES: Sums = Sums {
    table: "snapshot_tallies",
    get: "SELECT tally FROM snapshot_tallies WHERE region = ?1 AND account = ?2 AND kind = ?3",
    add: "INSERT INTO snapshot_tallies (region, account, kind, tally) VALUES (?1, ?2, ?3, ?4) \
          ON CONFLICT (region, account, kind) \
          DO UPDATE SET tally = snapshot_tallies.tally + excluded.tally",
};

/// A name that a filter passes: of one owner's rows, or of every owner's that are in scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameFilter {
    /// Only of this account's rows; none for any.
    pub owner: Option<Account>,
    /// The name in lower case.
    pub name: String,
}

impl NameFilter {
    /// Of any owner.
    pub fn named(name: &str) -> Self {
        Self {
            owner: None,
            name: name.to_owned(),
        }
    }

    /// Whether it passes a name in a row of `owner`.
    pub fn passes(&self, owner: &Account, name: &str) -> bool {
        self.name == name && self.owner.as_ref().is_none_or(|wanted| wanted == owner)
    }

    /// What passes both, if anything does.
    pub fn and(&self, other: &Self) -> Option<Self> {
        let alike = match (&self.owner, &other.owner) {
            (Some(one), Some(two)) => one == two,
            _ => true,
        };
        (alike && self.name == other.name).then(|| Self {
            owner: self.owner.clone().or_else(|| other.owner.clone()),
            name: self.name.clone(),
        })
    }
}

/// Which snapshots a page shows: those in any of the scopes that also pass every filter.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Scope: those that this account owns.
    pub owned_by: Option<Account>,
    /// Scope: others' manual ones that are shared with this account by its id.
    pub shared_with: Option<Account>,
    /// Scope: manual ones shared with all, their owner's included.
    pub public: bool,
    /// Filter: only these kinds; none: all.
    pub kinds: Vec<SnapshotKind>,
    /// Filter: only these names; empty for any.
    pub names: Vec<NameFilter>,
    /// Filter: only of clusters of these names; empty for any.
    pub clusters: Vec<NameFilter>,
    /// Filter: only of this cluster.
    pub resource_id: Option<ResourceId>,
    /// Filter: only of these engines; empty for any.
    pub engines: Vec<String>,
}

/// Where a page ends.
pub type After = (Account, SnapshotName);

fn what(snapshot: &Snapshot) -> String {
    format!("the snapshot {}", snapshot.arn())
}

impl Record for Snapshot {
    const KIND: &'static str = "snapshots";
    const TAG: &'static str = "snapshot";
    const TABLE: Table = Table::new(
        "snapshots",
        3,
        &[
            "region",
            "account",
            "name",
            "kind",
            "status",
            "engine",
            "cluster_name",
            "cluster_resource_id",
            "volume",
            "manifest",
            "version",
            "body",
            "created_at",
        ],
    );
    const DERIVED: &'static [Table] = &[
        Table::new(
            "snapshot_shares",
            4,
            &["region", "grantee", "account", "name"],
        ),
        Table::new(
            "snapshot_tallies",
            3,
            &["region", "account", "kind", "tally"],
        ),
        recovery_points::TABLE,
    ];

    fn region(&self) -> Option<&Region> {
        Some(&self.region)
    }

    fn key(&self) -> Vec<&str> {
        vec![self.account.as_str(), self.name.as_str()]
    }

    fn put_back(tx: &mut dyn Tx, record: Self, _line: &Value) -> Result<(), CatalogError> {
        insert(tx, record).map(drop)
    }
}

/// Keeps a new snapshot.
///
/// # Errors
/// `Conflict` when its name is taken.
pub fn insert(tx: &mut dyn Tx, snapshot: Snapshot) -> Result<Stored<Snapshot>, CatalogError> {
    let stored = insert_versioned(tx, snapshot, what, |tx, snapshot, version| {
        tx.execute(
            "INSERT INTO snapshots (region, account, name, kind, status, engine, cluster_name, \
             cluster_resource_id, volume, manifest, version, body, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT DO NOTHING",
            args![
                &snapshot.region,
                &snapshot.account,
                snapshot.name.as_str(),
                snapshot.kind.as_str(),
                snapshot.status.as_str(),
                &snapshot.engine,
                snapshot.cluster_name.as_str(),
                snapshot.cluster_resource_id.as_str(),
                snapshot.content.as_ref().map(|content| &content.volume),
                snapshot.content.as_ref().map(|content| content.manifest),
                version,
                encode(snapshot),
                snapshot.created_at
            ],
        )
    })?;
    write_shares(tx, &stored.value)?;
    recovery_points::write(tx, &stored.value)?;
    tally(tx, &stored.value, 1)?;
    log(tx, &stored.value, stored.version)?;
    Ok(stored)
}

fn log(tx: &mut dyn Tx, snapshot: &Snapshot, version: u64) -> Result<(), CatalogError> {
    let parts = [snapshot.account.as_str(), snapshot.name.as_str()];
    record::log::<Snapshot>(tx, Some(&snapshot.region), &parts, version)
}

/// Finds a snapshot by its name.
///
/// # Errors
/// The database's.
pub fn get(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    name: &SnapshotName,
) -> Result<Option<Stored<Snapshot>>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM snapshots WHERE region = ?1 AND account = ?2 AND name = ?3",
        args![region, account, name.as_str()],
    )?;
    Ok(read(&rows)?.pop())
}

/// Whether a snapshot is still as it was read.
///
/// # Errors
/// The database's.
pub fn is_still(tx: &mut dyn Tx, stored: &Stored<Snapshot>) -> Result<bool, CatalogError> {
    let snapshot = &stored.value;
    let rows = tx.query(
        "SELECT 1 FROM snapshots \
         WHERE region = ?1 AND account = ?2 AND name = ?3 AND version = ?4",
        args![
            &snapshot.region,
            &snapshot.account,
            snapshot.name.as_str(),
            stored.version
        ],
    )?;
    Ok(!rows.is_empty())
}

/// Writes a changed record, and whom it is shared with; region, account, name and kind stay.
///
/// # Errors
/// `Stale` when it was changed or deleted since `stored` was read, `IllegalMove` when a snapshot
/// that stands where it did cannot become what this one is.
pub fn update(tx: &mut dyn Tx, stored: Stored<Snapshot>) -> Result<Stored<Snapshot>, CatalogError> {
    let before = row(tx, &stored.value)?;
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
        let snapshot = &stored.value;
        tx.execute(
            "UPDATE snapshots SET status = ?5, engine = ?6, cluster_name = ?7, \
             cluster_resource_id = ?8, volume = ?9, manifest = ?10, version = ?11, body = ?12, \
             created_at = ?13 \
             WHERE region = ?1 AND account = ?2 AND name = ?3 AND version = ?4",
            args![
                &snapshot.region,
                &snapshot.account,
                snapshot.name.as_str(),
                stored.version,
                snapshot.status.as_str(),
                &snapshot.engine,
                snapshot.cluster_name.as_str(),
                snapshot.cluster_resource_id.as_str(),
                snapshot.content.as_ref().map(|content| &content.volume),
                snapshot.content.as_ref().map(|content| content.manifest),
                version,
                encode(snapshot),
                snapshot.created_at
            ],
        )
    })?;
    let snapshot = &stored.value;
    clear_shares(tx, &snapshot.region, &snapshot.account, &snapshot.name)?;
    write_shares(tx, snapshot)?;
    recovery_points::write(tx, snapshot)?;
    log(tx, snapshot, stored.version)?;
    let after = snapshot.content.as_ref();
    if let Some((volume, manifest)) = before.and_then(|row| row.root)
        && after.is_none_or(|content| content.volume != volume || content.manifest != manifest)
    {
        dirty_volumes::root_ended(tx, &snapshot.region, &volume, manifest)?;
    }
    Ok(stored)
}

/// What the row of a snapshot's name says of it.
struct Kept {
    version: u64,
    status: SnapshotStatus,
    /// The manifest that it needs.
    root: Option<(VolumeRef, Hash)>,
}

fn row(tx: &mut dyn Tx, snapshot: &Snapshot) -> Result<Option<Kept>, CatalogError> {
    let rows = tx.query(
        "SELECT version, status, volume, manifest FROM snapshots \
         WHERE region = ?1 AND account = ?2 AND name = ?3",
        args![&snapshot.region, &snapshot.account, snapshot.name.as_str()],
    )?;
    let kept = |row: &Row| {
        Ok(Kept {
            version: row.count(0)?,
            status: word(row, 1)?,
            root: match row.text_or_null(3)? {
                Some(_) => Some((row.parsed(2)?, row.parsed(3)?)),
                None => None,
            },
        })
    };
    rows.first().map(kept).transpose()
}

/// Forgets a snapshot; answers whether there was one.
///
/// # Errors
/// The database's.
pub fn delete(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    name: &SnapshotName,
) -> Result<bool, CatalogError> {
    let Some(stored) = get(tx, region, account, name)? else {
        return Ok(false);
    };
    tx.execute(
        "DELETE FROM snapshots WHERE region = ?1 AND account = ?2 AND name = ?3",
        args![region, account, name.as_str()],
    )?;
    clear_shares(tx, region, account, name)?;
    recovery_points::forget(tx, &stored.value)?;
    tally(tx, &stored.value, -1)?;
    let version = tx.next_version()?;
    log(tx, &stored.value, version)?;
    if let Some(content) = &stored.value.content {
        dirty_volumes::root_ended(tx, region, &content.volume, content.manifest)?;
    }
    Ok(true)
}

/// How many manual snapshots an account has in a region, at the cost of one look.
///
/// # Errors
/// The database's.
pub fn count_manual(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
) -> Result<u64, CatalogError> {
    let key = [
        region.as_str(),
        account.as_str(),
        SnapshotKind::Manual.as_str(),
    ];
    tx.sum(&TALLIES, &key)
        .map(|count| u64::try_from(count).unwrap_or_default())
}

/// The snapshots of a kind, of all accounts, by account and name, from the one behind `after` on;
/// at most `limit`.
///
/// # Errors
/// The database's.
pub fn of_kind(
    tx: &mut dyn Tx,
    region: &Region,
    kind: SnapshotKind,
    after: Option<&After>,
    limit: usize,
) -> Result<Vec<Stored<Snapshot>>, CatalogError> {
    let (account, name) = after.map_or(("", ""), |(account, name)| {
        (account.as_str(), name.as_str())
    });
    let rows = tx.query(
        "SELECT version, body FROM snapshots WHERE region = ?1 AND kind = ?2 \
         AND (?3, ?4) < (account, name) ORDER BY account, name LIMIT ?5",
        args![region, kind.as_str(), account, name, limit],
    )?;
    read(&rows)
}

/// How many snapshots of a cluster are being taken, of one kind or of any.
///
/// # Errors
/// The database's.
pub fn count_creating(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    cluster: &ResourceId,
    kind: Option<SnapshotKind>,
) -> Result<u64, CatalogError> {
    let mut sql = "SELECT count(*) FROM snapshots WHERE region = ?1 AND account = ?2 \
                   AND cluster_resource_id = ?3 AND status = ?4"
        .to_owned();
    let mut args = vec![
        region.into(),
        account.into(),
        cluster.as_str().into(),
        SnapshotStatus::Creating.as_str().into(),
    ];
    one_of(&mut sql, &mut args, "kind", kind.map(SnapshotKind::as_str));
    let rows = tx.query(&sql, &args)?;
    rows.first().map_or(Ok(0), |row| row.count(0))
}

/// A page of snapshots by account and name, from the one behind `after` on; at most `limit`.
///
/// # Errors
/// The database's.
pub fn page(
    tx: &mut dyn Tx,
    region: &Region,
    selection: &Selection,
    after: Option<&After>,
    limit: usize,
) -> Result<Vec<Stored<Snapshot>>, CatalogError> {
    let mut found = BTreeMap::new();
    let mut add = |rows: Vec<Row>| -> Result<(), CatalogError> {
        for stored in read::<Snapshot>(&rows)? {
            let key = (stored.value.account.clone(), stored.value.name.clone());
            found.insert(key, stored);
        }
        Ok(())
    };
    // A row's page is the same whichever scope it is found in, so `limit` of each are enough.
    if let Some(owner) = &selection.owned_by {
        let from = match after {
            Some((account, name)) if account == owner => Some(name.as_str()),
            Some((account, _)) if owner < account => None,
            _ => Some(""),
        };
        if let Some(from) = from {
            let mut query = Query {
                sql: "SELECT version, body FROM snapshots AS s \
                      WHERE s.region = ?1 AND s.account = ?2 AND ?3 < s.name"
                    .to_owned(),
                args: vec![region.into(), owner.into(), from.into()],
            };
            add(query.filtered(selection).run(tx, "s.name", limit)?)?;
        }
    }
    let grantees = [
        selection.shared_with.as_ref().map(Account::as_str),
        selection.public.then_some(ALL),
    ];
    for grantee in grantees.into_iter().flatten() {
        let (account, name) = after.map_or(("", ""), |(account, name)| {
            (account.as_str(), name.as_str())
        });
        let mut query = Query {
            sql: "SELECT s.version, s.body FROM snapshot_shares AS g \
                  JOIN snapshots AS s ON s.region = g.region AND s.account = g.account \
                  AND s.name = g.name WHERE g.region = ?1 AND g.grantee = ?2 \
                  AND (?3, ?4) < (g.account, g.name)"
                .to_owned(),
            args: vec![region.into(), grantee.into(), account.into(), name.into()],
        };
        let rows = query
            .filtered(selection)
            .run(tx, "g.account, g.name", limit)?;
        add(rows)?;
    }
    Ok(found.into_values().take(limit).collect())
}

/// The snapshots of an account that have their bytes in a volume, the last changed first; at
/// most `limit`.
///
/// # Errors
/// The database's.
pub fn in_volume(
    tx: &mut dyn Tx,
    region: &Region,
    volume: &VolumeRef,
    account: &Account,
    limit: usize,
) -> Result<Vec<Stored<Snapshot>>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM snapshots WHERE region = ?1 AND volume = ?2 \
         AND account = ?3 AND manifest IS NOT NULL ORDER BY version DESC LIMIT ?4",
        args![region, volume, account, limit],
    )?;
    read(&rows)
}

/// The manifests in a volume that live records need: snapshots' own, and the bases that
/// clusters compare their next snapshot with. Each once.
///
/// # Errors
/// The database's.
pub fn roots(
    tx: &mut dyn Tx,
    region: &Region,
    volume: &VolumeRef,
) -> Result<Vec<Hash>, CatalogError> {
    // From one manifest to the next one in the index: a manifest of many copies costs one step.
    let rows = tx.query(
        "SELECT manifest FROM (WITH RECURSIVE found (manifest) AS ( \
         SELECT min(manifest) FROM snapshots \
         WHERE region = ?1 AND volume = ?2 AND manifest IS NOT NULL \
         UNION ALL SELECT (SELECT min(s.manifest) FROM snapshots AS s \
         WHERE s.region = ?1 AND s.volume = ?2 AND found.manifest < s.manifest) \
         FROM found WHERE found.manifest IS NOT NULL) \
         SELECT manifest FROM found WHERE manifest IS NOT NULL) AS own \
         UNION SELECT base_manifest FROM clusters \
         WHERE region = ?1 AND volume = ?2 AND base_manifest IS NOT NULL",
        args![region, volume],
    )?;
    rows.iter().map(|row| row.parsed(0)).collect()
}

/// Who needs a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// Snapshots, whosever they are.
    pub snapshots: u64,
    /// Whether a cluster compares its next snapshot with it.
    pub is_base: bool,
}

/// Who needs a manifest of a volume; snapshots are counted up to `limit`.
///
/// # Errors
/// The database's.
pub fn need_of(
    tx: &mut dyn Tx,
    region: &Region,
    volume: &VolumeRef,
    manifest: Hash,
    limit: usize,
) -> Result<Need, CatalogError> {
    let rows = tx.query(
        "SELECT count(*), (SELECT count(*) FROM clusters WHERE region = ?1 AND volume = ?2 \
         AND base_manifest = ?3) FROM (SELECT 1 AS one FROM snapshots \
         WHERE region = ?1 AND volume = ?2 AND manifest = ?3 LIMIT ?4) AS found",
        args![region, volume, manifest, limit],
    )?;
    let row = rows.first().map(|row| Ok((row.count(0)?, row.count(1)?)));
    let (snapshots, bases) = row.transpose()?.unwrap_or_default();
    Ok(Need {
        snapshots,
        is_base: bases != 0,
    })
}

/// Names of any owner as [`one_of`]; with those of one owner, a condition for each.
fn wanted<'a>(sql: &mut String, args: &mut Vec<Arg<'a>>, column: &str, names: &'a [NameFilter]) {
    if names.iter().all(|wanted| wanted.owner.is_none()) {
        let names = names.iter().map(|wanted| wanted.name.as_str());
        return one_of(sql, args, column, names);
    }
    let mut place = |arg: Arg<'a>| {
        args.push(arg);
        args.len()
    };
    let terms: Vec<String> = names
        .iter()
        .map(|wanted| match &wanted.owner {
            None => format!("{column} = ?{}", place(wanted.name.as_str().into())),
            Some(owner) => format!(
                "({column} = ?{} AND s.account = ?{})",
                place(wanted.name.as_str().into()),
                place(owner.into())
            ),
        })
        .collect();
    sql.push_str(&format!(" AND ({})", terms.join(" OR ")));
}

struct Query<'a> {
    sql: String,
    args: Vec<Arg<'a>>,
}

impl<'a> Query<'a> {
    fn filtered(&mut self, selection: &'a Selection) -> &mut Self {
        let (sql, args) = (&mut self.sql, &mut self.args);
        let resource = selection.resource_id.as_ref().map(ResourceId::as_str);
        // Literals: arguments would hide that an index of one kind serves.
        let literal = |kind: &SnapshotKind| format!("'{}'", kind.as_str());
        match selection.kinds.as_slice() {
            [] => {}
            [kind] => sql.push_str(&format!(" AND s.kind = {}", literal(kind))),
            kinds => {
                let kinds: Vec<String> = kinds.iter().map(literal).collect();
                sql.push_str(&format!(" AND s.kind IN ({})", kinds.join(", ")));
            }
        }
        one_of(sql, args, "s.cluster_resource_id", resource);
        let engines = selection.engines.iter().map(String::as_str);
        one_of(sql, args, "s.engine", engines);
        wanted(sql, args, "s.name", &selection.names);
        wanted(sql, args, "s.cluster_name", &selection.clusters);
        self
    }

    fn run(
        &mut self,
        tx: &mut dyn Tx,
        order: &str,
        limit: usize,
    ) -> Result<Vec<Row>, CatalogError> {
        self.args.push(limit.into());
        let place = self.args.len();
        self.sql
            .push_str(&format!(" ORDER BY {order} LIMIT ?{place}"));
        tx.query(&self.sql, &self.args)
    }
}

fn clear_shares(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    name: &SnapshotName,
) -> Result<(), CatalogError> {
    tx.execute(
        "DELETE FROM snapshot_shares WHERE region = ?1 AND account = ?2 AND name = ?3",
        args![region, account, name.as_str()],
    )?;
    Ok(())
}

/// Only manual snapshots are shared, as `Snapshot::is_open_to` says.
fn write_shares(tx: &mut dyn Tx, snapshot: &Snapshot) -> Result<(), CatalogError> {
    if snapshot.kind != SnapshotKind::Manual {
        return Ok(());
    }
    for grantee in &snapshot.shared_with {
        tx.execute(
            "INSERT INTO snapshot_shares (region, grantee, account, name) \
             VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            args![
                &snapshot.region,
                grantee,
                &snapshot.account,
                snapshot.name.as_str()
            ],
        )?;
    }
    Ok(())
}

fn tally(tx: &mut dyn Tx, snapshot: &Snapshot, change: i64) -> Result<(), CatalogError> {
    let key = [
        snapshot.region.as_str(),
        snapshot.account.as_str(),
        snapshot.kind.as_str(),
    ];
    tx.add(&TALLIES, &key, change)
}
