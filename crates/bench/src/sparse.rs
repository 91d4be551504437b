//! Chains of snapshots at several thresholds for leaving sparse packs: what each keeps, writes
//! and takes to restore.
//!
//! It does not choose one; docs/decisions/0007-patches-evidence-sparse-packs.md does.
use std::{
    collections::{HashMap, VecDeque},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use clap::Args;
use model::{Hash, VolumeRef};
use vault::{Base, Condemned, DataKey, Sealing, Unobserved, Vault, WriteOptions};

use crate::meter::Cost;

const BLOCK_BYTES: usize = 8 << 10;
/// Restores of the last snapshot; the cheapest counts.
const RESTORES: u32 = 3;

/// The chains.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A folder for vaults and restored files; what is made there is removed
    #[arg(long)]
    scratch: PathBuf,
    /// Bytes of the file that changes, in MiB
    #[arg(long, default_value_t = 512)]
    mib: usize,
    /// Snapshots after the first
    #[arg(long, default_value_t = 120)]
    snapshots: u32,
    /// Snapshots that are kept, the youngest ones
    #[arg(long, default_value_t = 14)]
    keep: usize,
    /// Blocks of a thousand that change between two snapshots
    #[arg(long, default_value_t = 20)]
    change_permille: usize,
    /// Percent of live blocks below which a pack is left
    #[arg(long, value_delimiter = ',', default_value = "0,25,50,75")]
    thresholds: Vec<u64>,
}

/// Runs a chain for each kind of change and each threshold, and prints a row of Markdown for it.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let _entered = runtime.enter();
    println!(
        "| changes | left below | written a snapshot, MB | reached by the last, of its live bytes \
         | kept of {} snapshots, MB | restore of the last, CPU s |",
        options.keep
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for kind in [Changes::Anywhere, Changes::MostlyInAFifth] {
        for percent in &options.thresholds {
            let folder = options.scratch.join(format!("sparse-{percent}"));
            let row = chain(options, kind, *percent, &folder, &runtime);
            engine::remove_tree(&folder).context("removing the scratch folder")?;
            println!("| {} | {percent} % | {} |", kind.text(), row?);
        }
    }
    Ok(())
}

/// Where blocks change.
#[derive(Debug, Clone, Copy)]
enum Changes {
    /// Each block is as likely as any other.
    Anywhere,
    /// Four of five changes hit the same fifth of the blocks, which lie all over the file.
    MostlyInAFifth,
}

impl Changes {
    fn text(self) -> &'static str {
        match self {
            Self::Anywhere => "anywhere",
            Self::MostlyInAFifth => "four of five in a fifth",
        }
    }

    fn pick(self, chance: &mut Chance, blocks: usize) -> usize {
        let at = chance.below(blocks);
        match self {
            Self::MostlyInAFifth if 0 < chance.below(5) => at / 5 * 5,
            _ => at,
        }
    }
}

fn chain(
    options: &Options,
    kind: Changes,
    percent: u64,
    folder: &Path,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<String> {
    let vault = Vault::local_folder(&folder.join("vault"))?;
    let volume = VolumeRef {
        origin: "us-east-1".parse()?,
        account: "000000000000".parse()?,
        id: "5e4a1f3e-0000-4000-8000-000000000002".parse()?,
    };
    let key = DataKey::from_bytes([7; 32]);
    let mut chance = Chance(1);
    let mut content = Arc::new(vec![0; options.mib << 20]);
    let file = Arc::get_mut(&mut content).context("it is not shared yet")?;
    let blocks = file.len() / BLOCK_BYTES;
    (0..blocks).for_each(|at| fill(file, at, &mut chance));
    let mut base: Option<Hash> = None;
    let (mut written, mut live) = (0, 0);
    let mut reaches: VecDeque<HashMap<Hash, u64>> = VecDeque::new();
    for _ in 0..=options.snapshots {
        let write_options = WriteOptions {
            memory_bytes: 256 << 20,
            observer: Arc::new(Unobserved),
        };
        let of = |manifest| Base {
            manifest,
            data_key: Some(key.clone()),
        };
        let sealing = Sealing::Sealed(key.clone());
        let base_of = base.map(of);
        let mut writer = vault::bench_hooks::begin_leaving(
            &vault,
            &volume,
            sealing,
            base_of,
            percent,
            write_options,
        )?;
        writer.file("f", 0o600, Arc::clone(&content) as _)?;
        let made = writer.finish(String::new())?;
        match base {
            None => live = made.stored_bytes,
            Some(_) => written += made.new_bytes,
        }
        base = Some(made.manifest);
        let none = Condemned::new();
        let reached = vault::read_header(&vault, &volume, made.manifest, &none);
        let reached = runtime.block_on(reached)?;
        let sizes = reached.objects().map(|(id, size)| (id.hash, size));
        reaches.push_back(sizes.collect());
        if options.keep < reaches.len() {
            reaches.pop_front();
            sweep(&vault, &volume, &reaches, runtime)?;
        }
        let file = Arc::get_mut(&mut content).context("the writer has let go of it")?;
        for _ in 0..blocks * options.change_permille / 1000 {
            fill(file, kind.pick(&mut chance, blocks), &mut chance);
        }
    }
    let manifest = base.context("there is a snapshot")?;
    let mut cheapest = f64::INFINITY;
    for _ in 0..RESTORES {
        let (into, none) = (folder.join("restored"), Condemned::new());
        let cost = Cost::begin();
        let unseen = &Unobserved;
        vault::restore(&vault, &volume, manifest, Some(&key), &none, &into, unseen)?;
        let spent = cost.end();
        cheapest = cheapest.min(spent.user + spent.system);
        engine::remove_tree(&into)?;
    }
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let bytes_of = |objects: &HashMap<Hash, u64>| objects.values().sum::<u64>();
    let reached = bytes_of(reaches.back().context("there is a snapshot")?);
    Ok(format!(
        "{:.1} | {:.2} | {:.0} | {cheapest:.2}",
        megabytes(written) / f64::from(options.snapshots),
        reached as f64 / live as f64,
        megabytes(bytes_of(&kept(&reaches))),
    ))
}

fn kept(reaches: &VecDeque<HashMap<Hash, u64>>) -> HashMap<Hash, u64> {
    let all = reaches.iter().flatten();
    all.map(|(hash, size)| (*hash, *size)).collect()
}

/// Removes packs and lists that no kept snapshot reaches.
fn sweep(
    vault: &Vault,
    volume: &VolumeRef,
    reaches: &VecDeque<HashMap<Hash, u64>>,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<()> {
    let kept = kept(reaches);
    for entry in runtime.block_on(vault::objects(vault, volume))? {
        if entry.kind != vault::ObjectKind::Manifest && !kept.contains_key(&entry.hash) {
            runtime.block_on(vault::delete(vault, &entry.path))?;
        }
    }
    Ok(())
}

/// Writes a block anew: half noise, half the same in all, so that it compresses by half.
fn fill(file: &mut [u8], block: usize, chance: &mut Chance) {
    let block = &mut file[block * BLOCK_BYTES..][..BLOCK_BYTES];
    let (noise, rest) = block.split_at_mut(BLOCK_BYTES / 2);
    for word in noise.chunks_mut(8) {
        word.copy_from_slice(&chance.next().to_le_bytes()[..word.len()]);
    }
    rest.fill(7);
}

/// SplitMix64: the same chain in every run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.next()) * count as u128) >> 64) as usize
    }
}
