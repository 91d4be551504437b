//! The audit log of a data folder.
//!
//! It does not know what is recorded.
use audit::{AuditError, AuditLog, ROTATE_BYTES};
use data_encoding::HEXLOWER;

use crate::deployment::data_dir::DataDir;

/// Bytes of a chain's name.
const NAME_BYTES: usize = 16;

/// Opens it, and goes on where the process before ended.
///
/// # Errors
/// When its folder or its last file cannot be used.
pub(crate) fn open(dir: &DataDir) -> Result<AuditLog, AuditError> {
    AuditLog::open(&dir.audit(), ROTATE_BYTES, || {
        let mut bytes = [0; NAME_BYTES];
        // A name tells chains apart, and no more: one of zeros does so too.
        let _ = kms::fill_random(&mut bytes);
        HEXLOWER.encode(&bytes)
    })
}
