//! What an account owns: what would be left behind if it were deleted.
//!
//! It does not know which records there are: `recorded` lists them.
use model::Account;

use crate::{
    error::CatalogError,
    tables::{record::Record, recorded::RECORDS},
    transaction::Tx,
    value::args,
};

/// How much an account owns, in all regions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Ways in, which go with their account.
    pub access_keys: u64,
    /// Records that would be left behind, by their word; those that there are.
    pub records: Vec<(&'static str, u64)>,
    /// Jobs that have not ended.
    pub jobs: u64,
}

impl Holdings {
    /// Whether nothing would be left behind.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.jobs == 0
    }

    /// How many records of a kind would be left behind.
    pub fn of<R: Record>(&self) -> u64 {
        let found = self.records.iter().find(|(word, _)| *word == R::WORD);
        found.map_or(0, |(_, count)| *count)
    }
}

/// What an account owns.
///
/// # Errors
/// The database's.
pub fn of_account(tx: &mut dyn Tx, id: &Account) -> Result<Holdings, CatalogError> {
    let mut count = |sql: &str| -> Result<u64, CatalogError> {
        let rows = tx.query(sql, args![id])?;
        rows.first().map_or(Ok(0), |row| row.count(0))
    };
    let access_keys = count("SELECT count(*) FROM access_keys WHERE account = ?1")?;
    let jobs = count("SELECT count(*) FROM jobs WHERE account = ?1 AND state = 'open'")?;
    let mut records = Vec::new();
    for kind in RECORDS {
        match (kind.holdings)(tx, id)? {
            0 => {}
            kept => records.push((kind.word, kept)),
        }
    }
    Ok(Holdings {
        access_keys,
        records,
        jobs,
    })
}
