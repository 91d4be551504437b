//! The end of a data folder.
use std::{fs, io, path::Path};

use super::data_dir::{DataDir, DataDirError, LOCK, MARK};

/// Deletes everything in a data folder that nothing runs on, and the folder. What says whose it is goes
/// last, so that a try that was cut short can be given again.
///
/// # Errors
/// The first thing that cannot be deleted.
pub(crate) fn erase(dir: DataDir) -> Result<(), DataDirError> {
    let path = dir.path();
    let failed = |path: &Path, source| DataDirError::io("delete", path, source);
    for entry in fs::read_dir(path).map_err(|source| failed(path, source))? {
        let entry = entry.map_err(|source| failed(path, source))?;
        if [MARK, LOCK].iter().all(|kept| entry.file_name() != *kept) {
            remove(&entry.path())?;
        }
    }
    remove(&path.join(MARK))?;
    remove(&path.join(LOCK))?;
    match fs::remove_dir(path) {
        // It is where a file system is mounted.
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(()),
        other => other.map_err(|source| failed(path, source)),
    }
}

fn remove(path: &Path) -> Result<(), DataDirError> {
    engine::remove_tree(path).map_err(|error| DataDirError::io("delete", &error.path, error.source))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use service::Mode;

    use super::*;

    #[test]
    fn a_folder_goes_with_what_is_in_it_and_nothing_that_it_points_at() {
        let above = tempfile::tempdir().expect("a folder");
        let elsewhere = above.path().join("elsewhere");
        fs::create_dir(&elsewhere).expect("a folder");
        fs::write(elsewhere.join("kept"), "x").expect("a file");
        let path = above.path().join("data");
        let dir = DataDir::acquire(&path, Mode::Closed).expect("new");
        symlink(&elsewhere, path.join("vault")).expect("a link");
        fs::create_dir_all(path.join("clusters/a/b")).expect("folders");
        erase(dir).expect("it goes");
        assert!(!path.try_exists().expect("it can be told"));
        fs::metadata(elsewhere.join("kept")).expect("it is kept");
    }
}
