//! The stores of two regions, the nodes that work on them, and the rule that must hold after
//! every step.
//!
//! It does not know in which order things happen.
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use catalog::{
    CatalogError, CatalogExt, Tx, clusters, conformance::samples, instances, jobs, snapshots,
    tombstones,
};
use engine::{EngineRegistry, FakeEngine};
use model::{Clock, Hash, JobKind, Region, SystemEntropy, Timestamp, cluster::Base};
use object_store::{ObjectStoreExt, memory::InMemory};
use vault::Vault;

use super::{
    asks::available,
    broken::{Broken, Seen},
    fixture::{Fixture, GRACE, far, home},
    gate::{Gate, Late},
    gated::{GatedCatalog, GatedStore, Held, reused},
    idle::{NoPeers, NoWebhooks},
};
use crate::{Dependencies, Mode, Settings, context::ServiceContext, jobs::copy_document};

/// One schedule's world.
pub(super) struct World {
    pub(super) fixture: Arc<Fixture>,
    pub(super) gate: Arc<Gate>,
    stores: HashMap<Region, Arc<InMemory>>,
    pub(super) broken: Broken,
    pub(super) reader: Reader,
}

/// What concerns a reader that pins nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Reader {
    /// What it missed that it had to find.
    pub(super) missed: Arc<Mutex<Option<String>>>,
    /// When the first object was deleted.
    pub(super) deleted_at: Arc<Mutex<Option<Timestamp>>>,
}

/// An actor's view of the world.
pub(super) struct Node {
    pub(super) context: Arc<ServiceContext>,
    pub(super) gate: Arc<Gate>,
    pub(super) actor: usize,
    pub(super) name: String,
    pub(super) seen: Seen,
}

impl Node {
    /// A moment at which others may go on.
    pub(super) async fn step(&self, what: &str) {
        self.gate.pass(self.actor, what.to_owned(), None).await;
    }
}

impl World {
    /// An empty catalog and empty stores.
    pub(super) fn new(fixture: &Arc<Fixture>, broken: Broken) -> Self {
        let world = Self {
            fixture: fixture.clone(),
            gate: Arc::default(),
            stores: HashMap::from(
                [home(), far()].map(|region| (region, Arc::new(InMemory::new()))),
            ),
            broken,
            reader: Reader::default(),
        };
        world.write(|tx| {
            for table in [
                "snapshots",
                "snapshot_shares",
                "snapshot_tallies",
                "clusters",
                "instances",
                "jobs",
                "job_pins",
                "condemned",
                "outbox",
                "events",
                "job_turns",
                "sweep_marks",
            ] {
                tx.execute(&format!("DELETE FROM {table}"), &[])?;
            }
            Ok(())
        });
        world
    }

    /// Lets an actor's call through; answers what it is.
    pub(super) fn grant(&self, (actor, id): (usize, u64)) -> String {
        if let Some(call) = self.gate.late(id) {
            self.note(&call);
        }
        format!("{actor} {}", self.gate.grant(id))
    }

    /// Notes the first delete.
    pub(super) fn note(&self, call: &Late) {
        if let Late::Delete(..) = call {
            let mut deleted = self.reader.deleted_at.lock().expect("no holder panics");
            deleted.get_or_insert(self.fixture.clock.now());
        }
    }

