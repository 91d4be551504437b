//! The gate that every call of an actor to a vault's store or to the catalog has to pass: the
//! checker lets them through one by one, in the order that it wants to see.
//!
//! It does not know which orders are interesting.
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use async_trait::async_trait;
use catalog::{Arg, Catalog, CatalogError, Row, SqliteCatalog, Tx, Work};
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use model::Timestamp;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    memory::InMemory, path::Path,
};

/// A rule that an actor breaks, so that the checker can be seen to notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// None.
    Nothing,
    /// The sweep takes no heed of open jobs.
    SweepHeedsNoPins,
    /// The sweep does not look at roots and pins again before it condemns and deletes.
    SweepLooksOnce,
    /// Writers take condemned objects for present.
    WritersTakeCondemned,
    /// A snapshot's record is committed before its objects are written.
    RecordComesFirst,
    /// Jobs name nothing that they need.
    JobsPinNothing,
}

/// What a call that was sent may still do after its sender is dead.
#[derive(Debug, Clone)]
pub(super) enum Late {
    Put(Arc<InMemory>, Path, PutPayload),
    Delete(Arc<InMemory>, Path),
}

impl Late {
    pub(super) async fn arrive(self) {
        // Nobody hears the answer.
        match self {
            Self::Put(store, path, payload) => drop(store.put(&path, payload).await),
            Self::Delete(store, path) => drop(store.delete(&path).await),
        }
    }
}

/// A call that waits to be let through.
pub(super) struct Waiting {
    pub(super) actor: usize,
    pub(super) what: String,
    pub(super) late: Option<Late>,
    granted: bool,
    waker: Option<Waker>,
}

#[derive(Default)]
struct State {
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Default)]
pub(super) struct Gate(Mutex<State>);

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder panics")
    }

    /// Waits to be let through.
    pub(super) fn pass(
        self: &Arc<Self>,
        actor: usize,
        what: String,
        late: Option<Late>,
    ) -> Passing {
        let mut state = self.state();
        state.next += 1;
        let id = state.next;
        let (granted, waker) = (false, None);
        let waiting = Waiting {
            actor,
            what,
            late,
            granted,
            waker,
        };
        state.waiting.insert(id, waiting);
        Passing {
            gate: Arc::clone(self),
            id,
        }
    }

    /// The calls that wait: number and actor, the oldest of each actor first.
    pub(super) fn waiting(&self) -> Vec<(usize, u64)> {
        let state = self.state();
        let mut all: Vec<(usize, u64)> =
            state.waiting.iter().map(|(id, w)| (w.actor, *id)).collect();
        all.sort_unstable();
        all
    }

    /// Whether an actor waits, and none of its calls is on its way through.
    pub(super) fn rests(&self, actor: usize) -> bool {
        let state = self.state();
        let mut of_actor = state
            .waiting
            .values()
            .filter(|w| w.actor == actor)
            .peekable();
        of_actor.peek().is_some() && of_actor.all(|w| !w.granted)
    }

    /// Lets a call through; answers what it is.
    pub(super) fn grant(&self, id: u64) -> String {
        let mut state = self.state();
        let waiting = state.waiting.get_mut(&id).expect("it was listed");
        waiting.granted = true;
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
        waiting.what.clone()
    }

    /// What an actor's calls may still do when it dies now.
    pub(super) fn late_of(&self, actor: usize) -> Vec<Late> {
        let state = self.state();
        let of_actor = state.waiting.values().filter(|w| w.actor == actor);
        of_actor.filter_map(|w| w.late.clone()).collect()
    }
}

pub(super) struct Passing {
    gate: Arc<Gate>,
    id: u64,
}

impl Future for Passing {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.gate.state();
        match state.waiting.get_mut(&self.id) {
            Some(waiting) if !waiting.granted => {
                waiting.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => {
                state.waiting.remove(&self.id);
                Poll::Ready(())
            }
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.gate.state().waiting.remove(&self.id);
    }
}

/// What a writer on a blocking thread has put so far; it goes through the gate, put by put, at
/// the writer's next commit, since threads cannot be stepped. Its reads are all at one moment.
pub(super) type Held = Arc<Mutex<Vec<(Arc<InMemory>, Path, PutPayload)>>>;

/// One region's store, as one actor sees it.
pub(super) struct GatedStore {
    pub(super) gate: Arc<Gate>,
    pub(super) actor: usize,
    pub(super) inner: Arc<InMemory>,
    pub(super) held: Option<Held>,
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

/// Answers that a rule-breaking actor keeps instead of asking again.
pub(super) type Seen = Arc<Mutex<HashMap<String, Vec<Row>>>>;

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

    async fn glance_boxed(&self, work: Box<Work>) -> std::result::Result<(), CatalogError> {
        self.read_boxed(work).await
    }

    fn commits(&self) -> u64 {
        self.inner.commits()
    }
}

/// A transaction in which some answers are not what they are.
struct BentTx<'a> {
    tx: &'a mut dyn Tx,
    broken: Broken,
    seen: &'a Mutex<HashMap<String, Vec<Row>>>,
}

impl Tx for BentTx<'_> {
    fn now(&self) -> Timestamp {
        self.tx.now()
    }

    fn execute(&mut self, sql: &str, args: &[Arg<'_>]) -> std::result::Result<u64, CatalogError> {
        self.tx.execute(sql, args)
    }

    fn query(
        &mut self,
        sql: &str,
        args: &[Arg<'_>],
    ) -> std::result::Result<Vec<Row>, CatalogError> {
        let pins = sql.starts_with("SELECT pins FROM jobs");
        let roots = sql.contains("base_manifest FROM clusters");
        let condemned = sql.starts_with("SELECT path FROM condemned") && sql.contains("?2 <= path");
        match self.broken {
            Broken::SweepHeedsNoPins if pins => Ok(Vec::new()),
            Broken::WritersTakeCondemned if condemned => Ok(Vec::new()),
            Broken::SweepLooksOnce if pins || roots => {
                let key = format!("{sql} {args:?}");
                if let Some(rows) = self.seen.lock().expect("no holder panics").get(&key) {
                    return Ok(rows.clone());
                }
                let rows = self.tx.query(sql, args)?;
                self.seen
                    .lock()
                    .expect("no holder panics")
                    .insert(key, rows.clone());
                Ok(rows)
            }
            _ => self.tx.query(sql, args),
        }
    }

    fn version(&mut self) -> std::result::Result<u64, CatalogError> {
        self.tx.version()
    }

    fn next_version(&mut self) -> std::result::Result<u64, CatalogError> {
        self.tx.next_version()
    }

    fn raise_version(&mut self, floor: u64) -> std::result::Result<(), CatalogError> {
        self.tx.raise_version(floor)
    }
}
