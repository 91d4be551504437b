//! When the catalog was last read for a scrape.
use std::time::Instant;

use tokio::sync::Mutex;

/// When the catalog was read last.
#[derive(Debug, Default)]
pub(crate) struct Scraped(pub(super) Mutex<Option<Instant>>);
