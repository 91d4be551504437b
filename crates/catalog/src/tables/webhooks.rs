//! How far each webhook has come in the events.
//!
//! It does not know what is sent, nor how.
use crate::{error::CatalogError, transaction::Tx, value::args};

/// The number of the newest event that an address has taken; none for a new address.
///
/// # Errors
/// The database's.
pub fn place(tx: &mut dyn Tx, address: &str) -> Result<Option<i64>, CatalogError> {
    let rows = tx.query(
        "SELECT seq FROM webhooks WHERE address = ?1",
        args![address],
    )?;
    rows.first().map(|row| row.int(0)).transpose()
}

/// Keeps how far an address has come; never takes it back.
///
/// # Errors
/// The database's.
pub fn keep(tx: &mut dyn Tx, address: &str, seq: i64) -> Result<(), CatalogError> {
    tx.execute(
        "INSERT INTO webhooks (address, seq) VALUES (?1, ?2) ON CONFLICT (address) \
         DO UPDATE SET seq = excluded.seq WHERE webhooks.seq < excluded.seq",
        args![address, seq],
    )?;
    Ok(())
}

/// Forgets the places of addresses that are not among `addresses`.
///
/// # Errors
/// The database's.
pub fn forget_others(tx: &mut dyn Tx, addresses: &[String]) -> Result<(), CatalogError> {
    for row in tx.query("SELECT address FROM webhooks", &[])? {
        let address = row.text(0)?;
        if !addresses.iter().any(|known| known == address) {
            tx.execute("DELETE FROM webhooks WHERE address = ?1", args![address])?;
        }
    }
    Ok(())
}
