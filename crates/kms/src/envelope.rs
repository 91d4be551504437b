//! Values of any length, sealed under a data key that KMS wrapped: envelope encryption.
//!
//! It does not know what the value is, nor where the wrapped data key is kept.
use zeroize::Zeroizing;

use crate::seal;

const DOMAIN: &[u8] = b"snapferry secret value";

/// Seals a value under a data key, bound to what it belongs to.
pub fn seal_value(data_key: &[u8; 32], bound_to: &str, value: &[u8]) -> Vec<u8> {
    seal::seal(data_key, DOMAIN, bound_to.as_bytes(), value)
}

/// Opens a value; `None` when it was altered, is bound to something else, or the data key is
/// another one.
pub fn open_value(
    data_key: &[u8; 32],
    bound_to: &str,
    sealed: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    seal::open(data_key, DOMAIN, bound_to.as_bytes(), sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_only_where_it_belongs() {
        let sealed = seal_value(&[7; 32], "a#1", b"hush");
        assert!(!sealed.windows(4).any(|part| part == b"hush"));
        let opened = open_value(&[7; 32], "a#1", &sealed).expect("opens");
        assert_eq!(opened.as_slice(), b"hush");
        assert!(open_value(&[7; 32], "a#2", &sealed).is_none());
        assert!(open_value(&[8; 32], "a#1", &sealed).is_none());
    }
}