    /// A transaction of the world's own, through no gate.
    pub(super) fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&mut dyn Tx) -> Result<T, CatalogError> + Send + Sync + 'static,
    ) -> T {
        let done = self.fixture.catalog.write(work);
        self.fixture
            .runtime
            .block_on(done)
            .expect("the world's own transactions are good")
    }

    /// Lays a snapshot's own objects into a region's vault.
    pub(super) fn lay(&self, region: &Region, number: usize) {
        for (path, payload) in &self.fixture.kept[number].objects {
            let path = match self.broken {
                Broken::NamesAreReused => &reused(path),
                _ => path,
            };
            let put = self.stores[region].put(path, payload.clone());
            self.fixture.runtime.block_on(put).expect("memory takes it");
        }
    }

    /// A snapshot's record; its objects are laid apart.
    pub(super) fn record(&self, region: &Region, name: &str, number: usize) {
        let snapshot = available(region, name, self.fixture.content(number));
        self.write(move |tx| snapshots::insert(tx, snapshot.clone()).map(drop));
    }

    /// A cluster whose next snapshot builds on one of the two.
    pub(super) fn cluster(&self, number: usize) -> model::Cluster {
        let content = self.fixture.content(number);
        let cluster = model::Cluster {
            volume: content.volume,
            base: Some(Base {
                manifest: content.manifest,
                wrapped_key: None,
                change: None,
            }),
            ..samples::cluster("c")
        };
        let row = cluster.clone();
        self.write(move |tx| {
            clusters::insert(tx, row.clone())?;
            instances::insert(tx, samples::writer(&row)).map(drop)
        });
        cluster
    }

    /// A node of its own for an actor. One that takes snapshots holds its puts back until it
    /// commits.
    pub(super) fn node(&self, actor: usize, name: &str, takes_snapshots: bool) -> Node {
        let held: Option<Held> = takes_snapshots.then(Held::default);
        let seen = Seen::default();
        let catalog = GatedCatalog {
            gate: self.gate.clone(),
            actor,
            inner: self.fixture.catalog.clone(),
            held: held.clone(),
            broken: self.broken,
            seen: seen.clone(),
        };
        let (gate, stores, broken) = (self.gate.clone(), self.stores.clone(), self.broken);
        let parts = Dependencies {
            catalog: Arc::new(catalog),
            open_vault: Box::new(move |region| {
                Ok(Vault::new(Arc::new(GatedStore {
                    gate: gate.clone(),
                    actor,
                    inner: stores[region].clone(),
                    held: held.clone(),
                    broken,
                })))
            }),
            vault_regions: Box::new(|| vec![home(), far()]),
            master_key: Arc::new(kms::MasterKey::from_bytes([1; 32])),
            outside_kms: None,
            engines: EngineRegistry::of(vec![Arc::new(FakeEngine::of_whole_clusters())]),
            webhook_transport: Arc::new(NoWebhooks),
            peer_transport: Arc::new(NoPeers),
            audit: None,
            clock: self.fixture.clock.clone(),
            entropy: Arc::new(SystemEntropy),
        };
        let mut settings = Settings::new(Mode::Dev, "/nowhere".into());
        settings.sweep_grace = match self.broken {
            Broken::SweepWaitsNoGrace => Duration::ZERO,
            _ => GRACE,
        };
        settings.snapshot_memory_bytes = 0;
        // The node of the sample cluster's files.
        settings.node = "node-1".to_owned();
        Node {
            context: Arc::new(ServiceContext::new(
                parts,
                settings,
                crate::jobs::registry::narrow(),
            )),
            gate: self.gate.clone(),
            actor,
            name: name.to_owned(),
            seen,
        }
    }

    /// The rule: each object that a live record needs, or the source of an open copy, is there
    /// under a name that is not condemned; and a reader missed nothing.
    ///
    /// # Errors
    /// What is not.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(missed) = self.reader.missed.lock().expect("no holder panics").take() {
            return Err(missed);
        }
        let volume = self.fixture.volume.clone();
        for region in [home(), far()] {
            let (at, of, prefix) = (region.clone(), volume.clone(), format!("volumes/{volume}/"));
            let known = self.fixture.catalog.read(move |tx| {
                let mut roots: Vec<(String, Hash)> = snapshots::roots(tx, &at, &of)?
                    .into_iter()
                    .map(|root| ("a record".to_owned(), root))
                    .collect();
                for job in jobs::list(tx, Some(model::JobState::Open), 100)? {
                    if job.kind == JobKind::of("copy-snapshot")
                        && let Ok(body) = serde_json::from_str::<copy_document::Body>(&job.body)
                        && body.source_region == at
                    {
                        roots.push(("an open copy".to_owned(), body.content.manifest));
                    }
                }
                Ok::<_, CatalogError>((roots, tombstones::list(tx, &at, &prefix)?))
            });
            let known = self.fixture.runtime.block_on(known);
            let (mut roots, condemned) = known.expect("the world's own reads are good");
            roots.dedup();
            let vault = Vault::new(self.stores[&region].clone());
            let present = self
                .fixture
                .runtime
                .block_on(vault::objects(&vault, &volume));
            let present: HashSet<Hash> = present
                .expect("memory lists")
                .into_iter()
                .filter(|object| !condemned.contains(&object.path))
                .map(|object| object.hash)
                .collect();
            for (who, root) in roots {
                let header = vault::read_header(&vault, &volume, root, &condemned);
                let header = self
                    .fixture
                    .runtime
                    .block_on(header)
                    .map_err(|error| format!("{who} in {region}: {error}"))?;
                if let Some((object, _)) =
                    header.objects().find(|(o, _)| !present.contains(&o.hash))
                {
                    return Err(format!("{who} in {region} needs {object}, which is gone"));
                }
            }
        }
        Ok(())
    }
}
