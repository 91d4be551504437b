//! How instances' servers stand to the parameters that are wanted of them; no row for one in sync.
//!
//! It does not know the parameters.
use model::InstanceId;

use crate::{error::CatalogError, transaction::Tx, value::args};

/// How a server stands to its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterStatus {
    /// It has them all.
    InSync,
    /// It was given another group, whose values are on their way.
    Applying,
    /// Some wait for its restart.
    PendingReboot,
    /// It did not start with them, and has those before.
    Refused,
}

impl ParameterStatus {
    /// The word in answers. RDS has none for what a server refuses: that waits, too.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InSync => "in-sync",
            Self::Applying => "applying",
            Self::PendingReboot | Self::Refused => "pending-reboot",
        }
    }

    /// The word in rows.
    fn word(self) -> &'static str {
        match self {
            Self::InSync => "in-sync",
            Self::Applying => "applying",
            Self::PendingReboot => "pending-reboot",
            Self::Refused => "refused",
        }
    }
}

/// How an instance's server stands to its parameters.
///
/// # Errors
/// The database's.
pub fn of(tx: &mut dyn Tx, instance: &InstanceId) -> Result<ParameterStatus, CatalogError> {
    let rows = tx.query(
        "SELECT status FROM parameter_status WHERE instance = ?1",
        args![instance.as_str()],
    )?;
    let Some(row) = rows.first() else {
        return Ok(ParameterStatus::InSync);
    };
    let word = row.text(0)?;
    let known = [ParameterStatus::Applying, ParameterStatus::Refused];
    let found = known.into_iter().find(|status| status.word() == word);
    Ok(found.unwrap_or(ParameterStatus::PendingReboot))
}

/// Notes how an instance's server stands to its parameters; answers whether that is news.
///
/// # Errors
/// The database's.
pub fn note(
    tx: &mut dyn Tx,
    instance: &InstanceId,
    status: ParameterStatus,
) -> Result<bool, CatalogError> {
    if of(tx, instance)? == status {
        return Ok(false);
    }
    match status {
        ParameterStatus::InSync => forget(tx, instance)?,
        _ => {
            tx.execute(
                "INSERT INTO parameter_status (instance, status) VALUES (?1, ?2) \
                 ON CONFLICT (instance) DO UPDATE SET status = excluded.status",
                args![instance.as_str(), status.word()],
            )?;
        }
    }
    Ok(true)
}

/// Forgets an instance.
///
/// # Errors
/// The database's.
pub(super) fn forget(tx: &mut dyn Tx, instance: &InstanceId) -> Result<(), CatalogError> {
    tx.execute(
        "DELETE FROM parameter_status WHERE instance = ?1",
        args![instance.as_str()],
    )?;
    Ok(())
}
