//! A link inside one process: both vaults are at hand.
use vault::{Condemned, Copied, CopyJob, Observer, ReadFrom, Vault, VaultError};

use super::{FetchRequest, Link};

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
        wanted: FetchRequest<'_>,
        observer: &dyn Observer,
    ) -> Result<Copied, VaultError> {
        let job = CopyJob {
            from: ReadFrom::Vault(&self.from, &self.absent),
            to: wanted.to,
            volume: wanted.volume,
            manifest: wanted.manifest,
            condemned_there: wanted.absent_there,
            throttle: wanted.throttle,
        };
        vault::copy(job, observer).await
    }
}
