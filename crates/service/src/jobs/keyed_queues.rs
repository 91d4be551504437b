//! Queues by a key, such as one for each cluster: its snapshots are taken one after another, in the
//! order in which their jobs came.
//!
//! It does not know jobs. Clusters belong to one node, so the queues are this process's.
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::OwnedMutexGuard;

/// The queues that are in use.
#[derive(Debug)]
pub struct KeyedQueues<K>(Mutex<HashMap<K, Weak<tokio::sync::Mutex<()>>>>);

impl<K> Default for KeyedQueues<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash> KeyedQueues<K> {
    /// Waits for a key's turn, which ends with the value.
    pub async fn of(&self, key: &K) -> OwnedMutexGuard<()> {
        let queue = {
            let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            queues.retain(|_, queue| 0 < queue.strong_count());
            let known = queues.get(key).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let queue = Arc::default();
                queues.insert(key.clone(), Arc::downgrade(&queue));
                queue
            })
        };
        queue.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use model::{ResourceId, SystemEntropy};

    use super::*;

    #[tokio::test]
    async fn one_waits_for_another_of_the_same_cluster_alone() {
        let queues = KeyedQueues::default();
        let (a, b) = (
            ResourceId::draw(&SystemEntropy),
            ResourceId::draw(&SystemEntropy),
        );
        let first = queues.of(&a).await;
        let _other = queues.of(&b).await;
        let mut second = std::pin::pin!(queues.of(&a));
        let soon = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, &mut second).await.is_err());
        drop(first);
        drop(second.await);
        drop(queues.of(&a).await);
        assert_eq!(queues.0.lock().expect("no holder panics").len(), 2);
    }
}
