//! One secret, alone on its page.
//!
//! It does not know what it opens.
use std::fmt;

use zeroize::Zeroize;

use crate::page::{LockedPage, PAGE_BYTES};

/// A secret of [`Secret::BYTES_MAX`] at most, alone on a locked page, wiped when dropped.
pub struct Secret {
    /// There until it is dropped.
    page: Option<LockedPage>,
    length: usize,
}

impl Secret {
    /// How long one can be.
    pub const BYTES_MAX: usize = PAGE_BYTES;

    /// Moves a secret onto a page; where it came from is wiped. None when it is too long.
    pub fn take(bytes: &mut [u8]) -> Option<Self> {
        let mut page = LockedPage::take();
        let length = bytes.len();
        let fits = page.bytes_mut().get_mut(..length);
        let copied = fits.map(|room| room.copy_from_slice(bytes));
        bytes.zeroize();
        let secret = Self {
            page: Some(page),
            length,
        };
        copied.map(|()| secret)
    }

    /// A key of 32 bytes; where it came from is wiped.
    pub fn key(mut bytes: [u8; 32]) -> Self {
        Self::take(&mut bytes).expect("a page has 32 bytes")
    }

    /// Whether the system keeps it out of swap; it may lock too little memory for that
    /// (RLIMIT_MEMLOCK).
    pub fn is_locked(&self) -> bool {
        self.page.as_ref().is_some_and(LockedPage::is_locked)
    }

    /// The secret.
    pub fn bytes(&self) -> &[u8] {
        let page = self.page.as_ref().expect("it is there until it is dropped");
        &page.bytes()[..self.length]
    }

    /// The secret, if it is one of 32 bytes.
    pub fn as_key(&self) -> Option<&[u8; 32]> {
        self.bytes().try_into().ok()
    }
}

impl Clone for Secret {
    fn clone(&self) -> Self {
        let mut page = LockedPage::take();
        page.bytes_mut()[..self.length].copy_from_slice(self.bytes());
        Self {
            page: Some(page),
            length: self.length,
        }
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        if let Some(page) = self.page.take() {
            page.give_back();
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_as_it_was_and_clones_stand_alone() {
        let key = Secret::key([7; 32]);
        let clone = key.clone();
        // The limit of locked memory that every system has is enough for these.
        assert!(key.is_locked() && clone.is_locked());
        drop(key);
        assert_eq!(clone.as_key(), Some(&[7; 32]));
        assert_eq!(format!("{clone:?}"), "Secret(..)");
    }

    #[test]
    fn it_lies_alone_on_its_page_and_its_source_is_wiped() {
        let mut source = [7; 33];
        let secret = Secret::take(&mut source).expect("short");
        assert_eq!((source, secret.bytes()), ([0; 33], [7; 33].as_slice()));
        assert_eq!(secret.bytes().as_ptr().addr() % PAGE_BYTES, 0);
        assert_eq!(secret.as_key(), None);
        let mut whole = [1; Secret::BYTES_MAX];
        assert!(Secret::take(&mut whole).is_some());
        assert!(Secret::take(&mut [1; Secret::BYTES_MAX + 1]).is_none());
    }

    #[test]
    fn a_page_that_is_used_again_is_zero() {
        for length in [4_000, 32, 4_000] {
            drop(Secret::take(&mut vec![9; length]));
            assert_eq!(LockedPage::take().bytes(), &[0; PAGE_BYTES]);
        }
    }
}
