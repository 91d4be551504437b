//! Whole objects of a vault that is reached piece by piece, every byte checked.
//!
//! It does not know how the pieces travel, and believes nothing of what arrives: an object is
//! given on only when it has the size that the manifest says and the hash that names it.
use std::{fmt, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use model::Hash;

use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    format::head::bytes_max,
    observer::Observer,
    store::throttle::Throttle,
};

/// The most that is asked for at once, bytes.
pub const PIECE_BYTES_MAX: usize = 4 << 20;

/// A vault that is read in pieces.
pub trait Origin: Sync + fmt::Debug {
    /// Bytes of an object from `start`: `length` of them, or fewer when the object ends before.
    ///
    /// # Errors
    /// [`VaultError::Link`], [`VaultError::LinkRefused`], [`VaultError::Stopped`].
    fn read(
        &self,
        object: ObjectId,
        start: u64,
        length: usize,
    ) -> BoxFuture<'_, Result<Bytes, VaultError>>;
}

/// How objects are read there.
#[derive(Clone, Copy)]
pub(crate) struct Pieces<'a> {
    pub(crate) from: &'a dyn Origin,
    pub(crate) throttle: Option<&'a Arc<Throttle>>,
    pub(crate) observer: &'a dyn Observer,
}

impl Pieces<'_> {
    /// A manifest's bytes. Its size is only known at its end.
    pub(crate) async fn manifest(&self, hash: Hash) -> Result<Vec<u8>, VaultError> {
        let root = ObjectId {
            kind: ObjectKind::Manifest,
            hash,
        };
        let mut buffer = Vec::new();
        loop {
            if self.observer.stop_requested() {
                return Err(VaultError::Stopped);
            }
            let at = buffer.len() as u64;
            let piece = self.from.read(root, at, PIECE_BYTES_MAX).await?;
            if PIECE_BYTES_MAX < piece.len() || bytes_max(root.kind) < buffer.len() + piece.len() {
                return Err(VaultError::damaged(
                    root,
                    "it is larger than its kind may be",
                ));
            }
            buffer.extend_from_slice(&piece);
            if piece.len() < PIECE_BYTES_MAX {
                break;
            }
        }
        if blake3::hash(&buffer).as_bytes() != &hash.0 {
            return Err(VaultError::damaged(root, "its bytes do not have its hash"));
        }
        Ok(buffer)
    }

    /// An object of a known size into `buffer`, piece by piece at the pace that is allowed.
    pub(crate) async fn whole(
        &self,
        object: ObjectId,
        size: u64,
        mut buffer: Vec<u8>,
    ) -> Result<Vec<u8>, VaultError> {
        let most = self.throttle.map_or(PIECE_BYTES_MAX, |throttle| {
            throttle.chunk_bytes(PIECE_BYTES_MAX)
        });
        // The tables were checked: no size is above what its kind may have.
        let size = usize::try_from(size).map_err(|_| VaultError::damaged(object, "its size"))?;
        buffer.clear();
        buffer.reserve_exact(size);
        let mut hasher = blake3::Hasher::new();
        while buffer.len() < size {
            if self.observer.stop_requested() {
                return Err(VaultError::Stopped);
            }
            let length = most.min(size - buffer.len());
            let piece = self.from.read(object, buffer.len() as u64, length).await?;
            if piece.len() != length {
                return Err(VaultError::damaged(object, "it does not have its size"));
            }
            hasher.update(&piece);
            buffer.extend_from_slice(&piece);
            if let Some(throttle) = self.throttle {
                throttle.pass(length, self.observer).await?;
            }
            self.observer.done(length as u64);
        }
        if hasher.finalize().as_bytes() != &object.hash.0 {
            return Err(VaultError::damaged(
                object,
                "its bytes do not have its hash",
            ));
        }
        Ok(buffer)
    }
}
