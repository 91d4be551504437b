//! How one region reads another's vault. In one process a link is a function call; between
//! deployments it is HTTP, each message proved by a key that both hold.
pub mod http;
mod local;
pub mod message;
pub mod peer;
mod sealed;
mod serve;
pub mod transport;

use std::sync::Arc;

use model::{Arn, Hash, VolumeRef};
use vault::{Condemned, Copied, Observer, Throttle, Vault, VaultError};

pub use local::LocalLink;
pub use message::TicketAsk;
pub use serve::LinkServer;

/// What a data key on its way is bound to.
fn transcript_parts(claims: &message::Claims, target_key: &Arn, ticket: &str) -> Vec<String> {
    vec![
        claims.source.region.to_string(),
        claims.to.to_string(),
        claims.caller.to_string(),
        claims.source.to_string(),
        claims.snapshot.to_string(),
        claims.volume.to_string(),
        claims.manifest.to_string(),
        target_key.to_string(),
        ticket.to_owned(),
    ]
}

/// What is to be fetched, and where to.
#[derive(Debug, Clone, Copy)]
pub struct FetchRequest<'a> {
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
        wanted: FetchRequest<'_>,
        observer: &dyn Observer,
    ) -> impl Future<Output = Result<Copied, VaultError>> + Send;
}
