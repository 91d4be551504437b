//! What the product does: API actions, background jobs, and the links between regions.
//!
//! It names traits only: which catalog, vault and engine stand behind them is the server's choice.
pub mod settings;

use std::{collections::BTreeMap, fmt, sync::Arc};

use bytes::Bytes;
use model::{Clock, Entropy, Region};

pub use settings::{Mode, Settings};

/// The rooms that a service stands on.
pub struct Parts {
    /// What exists.
    pub catalog: Arc<dyn catalog::Catalog>,
    /// Opens one region's vault; asked once a region.
    pub open_vault: Box<dyn Fn(&Region) -> Result<vault::Vault, vault::VaultError> + Send + Sync>,
    /// Seals key material and access keys.
    pub master_key: Arc<kms::MasterKey>,
    /// Runs databases.
    pub engine: Arc<dyn engine::Engine>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Draws identifiers.
    pub entropy: Arc<dyn Entropy>,
}

/// The running service: every request and every job.
pub struct Service {
    settings: Settings,
}

impl Service {
    /// Takes up where the last process left off: adopts or starts clusters, runs jobs.
    ///
    /// # Errors
    /// When the catalog does not answer.
    pub async fn start(parts: Parts, settings: Settings) -> Result<Arc<Self>, catalog::CatalogError>;

    /// Answers one request. Never fails: a fault is an answer.
    pub async fn handle(&self, request: wire::RawRequest) -> http::Response<Bytes>;

    /// Whether the catalog answers.
    pub async fn is_healthy(&self) -> bool;

    /// Counters in Prometheus' text format.
    pub fn metrics(&self) -> String;

    /// Ends jobs at their next step and stops every cluster: fast, and at once after `patience`.
    pub async fn stop(&self, patience: std::time::Duration);
}
