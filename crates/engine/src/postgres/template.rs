//! What initdb leaves, kept to be copied: a copy with an identity of its own is as good as another
//! initdb, and costs a third of it.
//!
//! Clusters must differ in two numbers that initdb draws: the system identifier, by which a server
//! tells its own log from another cluster's, and the nonce from which it answers for users that do
//! not exist. It does not know what becomes of a copy.
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use model::{Clock, Entropy, SystemClock, SystemEntropy};
use rustix::fs::FlockOperation;

use super::{
    control::{self, CONTROL_PATH, Control, Identity},
    install::Install,
    wal,
};
use crate::{
    folder::{DEPTH_MAX, Folder, Kind},
    removal::remove_tree,
};

/// What a template is made with beside the programs: another number makes it anew.
const GENERATION: u32 = 1;
/// A template that is not whole yet.
const NEW: &str = ".new";

/// Where templates lie: a folder that only this process's user can enter.
#[derive(Debug, Default)]
pub(super) struct Templates {
    folder: OnceLock<PathBuf>,
}

/// The template of one version's programs, there or not.
#[derive(Debug, Clone)]
pub(super) struct Template {
    folder: PathBuf,
    name: String,
    /// What the names of all templates of this major begin with.
    series: String,
}

impl Templates {
    /// Has them kept. The first folder stays.
    pub(super) fn keep_in(&self, folder: PathBuf) {
        let _ = self.folder.set(folder);
    }

    /// The template for these programs as they are now; none when none are kept.
    pub(super) fn of(&self, install: &Install) -> Option<Template> {
        let folder = self.folder.get()?.clone();
        let mut hash = blake3::Hasher::new();
        hash.update(&GENERATION.to_le_bytes());
        for name in ["postgres", "initdb"] {
            let facts = fs::metadata(install.program(name)).ok()?;
            for number in [facts.dev(), facts.ino(), facts.len()] {
                hash.update(&number.to_le_bytes());
            }
            hash.update(&facts.mtime().to_le_bytes());
            hash.update(&facts.mtime_nsec().to_le_bytes());
        }
        let hash = hash.finalize().to_hex();
        Some(Template {
            folder,
            name: format!("{}-{}", install.version, &hash[..16]),
            series: format!("{}.", install.major),
        })
    }
}

impl Template {
    fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// Fills an empty folder with a copy, and gives that an identity of its own. Answers whether
    /// there was a template. It is not awaited that the disk has it. Blocks.
    ///
    /// # Errors
    /// When it cannot be copied; the folder then holds a part of it.
    pub(super) fn copy_to(&self, empty: &Path) -> io::Result<bool> {
        let template = match Folder::open(&self.path()) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        copy(&template, empty, DEPTH_MAX)?;
        renew(empty)?;
        Ok(true)
    }

    /// Keeps a copy of what initdb left, unless another process is doing so. Blocks.
    ///
    /// # Errors
    /// When it cannot be copied. Nothing is there then that a copy is made of.
    pub(super) fn keep(&self, made: &Path) -> io::Result<()> {
        fs::DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(&self.folder)?;
        // Ends with the descriptor.
        let held = fs::File::open(&self.folder)?;
        match rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(()),
            other => other?,
        }
        if fs::symlink_metadata(self.path()).is_ok() {
            return Ok(());
        }
        // Of programs that were replaced, or half of one.
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == NEW || name.to_string_lossy().starts_with(&self.series) {
                remove_tree(&entry.path()).map_err(|error| error.source)?;
            }
        }
        let new = self.folder.join(NEW);
        fs::DirBuilder::new().mode(0o700).create(&new)?;
        copy(&Folder::open(made)?, &new, DEPTH_MAX)?;
        // Before the name says that it is whole.
        Folder::open(&new)?.sync_file_system()?;
        fs::rename(&new, self.path())
    }

    /// Removes it, so that the next cluster makes another one.
    pub(super) fn forget(&self) {
        if let Err(error) = remove_tree(&self.path()) {
            tracing::warn!(template = %self.path().display(), %error, "a template that cannot be used stays");
        }
    }
}

/// Copies what is in a folder into another one, which nobody else can enter. Blocks of the disk are
/// shared where its file system can.
fn copy(from: &Folder, to: &Path, depth: usize) -> io::Result<()> {
    let odd = |name: &str| io::Error::other(format!("{name}: not what initdb leaves"));
    if depth == 0 {
        return Err(odd("a folder"));
    }
    for entry in from.entries()? {
        let target = to.join(&entry.name);
        match entry.kind {
            Kind::Folder => {
                fs::DirBuilder::new().mode(0o700).create(&target)?;
                copy(&from.enter(&entry.name)?, &target, depth - 1)?;
            }
            Kind::File => {
                let mut file = fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&target)?;
                io::copy(&mut from.file(&entry.name)?, &mut file)?;
            }
            Kind::Other => return Err(odd(&entry.name)),
        }
    }
    Ok(())
}

/// Gives a cluster that was shut down, and that nobody else can reach, an identity of its own: in
/// its control file, and in the heads of its log's files, without which no server starts on it.
fn renew(data: &Path) -> io::Result<()> {
    let odd = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let path = data.join(CONTROL_PATH);
    let mut bytes = fs::read(&path)?;
    let old = Control::read(&bytes).map_err(|fault| odd(&format!("the control file: {fault}")))?;
    if !old.is_shut_down() {
        return Err(odd("the template was not shut down"));
    }
    let new = draw();
    control::renew(&mut bytes, &new).map_err(|fault| odd(&fault.to_string()))?;
    let segments = wal::Segments::of(&old, old.timeline);
    let mut renewed = 0;
    for entry in fs::read_dir(data.join("pg_wal"))? {
        let entry = entry?;
        if !entry.file_type()?.is_file() {
            continue;
        }
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(entry.path())?;
        let mut head = [0; wal::HEAD_BYTES];
        file.read_exact_at(&mut head, 0)?;
        let head = segments
            .renewed(&head, new.system_identifier)
            .ok_or_else(|| odd("a file of the log is not the template's"))?;
        file.write_all_at(&head, 0)?;
        renewed += 1;
    }
    if renewed == 0 {
        return Err(odd("the template has no log"));
    }
    fs::write(&path, &bytes)
}

/// As PostgreSQL draws them: the identifier's upper half is the moment in seconds.
fn draw() -> Identity {
    let seconds = SystemClock.now().seconds().unsigned_abs() & 0xFFFF_FFFF;
    let chance = SystemEntropy.uuid().as_u128();
    let mut nonce = [0; 32];
    // Two of them have 244 bits of the system's chance; hashing spreads them over all.
    let drawn = [SystemEntropy.uuid(), SystemEntropy.uuid()];
    let mut hash = blake3::Hasher::new();
    hash.update(drawn[0].as_bytes());
    hash.update(drawn[1].as_bytes());
    nonce.copy_from_slice(hash.finalize().as_bytes());
    Identity {
        // The lowest 32 bits of a random UUID are all drawn.
        system_identifier: (seconds << 32) | (chance & 0xFFFF_FFFF) as u64,
        nonce,
    }
}
