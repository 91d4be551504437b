//! Bounds for each account what takes the processor long for one request: a new pair of keys, a
//! comparison of two snapshots.
//!
//! It does not know what that work is. An account has one turn at a time, so one that asks
//! for a thousand waits for itself, and all of them together leave the processor to others.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use model::Account;
use tokio::sync::Semaphore;

/// Who is working, and who waits.
#[derive(Debug)]
pub struct AccountLimiter {
    accounts: Mutex<HashMap<Account, Arc<Semaphore>>>,
    all: Arc<Semaphore>,
}

impl AccountLimiter {
    /// So many at once.
    pub(crate) fn new(at_once: usize) -> Self {
        Self {
            accounts: Mutex::default(),
            all: Arc::new(Semaphore::new(at_once)),
        }
    }

    /// As many at once as half of the processors, at least one.
    pub(crate) fn of_half_the_processors() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new(cores.div_ceil(2))
    }

    /// Does an account's work in its turn, beside the requests of others.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        account: &Account,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let own = self.own(account);
        let mine = own.acquire_owned().await.expect("it is never closed");
        let shared = Arc::clone(&self.all).acquire_owned().await;
        let shared = shared.expect("it is never closed");
        // The turn ends with the work, also when whoever asked is gone.
        let worked = tokio::task::spawn_blocking(move || {
            let _turn = (mine, shared);
            work()
        });
        match worked.await {
            Ok(done) => done,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn own(&self, account: &Account) -> Arc<Semaphore> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.retain(|_, own| 1 < Arc::strong_count(own));
        let own = accounts.entry(account.clone());
        Arc::clone(own.or_insert_with(|| Arc::new(Semaphore::new(1))))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn an_account_has_one_turn_at_a_time() {
        let limiter = Arc::new(AccountLimiter::new(2));
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let account: Account = "123456789012".parse().expect("legal");
        let asked = (0..20).map(|_| {
            let (limiter, account) = (Arc::clone(&limiter), account.clone());
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            tokio::spawn(async move {
                limiter
                    .run(&account, move || {
                        let there = now.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(there, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(1, Ordering::SeqCst);
                    })
                    .await;
            })
        });
        for one in asked.collect::<Vec<_>>() {
            one.await.expect("done");
        }
        assert_eq!(most.load(Ordering::SeqCst), 1);
        limiter.own(&"000000000000".parse().expect("legal"));
        assert_eq!(limiter.accounts.lock().expect("whole").len(), 1);
    }
}
