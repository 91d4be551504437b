//! A region's vault: names of objects, and whole objects in and out of an object store.
//!
//! It does not know what is inside objects. Nothing is ever overwritten, and no object is
//! visible under its name before it is whole and, in a local folder, synced.
use std::{
    collections::{HashMap, HashSet},
    io::{ErrorKind, Read},
    num::NonZeroU64,
    path::{Path as FsPath, PathBuf},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use model::{Hash, Timestamp, VolumeRef};
use object_store::{
    GetResultPayload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, local::LocalFileSystem,
    path::Path,
};
use tokio::sync::OnceCell;

use crate::{
    bucket::{self, Place},
    error::{ObjectId, ObjectKind, VaultError},
    format::bytes_max,
    large::LargeObjects,
    seal::draw,
};

/// Full paths of objects in one region's vault that are going to be deleted. They count as absent.
pub type Condemned = HashSet<String>;

/// Where one region keeps packs, block lists and manifests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Vault {
    store: Arc<dyn ObjectStore>,
    /// Takes large objects in a local folder.
    large: Option<Arc<LargeObjects>>,
    /// Waits for the disk that one new object costs.
    syncs_per_object: u64,
    /// Where in a bucket it lies, when it does.
    place: Option<Place>,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    bytes: AtomicU64,
    syncs: AtomicU64,
}

/// What went into a vault since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Intake {
    /// Bytes of objects and records.
    pub bytes: u64,
    /// Waits for this machine's disk: one for each object's bytes and one for the entry in its
    /// folder. Folders that are new cost more of them, which are not counted.
    pub syncs: u64,
}

/// The folder that volumes lie in.
pub(crate) const VOLUMES: &str = "volumes";

/// A bucket is asked so often for an object before it counts as missing or damaged.
const BUCKET_READS: u32 = 4;
/// The pause before such a question is repeated; it grows with each.
const BUCKET_PAUSE: Duration = Duration::from_millis(200);
/// A bucket that lists its newest names late is listed once more after this.
const BUCKET_SETTLE: Duration = Duration::from_secs(1);

/// Bytes read at once: progress and requests to stop are seen this often.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;

