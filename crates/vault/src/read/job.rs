//! What the steps of a restore and of a check share: the vault, its listing, and who watches.
//!
//! It does not know where blocks go.
use std::sync::Arc;

use model::Hash;
use tokio::runtime::Handle;

use super::plan::{Plan, Run, object, stretches};
use crate::{
    error::{ObjectKind, VaultError},
    format::{head::VolumeTag, manifest::Manifest, part::Unpacker, seal::DataKey},
    index::block_map::Layers,
    observer::Observer,
    store::{listing::VolumeListing, object_source::Objects, vault::Vault},
};

/// What the steps share.
pub(super) struct Job<'a> {
    pub(super) vault: &'a Vault,
    pub(super) volume: VolumeTag,
    pub(super) listing: Arc<VolumeListing>,
    pub(super) handle: Handle,
    pub(super) observer: &'a dyn Observer,
}

impl Job<'_> {
    pub(super) fn go_on(&self) -> Result<(), VaultError> {
        if self.observer.stop_requested() {
            return Err(VaultError::Stopped);
        }
        Ok(())
    }

    pub(super) fn manifest(
        &self,
        hash: Hash,
        key: Option<&DataKey>,
    ) -> Result<Manifest, VaultError> {
        let id = object(ObjectKind::Manifest, hash);
        let read = self.vault.read_whole(id, &self.listing, Vec::new());
        let mut bytes = self.handle.block_on(read)?;
        Manifest::read(hash, &mut bytes, self.volume, key, &mut Unpacker::new())
    }

    /// A snapshot's block lists, to be read when they are needed.
    pub(super) fn layers(&self, manifest: &Arc<Manifest>) -> Layers<'static> {
        Layers::new(
            Objects::Here(self.vault.clone(), Arc::clone(&self.listing)),
            self.volume,
            self.handle.clone(),
            Arc::clone(manifest),
        )
    }

    /// Reads every block list and plans where each block goes.
    pub(super) fn plan(&self, manifest: &Arc<Manifest>) -> Result<Vec<Run>, VaultError> {
        let layers = self.layers(manifest);
        let mut plan = Plan::default();
        let mut slots = Vec::new();
        for stretch in stretches(manifest) {
            self.go_on()?;
            let file = &manifest.body.files[stretch.file as usize];
            let number = stretch.number as usize;
            let segment = &file.segments[number];
            layers.resolve(file.size, number, segment, &mut slots)?;
            plan.add(stretch, &slots, layers.id(segment.whole.list))?;
        }
        Ok(plan.finish())
    }
}
