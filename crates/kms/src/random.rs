//! Secret bytes out of the operating system's generator.
use aws_lc_rs::error::Unspecified;

/// Fresh bytes from the operating system's generator.
pub(crate) fn draw<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// Fills with fresh bytes from the operating system's generator.
pub(crate) fn fill(bytes: &mut [u8]) {
    fill_random(bytes)
        .expect("the operating system gives random bytes; nothing can be sealed without");
}

/// Fills with fresh bytes from the operating system's generator: every secret of the product, but
/// for the vault's keys of objects.
///
/// # Errors
/// When the generator has none to give.
#[expect(clippy::disallowed_methods, reason = "the one source of secrets")]
pub fn fill_random(bytes: &mut [u8]) -> Result<(), Unspecified> {
    aws_lc_rs::rand::fill(bytes)
}
