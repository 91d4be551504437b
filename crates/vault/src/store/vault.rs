//! A region's vault: whole objects in and out of an object store.
//!
//! It does not know what is inside objects. Nothing is ever overwritten, and no object is
//! visible under its name before it is whole and, in a local folder, synced.
use std::{
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path as FsPath, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::TryStreamExt;
use model::VolumeRef;
use object_store::{
    ObjectMeta, ObjectStore, PutMode, PutOptions, local::LocalFileSystem, path::Path,
};

use crate::{
    error::{ObjectId, VaultError},
    store::{
        bucket_place::{self, Lane, Place},
        direct_writer::LargeObjects,
        names::ObjectName,
    },
};

/// Where one region keeps packs, block lists and manifests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Vault {
    store: Arc<dyn ObjectStore>,
    /// Takes large objects in a local folder.
    large: Option<Arc<LargeObjects>>,
    /// The local folder, when it lies in one.
    folder: Option<Arc<Folder>>,
    /// Waits for the disk that one new object costs.
    syncs_per_object: u64,
    /// Where in a bucket it lies, when it does.
    place: Option<Place>,
    counters: Arc<Counters>,
}

/// A folder as it was when it was opened. At its path there may be another one later, as after an
/// unmount: what is written there would be nowhere once the right one is back, and what is not found
/// there is not gone.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Folder {
    fn of(path: &FsPath) -> std::io::Result<Self> {
        let found = std::fs::metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            device: found.dev(),
            inode: found.ino(),
        })
    }

    async fn is_there(&self) -> object_store::Result<()> {
        let found = tokio::fs::metadata(&self.path).await;
        let found = found.and_then(|found| {
            let is_it = (found.dev(), found.ino()) == (self.device, self.inode);
            is_it.then_some(()).ok_or_else(|| {
                let why =
                    "the vault's folder is not the one that was opened: was a disk unmounted?";
                std::io::Error::other(why)
            })
        });
        found.map_err(|error| object_store::Error::Generic {
            store: "vault folder",
            source: Box::new(error),
        })
    }
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

/// A bucket is asked so often for an object before it counts as missing or damaged.
const BUCKET_READS: u32 = 4;
impl Vault {
    /// A vault behind any object store. A store on this machine must be durable by itself.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self {
            store,
            large: None,
            folder: None,
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

    /// Waits for the right to one more request that carries an object, in a bucket.
    pub(crate) async fn lane(&self) -> Option<Lane> {
        match &self.place {
            Some(place) => Some(place.lane().await),
            None => None,
        }
    }

    /// Whether it lies in a bucket: writing an object there is a request, and costs no waits for
    /// this machine's disk.
    pub fn is_bucket(&self) -> bool {
        self.place.is_some()
    }

    pub(crate) fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// A vault in a local folder, which is made (mode 0700) when it is not there.
    ///
    /// Every object is synced, and so are the folders it lies in, before it counts as written.
    /// A killed process leaves unfinished uploads behind: see [`remove_unfinished`](crate::remove_unfinished).
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn local_folder(path: &FsPath) -> Result<Self, VaultError> {
        use std::os::unix::fs::DirBuilderExt;
        let failed = |what: &str, at: &FsPath| {
            let (what, at) = (what.to_owned(), at.to_owned());
            move |source| VaultError::io(&what, &at, source)
        };
        let mut missing: Vec<&FsPath> = Vec::new();
        for at in path.ancestors().filter(|at| !at.as_os_str().is_empty()) {
            if at.try_exists().map_err(failed("look at", at))? {
                break;
            }
            missing.push(at);
        }
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
            folder: Some(Arc::new(Folder::of(path).map_err(failed("look at", path))?)),
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
        self.is_there().await?;
        if let Some(place) = &self.place {
            bucket_place::put((&*self.store, place), path, bytes).await?;
        } else if !self.create_large(path, &bytes).await? {
            let options = PutOptions::from(PutMode::Create);
            self.store.put_opts(path, bytes.into(), options).await?;
        }
        // It may have gone meanwhile, and the object lie in what is there now.
        self.is_there().await?;
        let Counters { bytes, syncs } = &*self.counters;
        bytes.fetch_add(count, Ordering::Relaxed);
        syncs.fetch_add(self.syncs_per_object, Ordering::Relaxed);
        Ok(())
    }

    /// Whether its folder is where it was opened.
    async fn is_there(&self) -> object_store::Result<()> {
        match &self.folder {
            Some(folder) => folder.is_there().await,
            None => Ok(()),
        }
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

    /// Hands on everything below a folder. A bucket's list that breaks off is taken up behind its
    /// last name.
    pub(crate) async fn list(
        &self,
        folder: &Path,
        mut each: impl FnMut(ObjectMeta),
    ) -> Result<(), VaultError> {
        let (mut last, mut round) = (None, 0);
        loop {
            let mut found = match &last {
                None => self.store.list(Some(folder)),
                Some(last) => self.store.list_with_offset(Some(folder), last),
            };
            let error = loop {
                match found.try_next().await {
                    Ok(Some(meta)) => {
                        last = Some(meta.location.clone());
                        each(meta);
                    }
                    // A list of another folder is none of this vault's.
                    Ok(None) => match self.is_there().await {
                        Ok(()) => return Ok(()),
                        Err(error) => break error,
                    },
                    Err(error) => break error,
                }
            };
            if !self.ask_again(round).await {
                return Err(VaultError::store("list", folder, error));
            }
            round += 1;
        }
    }

    /// The folders right below one.
    pub(crate) async fn folders(&self, under: &Path) -> Result<Vec<Path>, VaultError> {
        let mut round = 0;
        loop {
            let found = self.store.list_with_delimiter(Some(under)).await;
            let error = match (found, self.is_there().await) {
                (Ok(found), Ok(())) => return Ok(found.common_prefixes),
                (Err(error), _) | (_, Err(error)) => error,
            };
            if !self.ask_again(round).await {
                return Err(VaultError::store("list", under, error));
            }
            round += 1;
        }
    }

    /// Waits before what a bucket answered in `round` is asked for again; false when it has been
    /// asked often enough, or this is no bucket.
    pub(crate) async fn ask_again(&self, round: u32) -> bool {
        match &self.place {
            Some(place) if round + 1 < BUCKET_READS => {
                tokio::time::sleep(place.options.pause * (round + 1)).await;
                true
            }
            _ => false,
        }
    }
}
