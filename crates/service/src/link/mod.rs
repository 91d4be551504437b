//! How one region reads another's vault. In one process a link is a function call; between
//! deployments it will be HTTP.
mod local;

use std::sync::Arc;

use model::{Hash, VolumeRef};
use vault::{Condemned, Observer, Shipped, Throttle, Vault, VaultError};

pub use local::LocalLink;

/// What is to be fetched, and where to.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The vault that is to hold it.
    pub to: &'a Vault,
    /// The volume, which has the same path in both vaults.
    pub volume: &'a VolumeRef,
    /// The snapshot.
    pub manifest: Hash,
    /// Names in the target vault that count as absent.
    pub absent_there: &'a Condemned,
    /// What all copies into the target's region share.
    pub throttle: Option<&'a Arc<Throttle>>,
}

/// Reads one source region.
pub trait Link {
    /// Brings what a manifest reaches into the target, but for what is held there: verified,
    /// and durable when this answers.
    ///
    /// # Errors
    /// The vault's, naming the object.
    fn fetch(
        &self,
        wanted: Wanted<'_>,
        observer: &dyn Observer,
    ) -> impl Future<Output = Result<Shipped, VaultError>> + Send;
}
