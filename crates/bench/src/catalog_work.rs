//! A catalog of many snapshots: filled through the catalog's own door, and looked at, each with its cost.
//!
//! It does not know servers; what it fills, one of them can serve.
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use catalog::{
    Catalog, CatalogError, CatalogExt, PostgresCatalog, SqliteCatalog, outbox,
    snapshots::{self, Selection},
};
use clap::{Args, Subcommand};
use model::{
    Account, ClusterName, Entropy, Hash, Region, ResourceId, Snapshot, SnapshotName, SystemClock,
    SystemEntropy, VolumeId, VolumeRef,
};
use serde_json::{Value, json};

use crate::meter::Cost;

/// Records that one transaction makes.
const BATCH: u64 = 500;
/// Records of a page, as a describe asks for them.
const PAGE: usize = 100;
/// A multiplication that spreads numbers evenly.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// What is to be done with which catalog.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The catalog: a SQLite file, or a postgres:// URL
    #[arg(long)]
    catalog: String,
    /// A snapshot that the others are made after, of the first administrator's account
    #[arg(long)]
    like: String,
    /// Its region
    #[arg(long, default_value = "us-east-1")]
    region: Region,
    /// How many lineages the half of the snapshots that are no copies of it belong to
    #[arg(long, default_value_t = 1_000)]
    clusters: u64,
    /// How many snapshots there are to be, or are
    #[arg(long)]
    snapshots: u64,
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// Makes the snapshots, and prints what that cost
    Fill {
        /// How many there are already
        #[arg(long, default_value_t = 0)]
        from: u64,
    },
    /// Looks at them by name, by page, and as a sweep does; prints microseconds of each look
    Look {
        /// How many of the short looks
        #[arg(long, default_value_t = 5_000)]
        rounds: u64,
    },
    /// Strikes out what is to be logged, and prints how much it was
    Strike,
}

/// What all verbs work with.
struct Bench<'o> {
    options: &'o Options,
    catalog: Arc<dyn Catalog>,
    account: Account,
    like: Snapshot,
}

/// Does it and prints one JSON document.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let said = runtime.block_on(work(options))?;
    println!("{said}");
    Ok(())
}

async fn work(options: &Options) -> anyhow::Result<Value> {
    let cost = Cost::begin();
    let catalog: Arc<dyn Catalog> = match options.catalog.split_once("://") {
        Some(_) => Arc::new(PostgresCatalog::open(&options.catalog)?),
        None => Arc::new(SqliteCatalog::open(
            Path::new(&options.catalog),
            Arc::new(SystemClock),
        )?),
    };
    let opened = cost.end().wall;
    let account: Account = "000000000000".parse()?;
    let name = SnapshotName::parse_existing(&options.like)?;
    let (region, of) = (options.region.clone(), account.clone());
    let like = catalog
        .read(move |tx| snapshots::get(tx, &region, &of, &name))
        .await?
        .with_context(|| format!("there is no snapshot {}", options.like))?
        .value;
    let bench = Bench {
        options,
        catalog,
        account,
        like,
    };
    let mut said = match options.work {
        Work::Fill { from } => bench.fill(from).await?,
        Work::Look { rounds } => bench.look(rounds).await?,
        Work::Strike => bench.strike().await?,
    };
    let spent = cost.end();
    said["open_ms"] = json!(opened * 1e3);
    said["seconds"] = json!(spent.wall);
    said["cpu_seconds"] = json!(spent.user + spent.system);
    said["peak_mib"] = json!(spent.peak_mib);
    Ok(said)
}

/// The lineage of a number: what its cluster is called, and where its bytes lie.
struct Lineage {
    name: ClusterName,
    resource_id: ResourceId,
    volume: VolumeRef,
}

