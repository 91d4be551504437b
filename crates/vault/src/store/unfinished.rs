//! What uploads into a local folder left behind when their process was killed.
//!
//! It does not know objects: it goes by the name that the store gives to what is not whole yet.
use std::{path::Path, time::SystemTime};

use crate::error::VaultError;

/// Removes from a local vault's folder what uploads left unfinished before the given moment, such
/// as the start of the one process that uses the folder. Gives the number of files. Blocks, and
/// walks the whole folder: it belongs into the sweep.
///
/// # Errors
/// The file system's.
pub fn remove_unfinished(folder: &Path, before: SystemTime) -> Result<u64, VaultError> {
    let mut folders = vec![folder.to_owned()];
    let mut removed = 0;
    while let Some(folder) = folders.pop() {
        let failed = |source| VaultError::io("read the folder", &folder, source);
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let path = entry.path();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && is_unfinished(&path) {
                let modified = entry.metadata().and_then(|meta| meta.modified());
                if modified.map_err(failed)? < before {
                    std::fs::remove_file(&path)
                        .map_err(|source| VaultError::io("remove", &path, source))?;
                    removed += 1;
                }
            }
        }
    }
    Ok(removed)
}

/// The local store stages an upload beside its final name, with `#` and a number behind it.
fn is_unfinished(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let staged = name.and_then(|name| name.rsplit_once('#'));
    staged.is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::vault::Vault;

    #[test]
    fn what_was_left_unfinished_can_be_removed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a/vault");
        Vault::local_folder(&root).unwrap();
        let packs = root.join("volumes/x/packs");
        std::fs::create_dir_all(&packs).unwrap();
        std::fs::write(packs.join("left#1"), b"half").unwrap();
        std::fs::write(packs.join("kept"), b"whole").unwrap();
        Vault::local_folder(&root).unwrap();
        assert_eq!(remove_unfinished(&root, SystemTime::UNIX_EPOCH).unwrap(), 0);
        let written = std::fs::metadata(packs.join("kept")).unwrap().modified();
        let later = written.unwrap() + std::time::Duration::from_secs(5);
        assert_eq!(remove_unfinished(&root, later).unwrap(), 1);
        let is_there = |name: &str| packs.join(name).try_exists().expect("readable");
        assert!(!is_there("left#1") && is_there("kept"));
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&root).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
