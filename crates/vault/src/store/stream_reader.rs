//! One object that is being read from a vault, and hashed on the way.
//!
//! It does not know what hash it should have.
use std::{io::Read, num::NonZeroU64, path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures_util::StreamExt;
use model::Hash;
use object_store::{GetResultPayload, ObjectStoreExt, path::Path};
use rustix::fs::Advice;

use crate::{
    error::{ObjectId, VaultError},
    format::head::bytes_max,
    store::{bucket_place::Lane, names::ObjectVersion, vault::Vault},
};

/// Bytes read at once: progress and requests to stop are seen this often.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;

/// An object that is being read, and hashed on the way.
pub(crate) struct Source {
    /// Counted among the bucket's requests while it is open.
    _lane: Option<Lane>,
    payload: Payload,
    hasher: blake3::Hasher,
    object: ObjectId,
    path: Path,
    /// Its size by the store, bytes.
    pub(crate) size: u64,
}

enum Payload {
    File(Arc<std::fs::File>, PathBuf),
    Stream(futures_util::stream::BoxStream<'static, object_store::Result<Bytes>>),
}

impl Source {
    pub(crate) async fn open(
        vault: &Vault,
        object: ObjectId,
        held: &ObjectVersion,
    ) -> Result<Self, VaultError> {
        let path = held.path.clone();
        let lane = vault.lane().await;
        let found = match vault.store().get(&path).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => {
                return Err(VaultError::Missing { object });
            }
            Err(source) => return Err(VaultError::store("read", path, source)),
        };
        let size = found.meta.size;
        if (bytes_max(object.kind) as u64) < size {
            return Err(VaultError::damaged(
                object,
                "it is larger than its kind may be",
            ));
        }
        let payload = match found.payload {
            GetResultPayload::File(file, path) => Payload::File(Arc::new(file), path),
            GetResultPayload::Stream(stream) => Payload::Stream(stream),
        };
        Ok(Self {
            _lane: lane,
            payload,
            hasher: blake3::Hasher::new(),
            object,
            path,
            size,
        })
    }

    /// Appends the next bytes, about `most` of them, to `buffer`, which holds all before them.
    ///
    /// # Errors
    /// When the object ends before its size, or goes on behind it; the store's.
    pub(crate) async fn next(
        &mut self,
        mut buffer: Vec<u8>,
        most: usize,
    ) -> Result<Vec<u8>, VaultError> {
        let from = buffer.len();
        let size = usize::try_from(self.size).expect("it was compared with its maximum");
        buffer.reserve_exact(size.saturating_sub(from));
        match &mut self.payload {
            Payload::Stream(stream) => match stream.next().await {
                None => {}
                Some(Ok(bytes)) => {
                    buffer.extend_from_slice(&bytes);
                    self.hasher.update(&bytes);
                }
                Some(Err(source)) => return Err(VaultError::store("read", &self.path, source)),
            },
            Payload::File(file, path) => {
                let file = Arc::clone(file);
                let most = size.saturating_sub(from).min(most);
                let mut hasher = std::mem::take(&mut self.hasher);
                // Hashed by the thread that read it, while it is in that thread's cache.
                let read = tokio::task::spawn_blocking(move || {
                    if from == 0 {
                        // All of it is wanted: the disk is kept busy while this is hashed.
                        // Advice only: a file system that takes none reads as well.
                        let (all, soon) = (NonZeroU64::new(size as u64), Advice::WillNeed);
                        let _ = rustix::fs::fadvise(&*file, 0, all, soon);
                    }
                    buffer.resize(from + most, 0);
                    (&*file).read_exact(&mut buffer[from..])?;
                    hasher.update(&buffer[from..]);
                    Ok::<_, std::io::Error>((buffer, hasher))
                });
                match read.await.map_err(VaultError::Task)? {
                    Ok((read, hasher)) => (buffer, self.hasher) = (read, hasher),
                    Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                        return Err(VaultError::damaged(
                            self.object,
                            "it does not have its size",
                        ));
                    }
                    Err(source) => return Err(VaultError::io("read", path, source)),
                }
            }
        }
        if buffer.len() == from || size < buffer.len() {
            return Err(VaultError::damaged(
                self.object,
                "it does not have its size",
            ));
        }
        Ok(buffer)
    }

    /// The hash of all that was read.
    pub(crate) fn hash(&self) -> Hash {
        Hash(*self.hasher.finalize().as_bytes())
    }
}
