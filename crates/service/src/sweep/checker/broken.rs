//! Rules that can be broken one at a time, so that the checker can be seen to notice.
//!
//! It does not know in which order things happen then.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use catalog::{Arg, CatalogError, Row, Tx};
use model::Timestamp;

/// A rule that an actor breaks, so that the checker can be seen to notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// None.
    Nothing,
    /// The sweep takes no heed of open jobs.
    SweepHeedsNoPins,
    /// The sweep does not look at roots and pins again before it condemns and deletes.
    SweepLooksOnce,
    /// Writers take condemned objects for present.
    WritersTakeCondemned,
    /// A snapshot's record is committed before its objects are written.
    RecordComesFirst,
    /// Jobs name nothing that they need.
    JobsPinNothing,
    /// The sweep deletes what it has just condemned.
    SweepWaitsNoGrace,
    /// An object written anew gets the name that it had before.
    NamesAreReused,
}

/// Answers that a rule-breaking actor keeps instead of asking again.
pub(super) type Seen = Arc<Mutex<HashMap<String, Vec<Row>>>>;

/// A transaction in which some answers are not what they are.
pub(super) struct BentTx<'a> {
    pub(super) tx: &'a mut dyn Tx,
    pub(super) broken: Broken,
    pub(super) seen: &'a Mutex<HashMap<String, Vec<Row>>>,
}

impl Tx for BentTx<'_> {
    fn now(&self) -> Timestamp {
        self.tx.now()
    }

    fn execute(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<u64, CatalogError> {
        self.tx.execute(sql, args)
    }

    fn query(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<Vec<Row>, CatalogError> {
        let pins = sql.contains("FROM job_pins");
        let roots = sql.contains("UNION SELECT base_manifest FROM clusters");
        let condemned = sql.starts_with("SELECT path FROM condemned") && sql.contains("?2 <= path");
        match self.broken {
            Broken::SweepHeedsNoPins if pins => Ok(Vec::new()),
            Broken::WritersTakeCondemned if condemned => Ok(Vec::new()),
            Broken::SweepLooksOnce if pins || roots => {
                // Of a region and volume, whatever the time.
                let key = format!("{sql} {:?}", args.get(..2));
                if let Some(rows) = self.seen.lock().expect("no holder panics").get(&key) {
                    return Ok(rows.clone());
                }
                let rows = self.tx.query(sql, args)?;
                self.seen
                    .lock()
                    .expect("no holder panics")
                    .insert(key, rows.clone());
                Ok(rows)
            }
            _ => self.tx.query(sql, args),
        }
    }

    fn version(&mut self) -> Result<u64, CatalogError> {
        self.tx.version()
    }

    fn durable_version(&mut self) -> Result<u64, CatalogError> {
        self.tx.durable_version()
    }

    fn next_version(&mut self) -> Result<u64, CatalogError> {
        self.tx.next_version()
    }

    fn raise_version(&mut self, floor: u64) -> Result<(), CatalogError> {
        self.tx.raise_version(floor)
    }
}
