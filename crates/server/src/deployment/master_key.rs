//! The master key: from the data folder, the environment or a pipe; and whether it is the right one.
//!
//! It does not know what the key seals.
use std::{
    env,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use catalog::{Catalog, CatalogError, CatalogExt, meta};
use data_encoding::HEXLOWER_PERMISSIVE;
use kms::MasterKey;
use zeroize::Zeroizing;

use crate::deployment::data_dir::{
    DataDir, DataDirError, check_private, rename_private, write_private,
};

/// The variable that may hold the key, as 64 hexadecimal digits.
pub(crate) const VARIABLE: &str = "SNAPFERRY_MASTER_KEY";
/// The key's digits, and a few blanks around them.
const TEXT_BYTES_MAX: u64 = 128;

/// The two keys of a rotation.
#[derive(Debug)]
pub(crate) struct Pair {
    /// The one in use so far.
    pub(crate) old: MasterKey,
    /// The one that takes its place.
    pub(crate) new: MasterKey,
    /// Whether the old one is in the data folder.
    pub(crate) kept: bool,
}

impl Pair {
    /// The new key, which opens what the old one sealed as well.
    pub(crate) fn both(&self) -> MasterKey {
        MasterKey::from_bytes(*self.new.expose()).beside(&self.old)
    }
}

/// Refuses keys of which neither is the catalog's.
///
/// # Errors
/// [`MasterKeyError::Wrong`], or the catalog's.
pub(crate) async fn check_either(catalog: &dyn Catalog, pair: &Pair) -> Result<(), MasterKeyError> {
    match check(catalog, &pair.old).await {
        Err(MasterKeyError::Wrong { .. }) => check(catalog, &pair.new).await,
        other => other,
    }
}

/// Finds the master key, and opens with the next one as well while a rotation is under way.
///
/// # Errors
/// As [`obtain`].
pub(crate) fn obtain_with_next(
    dir: &DataDir,
    descriptor: Option<u32>,
) -> Result<MasterKey, MasterKeyError> {
    let key = find(dir, descriptor, true)?;
    Ok(match next(dir)? {
        Some(next) => key.beside(&next),
        None => key,
    })
}

/// Finds both keys of a rotation; the new one is drawn when the old one is in the data folder and
/// no rotation is under way.
///
/// # Errors
/// As [`obtain`]; `NoNext` when the old key is given from outside, and no new one was put in place.
pub(crate) fn obtain_pair(dir: &DataDir, descriptor: Option<u32>) -> Result<Pair, MasterKeyError> {
    let old = find(dir, descriptor, true)?;
    let kept = descriptor.is_none() && env::var_os(VARIABLE).is_none();
    let new = match next(dir)? {
        Some(new) => new,
        None if kept => make(&dir.next_master_key())?,
        None => return Err(MasterKeyError::NoNext(dir.next_master_key())),
    };
    if new.fingerprint() == old.fingerprint() {
        return Err(MasterKeyError::Same(dir.next_master_key()));
    }
    Ok(Pair { old, new, kept })
}

/// Puts the new key in its place. The old one stays beside it, for backups of its time; one that
/// came from outside is its owner's, and so is the new one then. Answers where each is.
///
/// # Errors
/// When a file cannot be renamed.
pub(crate) fn settle(
    dir: &DataDir,
    pair: &Pair,
) -> Result<(PathBuf, Option<PathBuf>), MasterKeyError> {
    let (next, own) = (dir.next_master_key(), dir.master_key());
    let name = |key: &MasterKey| format!("master.key.{}", &key.fingerprint()[..8]);
    if !pair.kept {
        let given = dir.path().join(name(&pair.new));
        rename_private(&next, &given)?;
        return Ok((given, None));
    }
    let old = dir.path().join(name(&pair.old));
    let mut text = Zeroizing::new(HEXLOWER_PERMISSIVE.encode(pair.old.expose()));
    text.push('\n');
    write_private(&old, text.as_bytes())?;
    rename_private(&next, &own)?;
    Ok((own, Some(old)))
}

fn next(dir: &DataDir) -> Result<Option<MasterKey>, MasterKeyError> {
    let path = dir.next_master_key();
    match File::open(&path) {
        Ok(file) => from_file(&path, file).map(Some),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(MasterKeyError::Unreadable {
            from: path.display().to_string(),
            source,
        }),
    }
}

fn from_file(path: &Path, file: File) -> Result<MasterKey, MasterKeyError> {
    check_private(path, &file)?;
    let text = read(file).map_err(|source| MasterKeyError::Unreadable {
        from: path.display().to_string(),
        source,
    })?;
    decode(&text).ok_or_else(|| MasterKeyError::Form(path.display().to_string()))
}

/// Finds the master key, unless a rotation is under way: see [`find`].
///
/// # Errors
/// Its, and `Rotating`.
pub(crate) fn obtain(
    dir: &DataDir,
    descriptor: Option<u32>,
    begun: bool,
) -> Result<MasterKey, MasterKeyError> {
    if is_there(&dir.next_master_key())? {
        return Err(MasterKeyError::Rotating(dir.next_master_key()));
    }
    find(dir, descriptor, begun)
}

fn is_there(path: &Path) -> Result<bool, MasterKeyError> {
    path.try_exists()
        .map_err(|source| MasterKeyError::Unreadable {
            from: path.display().to_string(),
            source,
        })
}

/// Finds the master key: the descriptor if one is named, else the environment, else the data
/// folder, where it is made when the folder is new and no catalog was `begun` with another.
///
/// # Errors
/// When it is missing, does not read as a key, or is open to other users.
fn find(dir: &DataDir, descriptor: Option<u32>, begun: bool) -> Result<MasterKey, MasterKeyError> {
    if let Some(number) = descriptor {
        return from_descriptor(number);
    }
    if let Some(text) = env::var_os(VARIABLE) {
        let text = Zeroizing::new(text.into_string().unwrap_or_default());
        return decode(&text)
            .ok_or_else(|| MasterKeyError::Form(format!("the variable {VARIABLE}")));
    }
    let path = dir.master_key();
    match File::open(&path) {
        Ok(file) => from_file(&path, file),
        // A catalog without its key is not begun anew: all that it keeps is sealed.
        Err(source)
            if source.kind() == io::ErrorKind::NotFound && (begun || is_there(&dir.catalog())?) =>
        {
            Err(MasterKeyError::Missing(path))
        }
        Err(source) if source.kind() == io::ErrorKind::NotFound => make(&path),
        Err(source) => Err(MasterKeyError::Unreadable {
            from: path.display().to_string(),
            source,
        }),
    }
}

/// Whether a catalog was begun with some key.
///
/// # Errors
/// The catalog's.
pub(crate) async fn is_begun(catalog: &dyn Catalog) -> Result<bool, MasterKeyError> {
    let known = catalog
        .read(move |tx| meta::get(tx, meta::MASTER_KEY))
        .await?;
    Ok(known.is_some())
}

/// Refuses a key that is not the one the catalog was begun with; a new catalog takes note of it.
///
/// # Errors
/// [`MasterKeyError::Wrong`], or the catalog's.
pub(crate) async fn check(catalog: &dyn Catalog, key: &MasterKey) -> Result<(), MasterKeyError> {
    let given = key.fingerprint();
    let known = catalog
        .read(move |tx| meta::get(tx, meta::MASTER_KEY))
        .await?;
    let known = match known {
        Some(known) => known,
        None => {
            let given = given.clone();
            catalog
                .write(move |tx| meta::get_or_set(tx, meta::MASTER_KEY, &given))
                .await?
        }
    };
    if known == given {
        Ok(())
    } else {
        Err(MasterKeyError::Wrong { given, known })
    }
}

fn make(path: &Path) -> Result<MasterKey, MasterKeyError> {
    let mut bytes = Zeroizing::new([0; 32]);
    kms::fill_random(bytes.as_mut()).map_err(|_| MasterKeyError::NoRandom)?;
    let mut text = Zeroizing::new(HEXLOWER_PERMISSIVE.encode(bytes.as_ref()));
    text.push('\n');
    write_private(path, text.as_bytes())?;
    Ok(MasterKey::from_bytes(*bytes))
}

fn from_descriptor(number: u32) -> Result<MasterKey, MasterKeyError> {
    let from = format!("file descriptor {number}");
    let wrong = |source| MasterKeyError::Unreadable {
        from: from.clone(),
        source,
    };
    let link = PathBuf::from(format!("/proc/self/fd/{number}"));
    // A pipe is empty once it is read. Any other open file would be inherited by the clusters'
    // processes, which could read the key from it again.
    if !fs::metadata(&link).map_err(wrong)?.file_type().is_fifo() {
        return Err(MasterKeyError::NotAPipe(number));
    }
    let text = File::open(&link).and_then(read).map_err(wrong)?;
    decode(&text).ok_or(MasterKeyError::Form(from))
}

fn read(from: impl Read) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(TEXT_BYTES_MAX as usize + 1));
    from.take(TEXT_BYTES_MAX + 1).read_to_string(&mut text)?;
    Ok(text)
}

