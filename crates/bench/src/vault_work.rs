//! The vault alone on the files of a folder: a snapshot in, across, and out, each with its cost.
//!
//! It does not know databases: no server runs on the files, and no page checksum is looked at.
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::Context;
use clap::{Args, Subcommand};
use model::{Hash, VolumeRef, pages::Content};
use vault::{
    Base, Condemned, CopyJob, DataKey, ReadFrom, Sealing, SnapshotWriter, Unobserved, Vault,
    WriteOptions,
};

use crate::meter::Cost;

const BLOCK_BYTES: u64 = 8 << 10;
/// Of a million.
const PER_PERCENT: u64 = 10_000;

/// What is to be done.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The vault's folder
    #[arg(long)]
    vault: PathBuf,
    /// Without seals
    #[arg(long)]
    unsealed: bool,
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// Writes a snapshot of the files below a folder; prints its hash
    Write {
        /// The folder
        #[arg(long)]
        source: PathBuf,
        /// The snapshot to compare with
        #[arg(long)]
        base: Option<Hash>,
        /// Blocks of a hundred that are changed on their way
        #[arg(long, default_value_t = 0)]
        change_percent: u64,
        /// What the writing may take
        #[arg(long, default_value_t = 256)]
        memory_mib: usize,
    },
    /// Ships a snapshot to another vault
    Ship {
        /// Its hash
        #[arg(long)]
        manifest: Hash,
        /// The other vault's folder
        #[arg(long)]
        to: PathBuf,
    },
    /// Restores a snapshot
    Restore {
        /// Its hash
        #[arg(long)]
        manifest: Hash,
        /// The folder to be made
        #[arg(long)]
        into: PathBuf,
    },
}

/// Does it and prints what it cost.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let _entered = runtime.enter();
    let vault = Vault::local_folder(&options.vault)?;
    let key = (!options.unsealed).then(|| DataKey::from_bytes([7; 32]));
    let volume = VolumeRef {
        origin: "us-east-1".parse()?,
        account: "000000000000".parse()?,
        id: "5e4a1f3e-0000-4000-8000-000000000001".parse()?,
    };
    let cost = Cost::begin();
    match &options.work {
        Work::Write {
            source,
            base,
            change_percent,
            memory_mib,
        } => {
            let base = base.map(|manifest| Base {
                manifest,
                data_key: key.clone(),
            });
            let options = WriteOptions {
                memory_bytes: memory_mib << 20,
                observer: Arc::new(Unobserved),
            };
            let sealing = key.map_or(Sealing::Open, Sealing::Sealed);
            let none = Condemned::new();
            let mut writer = SnapshotWriter::begin(&vault, &volume, sealing, base, &none, options)?;
            add(&mut writer, source, "", change_percent * PER_PERCENT)?;
            let written = writer.finish(String::new())?;
            println!("{}  {written:?}", cost.end());
            println!("{}", written.manifest);
        }
        Work::Ship { manifest, to } => {
            let none = Condemned::new();
            let job = CopyJob {
                from: ReadFrom::Vault(&vault, &none),
                to: &Vault::local_folder(to)?,
                volume: &volume,
                manifest: *manifest,
                condemned_there: &none,
                throttle: None,
            };
            let shipped = runtime.block_on(vault::copy(job, &Unobserved))?;
            println!("{}  {shipped:?}", cost.end());
        }
        Work::Restore { manifest, into } => {
            let begun = Instant::now();
            let restored = vault::restore(
                &vault,
                &volume,
                *manifest,
                key.as_ref(),
                &Condemned::new(),
                into,
                &Unobserved,
            )?;
            let rate = restored.logical_bytes as f64 / 1e6 / begun.elapsed().as_secs_f64();
            println!("{}  {rate:.0} MB/s", cost.end());
        }
    }
    Ok(())
}

fn add(
    writer: &mut SnapshotWriter,
    folder: &Path,
    below: &str,
    changed: u64,
) -> anyhow::Result<()> {
    let mut entries: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().into_string().ok().context("a name")?;
        let path = match below {
            "" => name,
            _ => format!("{below}/{name}"),
        };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            writer.directory(&path, 0o700)?;
            add(writer, &entry.path(), &path, changed)?;
        } else if kind.is_file() {
            let file = File::open(entry.path())?;
            let content = Source {
                size: file.metadata()?.len(),
                file,
                changed,
            };
            writer.file(&path, 0o600, Arc::new(content))?;
        }
    }
    Ok(())
}

/// A file, of whose blocks some are changed while it is read: always the same ones.
struct Source {
    file: File,
    size: u64,
    changed: u64,
}

impl Content for Source {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut got = 0;
        while got < buffer.len() {
            match self.file.read_at(&mut buffer[got..], offset + got as u64)? {
                0 => break,
                more => got += more,
            }
        }
        let blocks = buffer[..got].chunks_mut(BLOCK_BYTES as usize);
        for (number, block) in (offset / BLOCK_BYTES..).zip(blocks) {
            // A multiplication spreads the numbers evenly.
            let drawn = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
            if (drawn * (100 * PER_PERCENT)) >> 32 < self.changed {
                block.iter_mut().take(64).for_each(|byte| *byte ^= 0x55);
            }
        }
        Ok(got)
    }
}