impl Vault {
    /// A vault behind any object store. A store on this machine must be durable by itself.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self {
            store,
            large: None,
            syncs_per_object: 0,
            place: None,
            counters: Arc::default(),
        }
    }

    /// A vault in a bucket: plain puts, since its names are used once.
    pub(crate) fn placed(store: Arc<dyn ObjectStore>, place: Place) -> Self {
        Self {
            place: Some(place),
            ..Self::new(store)
        }
    }

    pub(crate) fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// A vault in a local folder, which is made (mode 0700) when it is not there.
    ///
    /// Every object is synced, and so are the folders it lies in, before it counts as written.
    /// A killed process leaves unfinished uploads behind: see [`remove_unfinished`].
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn local_folder(path: &FsPath) -> Result<Self, VaultError> {
        use std::os::unix::fs::DirBuilderExt;
        let failed = |what: &str, at: &FsPath| {
            let (what, at) = (what.to_owned(), at.to_owned());
            move |source| VaultError::io(&what, &at, source)
        };
        let missing: Vec<&FsPath> = path
            .ancestors()
            .take_while(|at| !at.as_os_str().is_empty() && !at.exists())
            .collect();
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed("make the folder", path))?;
        for made in missing {
            let parent = match made.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => FsPath::new("."),
            };
            std::fs::File::open(parent)
                .and_then(|folder| folder.sync_all())
                .map_err(failed("sync the folder", parent))?;
        }
        let store = LocalFileSystem::new_with_prefix(path)
            .map_err(|source| VaultError::store("open the vault", path.display(), source))?;
        Ok(Self {
            syncs_per_object: 2,
            large: Some(Arc::new(LargeObjects::below(path))),
            ..Self::new(Arc::new(store.with_fsync(true)))
        })
    }

    /// What went into it since it was opened; clones count together.
    pub fn intake(&self) -> Intake {
        Intake {
            bytes: self.counters.bytes.load(Ordering::Relaxed),
            syncs: self.counters.syncs.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn store(&self) -> &dyn ObjectStore {
        &*self.store
    }

    /// The only way into the store: under a name that is free, and durable when this returns.
    pub(crate) async fn create(&self, path: &Path, bytes: Bytes) -> object_store::Result<()> {
        let count = bytes.len() as u64;
        if self.place.is_some() {
            bucket::put(&*self.store, path, bytes).await?;
        } else if !self.create_large(path, &bytes).await? {
            let options = PutOptions::from(PutMode::Create);
            self.store.put_opts(path, bytes.into(), options).await?;
        }
        let Counters { bytes, syncs } = &*self.counters;
        bytes.fetch_add(count, Ordering::Relaxed);
        syncs.fetch_add(self.syncs_per_object, Ordering::Relaxed);
        Ok(())
    }

    /// Creates a large object past the page cache; false when the store is to do it.
    async fn create_large(&self, path: &Path, bytes: &Bytes) -> object_store::Result<bool> {
        let large = self.large.clone().filter(|large| large.take(bytes.len()));
        let Some(large) = large else {
            return Ok(false);
        };
        let (at, bytes) = (path.to_string(), bytes.clone());
        let put = tokio::task::spawn_blocking(move || large.put(&at, &bytes)).await;
        put?.map_err(|error| {
            let (taken, path) = (error.kind() == ErrorKind::AlreadyExists, path.to_string());
            let source = Box::new(error);
            if taken {
                object_store::Error::AlreadyExists { path, source }
            } else {
                object_store::Error::Generic {
                    store: "vault folder",
                    source,
                }
            }
        })
    }

    /// Writes an object under a fresh name. It is durable when this returns.
    pub(crate) async fn put_new(
        &self,
        volume: &VolumeRef,
        object: ObjectId,
        bytes: Bytes,
    ) -> Result<(), VaultError> {
        let path = ObjectName::fresh(object).path(volume);
        match self.create(&path, bytes).await {
            Ok(()) => Ok(()),
            Err(object_store::Error::AlreadyExists { .. }) => Err(VaultError::Conflict {
                path: path.to_string(),
            }),
            Err(source) => Err(VaultError::store("write", path, source)),
        }
    }

    /// Reads a whole object into `buffer` and checks its hash, from the first incarnation that
    /// has it. What a bucket answers wrongly is asked for again: an answer may be torn or stale
    /// while the object is sound.
    pub(crate) async fn read_whole(
        &self,
        object: ObjectId,
        shelf: &Shelf,
        mut buffer: Vec<u8>,
    ) -> Result<Vec<u8>, VaultError> {
        let shelf = shelf.holding(self, object).await?;
        let mut outcome = Err(VaultError::Missing { object });
        for round in 0.. {
            for held in shelf.find(object) {
                buffer.clear();
                match self.read_held(object, held, buffer).await {
                    Ok((bytes, hash)) if hash == object.hash => return Ok(bytes),
                    Ok((bytes, _)) => {
                        outcome = Err(VaultError::damaged(
                            object,
                            "its bytes do not have its hash",
                        ));
                        buffer = bytes;
                    }
                    Err(error) => {
                        outcome = Err(error);
                        buffer = Vec::new();
                    }
                }
            }
            if shelf.find(object).is_empty() || !self.ask_again(round).await {
                break;
            }
        }
        outcome
    }

    /// Waits before what a bucket answered in `round` is asked for again; false when it has been
    /// asked often enough, or this is no bucket.
    pub(crate) async fn ask_again(&self, round: u32) -> bool {
        let again = self.place.is_some() && round + 1 < BUCKET_READS;
        if again {
            tokio::time::sleep(BUCKET_PAUSE * (round + 1)).await;
        }
        again
    }

    pub(crate) async fn read_held(
        &self,
        object: ObjectId,
        held: &Held,
        mut buffer: Vec<u8>,
    ) -> Result<(Vec<u8>, Hash), VaultError> {
        let mut source = Source::open(self, object, held).await?;
        while (buffer.len() as u64) < source.size {
            buffer = source.next(buffer, CHUNK_BYTES * 4).await?;
        }
        Ok((buffer, source.hash()))
    }
}

/// Removes from a local vault's folder what uploads left unfinished before the given moment, such
/// as the start of the one process that uses the folder. Gives the number of files. Blocks, and
/// walks the whole folder: it belongs into the sweep.
///
/// # Errors
/// The file system's.
pub fn remove_unfinished(folder: &FsPath, before: SystemTime) -> Result<u64, VaultError> {
    let mut folders = vec![folder.to_owned()];
    let mut removed = 0;
    while let Some(folder) = folders.pop() {
        let failed = |source| VaultError::io("read the folder", &folder, source);
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let path = entry.path();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && is_unfinished(&path) {
                let modified = entry.metadata().and_then(|meta| meta.modified());
                if modified.map_err(failed)? < before {
                    std::fs::remove_file(&path)
                        .map_err(|source| VaultError::io("remove", &path, source))?;
                    removed += 1;
                }
            }
        }
    }
    Ok(removed)
}

