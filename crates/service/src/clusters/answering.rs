//! Which servers take sessions.
use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use model::{Instance, InstanceId, ResourceId};

/// The servers of this node that took sessions when they were last looked at.
#[derive(Debug, Default)]
pub struct Answering {
    /// Of the clusters that take writes.
    clusters: Mutex<HashSet<ResourceId>>,
    instances: Mutex<HashSet<InstanceId>>,
}

fn note<K: Clone + Eq + std::hash::Hash>(
    known: &Mutex<HashSet<K>>,
    key: &K,
    answers: bool,
) -> bool {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    match answers {
        true => known.insert(key.clone()),
        false => known.remove(key),
    }
}

fn contains<K: Eq + std::hash::Hash>(known: &Mutex<HashSet<K>>, key: &K) -> bool {
    let known = known.lock().unwrap_or_else(PoisonError::into_inner);
    known.contains(key)
}

impl Answering {
    /// Whether that cluster's writer did.
    pub fn contains(&self, cluster: &ResourceId) -> bool {
        contains(&self.clusters, cluster)
    }

    /// Whether that instance did.
    pub fn has(&self, instance: &Instance) -> bool {
        match instance.is_writer() {
            true => self.contains(&instance.cluster),
            false => contains(&self.instances, &instance.id),
        }
    }

    /// Notes whether a cluster's writer takes sessions; answers whether that is news.
    pub fn note(&self, cluster: &ResourceId, answers: bool) -> bool {
        note(&self.clusters, cluster, answers)
    }

    /// Notes whether an instance's server takes sessions; answers whether that is news.
    pub fn note_of(&self, instance: &Instance, answers: bool) -> bool {
        match instance.is_writer() {
            true => self.note(&instance.cluster, answers),
            false => note(&self.instances, &instance.id, answers),
        }
    }
}
