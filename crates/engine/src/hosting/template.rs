//! A data folder as the programs that make one leave it, kept to be copied: a copy with an identity of its
//! own is as good, and costs a part of it.
//!
//! It does not know what is in it, nor what becomes of a copy.
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use rustix::fs::FlockOperation;

use crate::{
    folder::{DEPTH_MAX, Folder, Kind},
    removal::remove_tree,
};

/// A template that is not whole yet.
const NEW: &str = ".new";

/// Where templates lie: a folder that only this process's user can enter.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    folder: OnceLock<PathBuf>,
}

/// The template of one version's programs, there or not.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    folder: PathBuf,
    name: String,
    /// What the names of all templates of this series begin with.
    series: String,
    renew: fn(&Path) -> io::Result<()>,
}

impl Templates {
    /// Has them kept. The first folder stays.
    pub(crate) fn keep_in(&self, folder: PathBuf) {
        let _ = self.folder.set(folder);
    }

    /// The template of a series' version that these programs make as they are now; none when none are
    /// kept. `generation` is what else it is made with: another number makes it anew. `renew` gives a
    /// copy an identity of its own.
    pub(crate) fn of(
        &self,
        (series, version): (&str, &str),
        programs: &[PathBuf],
        generation: u32,
        renew: fn(&Path) -> io::Result<()>,
    ) -> Option<Template> {
        let folder = self.folder.get()?.clone();
        let mut hash = blake3::Hasher::new();
        hash.update(&generation.to_le_bytes());
        for program in programs {
            let facts = fs::metadata(program).ok()?;
            for number in [facts.dev(), facts.ino(), facts.len()] {
                hash.update(&number.to_le_bytes());
            }
            hash.update(&facts.mtime().to_le_bytes());
            hash.update(&facts.mtime_nsec().to_le_bytes());
        }
        let hash = hash.finalize().to_hex();
        Some(Template {
            folder,
            name: format!("{version}-{}", &hash[..16]),
            series: format!("{series}."),
            renew,
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
    pub(crate) fn copy_to(&self, empty: &Path) -> io::Result<bool> {
        let template = match Folder::open(&self.path()) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        copy(&template, empty, DEPTH_MAX)?;
        (self.renew)(empty)?;
        Ok(true)
    }

    /// Keeps a copy of what the programs left, unless another process is doing so. Blocks.
    ///
    /// # Errors
    /// When it cannot be copied. Nothing is there then that a copy is made of.
    pub(crate) fn keep(&self, made: &Path) -> io::Result<()> {
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
    pub(crate) fn forget(&self) {
        if let Err(error) = remove_tree(&self.path()) {
            tracing::warn!(template = %self.path().display(), %error, "a template that cannot be used stays");
        }
    }
}

/// Copies what is in a folder into another one, which nobody else can enter. Blocks of the disk are
/// shared where its file system can.
fn copy(from: &Folder, to: &Path, depth: usize) -> io::Result<()> {
    let odd = |name: &str| io::Error::other(format!("{name}: not what such programs leave"));
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