impl Bench<'_> {
    async fn fill(&self, from: u64) -> anyhow::Result<Value> {
        let lineages: Vec<Lineage> = (0..self.options.clusters)
            .map(|number| {
                Ok::<_, anyhow::Error>(Lineage {
                    name: ClusterName::parse(&format!("fleet-{number}"))?,
                    resource_id: ResourceId::draw(&SystemEntropy),
                    volume: VolumeRef {
                        origin: self.options.region.clone(),
                        account: self.account.clone(),
                        id: VolumeId::draw(&SystemEntropy),
                    },
                })
            })
            .collect::<Result<_, _>>()?;
        for first in (from..self.options.snapshots).step_by(BATCH as usize) {
            let numbers = first..self.options.snapshots.min(first + BATCH);
            let records: Vec<Snapshot> = numbers
                .map(|number| self.record(number, &lineages))
                .collect::<Result<_, _>>()?;
            self.catalog
                .write(move |tx| {
                    for record in &records {
                        snapshots::insert(tx, record.clone())?;
                    }
                    Ok::<_, CatalogError>(())
                })
                .await?;
        }
        Ok(json!({"made": self.options.snapshots.saturating_sub(from)}))
    }

    /// Every second record is a copy of the one that all are like; the others are snapshots of
    /// clusters of their own.
    fn record(&self, number: u64, lineages: &[Lineage]) -> anyhow::Result<Snapshot> {
        let mut record = self.like.clone();
        record.name = self.name(number)?;
        record.uid = SystemEntropy.uuid();
        if number.is_multiple_of(2) || lineages.is_empty() {
            record.source = Some(self.like.arn());
            return Ok(record);
        }
        let lineage = &lineages[(number / 2) as usize % lineages.len()];
        record.cluster_name = lineage.name.clone();
        record.cluster_resource_id = lineage.resource_id.clone();
        let Some(content) = &mut record.content else {
            bail!("{} is not available", self.options.like);
        };
        content.volume = lineage.volume.clone();
        let (left, right) = (SystemEntropy.draw(), SystemEntropy.draw());
        let mut hash = [0; 32];
        hash[..16].copy_from_slice(&left);
        hash[16..].copy_from_slice(&right);
        content.manifest = Hash(hash);
        Ok(record)
    }

    fn name(&self, number: u64) -> anyhow::Result<SnapshotName> {
        Ok(SnapshotName::parse_existing(&format!("model-{number}"))?)
    }

    /// A number of a snapshot, spread over all of them.
    fn drawn(&self, round: u64) -> u64 {
        round.wrapping_mul(SPREAD) % self.options.snapshots
    }

    async fn look(&self, rounds: u64) -> anyhow::Result<Value> {
        let mut said = json!({});
        let mut by_name = Times::default();
        for round in 0..rounds {
            let (region, account) = (self.options.region.clone(), self.account.clone());
            let name = self.name(self.drawn(round))?;
            let begun = Instant::now();
            let found = self
                .catalog
                .point_read(move |tx| snapshots::get(tx, &region, &account, &name))
                .await?;
            by_name.add(begun);
            if found.is_none() {
                bail!(
                    "the catalog has fewer than {} snapshots",
                    self.options.snapshots
                );
            }
        }
        said["by_name"] = by_name.said();
        for (what, cluster) in [("page", false), ("page_of_a_cluster", true)] {
            let mut times = Times::default();
            for round in 0..rounds.div_ceil(20) {
                let number = self.drawn(round);
                let cluster = cluster.then(|| format!("fleet-{}", number % self.options.clusters));
                let begun = Instant::now();
                self.page(self.name(number)?, cluster).await?;
                times.add(begun);
            }
            said[what] = times.said();
        }
        // As a sweep does, of the volume that half of all snapshots lie in, and of another.
        let copies = self.volume_of(0).await?;
        let lineage = self.volume_of(1).await?;
        for (what, volume) in [("roots_of_copies", copies), ("roots_of_a_lineage", lineage)] {
            let (mut times, mut roots) = (Times::default(), 0);
            for _ in 0..5 {
                let (region, volume) = (self.options.region.clone(), volume.clone());
                let begun = Instant::now();
                let found = self
                    .catalog
                    .read(move |tx| snapshots::roots(tx, &region, &volume))
                    .await?;
                times.add(begun);
                roots = found.len();
            }
            said[what] = times.said();
            said[what]["roots"] = json!(roots);
        }
        Ok(said)
    }

    async fn page(&self, after: SnapshotName, cluster: Option<String>) -> anyhow::Result<()> {
        let selection = Selection {
            owned_by: Some(self.account.clone()),
            clusters: cluster
                .as_deref()
                .map(snapshots::NameFilter::named)
                .into_iter()
                .collect(),
            ..Selection::default()
        };
        let region = self.options.region.clone();
        let after = (self.account.clone(), after);
        self.catalog
            .read(move |tx| snapshots::page(tx, &region, &selection, Some(&after), PAGE))
            .await
            .map(drop)
            .map_err(Into::into)
    }

    async fn volume_of(&self, number: u64) -> anyhow::Result<VolumeRef> {
        let (region, account) = (self.options.region.clone(), self.account.clone());
        let name = self.name(number)?;
        let found = self
            .catalog
            .read(move |tx| snapshots::get(tx, &region, &account, &name))
            .await?;
        let content = found.and_then(|stored| stored.value.content);
        Ok(content.context("a snapshot has no bytes")?.volume)
    }

    async fn strike(&self) -> anyhow::Result<Value> {
        let lag = self
            .catalog
            .write(|tx| {
                let lag = outbox::lag(tx)?;
                outbox::clear(tx)?;
                Ok::<_, CatalogError>(lag)
            })
            .await?;
        Ok(json!({"entries": lag.entries}))
    }
}

/// How long looks took.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn add(&mut self, begun: Instant) {
        self.0.push(begun.elapsed());
    }

    /// Microseconds: the middle one, and the one that a hundredth are above.
    fn said(mut self) -> Value {
        self.0.sort_unstable();
        let at = |share: usize| {
            let place = (self.0.len() * share / 100).min(self.0.len().saturating_sub(1));
            self.0
                .get(place)
                .map_or(0.0, |time| time.as_secs_f64() * 1e6)
        };
        json!({"looks": self.0.len(), "p50_us": at(50), "p99_us": at(99)})
    }
}
