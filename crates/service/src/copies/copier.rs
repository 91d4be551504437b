//! Who makes copies of snapshots.
use model::{Account, Region};

use crate::context::ServiceContext;

/// Who makes copies, and where.
#[derive(Debug, Clone, Copy)]
pub struct Copier<'a> {
    /// The rooms.
    pub context: &'a ServiceContext,
    /// Who may read the source.
    pub reader: &'a Account,
    /// Whose the copy is.
    pub account: &'a Account,
    /// The copy's region.
    pub region: &'a Region,
}