/// The local store stages an upload beside its final name, with `#` and a number behind it.
fn is_unfinished(path: &FsPath) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let staged = name.and_then(|name| name.rsplit_once('#'));
    staged.is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// An object that is being read, and hashed on the way.
pub(crate) struct Source {
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
        held: &Held,
    ) -> Result<Self, VaultError> {
        let path = held.path.clone();
        let found = match vault.store.get(&path).await {
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
                        let advice = rustix::fs::Advice::WillNeed;
                        let _ =
                            rustix::fs::fadvise(&*file, 0, NonZeroU64::new(size as u64), advice);
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

/// The last part of an object's name: `<hash>.<incarnation>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ObjectName {
    pub(crate) object: ObjectId,
    incarnation: [u8; 16],
}

impl ObjectName {
    /// A name that was never used and never will be again.
    pub(crate) fn fresh(object: ObjectId) -> Self {
        Self {
            object,
            incarnation: draw(),
        }
    }

    pub(crate) fn path(&self, volume: &VolumeRef) -> Path {
        let hex = data_encoding::HEXLOWER.encode(&self.incarnation);
        let ObjectId { kind, hash } = self.object;
        Path::from(format!("{VOLUMES}/{volume}/{}/{hash}.{hex}", kind.folder()))
    }

    pub(crate) fn parse(kind: ObjectKind, name: &str) -> Option<Self> {
        let (hash, incarnation) = name.split_once('.')?;
        let incarnation = data_encoding::HEXLOWER.decode(incarnation.as_bytes());
        Some(Self {
            object: ObjectId {
                kind,
                hash: Hash::from_str(hash).ok()?,
            },
            incarnation: incarnation.ok()?.try_into().ok()?,
        })
    }
}

/// One incarnation of an object.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) path: Path,
    pub(crate) size: u64,
    pub(crate) modified: Timestamp,
}

/// What a volume holds, listed once: every incarnation that is not condemned.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shelf {
    held: HashMap<ObjectId, Vec<Held>>,
    /// How to list it again, when it is in a bucket.
    listing: Option<Arc<Listing>>,
}

/// What a shelf is a list of, and what it was when it was listed once more.
#[derive(Debug)]
struct Listing {
    volume: VolumeRef,
    kinds: Vec<ObjectKind>,
    condemned: Condemned,
    again: OnceCell<Shelf>,
}

