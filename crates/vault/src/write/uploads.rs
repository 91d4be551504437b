//! Objects on their way into the vault while the next ones are being made.
//!
//! It does not know what is in them.
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use model::VolumeRef;
use tokio::{runtime::Handle, task::JoinHandle};

use crate::{
    error::{ObjectId, VaultError},
    observer::Observer,
    store::vault::Vault,
};

/// Buffers that came back from uploads and wait for their next use.
const IDLE_MAX: usize = 4;

#[derive(Default)]
struct State {
    under_way: VecDeque<JoinHandle<Result<Bytes, VaultError>>>,
    idle: Vec<Vec<u8>>,
    bytes: u64,
    objects: u64,
}

/// A bounded queue of uploads, shared by the threads that write a snapshot. Its methods block.
pub(crate) struct Uploads {
    handle: Handle,
    vault: Vault,
    volume: VolumeRef,
    observer: Arc<dyn Observer>,
    most: usize,
    state: Mutex<State>,
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
            most,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// A buffer to build the next pack in: one that was used before, if there is one, since
    /// fresh pages cost more than writing to them.
    pub(crate) fn take_buffer(&self) -> Vec<u8> {
        self.state().idle.pop().unwrap_or_default()
    }

    /// Starts an upload; waits for the oldest one first when too many are under way.
    pub(crate) fn send(&self, object: ObjectId, bytes: Vec<u8>) -> Result<(), VaultError> {
        while self.most <= self.state().under_way.len() {
            self.join_oldest()?;
        }
        let (vault, volume) = (self.vault.clone(), self.volume.clone());
        let observer = Arc::clone(&self.observer);
        let bytes = Bytes::from(bytes);
        let mut state = self.state();
        state.bytes += bytes.len() as u64;
        state.objects += 1;
        state.under_way.push_back(self.handle.spawn(async move {
            vault.put_new(&volume, object, bytes.clone()).await?;
            observer.shipped(bytes.len() as u64, 1);
            Ok(bytes)
        }));
        Ok(())
    }

    fn join_oldest(&self) -> Result<bool, VaultError> {
        let Some(task) = self.state().under_way.pop_front() else {
            return Ok(false);
        };
        let bytes = self.handle.block_on(task).map_err(VaultError::Task)??;
        // The store may still hold on to the bytes; then they are simply not used again.
        if let Ok(buffer) = bytes.try_into_mut() {
            let buffer = Vec::from(buffer);
            let mut state = self.state();
            // Lists are small and build their own buffers.
            if crate::format::head::PACK_BYTES / 2 <= buffer.capacity()
                && state.idle.len() < IDLE_MAX
            {
                state.idle.push(buffer);
            }
        }
        Ok(true)
    }

    /// Waits until everything is durable. Nothing else is sent meanwhile.
    pub(crate) fn drain(&self) -> Result<(), VaultError> {
        while self.join_oldest()? {}
        Ok(())
    }

    /// Bytes and objects given to the queue so far.
    pub(crate) fn written(&self) -> (u64, u64) {
        let state = self.state();
        (state.bytes, state.objects)
    }
}
