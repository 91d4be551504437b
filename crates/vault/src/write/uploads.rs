//! Objects on their way into the vault while the next ones are being made.
//!
//! It does not know what is in them.
use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use model::VolumeRef;
use tokio::{runtime::Handle, task::JoinHandle};

use crate::{
    error::{ObjectId, VaultError},
    observer::Observer,
    store::Vault,
};

/// A bounded queue of uploads. Its methods block the calling thread.
pub(crate) struct Uploads {
    handle: Handle,
    vault: Vault,
    volume: VolumeRef,
    observer: Arc<dyn Observer>,
    under_way: VecDeque<JoinHandle<Result<Bytes, VaultError>>>,
    most: usize,
    /// A buffer that came back from an upload.
    idle: Option<Vec<u8>>,
    /// Bytes given to the queue.
    pub(crate) bytes: u64,
    /// Objects given to the queue.
    pub(crate) objects: u64,
}

impl Uploads {
    pub(crate) fn new(
        vault: &Vault,
        volume: &VolumeRef,
        handle: Handle,
        most: usize,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self {
            handle,
            vault: vault.clone(),
            volume: volume.clone(),
            observer,
            under_way: VecDeque::with_capacity(most),
            most,
            idle: None,
            bytes: 0,
            objects: 0,
        }
    }

    /// A buffer to build the next pack in: one that was used before, if there is one, since
    /// fresh pages cost more than writing to them.
    pub(crate) fn take_buffer(&mut self) -> Vec<u8> {
        self.idle.take().unwrap_or_default()
    }

    /// Starts an upload; waits for the oldest one first when too many are under way.
    pub(crate) fn send(&mut self, object: ObjectId, bytes: Vec<u8>) -> Result<(), VaultError> {
        while self.most <= self.under_way.len() {
            self.join_oldest()?;
        }
        self.bytes += bytes.len() as u64;
        self.objects += 1;
        let (vault, volume) = (self.vault.clone(), self.volume.clone());
        let observer = Arc::clone(&self.observer);
        let bytes = Bytes::from(bytes);
        self.under_way.push_back(self.handle.spawn(async move {
            vault.put_new(&volume, object, bytes.clone()).await?;
            observer.shipped(bytes.len() as u64, 1);
            Ok(bytes)
        }));
        Ok(())
    }

    fn join_oldest(&mut self) -> Result<(), VaultError> {
        if let Some(task) = self.under_way.pop_front() {
            let bytes = self.handle.block_on(task).map_err(VaultError::Task)??;
            // The store may still hold on to the bytes; then they are simply not used again.
            if let Ok(buffer) = bytes.try_into_mut() {
                let buffer = Vec::from(buffer);
                if self
                    .idle
                    .as_ref()
                    .is_none_or(|idle| idle.capacity() < buffer.capacity())
                {
                    self.idle = Some(buffer);
                }
            }
        }
        Ok(())
    }

    /// Waits until everything is durable.
    pub(crate) fn drain(&mut self) -> Result<(), VaultError> {
        while !self.under_way.is_empty() {
            self.join_oldest()?;
        }
        Ok(())
    }
}