impl Shelf {
    /// Lists the kinds of objects that are asked for.
    pub(crate) async fn list(
        vault: &Vault,
        volume: &VolumeRef,
        kinds: &[ObjectKind],
        condemned: &Condemned,
    ) -> Result<Self, VaultError> {
        let mut held: HashMap<ObjectId, Vec<Held>> = HashMap::new();
        for kind in kinds {
            let folder = Path::from(format!("{VOLUMES}/{volume}/{}", kind.folder()));
            let mut found = vault.store.list(Some(&folder));
            let failed = |source| VaultError::store("list", &folder, source);
            while let Some(meta) = found.try_next().await.map_err(failed)? {
                let name = meta
                    .location
                    .filename()
                    .and_then(|name| ObjectName::parse(*kind, name));
                // Other names are not ours: they are neither read nor swept.
                if let Some(name) = name
                    && !condemned.contains(meta.location.as_ref())
                {
                    held.entry(name.object).or_default().push(Held {
                        path: meta.location,
                        size: meta.size,
                        modified: Timestamp(meta.last_modified.timestamp_micros()),
                    });
                }
            }
        }
        let listing = vault.place.is_some().then(|| {
            Arc::new(Listing {
                volume: volume.clone(),
                kinds: kinds.to_vec(),
                condemned: condemned.clone(),
                again: OnceCell::new(),
            })
        });
        Ok(Self { held, listing })
    }

    /// One incarnation of one object.
    pub(crate) fn of(object: ObjectId, held: Held) -> Self {
        Self {
            held: HashMap::from([(object, vec![held])]),
            listing: None,
        }
    }

    /// Where to look for an object that must be there: here, or in what a bucket lists a little
    /// later when it is not here. That is done once for all objects.
    pub(crate) async fn holding(
        &self,
        vault: &Vault,
        object: ObjectId,
    ) -> Result<&Self, VaultError> {
        let Some(listing) = self
            .listing
            .as_ref()
            .filter(|_| self.find(object).is_empty())
        else {
            return Ok(self);
        };
        let list = || async {
            tokio::time::sleep(BUCKET_SETTLE).await;
            Self::list(vault, &listing.volume, &listing.kinds, &listing.condemned).await
        };
        listing.again.get_or_try_init(list).await
    }

    pub(crate) fn find(&self, object: ObjectId) -> &[Held] {
        self.held.get(&object).map_or(&[], Vec::as_slice)
    }

    /// The part that concerns one object.
    pub(crate) fn only(&self, object: ObjectId) -> Self {
        let held = self.find(object).to_vec();
        Self {
            held: HashMap::from([(object, held)]),
            listing: self.listing.clone(),
        }
    }

    /// Whether an object of this size is there.
    pub(crate) fn holds(&self, object: ObjectId, size: u64) -> bool {
        self.find(object).iter().any(|held| held.size == size)
    }

    pub(crate) fn into_all(self) -> impl Iterator<Item = (ObjectId, Held)> {
        self.held
            .into_iter()
            .flat_map(|(object, held)| held.into_iter().map(move |held| (object, held)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_their_text() {
        let object = ObjectId {
            kind: ObjectKind::List,
            hash: Hash([3; 32]),
        };
        let name = ObjectName::fresh(object);
        let volume = VolumeRef {
            origin: "us-east-1".parse().unwrap(),
            account: "123456789012".parse().unwrap(),
            id: "5e4a1f3e-0000-4000-8000-000000000001".parse().unwrap(),
        };
        let path = name.path(&volume);
        assert_eq!(
            ObjectName::parse(ObjectKind::List, path.filename().unwrap()),
            Some(name)
        );
        assert_ne!(ObjectName::fresh(object), name);
        for not in ["", "a.b", "x", &format!("{}.00", Hash([0; 32]))] {
            assert_eq!(ObjectName::parse(ObjectKind::Pack, not), None);
        }
    }

    #[test]
    fn what_was_left_unfinished_can_be_removed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a/vault");
        Vault::local_folder(&root).unwrap();
        let packs = root.join("volumes/x/packs");
        std::fs::create_dir_all(&packs).unwrap();
        std::fs::write(packs.join("left#1"), b"half").unwrap();
        std::fs::write(packs.join("kept"), b"whole").unwrap();
        Vault::local_folder(&root).unwrap();
        assert_eq!(remove_unfinished(&root, SystemTime::UNIX_EPOCH).unwrap(), 0);
        let later = SystemTime::now() + std::time::Duration::from_secs(5);
        assert_eq!(remove_unfinished(&root, later).unwrap(), 1);
        assert!(!packs.join("left#1").exists() && packs.join("kept").exists());
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&root).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
