//! Which blocks of which packs a snapshot needs.
//!
//! It does not know what is done with them.
use super::origins::Mask;
use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    index::block_map::{Layers, Slot},
    observer::Observer,
    read::stretches,
};

/// For each pack of the manifest, and each of its frames as far as any is needed, the live
/// blocks.
///
/// # Errors
/// When a list cannot be read, or a block is nowhere; [`VaultError::Stopped`].
pub(crate) fn live_blocks(
    layers: &Layers<'_>,
    observer: &dyn Observer,
) -> Result<Vec<Vec<Mask>>, VaultError> {
    let manifest = &layers.manifest;
    let mut masks: Vec<Vec<Mask>> = vec![Vec::new(); manifest.tables.packs.len()];
    let mut slots = Vec::new();
    for stretch in stretches(manifest) {
        if observer.stop_requested() {
            return Err(VaultError::Stopped);
        }
        let file = &manifest.body.files[stretch.file as usize];
        let number = stretch.number as usize;
        let segment = &file.segments[number];
        layers.resolve(file.size, number, segment, &mut slots)?;
        for slot in &slots {
            let (pack, place) = match slot {
                Slot::Zero => continue,
                Slot::Stored {
                    pack: Some(pack),
                    place,
                    ..
                } => (*pack as usize, place),
                Slot::Stored { pack: None, .. } | Slot::Unknown => {
                    let object = ObjectId {
                        kind: ObjectKind::List,
                        hash: manifest.tables.lists[segment.whole.list as usize].hash,
                    };
                    return Err(VaultError::damaged(
                        object,
                        "it does not say where a block is",
                    ));
                }
            };
            let frames = &mut masks[pack];
            if frames.len() <= place.frame() {
                frames.resize(place.frame() + 1, 0);
            }
            frames[place.frame()] |= 1 << place.block();
        }
    }
    Ok(masks)
}
