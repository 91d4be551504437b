//! A connection in its slot, and as its requests know it.
//!
//! It does not know who makes room for whom.
use std::{net::IpAddr, sync::Arc};

use tokio::sync::Notify;

use super::{ConnectionSlots, Crowd, Group, Seat};

/// Requests at once on one connection of a client that proved nothing.
pub(super) const STRANGERS_REQUESTS_MAX: u32 = 8;

/// A connection's slot; it is free again once this is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    pub(super) visitor: Visitor,
    leave: Arc<Notify>,
}

impl ConnectionSlot {
    pub(super) fn new(visitor: Visitor, leave: Arc<Notify>) -> Self {
        Self { visitor, leave }
    }

    /// Resolves once the connection has to make room.
    pub(crate) async fn displaced(&self) {
        self.leave.notified().await;
    }

    /// The connection, for its requests.
    pub(crate) fn visitor(&self) -> &Visitor {
        &self.visitor
    }

    /// Requests that began so far, and how many are not over: read, answered or sent.
    pub(crate) fn activity(&self) -> (u64, u32) {
        let state = self.visitor.slots.lock();
        state.seats.get(&self.visitor.id).map_or((0, 0), |seat| {
            (seat.requests, seat.reading + seat.answering + seat.sending)
        })
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let slots = &self.visitor.slots;
        let mut state = slots.lock();
        if let Some(seat) = state.seats.remove(&self.visitor.id)
            && !seat.leaving
        {
            state.leave(&seat.group);
        }
        drop(state);
        slots.freed.notify_one();
    }
}

/// A connection, as its requests know it.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    pub(super) slots: Arc<ConnectionSlots>,
    pub(super) id: u64,
    address: Option<IpAddr>,
}

impl Visitor {
    pub(super) fn new(slots: Arc<ConnectionSlots>, id: u64, address: Option<IpAddr>) -> Self {
        Self { slots, id, address }
    }

    /// Where it comes from, as far as that tells it from others; none behind a proxy.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Whose share it is in.
    pub(crate) fn group(&self) -> Group {
        let state = self.slots.lock();
        let seat = state.seats.get(&self.id);
        seat.map_or(Group::Health, |seat| seat.group.clone())
    }

    /// Whether it has more requests under way than one who proved nothing may.
    pub(crate) fn overdoes(&self) -> bool {
        let state = self.slots.lock();
        state.seats.get(&self.id).is_some_and(|seat| {
            let requests = seat.reading + seat.answering + seat.sending;
            matches!(seat.group, Group::Stranger(_)) && STRANGERS_REQUESTS_MAX < requests
        })
    }

    /// What tells it from other connections.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// A request begins; its body is to be read.
    pub(crate) fn begin(&self) -> Stage {
        self.seat(|seat| {
            seat.requests += 1;
            seat.reading += 1;
        });
        Stage::reading(self.clone())
    }

    /// A request of it proved a key: from now on it has a slot in the account's share, unless that
    /// is full of connections that are busy.
    pub(crate) fn prove(&self, account: &str) {
        let mut state = self.slots.lock();
        let from = match state.seats.get(&self.id) {
            Some(seat) if !seat.leaving => seat.group.clone(),
            _ => return,
        };
        let to = Group::Proved(account.into());
        if matches!(from, Group::Proxy | Group::Health) || from == to {
            return;
        }
        let is_full = self.slots.bounds.account <= state.count(&to);
        if is_full && !self.slots.displace(&mut state, &Crowd::Of(to.clone())) {
            return;
        }
        state.leave(&from);
        *state.staying.entry(to.clone()).or_default() += 1;
        if let Some(seat) = state.seats.get_mut(&self.id) {
            seat.group = to;
        }
    }

    pub(super) fn seat(&self, change: impl FnOnce(&mut Seat)) {
        let mut state = self.slots.lock();
        let used = state.tick();
        if let Some(seat) = state.seats.get_mut(&self.id) {
            seat.used = used;
            change(seat);
        }
    }
}

/// A step of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Reading,
    Answering,
    Sending,
}

impl At {
    fn count(self, seat: &mut Seat) -> &mut u32 {
        match self {
            Self::Reading => &mut seat.reading,
            Self::Answering => &mut seat.answering,
            Self::Sending => &mut seat.sending,
        }
    }
}

/// How far a request is; it is over once this is dropped.
#[derive(Debug)]
pub(crate) struct Stage {
    visitor: Visitor,
    pub(super) at: At,
}

impl Stage {
    pub(super) fn reading(visitor: Visitor) -> Self {
        Self {
            visitor,
            at: At::Reading,
        }
    }

    /// It was read whole.
    pub(crate) fn answering(&mut self) {
        self.go(At::Answering);
    }

    /// Its answer is there, for the client to take.
    pub(crate) fn sending(&mut self) {
        self.go(At::Sending);
    }

    fn go(&mut self, to: At) {
        let from = std::mem::replace(&mut self.at, to);
        self.visitor.seat(|seat| {
            *from.count(seat) -= 1;
            *to.count(seat) += 1;
        });
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let at = self.at;
        self.visitor.seat(|seat| *at.count(seat) -= 1);
    }
}
