//! One object of a known size out of a vault: at the pace that is allowed, its hash checked.
//!
//! It does not know where the bytes go.
use std::sync::Arc;

use crate::{
    error::{ObjectId, VaultError},
    observer::Observer,
    store::{CHUNK_BYTES, Held, Shelf, Source, Vault},
    throttle::Throttle,
};

/// How objects are read for a copy.
#[derive(Clone, Copy)]
pub(crate) struct Paced<'a> {
    pub(crate) vault: &'a Vault,
    pub(crate) throttle: Option<&'a Arc<Throttle>>,
    pub(crate) observer: &'a dyn Observer,
}

impl Paced<'_> {
    /// Reads it from the first incarnation that has its hash. As in [`Vault::read_whole`], a
    /// bucket is asked again for what it answered wrongly; such bytes count as done only once.
    pub(crate) async fn read(
        &self,
        object: ObjectId,
        size: u64,
        shelf: &Shelf,
        mut buffer: Vec<u8>,
    ) -> Result<Vec<u8>, VaultError> {
        let shelf = shelf.holding(self.vault, object).await?;
        let mut outcome = Err(VaultError::Missing { object });
        let mut told = 0;
        for round in 0.. {
            for held in shelf.find(object) {
                buffer.clear();
                match self.read_held(object, held, size, buffer, &mut told).await {
                    Err(VaultError::Stopped) => return Err(VaultError::Stopped),
                    Err(error) => outcome = Err(error),
                    whole => return whole,
                }
                buffer = Vec::new();
            }
            if shelf.find(object).is_empty() || !self.vault.ask_again(round).await {
                break;
            }
        }
        outcome
    }

    /// `told` is how many of its bytes the observer has heard of.
    async fn read_held(
        &self,
        object: ObjectId,
        held: &Held,
        size: u64,
        mut buffer: Vec<u8>,
        told: &mut u64,
    ) -> Result<Vec<u8>, VaultError> {
        let mut source = Source::open(self.vault, object, held).await?;
        if source.size != size {
            return Err(VaultError::damaged(object, "it does not have its size"));
        }
        let most = self
            .throttle
            .map_or(CHUNK_BYTES, |throttle| throttle.chunk_bytes(CHUNK_BYTES));
        while (buffer.len() as u64) < size {
            if self.observer.stop_requested() {
                return Err(VaultError::Stopped);
            }
            let from = buffer.len();
            buffer = source.next(buffer, most).await?;
            if let Some(throttle) = self.throttle {
                throttle.pass(buffer.len() - from, self.observer).await?;
            }
            let there = buffer.len() as u64;
            self.observer.done(there.saturating_sub(*told));
            *told = there.max(*told);
        }
        if source.hash() != object.hash {
            return Err(VaultError::damaged(
                object,
                "its bytes do not have its hash",
            ));
        }
        Ok(buffer)
    }
}
