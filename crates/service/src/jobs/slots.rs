//! The slots of one node's jobs: who may claim another, and who may work now.
//!
//! A claimed job works or waits. It waits when it needs an answer of a database's server, which may
//! take as long as the server's owner likes: then it has no working slot ([`JobSlot::waiting`],
//! [`JobSlot::put_down`]), so that however many wait, others work. A job that can only be tried again
//! later is no matter of slots: it ends its try by `JobError::Wait` or `JobError::Retry`.
//!
//! Invariant: an account takes another slot only while it has fewer than are free. So one alone
//! gets half of them, the next half of what is left, and none can take the last.
use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use catalog::jobs::Except;
use model::{Account, Job, JobId, JobKind};
use tokio::sync::Notify;

/// Jobs that work at once.
const WORKING_MAX: usize = 12;
/// Copies among them: slow ones must not keep clusters and snapshots from being made.
const COPYING_MAX: usize = 8;
/// Jobs under a lease at once, working or waiting. Each renews its lease twice a second, and one
/// that waits in a dump has a thread.
const HELD_MAX: usize = 32;
/// A wait as short as this keeps its slot.
const SHORT_WAIT: Duration = Duration::from_millis(250);
/// How often a thread that needs its slot back looks for it.
const LOOK: Duration = Duration::from_millis(20);

/// Whose a job is: an account's, or the deployment's own.
type Owner = Option<Account>;

/// How many slots of one sort the accounts have.
#[derive(Debug, Default)]
struct Shares(HashMap<Owner, usize>);

impl Shares {
    fn of(&self, account: &Owner) -> usize {
        self.0.get(account).copied().unwrap_or(0)
    }

    fn taken(&self) -> usize {
        self.0.values().sum()
    }

    /// Whether an account may take another of `all`.
    fn admit(&self, account: &Owner, all: usize) -> bool {
        self.of(account) < all.saturating_sub(self.taken())
    }

    /// The accounts that may take no more of `all`; none when nobody may.
    fn full(&self, all: usize) -> Option<impl Iterator<Item = &Owner>> {
        let free = self.taken() < all;
        free.then(|| self.0.keys().filter(move |one| !self.admit(one, all)))
    }

    fn take(&mut self, account: &Owner) {
        *self.0.entry(account.clone()).or_default() += 1;
    }

    fn give(&mut self, account: &Owner) {
        if let Some(count) = self.0.get_mut(account) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(account);
            }
        }
    }
}

#[derive(Debug, Default)]
struct State {
    held: Shares,
    working: Shares,
    copying: Shares,
    jobs: Vec<JobId>,
}

/// The slots of one node.
#[derive(Debug, Default)]
pub struct JobSlots {
    state: Mutex<State>,
    /// The kinds that have fewer slots.
    narrow: Vec<JobKind>,
    /// Wakes the jobs that need their slot back.
    freed: Notify,
    /// Wakes the runner: it may claim more.
    room: Notify,
}

impl JobSlots {
    /// With fewer of them for some kinds.
    pub fn new(narrow: Vec<JobKind>) -> Self {
        Self {
            narrow,
            ..Self::default()
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What may not be claimed now; none when nothing may.
    pub fn room(&self) -> Option<Vec<Except>> {
        let state = self.state();
        let full = state
            .held
            .full(HELD_MAX)?
            .chain(state.working.full(WORKING_MAX)?);
        let mut except: Vec<Except> = full.cloned().map(Except::Of).collect();
        match state.copying.full(COPYING_MAX) {
            None => except.extend(self.narrow.iter().cloned().map(Except::Kind)),
            Some(full) => except.extend(full.flat_map(|account| {
                let narrow = self.narrow.iter().cloned();
                narrow.map(|kind| Except::KindOf(kind, account.clone()))
            })),
        }
        except.extend(state.jobs.iter().copied().map(Except::Held));
        Some(except)
    }

    /// Resolves when more may be claimed than when it was asked last.
    pub async fn more_room(&self) {
        self.room.notified().await;
    }

    /// The slot of a job that was just claimed: it works.
    pub fn enter(self: &Arc<Self>, job: &Job) -> JobSlot {
        let mut state = self.state();
        let account = job.subject.account().cloned();
        state.held.take(&account);
        state.jobs.push(job.id);
        let slot = JobSlot {
            slots: self.clone(),
            job: job.id,
            account,
            copies: self.narrow.contains(&job.kind),
            works: Mutex::new(true),
        };
        slot.count(&mut state);
        drop(state);
        slot
    }

    fn changed(&self) {
        self.freed.notify_waiters();
        self.room.notify_one();
    }
}

/// A claimed job's slot; it ends with the value.
#[derive(Debug)]
pub struct JobSlot {
    slots: Arc<JobSlots>,
    job: JobId,
    account: Owner,
    copies: bool,
    works: Mutex<bool>,
}

impl JobSlot {
    /// Waits for something that is not this process's work, without a working slot once that
    /// takes longer than a moment; answers when there is a slot again.
    pub async fn waiting<F: Future>(&self, future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        // What is done already needs no timer.
        let first = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = first {
            return output;
        }
        if let Ok(output) = tokio::time::timeout(SHORT_WAIT, &mut future).await {
            return output;
        }
        self.put_down();
        let output = future.await;
        loop {
            let freed = self.slots.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.take_up() {
                return output;
            }
            freed.await;
        }
    }

    /// Gives the working slot to others, if it has one.
    pub fn put_down(&self) {
        let mut works = self.works();
        if *works {
            self.uncount(&mut self.slots.state());
            *works = false;
            drop(works);
            self.slots.changed();
        }
    }

    /// Takes a working slot again, if the account may have one more; answers whether it has one.
    pub fn take_up(&self) -> bool {
        let mut works = self.works();
        if !*works {
            let mut state = self.slots.state();
            let admitted = state.working.admit(&self.account, WORKING_MAX)
                && (!self.copies || state.copying.admit(&self.account, COPYING_MAX));
            if !admitted {
                return false;
            }
            self.count(&mut state);
            *works = true;
        }
        true
    }

    /// As [`JobSlot::take_up`], for a thread: waits for the slot, or until `stop` says so.
    pub fn take_up_blocking(&self, stop: impl Fn() -> bool) {
        while !self.take_up() && !stop() {
            std::thread::sleep(LOOK);
        }
    }

    fn works(&self) -> MutexGuard<'_, bool> {
        self.works.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, state: &mut State) {
        state.working.take(&self.account);
        if self.copies {
            state.copying.take(&self.account);
        }
    }

    fn uncount(&self, state: &mut State) {
        state.working.give(&self.account);
        if self.copies {
            state.copying.give(&self.account);
        }
    }
}

impl Drop for JobSlot {
    fn drop(&mut self) {
        let works = *self.works();
        let mut state = self.slots.state();
        if works {
            self.uncount(&mut state);
        }
        state.held.give(&self.account);
        state.jobs.retain(|job| *job != self.job);
        drop(state);
        self.slots.changed();
    }
}

#[cfg(test)]
mod tests {
    use catalog::conformance::samples;

