//! Many small secrets that live long, some to a page.
//!
//! It does not know what they open.
use zeroize::Zeroize;

use crate::page::{LockedPage, PAGE_BYTES};

/// What a secret takes in a [`Locker`], its length included.
const SLOT_BYTES: usize = 128;

/// Where a secret lies in its [`Locker`].
#[derive(Debug, PartialEq, Eq)]
pub struct Place(usize);

/// Many small secrets, 32 to a page. Each is wiped when it is taken out, all of them with the locker.
#[derive(Default)]
pub struct Locker {
    pages: Vec<LockedPage>,
    free: Vec<usize>,
}

impl std::fmt::Debug for Locker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Locker")
            .field("pages", &self.pages.len())
            .finish_non_exhaustive()
    }
}

impl Locker {
    /// Bytes of a secret at most.
    pub const SECRET_BYTES_MAX: usize = SLOT_BYTES - 1;

    /// Puts a secret in; none when it is too long.
    pub fn put(&mut self, secret: &[u8]) -> Option<Place> {
        let length = u8::try_from(secret.len()).ok()?;
        if Self::SECRET_BYTES_MAX < secret.len() {
            return None;
        }
        if self.free.is_empty() {
            let first = self.pages.len() * (PAGE_BYTES / SLOT_BYTES);
            self.pages.push(LockedPage::new());
            self.free.extend(first..first + PAGE_BYTES / SLOT_BYTES);
        }
        let place = Place(self.free.pop()?);
        let slot = self.slot_mut(&place);
        slot[0] = length;
        slot[1..=secret.len()].copy_from_slice(secret);
        Some(place)
    }

    /// A secret that is there.
    pub fn get(&self, place: &Place) -> &[u8] {
        let (page, at) = Self::find(place);
        let slot = &self.pages[page].bytes()[at..at + SLOT_BYTES];
        &slot[1..=usize::from(slot[0])]
    }

    /// Takes a secret out.
    pub fn remove(&mut self, place: Place) {
        self.slot_mut(&place).zeroize();
        self.free.push(place.0);
    }

    /// Whether the system keeps all of them out of swap.
    pub fn is_locked(&self) -> bool {
        self.pages.iter().all(LockedPage::is_locked)
    }

    fn find(place: &Place) -> (usize, usize) {
        let slots = PAGE_BYTES / SLOT_BYTES;
        (place.0 / slots, place.0 % slots * SLOT_BYTES)
    }

    fn slot_mut(&mut self, place: &Place) -> &mut [u8] {
        let (page, at) = Self::find(place);
        &mut self.pages[page].bytes_mut()[at..at + SLOT_BYTES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locker_keeps_each_secret_apart_and_wipes_what_goes() {
        let mut locker = Locker::default();
        let secret = |number: usize| format!("{number}").repeat(20).into_bytes();
        let mut places: Vec<Place> = (0..100)
            .map(|number| locker.put(&secret(number)).expect("short"))
            .collect();
        for (number, place) in places.iter().enumerate() {
            assert_eq!(locker.get(place), secret(number));
        }
        // The limit of locked memory that every system has is enough for these.
        assert!(locker.is_locked());
        let last = places.pop().expect("a hundred");
        let (page, at) = Locker::find(&last);
        locker.remove(last);
        assert_eq!(
            locker.pages[page].bytes()[at..at + SLOT_BYTES],
            [0; SLOT_BYTES]
        );
        assert_eq!(locker.get(&places[98]), secret(98));
        let pages = locker.pages.len();
        let again = locker.put(b"").expect("short");
        assert_eq!((locker.get(&again), locker.pages.len()), (&b""[..], pages));
        assert!(locker.put(&[1; Locker::SECRET_BYTES_MAX]).is_some());
        assert!(locker.put(&[1; SLOT_BYTES]).is_none());
    }
}
