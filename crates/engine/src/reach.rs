//! Whether another user can enter the folders above a cluster's files.
//!
//! It knows owners and permission bits only, not access lists.
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The first folder on the way to `path` that the user (and group) number `uid` cannot enter.
/// Folders that are not there yet, and `path` itself when it is no folder, block nobody.
pub fn first_unreachable(path: &Path, uid: u32) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    let mut reached = PathBuf::new();
    for part in absolute.components() {
        reached.push(part);
        // Links are followed: it is the folder they lead to that must let the user in.
        let found = fs::canonicalize(&reached).ok()?;
        let facts = fs::metadata(&found).ok()?;
        if !facts.is_dir() {
            return None;
        }
        // The way to a link's target has folders of its own.
        if found != reached
            && let Some(blocked) = first_unreachable(&found, uid)
        {
            return Some(blocked);
        }
        if !may_enter(&facts, uid) {
            return Some(found);
        }
    }
    None
}

fn may_enter(facts: &fs::Metadata, uid: u32) -> bool {
    let bit = if uid == 0 {
        return true;
    } else if facts.uid() == uid {
        0o100
    } else if facts.gid() == uid {
        0o010
    } else {
        0o001
    };
    facts.mode() & bit != 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn names_the_folder_that_blocks() {
        let root = tempfile::tempdir().expect("a folder");
        let open = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
        };
        let base = fs::canonicalize(root.path()).expect("a path");
        let (a, b) = (base.join("a"), base.join("a/b"));
        fs::create_dir_all(&b).expect("folders");
        for (path, mode) in [(&base, 0o711), (&a, 0o711), (&b, 0o711)] {
            open(path, mode);
        }
        let stranger = 1_879_000_000;
        assert_eq!(first_unreachable(&b.join("new/deep"), stranger), None);
        open(&a, 0o700);
        assert_eq!(first_unreachable(&b, stranger), Some(a.clone()));
        symlink(&b, base.join("link")).expect("a link");
        assert_eq!(first_unreachable(&base.join("link"), stranger), Some(a));
        assert_eq!(first_unreachable(&b, 0), None);
    }
}
