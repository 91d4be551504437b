//! Secret bytes out of the operating system's generator.

/// Fresh bytes from the operating system's generator.
pub(crate) fn draw<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// Fills with fresh bytes from the operating system's generator.
pub(crate) fn fill(bytes: &mut [u8]) {
    aws_lc_rs::rand::fill(bytes)
        .expect("the operating system gives random bytes; nothing can be sealed without");
}
