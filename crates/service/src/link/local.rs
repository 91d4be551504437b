//! A link inside one process: both vaults are at hand.
use vault::{Condemned, Observer, Shipment, Shipped, Vault, VaultError};

use super::{Link, Wanted};

/// Reads a source region that this process hosts too.
#[derive(Debug)]
pub struct LocalLink {
    from: Vault,
    absent: Condemned,
}

impl LocalLink {
    /// Reads that region's vault, but for the names that are condemned in it.
    pub fn new(from: Vault, absent: Condemned) -> Self {
        Self { from, absent }
    }
}

impl Link for LocalLink {
    async fn fetch(
        &self,
        wanted: Wanted<'_>,
        observer: &dyn Observer,
    ) -> Result<Shipped, VaultError> {
        let shipment = Shipment {
            from: &self.from,
            to: wanted.to,
            volume: wanted.volume,
            manifest: wanted.manifest,
            condemned_here: &self.absent,
            condemned_there: wanted.absent_there,
            throttle: wanted.throttle,
        };
        vault::ship(shipment, observer).await
    }
}
