//! The gate that every call of an actor to a vault's store or to the catalog has to pass: the
//! checker lets them through one by one, in the order that it wants to see.
//!
//! It does not know which orders are interesting.
use std::{
    collections::BTreeMap,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use object_store::{ObjectStoreExt, PutPayload, memory::InMemory, path::Path};

/// What a call that was sent may still do after its sender is dead.
#[derive(Debug, Clone)]
pub(super) enum Late {
    Put(Arc<InMemory>, Path, PutPayload),
    Delete(Arc<InMemory>, Path),
}

impl Late {
    pub(super) async fn arrive(self) {
        // Nobody hears the answer.
        match self {
            Self::Put(store, path, payload) => drop(store.put(&path, payload).await),
            Self::Delete(store, path) => drop(store.delete(&path).await),
        }
    }
}

/// A call that waits to be let through.
pub(super) struct Waiting {
    pub(super) actor: usize,
    pub(super) what: String,
    pub(super) late: Option<Late>,
    granted: bool,
    waker: Option<Waker>,
}

#[derive(Default)]
struct State {
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Default)]
pub(super) struct Gate(Mutex<State>);

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder panics")
    }

    /// Waits to be let through.
    pub(super) fn pass(
        self: &Arc<Self>,
        actor: usize,
        what: String,
        late: Option<Late>,
    ) -> Passing {
        let mut state = self.state();
        state.next += 1;
        let id = state.next;
        let (granted, waker) = (false, None);
        let waiting = Waiting {
            actor,
            what,
            late,
            granted,
            waker,
        };
        state.waiting.insert(id, waiting);
        Passing {
            gate: Arc::clone(self),
            id,
        }
    }

    /// The calls that wait: number and actor, the oldest of each actor first.
    pub(super) fn waiting(&self) -> Vec<(usize, u64)> {
        let state = self.state();
        let mut all: Vec<(usize, u64)> =
            state.waiting.iter().map(|(id, w)| (w.actor, *id)).collect();
        all.sort_unstable();
        all
    }

    /// Whether an actor waits, and none of its calls is on its way through.
    pub(super) fn rests(&self, actor: usize) -> bool {
        let state = self.state();
        let mut of_actor = state
            .waiting
            .values()
            .filter(|w| w.actor == actor)
            .peekable();
        of_actor.peek().is_some() && of_actor.all(|w| !w.granted)
    }

    /// What a call does to a store.
    pub(super) fn late(&self, id: u64) -> Option<Late> {
        self.state().waiting.get(&id)?.late.clone()
    }

    /// Lets a call through; answers what it is.
    pub(super) fn grant(&self, id: u64) -> String {
        let mut state = self.state();
        let waiting = state.waiting.get_mut(&id).expect("it was listed");
        waiting.granted = true;
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
        waiting.what.clone()
    }

    /// What an actor's calls may still do when it dies now.
    pub(super) fn late_of(&self, actor: usize) -> Vec<Late> {
        let state = self.state();
        let of_actor = state.waiting.values().filter(|w| w.actor == actor);
        of_actor.filter_map(|w| w.late.clone()).collect()
    }
}

pub(super) struct Passing {
    gate: Arc<Gate>,
    id: u64,
}

impl Future for Passing {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.gate.state();
        match state.waiting.get_mut(&self.id) {
            Some(waiting) if !waiting.granted => {
                waiting.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => {
                state.waiting.remove(&self.id);
                Poll::Ready(())
            }
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.gate.state().waiting.remove(&self.id);
    }
}
