//! How work that takes long tells where it stands, and hears that it is to stop.
//!
//! It does not know what is done with the numbers.

/// Watches work. Its methods are called often and from several tasks: they must be cheap.
pub trait Observer: Send + Sync {
    /// The bytes that the whole work is about, once they are known.
    fn total(&self, bytes: u64);
    /// So many more bytes of that total are dealt with.
    fn done(&self, bytes: u64);
    /// So many bytes, in so many objects, have become durable in the target vault.
    fn shipped(&self, bytes: u64, objects: u64);
    /// So many bytes need no shipping, since the target vault holds them; they count as done.
    fn held(&self, bytes: u64);
    /// Asked between frames, chunks and objects; after a `true` the work ends with
    /// [`VaultError::Stopped`](crate::VaultError::Stopped).
    fn stop_requested(&self) -> bool;
}

/// Hears nothing and never stops anything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn total(&self, _bytes: u64) {}
    fn done(&self, _bytes: u64) {}
    fn shipped(&self, _bytes: u64, _objects: u64) {}
    fn held(&self, _bytes: u64) {}
    fn stop_requested(&self) -> bool {
        false
    }
}
