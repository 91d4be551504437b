//! Stores and a catalog as one actor sees them: every call waits at the gate.
//!
//! They do not know what the calls are for.
use std::{
    fmt,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use catalog::{Catalog, CatalogError, SqliteCatalog, Work};
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    memory::InMemory, path::Path,
};

use super::{
    broken::{BentTx, Broken, Seen},
    gate::{Gate, Late},
};

/// What a writer on a blocking thread has put so far; it goes through the gate, put by put, at
/// the writer's next commit, since threads cannot be stepped. Its reads are all at one moment.
pub(super) type Held = Arc<Mutex<Vec<(Arc<InMemory>, Path, PutPayload)>>>;

/// One region's store, as one actor sees it.
pub(super) struct GatedStore {
    pub(super) gate: Arc<Gate>,
    pub(super) actor: usize,
    pub(super) inner: Arc<InMemory>,
    pub(super) held: Option<Held>,
    pub(super) broken: Broken,
}

impl fmt::Debug for GatedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GatedStore({})", self.actor)
    }
}

impl fmt::Display for GatedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GatedStore({})", self.actor)
    }
}

/// The last parts of a path, which say enough.
fn short(path: &Path) -> String {
    let parts: Vec<String> = path.parts().map(|part| part.as_ref().to_owned()).collect();
    let name: String = parts
        .last()
        .map(|name| name.chars().take(6).collect())
        .unwrap_or_default();
    format!(
        "{}/{name}",
        parts
            .get(parts.len().saturating_sub(2))
            .cloned()
            .unwrap_or_default()
    )
}

/// The name that every object of these bytes has where names are used again.
pub(super) fn reused(path: &Path) -> Path {
    let text = path.as_ref();
    let stem = text.split_once('.').map_or(text, |(stem, _)| stem);
    Path::from(format!("{stem}.{:032x}", 0))
}

impl GatedStore {
    async fn pass(&self, what: String, late: Option<Late>) {
        if self.held.is_none() {
            self.gate.pass(self.actor, what, late).await;
        }
    }
}

#[async_trait]
impl ObjectStore for GatedStore {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if let Some(held) = &self.held {
            let mut held = held.lock().expect("no holder panics");
            held.push((Arc::clone(&self.inner), path.clone(), payload));
            return Ok(PutResult {
                e_tag: None,
                version: None,
                extensions: Default::default(),
            });
        }
        let (path, options) = match self.broken {
            Broken::NamesAreReused => (&reused(path), PutOptions::default()),
            _ => (path, options),
        };
        let late = Late::Put(Arc::clone(&self.inner), path.clone(), payload.clone());
        self.pass(format!("put {}", short(path)), Some(late)).await;
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.pass(format!("get {}", short(path)), None).await;
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (gate, actor, inner) = (Arc::clone(&self.gate), self.actor, Arc::clone(&self.inner));
        let delete = move |path: Result<Path>| {
            let (gate, inner) = (Arc::clone(&gate), Arc::clone(&inner));
            async move {
                let path = path?;
                let late = Late::Delete(Arc::clone(&inner), path.clone());
                gate.pass(actor, format!("delete {}", short(&path)), Some(late))
                    .await;
                inner.delete(&path).await.map(|()| path)
            }
        };
        paths.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (gate, actor, inner) = (Arc::clone(&self.gate), self.actor, Arc::clone(&self.inner));
        let (prefix, gated) = (prefix.cloned(), self.held.is_none());
        let listed = async move {
            if gated {
                gate.pass(
                    actor,
                    format!("list {}", prefix.as_ref().map(short).unwrap_or_default()),
                    None,
                )
                .await;
            }
            stream::iter(inner.list(prefix.as_ref()).collect::<Vec<_>>().await)
        };
        stream::once(listed).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.pass("list folders".to_owned(), None).await;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// The catalog, as one actor sees it.
pub(super) struct GatedCatalog {
    pub(super) gate: Arc<Gate>,
    pub(super) actor: usize,
    pub(super) inner: Arc<SqliteCatalog>,
    pub(super) held: Option<Held>,
    pub(super) broken: Broken,
    pub(super) seen: Seen,
}

impl fmt::Debug for GatedCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GatedCatalog({})", self.actor)
    }
}

impl GatedCatalog {
    fn bent(&self, work: Box<Work>) -> Box<Work> {
        if self.broken == Broken::Nothing {
            return work;
        }
        let (broken, seen) = (self.broken, Arc::clone(&self.seen));
        Box::new(move |tx| {
            work(&mut BentTx {
                tx,
                broken,
                seen: &seen,
            })
        })
    }

    async fn flush(&self) {
        let held: Vec<_> = match &self.held {
            Some(held) => std::mem::take(&mut *held.lock().expect("no holder panics")),
            None => Vec::new(),
        };
        for (store, path, payload) in held {
            let late = Late::Put(Arc::clone(&store), path.clone(), payload.clone());
            self.gate
                .pass(self.actor, format!("put {}", short(&path)), Some(late))
                .await;
            store.put(&path, payload).await.expect("memory takes it");
        }
    }
}

#[async_trait]
impl Catalog for GatedCatalog {
    async fn write_boxed(&self, work: Box<Work>) -> std::result::Result<(), CatalogError> {
        if self.broken != Broken::RecordComesFirst {
            self.flush().await;
        }
        self.gate
            .pass(self.actor, "write the catalog".to_owned(), None)
            .await;
        let done = self.inner.write_boxed(self.bent(work)).await;
        self.flush().await;
        done
    }

    async fn read_boxed(&self, work: Box<Work>) -> std::result::Result<(), CatalogError> {
        self.gate
            .pass(self.actor, "read the catalog".to_owned(), None)
            .await;
        self.inner.read_boxed(self.bent(work)).await
    }

    async fn point_read_boxed(&self, work: Box<Work>) -> std::result::Result<(), CatalogError> {
        self.read_boxed(work).await
    }

    fn commits(&self) -> u64 {
        self.inner.commits()
    }
}
