//! A key in a page of its own, which stays out of swap where the system lets it.
//!
//! It does not know what the key opens.
use region::LockGuard;
use zeroize::Zeroize;

/// The least that a lock covers. On machines with larger pages the key's neighbours are locked too.
const PAGE_BYTES: usize = 4 << 10;

#[repr(align(4096))]
struct Page([u8; PAGE_BYTES]);

/// 32 secret bytes: locked while they are there, wiped before they go.
pub(crate) struct Locked {
    // Dropped first: the page is unlocked while it is still ours, and after it was wiped.
    lock: Option<LockGuard>,
    page: Box<Page>,
}

impl Locked {
    /// Moves a key into a page of its own; where it came from is wiped.
    pub(crate) fn new(mut bytes: [u8; 32]) -> Self {
        let mut page = Box::new(Page([0; PAGE_BYTES]));
        let lock = region::lock(page.0.as_ptr(), PAGE_BYTES).ok();
        page.0[..32].copy_from_slice(&bytes);
        bytes.zeroize();
        Self { lock, page }
    }

    /// Whether the system keeps it out of swap.
    pub(crate) fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        self.page.0.first_chunk().expect("a page has 32 bytes")
    }
}

impl Clone for Locked {
    fn clone(&self) -> Self {
        Self::new(*self.bytes())
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.page.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_as_it_was_and_clones_stand_alone() {
        let key = Locked::new([7; 32]);
        let clone = key.clone();
        assert_eq!(key.is_locked(), clone.is_locked());
        drop(key);
        assert_eq!(clone.bytes(), &[7; 32]);
    }

    #[test]
    fn it_lies_alone_on_its_page() {
        let key = Locked::new([7; 32]);
        assert_eq!(key.bytes().as_ptr().addr() % PAGE_BYTES, 0);
        assert!(PAGE_BYTES <= size_of_val(&*key.page));
    }
}
