//! Who has a slot among the connections, and who makes room once there is none left.
//!
//! A client that has proved nothing yet shares its address's slots, and all such clients together
//! have half of them; one that has proved a key shares its account's. Whoever comes when a share is
//! full takes the slot of the share's own connection that has been idle longest, so a client that
//! opens thousands stands in its own way only, and a newcomer of the same address still gets in. A
//! connection whose request is being answered keeps its slot. When no one can make room, a few
//! slots are left in which nothing but the health check is answered.
//!
//! It does not know what is said on a connection.
mod visitor;

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

use crate::settings::values::Network;
pub(crate) use visitor::{ConnectionSlot, Stage, Visitor};

/// How many connections there may be, and of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// All but those for health checks.
    pub(crate) all: usize,
    /// Of clients that proved nothing.
    pub(crate) strangers: usize,
    /// Of one address that proved nothing.
    pub(crate) address: usize,
    /// Of one account.
    pub(crate) account: usize,
    /// More, for health checks when no other slot is left.
    pub(crate) health: usize,
    /// Of connections that were told to make room and have not left yet, before a newcomer waits.
    pub(crate) leaving: usize,
}

impl Bounds {
    /// The shares of so many connections, at least 8.
    pub(crate) fn of(connections: usize) -> Self {
        let health = (connections / 16).clamp(1, 16);
        let all = connections.saturating_sub(health).max(4);
        Self {
            all,
            strangers: all / 2,
            address: all / 4,
            account: all / 2,
            health,
            leaving: (all / 8).max(1),
        }
    }
}

/// Whose share a connection is in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Group {
    /// An address, or the 64 leading bits of one of IPv6, that proved nothing yet.
    Stranger(IpAddr),
    /// An account, or a region of another deployment, that proved its key.
    Proved(Arc<str>),
    /// A configured proxy, behind which are many clients.
    Proxy,
    /// Nobody's: only the health check is answered.
    Health,
}

#[derive(Debug)]
struct Seat {
    group: Group,
    /// When it was last used, in uses of all.
    used: u64,
    requests: u64,
    reading: u32,
    answering: u32,
    sending: u32,
    leave: Arc<Notify>,
    leaving: bool,
}

impl Seat {
    /// How readily it is given up: idle connections first, then those that wait for the client.
    fn rank(&self) -> Option<(bool, u64)> {
        let gives_up = !self.leaving && self.answering == 0;
        gives_up.then_some((0 < self.reading + self.sending, self.used))
    }
}

#[derive(Debug, Default)]
struct State {
    seats: HashMap<u64, Seat>,
    /// Connections of each group that stay.
    staying: HashMap<Group, usize>,
    next: u64,
    uses: u64,
}

/// All slots.
#[derive(Debug)]
pub(crate) struct ConnectionSlots {
    bounds: Bounds,
    proxies: Vec<Network>,
    state: Mutex<State>,
    freed: Notify,
    displaced: AtomicU64,
}

