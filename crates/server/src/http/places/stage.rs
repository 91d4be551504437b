//! How far the requests of a connection are.
//!
//! It does not know what they ask for.
use super::{Seat, Visitor};

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
