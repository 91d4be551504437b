//! The records that the record log carries: found by their paths, walked over, and put back.
//!
//! It does not know how the log keeps them. What is not among them (jobs, events, tombstones) is
//! gone with a lost catalog.
use std::{collections::BTreeMap, fmt};

use model::{
    Account, BackupJob, BackupPlan, BackupSelection, BackupSettings, BackupVault, Cluster, Drill,
    Grant, Instance, Key, LegalHold, ParameterGroup, PlanVersion, ReceiptChain, Region,
    RestoreTestingPlan, RestoreTestingSelection, RetainedBackup, Snapshot, SubnetGroup,
    Subscription,
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _},
    ser::SerializeMap,
};
use serde_json::value::RawValue;

use crate::{
    error::CatalogError,
    tables::{
        access_keys::AccessKey,
        accounts::AccountRow,
        keys::Alias,
        meta::Note,
        record::{self, Record, Table},
        stored::Stored,
    },
    transaction::Tx,
    value::args,
};

/// Every kind of record, each behind those that it needs.
pub static RECORDS: &[Kind] = &[
    kind::<AccountRow>(),
    kind::<AccessKey>(),
    kind::<Note>(),
    kind::<Key>(),
    kind::<Alias>(),
    kind::<Grant>(),
    kind::<SubnetGroup>(),
    kind::<ParameterGroup>(),
    kind::<Subscription>(),
    kind::<Cluster>(),
    kind::<Instance>(),
    kind::<RetainedBackup>(),
    kind::<Snapshot>(),
    kind::<BackupVault>(),
    kind::<BackupSettings>(),
    kind::<LegalHold>(),
    kind::<BackupJob>(),
    kind::<BackupPlan>(),
    kind::<PlanVersion>(),
    kind::<BackupSelection>(),
    kind::<RestoreTestingPlan>(),
    kind::<RestoreTestingSelection>(),
    kind::<Drill>(),
    kind::<ReceiptChain>(),
];

type Page = fn(&mut dyn Tx, Option<&Region>, Option<&Recorded>, usize) -> Found<Vec<Versioned>>;
type Found<T> = Result<T, CatalogError>;

/// A kind of record, whatever its type.
#[derive(Debug)]
pub struct Kind {
    /// The first part of its records' paths.
    pub name: &'static str,
    /// What people call one of its records.
    pub word: &'static str,
    tag: &'static str,
    /// Its rows.
    pub(crate) table: Table,
    /// Tables whose rows follow from its own.
    pub(crate) derived: &'static [Table],
    find: fn(&mut dyn Tx, &str) -> Found<Option<Recorded>>,
    page: Page,
    put_back: fn(&mut dyn Tx, &Recorded) -> Found<()>,
    /// How many of an account's keep it from being deleted.
    pub(super) holdings: fn(&mut dyn Tx, &Account) -> Found<u64>,
}

const fn kind<R: Record>() -> Kind {
    Kind {
        name: R::KIND,
        word: R::WORD,
        tag: R::TAG,
        table: R::TABLE,
        derived: R::DERIVED,
        find: |tx, tail| Ok(record::find::<R>(tx, tail)?.map(|stored| Recorded::of(&stored.value))),
        page: |tx, region, after, limit| {
            let after = after.map(Recorded::read::<R>).transpose()?;
            let rows = record::page::<R>(tx, region, after.as_ref(), limit)?;
            Ok(rows.iter().map(Versioned::of).collect())
        },
        holdings: record::holdings::<R>,
        put_back: |tx, record| R::put_back(tx, record.read()?, &record.parsed(R::TAG)?),
    }
}

impl Kind {
    /// Whether its records belong to a region.
    pub fn is_regional(&self) -> bool {
        self.table.key().first() == Some(&"region")
    }

    /// The kind of a path's record, and what follows it; none for a path of no record.
    fn of_path(path: &str) -> Option<(&'static Self, &str)> {
        let (name, tail) = path.split_once('/')?;
        let kind = RECORDS.iter().find(|kind| kind.name == name)?;
        Some((kind, tail))
    }
}

/// Whether a path is of a record of no region.
pub fn is_global(path: &str) -> bool {
    Kind::of_path(path).is_some_and(|(kind, _)| !kind.is_regional())
}

/// A record as the record log has it: one field, named by its kind, with its document.
#[derive(Clone)]
pub struct Recorded {
    tag: &'static str,
    /// As text: each copy's record passes here, and nobody looks into it.
    body: Box<RawValue>,
}