fn decode(text: &str) -> Option<MasterKey> {
    let digits = text.trim().as_bytes();
    let mut bytes = Zeroizing::new([0; 32]);
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    HEXLOWER_PERMISSIVE
        .decode_mut(digits, bytes.as_mut())
        .ok()?;
    Some(MasterKey::from_bytes(*bytes))
}

/// Why there is no usable master key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MasterKeyError {
    /// It cannot be read.
    #[error("cannot read the master key from {from}")]
    Unreadable {
        /// Where it should be.
        from: String,
        source: io::Error,
    },
    /// Not a key.
    #[error("{0} does not hold a master key of 64 hexadecimal digits")]
    Form(String),
    /// The folder has data, but not its key.
    #[error("the master key {} is missing, and without it nothing in the catalog can be opened", .0.display())]
    Missing(PathBuf),
    /// Another folder's key.
    #[error(
        "this master key (fingerprint {given}) is not the one that the folder was begun with ({known})"
    )]
    Wrong {
        /// The fingerprint of the key at hand.
        given: String,
        /// The fingerprint that the catalog noted.
        known: String,
    },
    /// The new key is in place, and not all is sealed by it.
    #[error("a rotation of the master key was begun and did not come to its end: {} is there", .0.display())]
    Rotating(PathBuf),
    /// The old key is given from outside, so the new one has to be as well.
    #[error("the master key is given from outside of the data folder, and no new one lies at {}", .0.display())]
    NoNext(PathBuf),
    /// There is nothing to rotate.
    #[error("{} holds the key that is in use already", .0.display())]
    Same(PathBuf),
    /// A descriptor that clusters could read again.
    #[error("file descriptor {0} is not a pipe")]
    NotAPipe(u32),
    /// The system gave no randomness.
    #[error("the operating system gave no random bytes")]
    NoRandom,
    /// The file could not be written, or is open to others.
    #[error(transparent)]
    File(#[from] DataDirError),
    /// The catalog did not answer.
    #[error("cannot compare the master key with the catalog's note")]
    Catalog(#[from] CatalogError),
}

impl MasterKeyError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Missing(path) => Some(format!(
                "put it at {}, with mode 600: your backup of it, or the other nodes' master.key",
                path.display()
            )),
            Self::Wrong { .. } => Some(format!(
                "give the key of this folder, by master.key, {VARIABLE} or --master-key-fd; or name its own folder with --data DIR"
            )),
            Self::Rotating(_) => {
                Some("give `snapferry master-key rotate` again: it goes on".to_owned())
            }
            Self::NoNext(path) => Some(format!(
                "put the new one there, with mode 600: `(umask 077; openssl rand -hex 32 > {})`",
                path.display()
            )),
            Self::Same(path) => Some(format!("remove {}", path.display())),
            Self::NotAPipe(number) => Some(format!(
                "hand it over by a pipe, as in `--master-key-fd {number} {number}< <(print-the-key)`"
            )),
            Self::Form(_) => Some("`openssl rand -hex 32` makes one for a new folder".to_owned()),
            Self::File(error) => error.hint(),
            Self::Unreadable { .. } | Self::NoRandom | Self::Catalog(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use service::Mode;

    use super::*;

    #[test]
    fn a_new_folder_gets_a_key_and_keeps_it() {
        let above = tempfile::tempdir().expect("a folder");
        let dir = DataDir::acquire(above.path(), Mode::Closed).expect("new");
        let first = obtain(&dir, None, false).expect("made");
        assert_eq!(
            obtain(&dir, None, false).expect("read").fingerprint(),
            first.fingerprint()
        );
        fs::remove_file(dir.master_key()).expect("removed");
        fs::write(dir.catalog(), "").expect("written");
        assert!(matches!(
            obtain(&dir, None, false),
            Err(MasterKeyError::Missing(_))
        ));
    }

    #[test]
    fn a_rotation_keeps_both_keys_until_its_end() {
        let above = tempfile::tempdir().expect("a folder");
        let dir = DataDir::acquire(above.path(), Mode::Closed).expect("new");
        let first = obtain(&dir, None, false).expect("made");
        let pair = obtain_pair(&dir, None).expect("drawn");
        assert!(matches!(
            obtain(&dir, None, false),
            Err(MasterKeyError::Rotating(_))
        ));
        let again = obtain_pair(&dir, None).expect("read");
        assert_eq!(again.new.fingerprint(), pair.new.fingerprint());
        let both = obtain_with_next(&dir, None).expect("both");
        assert_eq!(both.fingerprint(), first.fingerprint());
        assert!(both.open("p", "c", &pair.new.seal("p", "c", b"x")).is_ok());
        let (_, old) = settle(&dir, &pair).expect("renamed");
        let now = obtain(&dir, None, false).expect("read");
        assert_eq!(now.fingerprint(), pair.new.fingerprint());
        let old = old.expect("it was in the folder");
        let old = from_file(&old, File::open(&old).expect("kept")).expect("a key");
        assert_eq!(old.fingerprint(), first.fingerprint());
    }

    #[test]
    fn keys_come_through_pipes_and_not_through_files() {
        let above = tempfile::tempdir().expect("a folder");
        let dir = DataDir::acquire(above.path(), Mode::Closed).expect("new");
        let (reader, mut writer) = io::pipe().expect("a pipe");
        io::Write::write_all(&mut writer, "ab".repeat(32).as_bytes()).expect("written");
        drop(writer);
        let number = u32::try_from(reader.as_raw_fd()).expect("a descriptor");
        assert_eq!(
            obtain(&dir, Some(number), false)
                .expect("a key")
                .fingerprint(),
            MasterKey::from_bytes([0xab; 32]).fingerprint()
        );
        let file = tempfile::tempfile().expect("a file");
        let number = u32::try_from(file.as_raw_fd()).expect("a descriptor");
        assert!(matches!(
            obtain(&dir, Some(number), false),
            Err(MasterKeyError::NotAPipe(_))
        ));
    }

    #[test]
    fn only_sixty_four_digits_are_a_key() {
        assert!(decode(&format!(" {}\n", "0A".repeat(32))).is_some());
        for wrong in ["", "00", &"0".repeat(63), &"g".repeat(64), &"0".repeat(65)] {
            assert!(decode(wrong).is_none(), "{wrong}");
        }
    }
}
