//! A server of our own beside the system's: the same program and libraries, with control files of
//! extensions that say more. See decision 17.
//!
//! PostgreSQL looks for its shared files relative to where its program lies. So a copy of the program
//! in a tree of the same shape, whose other entries are links to the system's, reads our files in place
//! of a few of those. A tree is made for each boot, so that none outlives a crash half written, and
//! again whenever the system's files have changed. Without one, servers are the system's.
use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Component, Path, PathBuf},
    sync::OnceLock,
};

use rustix::fs::FlockOperation;

use super::{
    extensions,
    install::Install,
    places::{LOCATOR, Places, told},
    profile::PROFILE,
};
use crate::hosting::files::{make_folder, make_parents};
use crate::{reach, removal::remove_tree};

/// What a tree is made by: another number makes it anew.
const GENERATION: u32 = 1;
const MODE: u32 = 0o755;
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Bytes of an extension's file that are read.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Where such trees lie.
#[derive(Debug, Default)]
pub(super) struct OwnPrograms {
    folder: OnceLock<PathBuf>,
}

/// What to begin a server with.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) program: PathBuf,
    /// Libraries that it can load at its start.
    pub(super) libraries: Vec<&'static str>,
}

impl OwnPrograms {
    /// Has trees made. The first folder stays.
    pub(super) fn keep_in(&self, folder: PathBuf) {
        let _ = self.folder.set(folder);
    }

    /// The server of a version, which the user number `uid` can run. Blocks.
    pub(super) fn server(&self, install: &Install, uid: Option<u32>) -> Server {
        let systems = |libraries| Server {
            program: install.program(PROFILE.program),
            libraries,
        };
        let places = match Places::of(install) {
            Ok(places) => places,
            Err(error) => {
                tracing::warn!(version = install.version, %error, "where PostgreSQL's files are is not told; the master user gets no more extensions than PostgreSQL trusts");
                return systems(Vec::new());
            }
        };
        let libraries = places.having(&extensions::PRELOADED);
        let Some(folder) = self.folder.get() else {
            return systems(libraries);
        };
        let made = tree(folder, install, &places).and_then(|root| {
            let programs = root.join(places.below(&places.programs));
            match uid.and_then(|uid| reach::first_unreachable(&programs, uid)) {
                Some(blocked) => Err(io::Error::other(format!(
                    "{} lets no other user in",
                    blocked.display()
                ))),
                None => Ok(programs),
            }
        });
        match made {
            Ok(programs) => Server {
                program: programs.join(PROFILE.program),
                libraries,
            },
            Err(error) => {
                tracing::warn!(version = install.version, folder = %folder.display(), %error, "no programs of our own can be made; the master user gets no more extensions than PostgreSQL trusts");
                systems(libraries)
            }
        }
    }
}

impl Places {
    /// One of these places seen from the folder that has them all.
    fn below(&self, place: &Path) -> PathBuf {
        let all = [&self.programs, &self.shared, &self.libraries];
        let mut shared = 0;
        while let Some(part) = self.programs.components().nth(shared)
            && all
                .iter()
                .all(|path| path.components().nth(shared) == Some(part))
        {
            shared += 1;
        }
        let rest = place.components().skip(shared);
        rest.filter(|part| matches!(part, Component::Normal(_)))
            .collect()
    }

    fn extensions(&self) -> PathBuf {
        self.shared.join("extension")
    }

    /// A name that changes with the files and the boot.
    fn name(&self, install: &Install) -> io::Result<String> {
        let mut hash = blake3::Hasher::new();
        hash.update(&GENERATION.to_le_bytes());
        hash.update(fs::read_to_string(BOOT_ID)?.as_bytes());
        hash.update(format!("{self:?}").as_bytes());
        let program = install.program(PROFILE.program);
        note(&mut hash, &program)?;
        note(&mut hash, &self.shared)?;
        for entry in sorted(&self.extensions())? {
            hash.update(entry.as_os_str().as_encoded_bytes());
            note(&mut hash, &entry)?;
        }
        Ok(format!(
            "{}-{}",
            install.version,
            &hash.finalize().to_hex()[..16]
        ))
    }
}

fn note(hash: &mut blake3::Hasher, path: &Path) -> io::Result<()> {
    let facts = fs::metadata(path)?;
    for number in [facts.dev(), facts.ino(), facts.len()] {
        hash.update(&number.to_le_bytes());
    }
    hash.update(&facts.mtime().to_le_bytes());
    hash.update(&facts.mtime_nsec().to_le_bytes());
    Ok(())
}

fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut entries = entries.collect::<io::Result<Vec<PathBuf>>>()?;
    entries.sort();
    Ok(entries)
}

/// The tree for a version's files as they are now; made when it is not there.
fn tree(folder: &Path, install: &Install, places: &Places) -> io::Result<PathBuf> {
    let root = folder.join(places.name(install)?);
    if fs::symlink_metadata(&root).is_ok() {
        return Ok(root);
    }
    make_parents(folder, 0o711)?;
    make_folder(folder, MODE)?;
    // Ends with the descriptor.
    let held = fs::File::open(folder)?;
    rustix::fs::flock(&held, FlockOperation::LockExclusive)?;
    if fs::symlink_metadata(&root).is_ok() {
        return Ok(root);
    }
    clear(folder, &format!("{}.", install.major));
    let new = folder.join(".new");
    remove_tree(&new).map_err(|error| error.source)?;
    make_folder(&new, MODE)?;
    fill(&new, install, places)?;
    prove(&new, places)?;
    fs::rename(&new, &root)?;
    Ok(root)
}

fn fill(root: &Path, install: &Install, places: &Places) -> io::Result<()> {
    let make = |place: &Path| {
        let at = root.join(places.below(place));
        make_parents(&at, MODE)?;
        make_folder(&at, MODE).map(|()| at)
    };
    let programs = make(&places.programs)?;
    for name in [PROFILE.program, LOCATOR] {
        fs::copy(install.program(name), programs.join(name))?;
    }
    let libraries = root.join(places.below(&places.libraries));
    make_parents(&libraries, MODE)?;
    symlink(&places.libraries, libraries)?;
    let shared = make(&places.shared)?;
    let extensions = places.extensions();
    for entry in sorted(&places.shared)? {
        if entry != extensions {
            symlink(&entry, shared.join(entry.file_name().unwrap_or_default()))?;
        }
    }
    let ours = make(&extensions)?;
    for entry in sorted(&extensions)? {
        let name = entry.file_name().unwrap_or_default();
        match rewritten(&entry)? {
            Some(text) => {
                let file = ours.join(name);
                fs::write(&file, text)?;
                fs::set_permissions(file, fs::Permissions::from_mode(0o644))?;
            }
            None => symlink(&entry, ours.join(name))?,
        }
    }
    Ok(())
}

fn rewritten(file: &Path) -> io::Result<Option<String>> {
    let facts = fs::metadata(file)?;
    if !facts.is_file() || FILE_BYTES_MAX < facts.len() {
        return Ok(None);
    }
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    // What is no text is not one of the list's.
    let text = String::from_utf8(fs::read(file)?).unwrap_or_default();
    Ok(extensions::rewritten(&name, &text))
}

/// Asks the copies whether they run and look for their files here.
fn prove(root: &Path, places: &Places) -> io::Result<()> {
    let root = fs::canonicalize(root)?;
    let programs = root.join(places.below(&places.programs));
    told(&programs.join(PROFILE.program), &["--version"])?;
    let seen = told(&programs.join(LOCATOR), &["--sharedir", "--pkglibdir"])?;
    let expected = [&places.shared, &places.libraries]
        .map(|place| root.join(places.below(place)).display().to_string());
    match seen.lines().eq(expected.iter().map(String::as_str)) {
        true => Ok(()),
        false => Err(io::Error::other(
            "this build of PostgreSQL looks for its files at fixed places",
        )),
    }
}

/// Removes trees of a series that no server runs from any more. Whatever cannot be looked at may be
/// one that does.
fn clear(folder: &Path, series: &str) {
    let cleared = (|| -> io::Result<()> {
        let running = running()?;
        for entry in sorted(folder)? {
            let name = entry.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(series) && !running.iter().any(|exe| exe.starts_with(&entry)) {
                remove_tree(&entry).map_err(|error| error.source)?;
            }
        }
        Ok(())
    })();
    if let Err(error) = cleared {
        tracing::info!(folder = %folder.display(), %error, "old programs are kept");
    }
}

/// The programs of all processes.
fn running() -> io::Result<Vec<PathBuf>> {
    let mut programs = Vec::new();
    for process in crate::proc::all().map_err(|error| error.source)? {
        let found = crate::proc::program_path(process).map_err(|error| error.source)?;
        programs.extend(found);
    }
    Ok(programs)
}
