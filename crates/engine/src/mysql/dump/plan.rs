//! The list of what a dump reads, made once before the first file.
//!
//! While it is read nothing is made or dropped: the server is stopped, or may not. It does not read any file.
use super::names::{self, Role};
use crate::{
    EngineError,
    dump::join,
    folder::{Folder, Kind},
};

/// One step of a dump.
pub(super) type Item = crate::dump::Item<Role>;

/// What a dump reads, folders before their content, in the order of names.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) items: Vec<Item>,
    /// Bytes of the files when they were listed.
    pub(super) bytes: u64,
    pub(super) tablespace_files: u64,
}

impl Plan {
    pub(super) fn of(data: &Folder) -> Result<Self, EngineError> {
        let mut plan = Self::default();
        plan.walk(data, "")?;
        Ok(plan)
    }

    fn walk(&mut self, folder: &Folder, path: &str) -> Result<(), EngineError> {
        let unexpected = |name: &str, why| EngineError::Unexpected {
            file: join(path, name),
            why,
        };
        let entries = folder.entries();
        let entries = entries.map_err(|source| EngineError::io("list", path, source))?;
        for entry in &entries {
            let name = entry.name.as_str();
            match entry.kind {
                Kind::Folder if path.is_empty() => match names::has_folder(name) {
                    Some(true) => self.folder(folder, name)?,
                    Some(false) => {}
                    None => return Err(unexpected(name, "is no folder of a database")),
                },
                Kind::Folder => return Err(unexpected(name, "is a folder in a database's folder")),
                Kind::File => match names::judge_file(path, name) {
                    Some(Role::Skip) => {}
                    Some(role) => {
                        self.bytes += u64::try_from(entry.stat.st_size).unwrap_or(0);
                        self.tablespace_files += u64::from(role == Role::Tablespace);
                        self.items.push(Item::File {
                            folder: path.to_owned(),
                            name: name.to_owned(),
                            role,
                        });
                    }
                    None => return Err(unexpected(name, "is no file of InnoDB's")),
                },
                Kind::Other => return Err(unexpected(name, "is neither folder nor file")),
            }
        }
        Ok(())
    }

    fn folder(&mut self, parent: &Folder, name: &str) -> Result<(), EngineError> {
        let inner = parent.enter(name);
        let inner = inner.map_err(|source| EngineError::io("enter", name, source))?;
        self.items.push(Item::Folder(name.to_owned()));
        self.walk(&inner, name)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn what_no_dump_can_have_is_refused_by_name() {
        let root = tempfile::tempdir().expect("a folder");
        let at = |path: &str| root.path().join(path);
        for folder in ["app", "empty", "#innodb_redo", "performance_schema"] {
            fs::create_dir(at(folder)).expect("a folder");
        }
        for file in ["ibdata1", "auto.cnf", "app/t.ibd", "#innodb_redo/#ib_redo1"] {
            fs::write(at(file), b"12345").expect("a file");
        }
        let plan = || Plan::of(&Folder::open(root.path()).expect("opens"));
        let found = plan().expect("all of it is known");
        assert_eq!((found.bytes, found.tablespace_files), (10, 2));
        assert!(found.items.contains(&Item::Folder("empty".to_owned())));
        assert_eq!(found.items.len(), 4, "{:?}", found.items);

        let refused = |file: &str| {
            let refused = plan().expect_err(file);
            let is_named =
                matches!(&refused, EngineError::Unexpected { file: named, .. } if named == file);
            assert!(is_named, "{file}: {refused}");
        };
        for file in ["app/t.MYD", "core", "app/t.isl"] {
            fs::write(at(file), b"").expect("a file");
            refused(file);
            fs::remove_file(at(file)).expect("removes");
        }
        symlink("/etc/passwd", at("app/link.ibd")).expect("a link");
        refused("app/link.ibd");
        fs::remove_file(at("app/link.ibd")).expect("removes");
        fs::create_dir(at("app/deep")).expect("a folder");
        refused("app/deep");
    }
}
