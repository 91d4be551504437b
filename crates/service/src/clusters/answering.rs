//! Which servers take sessions.
use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use model::ResourceId;

/// The clusters of this node whose servers took sessions when they were last looked at.
#[derive(Debug, Default)]
pub struct Answering(Mutex<HashSet<ResourceId>>);

impl Answering {
    /// Whether that cluster's did.
    pub fn contains(&self, cluster: &ResourceId) -> bool {
        self.lock().contains(cluster)
    }

    /// Notes whether a cluster's server takes sessions; answers whether that is news.
    pub fn note(&self, cluster: &ResourceId, answers: bool) -> bool {
        let mut known = self.lock();
        match answers {
            true => known.insert(cluster.clone()),
            false => known.remove(cluster),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<ResourceId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
