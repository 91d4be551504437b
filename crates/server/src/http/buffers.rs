//! How many bytes of requests are held at once: counted before they are kept.
//!
//! It does not know what the bytes are.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use model::limits;

use crate::http::connection_slots::{Group, Visitor};

/// What each connection holds without being asked: a usual request, head and body, has 2 KiB.
const FREE_BYTES: usize = 16 << 10;

/// How much is held, beyond what every connection may.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// For all who proved nothing, bytes.
    pub(crate) strangers: usize,
    /// For all others, bytes.
    pub(crate) known: usize,
}

/// 64 MiB in all.
pub(crate) const ROOM: Room = Room {
    strangers: 24 << 20,
    known: 40 << 20,
};

/// A connection of someone who proved nothing holds the largest request, and no second one.
const STRANGERS_CONNECTION_BYTES_MAX: usize = limits::BODY_BYTES_MAX + limits::HEAD_BYTES_MAX;
/// An address that proved nothing, or an account, has at most this part of the room.
const SHARE: usize = 4;

#[derive(Debug, Default)]
struct Held {
    connections: HashMap<u64, usize>,
    groups: HashMap<Group, usize>,
    strangers: usize,
    known: usize,
}

/// Counts the bytes of all requests.
#[derive(Debug)]
pub(crate) struct Buffers {
    room: Room,
    held: Mutex<Held>,
}

impl Buffers {
    /// Nothing is held.
    pub(crate) fn new(room: Room) -> Arc<Self> {
        Arc::new(Self {
            room,
            held: Mutex::default(),
        })
    }

    /// What one request of a connection will hold.
    pub(crate) fn of(self: &Arc<Self>, visitor: &Visitor) -> Buffer {
        self.begin(visitor.id(), visitor.group())
    }

    /// What one request of a connection of a group will hold.
    pub(crate) fn begin(self: &Arc<Self>, connection: u64, group: Group) -> Buffer {
        Buffer {
            buffers: Arc::clone(self),
            connection,
            group,
            bytes: 0,
            charged: 0,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes of one request; given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    buffers: Arc<Buffers>,
    connection: u64,
    group: Group,
    bytes: usize,
    charged: usize,
}

impl Buffer {
    /// Takes room for more bytes, or leaves everything as it is and answers false.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let room = self.buffers.room;
        let mut held = self.buffers.lock();
        let before = held.connections.get(&self.connection).copied().unwrap_or(0);
        let after = before + bytes;
        let charge = after.saturating_sub(FREE_BYTES.max(before));
        if 0 < charge {
            let is_stranger = self.is_stranger();
            let (all, room) = if is_stranger {
                (held.strangers, room.strangers)
            } else {
                (held.known, room.known)
            };
            let share = match self.group {
                // Many clients are behind one.
                Group::Proxy => room,
                _ => room / SHARE,
            };
            let of_group = held.groups.get(&self.group).copied().unwrap_or(0);
            if room < all + charge
                || share < of_group + charge
                || (is_stranger && STRANGERS_CONNECTION_BYTES_MAX < after)
            {
                return false;
            }
            *held.groups.entry(self.group.clone()).or_default() += charge;
            *self.total(&mut held) += charge;
        }
        *held.connections.entry(self.connection).or_default() += bytes;
        drop(held);
        self.bytes += bytes;
        self.charged += charge;
        true
    }

    fn is_stranger(&self) -> bool {
        matches!(self.group, Group::Stranger(_) | Group::Health)
    }

    fn total<'a>(&self, held: &'a mut Held) -> &'a mut usize {
        if self.is_stranger() {
            &mut held.strangers
        } else {
            &mut held.known
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut held = self.buffers.lock();
        *self.total(&mut held) -= self.charged;
        give_back(&mut held.groups, &self.group, self.charged);
        give_back(&mut held.connections, &self.connection, self.bytes);
    }
}

/// Nobody is remembered who holds nothing.
fn give_back<K: Eq + std::hash::Hash>(held: &mut HashMap<K, usize>, of: &K, bytes: usize) {
    if let Some(all) = held.get_mut(of) {
        *all -= bytes;
        if *all == 0 {
            held.remove(of);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: Room = Room {
        strangers: 400 << 10,
        known: 800 << 10,
    };

    fn stranger(host: u8) -> Group {
        Group::Stranger([10, 0, 0, host].into())
    }

    #[test]
    fn each_connection_has_some_and_an_address_its_share() {
        let buffers = Buffers::new(SMALL);
        let mut greedy = buffers.begin(1, stranger(1));
        assert!(greedy.grow(FREE_BYTES + SMALL.strangers / SHARE));
        assert!(!greedy.grow(1));
        let mut second = buffers.begin(2, stranger(1));
        assert!(second.grow(FREE_BYTES) && !second.grow(1));
        let mut other = buffers.begin(3, stranger(2));
        assert!(other.grow(FREE_BYTES + 1));
        drop(greedy);
        assert!(second.grow(1));
    }

    #[test]
    fn strangers_do_not_take_the_room_of_those_who_are_known() {
        let buffers = Buffers::new(SMALL);
        let mut held: Vec<Buffer> = (0..8)
            .map(|host| buffers.begin(u64::from(host), stranger(host)))
            .collect();
        for buffer in &mut held {
            buffer.grow(FREE_BYTES + SMALL.strangers / SHARE);
        }
        assert_eq!(buffers.lock().strangers, SMALL.strangers);
        let mut known = buffers.begin(99, Group::Proved("1".into()));
        assert!(known.grow(FREE_BYTES + SMALL.known / SHARE));
    }

    proptest! {
        #[test]
        fn the_room_is_never_passed_and_all_is_given_back(steps in proptest::collection::vec((0..12_u64, 0..6_u8, 0..200_000_usize, any::<bool>()), 0..200)) {
            let buffers = Buffers::new(SMALL);
            let mut held: Vec<Buffer> = Vec::new();
            for (connection, who, bytes, ends) in steps {
                let group = if who < 4 { stranger(who) } else { Group::Proved(who.to_string().into()) };
                let mut buffer = buffers.begin(connection, group);
                if buffer.grow(bytes) {
                    held.push(buffer);
                }
                if ends && !held.is_empty() {
                    held.swap_remove(bytes % held.len());
                }
                let bytes: usize = held.iter().map(|buffer| buffer.bytes).sum();
                prop_assert!(bytes <= SMALL.strangers + SMALL.known + 12 * FREE_BYTES);
                let state = buffers.lock();
                prop_assert!(state.strangers <= SMALL.strangers && state.known <= SMALL.known);
                for (group, bytes) in &state.groups {
                    let room = if matches!(group, Group::Stranger(_)) { SMALL.strangers } else { SMALL.known };
                    prop_assert!(*bytes <= room / SHARE);
                }
            }
            drop(held);
            let state = buffers.lock();
            prop_assert_eq!(state.strangers + state.known, 0);
            prop_assert!(state.groups.is_empty() && state.connections.is_empty());
        }
    }
}
