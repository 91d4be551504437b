//! Format 1 in numbers, and the head that every object begins with.
//!
//! It does not know what lies behind the head. Everything here is part of the stored format:
//! see docs/reference/vault-format.md before changing any of it.
use model::{VolumeRef, limits};

use crate::error::{ObjectId, ObjectKind, VaultError};

/// The only version there is.
pub(crate) const VERSION: u16 = 1;
/// A block, bytes.
pub(crate) const BLOCK_BYTES: usize = limits::BLOCK_BYTES;
/// Blocks in a frame, at most.
pub(crate) const FRAME_BLOCKS: usize = limits::FRAME_BYTES_MAX / BLOCK_BYTES;
/// A frame's plaintext, bytes, at most.
pub(crate) const FRAME_BYTES: usize = FRAME_BLOCKS * BLOCK_BYTES;
/// Frames in a pack, at most, so that a frame and a block in it fit 16 bits.
pub(crate) const PACK_FRAMES: usize = 1 << 11;
/// A pack, bytes, at most.
pub(crate) const PACK_BYTES: usize = limits::PACK_BYTES;
/// Blocks in a segment, the unit in which a file refers to block lists.
pub(crate) const SEGMENT_BLOCKS: usize = 4096;
/// Bytes of a file that a segment covers, at most.
pub(crate) const SEGMENT_BYTES: u64 = (SEGMENT_BLOCKS * BLOCK_BYTES) as u64;
/// Patches upon one another in a segment, at most.
pub(crate) const PATCHES_MAX: usize = 12;
/// Entries in a block list, at most; the pack numbers 0 to 65,534 therefore suffice.
pub(crate) const LIST_ENTRIES: usize = 65_535;
/// A block list, stored or plain, bytes, at most: 22 an entry, 32 a pack, and the frame of it all.
pub(crate) const LIST_BYTES: usize = 4 << 20;
/// A manifest, stored or plain, bytes, at most.
pub(crate) const MANIFEST_BYTES: usize = 256 << 20;
/// A file in a snapshot, bytes, at most: its blocks are numbered with 32 bits.
pub(crate) const FILE_BYTES: u64 = (BLOCK_BYTES as u64) << 32;
/// The log in a chunk, bytes, at most.
pub const CHUNK_LOG_BYTES: usize = 16 << 20;
/// What a chunk says of its timeline, bytes, at most.
pub(crate) const CHUNK_HISTORY_BYTES: usize = 1 << 20;
/// A chunk, stored, bytes, at most.
pub(crate) const CHUNK_BYTES: usize = 18 << 20;
/// A path in a manifest, bytes, at most.
pub(crate) const PATH_BYTES: usize = 1024;

const _: () = assert!(BLOCK_BYTES == 8192 && FRAME_BLOCKS == 32 && PACK_BYTES == 16 << 20);
const _: () = assert!(PACK_FRAMES * FRAME_BLOCKS == 1 << 16);
const _: () = assert!(LIST_ENTRIES * 54 + 4096 <= LIST_BYTES);

/// The head's length, bytes.
pub(crate) const HEAD_BYTES: usize = 80;
const SEALED_FLAG: u16 = 1;

fn magic(kind: ObjectKind) -> &'static [u8; 8] {
    match kind {
        ObjectKind::Pack => b"SnfyPack",
        ObjectKind::List => b"SnfyList",
        ObjectKind::Manifest => b"SnfyMani",
        ObjectKind::Chunk => b"SnfyChnk",
    }
}

/// The largest object of a kind, bytes.
pub(crate) fn bytes_max(kind: ObjectKind) -> usize {
    match kind {
        ObjectKind::Pack => PACK_BYTES,
        ObjectKind::List => LIST_BYTES,
        ObjectKind::Manifest => MANIFEST_BYTES,
        ObjectKind::Chunk => CHUNK_BYTES,
    }
}

/// What stands for a volume inside objects, so that none of them can be moved to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct VolumeTag(pub(crate) [u8; 32]);

impl VolumeTag {
    pub(crate) fn of(volume: &VolumeRef) -> Self {
        Self(blake3::derive_key(
            "snapferry vault volume tag, format 1",
            volume.to_string().as_bytes(),
        ))
    }
}

/// What every object begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: ObjectKind,
    pub(crate) sealed: bool,
    pub(crate) volume: VolumeTag,
    /// Random: makes each object's key its own even if a data key were used twice, and keeps
    /// names of unsealed objects from confirming what is in them.
    pub(crate) salt: [u8; 32],
}

impl Head {
    pub(crate) fn to_bytes(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(magic(self.kind));
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        let flags = if self.sealed { SEALED_FLAG } else { 0 };
        bytes[10..12].copy_from_slice(&flags.to_le_bytes());
        bytes[16..48].copy_from_slice(&self.volume.0);
        bytes[48..].copy_from_slice(&self.salt);
        bytes
    }

    /// Reads the head of an object that is to be of this kind and volume.
    pub(crate) fn parse(
        bytes: &[u8],
        object: ObjectId,
        volume: VolumeTag,
    ) -> Result<Self, VaultError> {
        let wrong = |why| Err(VaultError::damaged(object, why));
        let Some(bytes) = bytes.first_chunk::<HEAD_BYTES>() else {
            return wrong("it ends within its head");
        };
        if bytes[..8] != *magic(object.kind) {
            return wrong("it does not begin as its kind does");
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if version != VERSION {
            return Err(VaultError::Format { object, version });
        }
        let flags = u16::from_le_bytes([bytes[10], bytes[11]]);
        if flags & !SEALED_FLAG != 0 || bytes[12..16] != [0; 4] {
            return wrong("its head has flags that format 1 does not know");
        }
        if bytes[16..48] != volume.0 {
            return wrong("it belongs to another volume");
        }
        let mut salt = [0; 32];
        salt.copy_from_slice(&bytes[48..]);
        Ok(Self {
            kind: object.kind,
            sealed: flags & SEALED_FLAG != 0,
            volume,
            salt,
        })
    }
}