    use super::*;

    fn job(digit: u8, kind: JobKind) -> Job {
        samples::job_of(kind, &samples::region(), &samples::account(digit), "s")
    }

    /// Takes slots for an account until it is refused, or nothing may be claimed.
    fn fill(slots: &Arc<JobSlots>, digit: u8, kind: JobKind) -> Vec<JobSlot> {
        let mut taken = Vec::new();
        let account = Some(samples::account(digit));
        while let Some(except) = slots.room() {
            let refused = except.iter().any(|one| match one {
                Except::Of(other) => *other == account,
                Except::Kind(other) => *other == kind,
                Except::KindOf(of, other) => *of == kind && *other == account,
                Except::Held(_) => false,
            });
            if refused {
                break;
            }
            taken.push(slots.enter(&job(digit, kind.clone())));
        }
        taken
    }

    #[test]
    fn no_account_takes_the_slots_of_the_next() {
        let slots = Arc::new(JobSlots::new(vec![JobKind::of("copy-snapshot")]));
        let kept: Vec<Vec<JobSlot>> = (1..=4)
            .map(|digit| fill(&slots, digit, JobKind::of("create-snapshot")))
            .collect();
        assert_eq!(kept.iter().map(Vec::len).collect::<Vec<_>>(), [6, 3, 2, 1]);
        assert!(slots.room().is_none(), "all slots are taken");
        drop(kept);
        assert_eq!(slots.room().map(|except| except.len()), Some(0));
    }

    #[test]
    fn copies_leave_slots_to_the_rest() {
        let slots = Arc::new(JobSlots::new(vec![JobKind::of("copy-snapshot")]));
        let copies = fill(&slots, 1, JobKind::of("copy-snapshot"));
        let rest = fill(&slots, 1, JobKind::of("create-cluster"));
        assert_eq!((copies.len(), rest.len()), (4, 2));
    }

    #[test]
    fn what_waits_has_no_place() {
        let slots = Arc::new(JobSlots::new(vec![JobKind::of("copy-snapshot")]));
        let held: Vec<JobSlot> = (0..HELD_MAX / 2)
            .map(|_| {
                let slot = slots.enter(&job(1, JobKind::of("create-snapshot")));
                slot.put_down();
                slot
            })
            .collect();
        let except = slots.room().expect("others may claim");
        assert!(
            except.contains(&Except::Of(Some(samples::account(1)))),
            "its share waits"
        );
        assert_eq!(fill(&slots, 2, JobKind::of("create-snapshot")).len(), 6);
        drop(held);
    }

    #[tokio::test]
    async fn a_wait_ends_with_a_place() {
        let slots = Arc::new(JobSlots::new(vec![JobKind::of("copy-snapshot")]));
        let (one, two) = (Some(samples::account(1)), Some(samples::account(2)));
        let waiter = slots.enter(&job(1, JobKind::of("create-snapshot")));
        let short = waiter.waiting(tokio::time::sleep(SHORT_WAIT / 2)).await;
        assert_eq!((short, slots.state().working.of(&one)), ((), 1));
        let (tell, told) = tokio::sync::oneshot::channel();
        let waiting = waiter.waiting(told);
        let others = async {
            tokio::time::sleep(2 * SHORT_WAIT).await;
            assert_eq!(slots.state().working.of(&one), 0, "it waits without a slot");
            let others: Vec<JobSlot> = (0..WORKING_MAX)
                .map(|_| slots.enter(&job(2, JobKind::of("create-snapshot"))))
                .collect();
            tell.send(()).expect("it waits");
            tokio::time::sleep(SHORT_WAIT).await;
            assert_eq!(slots.state().working.of(&one), 0, "there is no slot");
            drop(others);
            assert_eq!(slots.state().working.of(&two), 0);
        };
        let (told, ()) = tokio::join!(waiting, others);
        told.expect("it was told");
        assert_eq!(slots.state().working.of(&one), 1);
    }
}
