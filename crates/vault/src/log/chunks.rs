//! Chunks of logs in a vault: their names say which stretch each is, so that a listing tells what
//! there is without a key and without reading any.
//!
//! It does not know which of them follow one another.
use bytes::Bytes;
use model::{Hash, LogPlace, ResourceId, Timestamp, VolumeRef};
use object_store::{ObjectStoreExt, path::Path};
use uuid::Uuid;

use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    format::{
        chunk::{Chunk, ChunkHead},
        head::{CHUNK_BYTES, VolumeTag},
        seal::{DataKey, Sealing, draw},
    },
    observer::Unobserved,
    store::{
        listing::VolumeListing,
        names::{ObjectVersion, VOLUMES},
        throttle::Throttle,
        vault::Vault,
    },
};

/// A chunk that is there, as its name tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkEntry {
    /// Its full path in the vault.
    pub path: String,
    /// The stream.
    pub stream: Uuid,
    /// Where its bytes begin.
    pub start: LogPlace,
    /// The position behind its last byte.
    pub end: u64,
    /// A moment: what was acknowledged until then lies before `end`.
    pub at: Timestamp,
    /// The hash that its name claims.
    pub hash: Hash,
    /// Bytes of the object.
    pub size: u64,
    /// When it was written, by the store's clock.
    pub modified: Timestamp,
}

impl ChunkEntry {
    /// What an error names.
    pub fn object(&self) -> ObjectId {
        ObjectId {
            kind: ObjectKind::Chunk,
            hash: self.hash,
        }
    }

    /// Bytes of the log that it holds.
    pub(crate) fn log_bytes(&self) -> u64 {
        self.end.saturating_sub(self.start.position)
    }

    fn listing(&self) -> VolumeListing {
        let held = ObjectVersion {
            path: Path::from(self.path.as_str()),
            size: self.size,
            modified: self.modified,
        };
        VolumeListing::of(self.object(), held)
    }

    /// Whether an object says of itself what its name does.
    fn agrees_with(&self, head: &ChunkHead) -> Result<(), VaultError> {
        let named = (self.stream, self.start, self.end, self.at);
        match named == (head.stream, head.start, head.end, head.at) {
            true => Ok(()),
            false => Err(VaultError::damaged(
                self.object(),
                "its header is not what its name says",
            )),
        }
    }
}

fn folder(volume: &VolumeRef) -> Path {
    Path::from(format!("{VOLUMES}/{volume}/{}", ObjectKind::Chunk.folder()))
}

/// `<stream>.<timeline>.<start>.<end>.<moment>.<hash>.<incarnation>`: sorted by names, a stream's
/// chunks of one timeline follow each other.
fn fresh_path(volume: &VolumeRef, owner: &ResourceId, head: &ChunkHead, hash: Hash) -> Path {
    let ChunkHead {
        stream,
        start: LogPlace { timeline, position },
        end,
        at,
        ..
    } = head;
    let (stream, at) = (stream.simple(), at.0);
    let incarnation = data_encoding::HEXLOWER.encode(&draw::<16>());
    Path::from(format!(
        "{}/{}/{stream}.{timeline:08x}.{position:016x}.{end:016x}.{at:016x}.{hash}.{incarnation}",
        folder(volume),
        owner.as_str()
    ))
}

/// What a name tells; none when it is not one of a chunk's.
fn parse(path: &Path, size: u64, modified: Timestamp) -> Option<ChunkEntry> {
    let parts: Vec<&str> = path.filename()?.split('.').collect();
    let [stream, timeline, start, end, at, hash, incarnation] = parts.as_slice() else {
        return None;
    };
    let long = |text: &str| {
        (text.len() == 16).then_some(())?;
        u64::from_str_radix(text, 16).ok()
    };
    (timeline.len() == 8 && incarnation.len() == 32).then_some(())?;
    data_encoding::HEXLOWER
        .decode(incarnation.as_bytes())
        .ok()?;
    let (position, end) = (long(start)?, long(end)?);
    // Each leads on from where it begins.
    (position < end).then_some(())?;
    Some(ChunkEntry {
        path: path.to_string(),
        stream: Uuid::try_parse(stream).ok()?,
        start: LogPlace {
            timeline: u32::from_str_radix(timeline, 16).ok()?,
            position,
        },
        end,
        at: Timestamp(long(at)?.cast_signed()),
        hash: hash.parse().ok()?,
        size,
        modified,
    })
}

/// Keeps a chunk of a cluster's log. It is durable when this returns.
///
/// # Errors
/// [`VaultError::TooMany`] when it is too large, or its places do not fit its bytes; the store's.
pub async fn write_chunk(
    vault: &Vault,
    volume: &VolumeRef,
    owner: &ResourceId,
    chunk: Chunk,
    sealing: &Sealing,
) -> Result<ChunkEntry, VaultError> {
    let (tag, sealing, head) = (VolumeTag::of(volume), sealing.clone(), chunk.head);
    let written = tokio::task::spawn_blocking(move || chunk.write(tag, &sealing));
    let (hash, bytes) = written.await.map_err(VaultError::Task)??;
    let path = fresh_path(volume, owner, &head, hash);
    let (size, bytes) = (bytes.len() as u64, Bytes::from(bytes));
    match vault.create(&path, bytes).await {
        Ok(()) => Ok(ChunkEntry {
            path: path.to_string(),
            stream: head.stream,
            start: head.start,
            end: head.end,
            at: head.at,
            hash,
            size,
            modified: head.at,
        }),
        Err(object_store::Error::AlreadyExists { .. }) => Err(VaultError::Conflict {
            path: path.to_string(),
        }),
        Err(source) => Err(VaultError::store("write", path, source)),
    }
}