impl ConnectionSlots {
    /// All slots free.
    pub(crate) fn new(bounds: Bounds, proxies: Vec<Network>) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            proxies,
            state: Mutex::default(),
            freed: Notify::new(),
            displaced: AtomicU64::new(0),
        })
    }

    /// A slot for a connection from an address. Waits until whoever makes room has left; there is
    /// one who enters at a time.
    pub(crate) async fn enter(self: &Arc<Self>, from: IpAddr) -> ConnectionSlot {
        loop {
            match self.try_enter(from) {
                Some(slot) => return slot,
                None => self.freed.notified().await,
            }
        }
    }

    fn try_enter(self: &Arc<Self>, from: IpAddr) -> Option<ConnectionSlot> {
        let mut state = self.lock();
        let from = from.to_canonical();
        let group = if self.proxies.iter().any(|proxy| proxy.has(from)) {
            Group::Proxy
        } else {
            Group::Stranger(prefix(from))
        };
        if let Some(crowd) = self.crowd(&state, &group) {
            // A flood that comes faster than tasks run would else hold the slots of those that leave as well.
            if self.bounds.leaving <= state.ordinary_leaving() {
                return None;
            }
            if !self.displace(&mut state, &crowd) {
                return self.enter_for_health(&mut state);
            }
        }
        let taken = state.seats.len() - state.count(&Group::Health) - state.health_leaving();
        (taken < self.bounds.all).then(|| self.seat(&mut state, group))
    }

    /// The full share that a newcomer belongs to, if one is full.
    fn crowd(&self, state: &State, group: &Group) -> Option<Crowd> {
        if let Group::Stranger(_) = group {
            if self.bounds.address <= state.count(group) {
                return Some(Crowd::Of(group.clone()));
            }
            if self.bounds.strangers <= state.strangers() {
                return Some(Crowd::Strangers);
            }
        }
        (self.bounds.all <= state.staying_ordinary()).then_some(Crowd::All)
    }

    fn enter_for_health(self: &Arc<Self>, state: &mut State) -> Option<ConnectionSlot> {
        if state.count(&Group::Health) + state.health_leaving() < self.bounds.health {
            return Some(self.seat(state, Group::Health));
        }
        // Also one that is being answered: no answer here takes long.
        let oldest = state
            .seats
            .iter()
            .filter(|(_, seat)| seat.group == Group::Health && !seat.leaving);
        if let Some(id) = oldest.min_by_key(|(_, seat)| seat.used).map(|(id, _)| *id) {
            self.send_off(state, id);
        }
        None
    }

    /// Lets the connection of a crowd go that has been idle longest: of its largest group.
    fn displace(&self, state: &mut State, crowd: &Crowd) -> bool {
        let mut groups: Vec<(Group, usize)> = match crowd {
            Crowd::Of(group) => vec![(group.clone(), 0)],
            Crowd::Strangers | Crowd::All => {
                let all = state
                    .staying
                    .iter()
                    .map(|(group, count)| (group.clone(), *count));
                all.filter(|(group, _)| match crowd {
                    Crowd::Strangers => matches!(group, Group::Stranger(_)),
                    _ => *group != Group::Health,
                })
                .collect()
            }
        };
        groups.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        for (group, _) in groups {
            let seats = state.seats.iter().filter(|(_, seat)| seat.group == group);
            let ranked = seats.filter_map(|(id, seat)| Some((seat.rank()?, *id)));
            if let Some((_, id)) = ranked.min() {
                self.send_off(state, id);
                return true;
            }
        }
        false
    }

    fn send_off(&self, state: &mut State, id: u64) {
        if let Some(seat) = state.seats.get_mut(&id) {
            seat.leaving = true;
            seat.leave.notify_one();
            let group = seat.group.clone();
            state.leave(&group);
            self.displaced.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn seat(self: &Arc<Self>, state: &mut State, group: Group) -> ConnectionSlot {
        let (id, leave) = (state.next, Arc::new(Notify::new()));
        state.next += 1;
        *state.staying.entry(group.clone()).or_default() += 1;
        let address = match &group {
            Group::Stranger(address) => Some(*address),
            _ => None,
        };
        let seat = Seat {
            group,
            used: state.tick(),
            requests: 0,
            reading: 0,
            answering: 0,
            sending: 0,
            leave: Arc::clone(&leave),
            leaving: false,
        };
        state.seats.insert(id, seat);
        ConnectionSlot::new(Visitor::new(Arc::clone(self), id, address), leave)
    }

    /// Lets one idle connection go, whoever's: the system has no descriptor left.
    pub(crate) fn make_room(&self) {
        let mut state = self.lock();
        self.displace(&mut state, &Crowd::All);
    }

    /// Whether all have left.
    pub(crate) async fn all_left(&self) {
        while !self.lock().seats.is_empty() {
            self.freed.notified().await;
        }
    }

    /// How many connections there are: of strangers, of those who proved a key, of proxies; and how
    /// many had to make room since the start.
    pub(crate) fn counts(&self) -> [u64; 4] {
        let state = self.lock();
        let strangers = state.strangers() + state.count(&Group::Health);
        let proxies = state.count(&Group::Proxy);
        let proved = state.staying.values().sum::<usize>() - strangers - proxies;
        let displaced = self.displaced.load(Ordering::Relaxed);
        [strangers as u64, proved as u64, proxies as u64, displaced]
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose share is full.
enum Crowd {
    Of(Group),
    Strangers,
    All,
}

impl State {
    fn count(&self, group: &Group) -> usize {
        self.staying.get(group).copied().unwrap_or(0)
    }

    fn strangers(&self) -> usize {
        let counts = self.staying.iter();
        counts
            .filter(|(group, _)| matches!(group, Group::Stranger(_)))
            .map(|(_, count)| count)
            .sum()
    }

    fn staying_ordinary(&self) -> usize {
        self.staying.values().sum::<usize>() - self.count(&Group::Health)
    }

    fn health_leaving(&self) -> usize {
        let seats = self.seats.values();
        seats
            .filter(|seat| seat.leaving && seat.group == Group::Health)
            .count()
    }

    fn ordinary_leaving(&self) -> usize {
        let staying: usize = self.staying.values().sum();
        self.seats.len() - staying - self.health_leaving()
    }

    fn leave(&mut self, group: &Group) {
        if let Some(count) = self.staying.get_mut(group) {
            *count -= 1;
            if *count == 0 {
                self.staying.remove(group);
            }
        }
    }

    fn tick(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }
}

fn prefix(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests;