impl PartialEq for Recorded {
    fn eq(&self, other: &Self) -> bool {
        (self.tag, self.body.get()) == (other.tag, other.body.get())
    }
}

impl Eq for Recorded {}

impl fmt::Debug for Recorded {
    /// Records hold sealed secrets: only the kind is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recorded {}", self.tag)
    }
}

impl Recorded {
    /// A record's.
    pub fn of<R: Record>(record: &R) -> Self {
        Self {
            tag: R::TAG,
            body: serde_json::value::to_raw_value(record).expect("records have text keys"),
        }
    }

    /// Its kind.
    pub fn kind(&self) -> &'static Kind {
        let kind = RECORDS.iter().find(|kind| kind.tag == self.tag);
        kind.expect("a record is made of a kind that is listed")
    }

    /// The record.
    ///
    /// # Errors
    /// `Damaged` when it is of another kind, or does not read.
    pub fn read<R: Record>(&self) -> Result<R, CatalogError> {
        if self.tag != R::TAG {
            return Err(CatalogError::damaged(
                format!("{} where a {} belongs", self.tag, R::TAG),
                None,
            ));
        }
        self.parsed(R::TAG)
    }

    fn parsed<T: DeserializeOwned>(&self, tag: &str) -> Result<T, CatalogError> {
        serde_json::from_str(self.body.get()).map_err(|error| {
            let what = format!("a {tag} out of the record log");
            CatalogError::damaged(what, Some(std::sync::Arc::new(error)))
        })
    }
}

impl Serialize for Recorded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.tag, &self.body)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Recorded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map: BTreeMap<String, Box<RawValue>> = Deserialize::deserialize(deserializer)?;
        let mut fields = map.into_iter();
        let (Some((tag, body)), None) = (fields.next(), fields.next()) else {
            return Err(D::Error::custom("a record is one field"));
        };
        match RECORDS.iter().find(|kind| kind.tag == tag) {
            Some(kind) => Ok(Self {
                tag: kind.tag,
                body,
            }),
            None => Err(D::Error::custom("a record of no known kind")),
        }
    }
}

/// A record, and the version of the state that it shows; 0 where its table has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// Its path.
    pub path: String,
    /// Rises with every change.
    pub version: u64,
    /// The record.
    pub record: Recorded,
}

impl Versioned {
    fn of<R: Record>(stored: &Stored<R>) -> Self {
        Self {
            path: stored.value.path(),
            version: stored.version,
            record: Recorded::of(&stored.value),
        }
    }
}

/// The record of a path as it now is; none when it is gone.
///
/// # Errors
/// `Damaged` when the path is of no record.
pub fn find(tx: &mut dyn Tx, path: &str) -> Result<Option<Recorded>, CatalogError> {
    let Some((kind, tail)) = Kind::of_path(path) else {
        let what = format!("the outbox entry about {path}");
        return Err(CatalogError::damaged(what, None));
    };
    (kind.find)(tx, tail)
}

/// The records of a kind, of a region where it has one, in the order of their keys, from the one
/// behind `after` on; at most `limit`.
///
/// # Errors
/// The database's.
pub fn page(
    tx: &mut dyn Tx,
    kind: &Kind,
    region: Option<&Region>,
    after: Option<&Recorded>,
    limit: usize,
) -> Result<Vec<Versioned>, CatalogError> {
    (kind.page)(tx, region, after, limit)
}

/// Puts a record into a catalog that does not have it.
///
/// # Errors
/// `Conflict` when it is there already, `Damaged` when it does not read.
pub fn put_back(tx: &mut dyn Tx, record: &Recorded) -> Result<(), CatalogError> {
    (record.kind().put_back)(tx, record)
}

/// Whether nothing of what the record log carries, and no job, is in the catalog. Notes are in
/// every catalog.
///
/// # Errors
/// The database's.
pub fn is_empty(tx: &mut dyn Tx) -> Result<bool, CatalogError> {
    let tables = RECORDS.iter().map(|kind| &kind.table);
    let whole = tables.filter(|table| table.only.is_none());
    for table in whole.map(|table| table.name).chain(["jobs"]) {
        let one = format!("SELECT 1 FROM {table} LIMIT ?1");
        if !tx.query(&one, args![1_usize])?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes all records.
///
/// # Errors
/// The database's.
pub(crate) fn clear(tx: &mut dyn Tx) -> Result<(), CatalogError> {
    for kind in RECORDS {
        for table in std::iter::once(&kind.table).chain(kind.derived) {
            tx.execute(
                &format!("DELETE FROM {}{}", table.name, table.condition()),
                &[],
            )?;
        }
    }
    Ok(())
}