/// The chunks of one cluster's log in a volume, sorted by stream and place.
///
/// # Errors
/// The store's.
pub async fn chunks(
    vault: &Vault,
    volume: &VolumeRef,
    owner: &ResourceId,
) -> Result<Vec<ChunkEntry>, VaultError> {
    let mut found = Vec::new();
    let folder = Path::from(format!("{}/{}", folder(volume), owner.as_str()));
    let each = |meta: object_store::ObjectMeta| {
        let modified = Timestamp(meta.last_modified.timestamp_micros());
        // Other names are not ours: they are neither read nor swept.
        found.extend(parse(&meta.location, meta.size, modified));
    };
    vault.list(&folder, each).await?;
    found.sort_by(|a, b| {
        let key = |one: &ChunkEntry| (one.stream, one.start, one.end);
        key(a).cmp(&key(b))
    });
    Ok(found)
}

/// The clusters of whose logs a volume has chunks.
///
/// # Errors
/// The store's.
pub async fn chunk_owners(
    vault: &Vault,
    volume: &VolumeRef,
) -> Result<Vec<ResourceId>, VaultError> {
    let found = vault.folders(&folder(volume)).await?;
    let names = found.iter().filter_map(|path| path.filename());
    Ok(names.filter_map(|name| name.parse().ok()).collect())
}

async fn bytes_of(vault: &Vault, entry: &ChunkEntry) -> Result<Vec<u8>, VaultError> {
    if (CHUNK_BYTES as u64) < entry.size {
        return Err(VaultError::damaged(
            entry.object(),
            "it is larger than a chunk may be",
        ));
    }
    vault
        .read_whole(entry.object(), &entry.listing(), Vec::new())
        .await
}

/// Reads a chunk and opens it.
///
/// # Errors
/// [`VaultError::Missing`], [`VaultError::Damaged`], [`VaultError::WrongKey`],
/// [`VaultError::Sealing`]; the store's.
pub async fn read_chunk(
    vault: &Vault,
    volume: &VolumeRef,
    entry: &ChunkEntry,
    key: Option<&DataKey>,
) -> Result<Chunk, VaultError> {
    let mut bytes = bytes_of(vault, entry).await?;
    let (tag, key, hash) = (VolumeTag::of(volume), key.cloned(), entry.hash);
    let opened =
        tokio::task::spawn_blocking(move || Chunk::read(hash, &mut bytes, tag, key.as_ref()));
    let chunk = opened.await.map_err(VaultError::Task)??;
    entry.agrees_with(&chunk.head)?;
    Ok(chunk)
}

/// Looks at a chunk without its key: it has its hash, and is the stretch that its name says.
///
/// # Errors
/// [`VaultError::Missing`], [`VaultError::Damaged`]; the store's.
pub async fn check_chunk(
    vault: &Vault,
    volume: &VolumeRef,
    entry: &ChunkEntry,
) -> Result<ChunkHead, VaultError> {
    let bytes = bytes_of(vault, entry).await?;
    let head = ChunkHead::of_object(entry.hash, &bytes, VolumeTag::of(volume))?;
    entry.agrees_with(&head)?;
    Ok(head)
}

/// Brings a chunk into another region's vault as it lies, with its name; answers its bytes. That it is there already
/// is no error.
///
/// # Errors
/// [`VaultError::Missing`], [`VaultError::Damaged`] of the one that is brought; the stores'.
pub async fn bring_chunk(
    from: &Vault,
    to: &Vault,
    volume: &VolumeRef,
    entry: &ChunkEntry,
    throttle: Option<&Throttle>,
) -> Result<u64, VaultError> {
    let bytes = bytes_of(from, entry).await?;
    let head = ChunkHead::of_object(entry.hash, &bytes, VolumeTag::of(volume))?;
    entry.agrees_with(&head)?;
    if let Some(throttle) = throttle {
        throttle.pass(bytes.len(), &Unobserved).await?;
    }
    let path = Path::from(entry.path.as_str());
    match to.create(&path, Bytes::from(bytes)).await {
        Ok(()) | Err(object_store::Error::AlreadyExists { .. }) => Ok(entry.size),
        Err(source) => Err(VaultError::store("write", path, source)),
    }
}

/// Removes a chunk; that it is gone already is no error.
///
/// # Errors
/// The store's.
pub async fn delete_chunk(vault: &Vault, entry: &ChunkEntry) -> Result<(), VaultError> {
    let path = Path::from(entry.path.as_str());
    match vault.store().delete(&path).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(source) => Err(VaultError::store("delete", path, source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_their_text() {
        let volume: VolumeRef = "us-east-1/123456789012/5e4a1f3e-0000-4000-8000-000000000001"
            .parse()
            .expect("a volume");
        let owner: ResourceId = "cluster-ABCDEFGHIJKLMNOPQRSTUVWXYZ".parse().expect("an id");
        let head = ChunkHead {
            stream: Uuid::from_u128(7),
            start: LogPlace {
                timeline: 12,
                position: 0x1234_5678_9abc,
            },
            end: u64::MAX,
            at: Timestamp(-1),
            previous: None,
            stands_for: None,
        };
        let path = fresh_path(&volume, &owner, &head, Hash([3; 32]));
        let entry = parse(&path, 9, Timestamp(4)).expect("it is one");
        assert!(entry.agrees_with(&head).is_ok());
        assert_eq!((entry.hash, entry.size), (Hash([3; 32]), 9));
        assert!(path.as_ref().len() < 400, "{path}");
        for other in ["", "a.b", "x.00000001.0.0.0.0.0"] {
            assert_eq!(parse(&Path::from(other), 0, Timestamp(0)), None, "{other}");
        }
    }
}
