//! The list of what a dump reads, made once before the first file.
//!
//! A file that appears later is in the log. It does not read any file.
use std::collections::HashSet;

use super::{
    super::review::Place,
    names::{self, FolderRole, Role},
};
use crate::{
    EngineError,
    dump::join,
    folder::{DEPTH_MAX, Folder, Kind},
};

/// Odd things that are named.
const ODD_MAX: usize = 5;
/// Entries of a data folder at most.
const ENTRIES_MAX: usize = 20_000_000;

/// One step of a dump.
pub(super) type Item = crate::dump::Item<Role>;

/// What a dump reads, folders before their content, in the order of names.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) items: Vec<Item>,
    /// Bytes of the files when they were listed.
    pub(super) bytes: u64,
    /// Files left out because their relation is unlogged.
    pub(super) unlogged: u64,
    /// The first few things among databases' files that are none of the database's.
    pub(super) odd: Vec<String>,
}

impl Plan {
    pub(super) fn of(data: &Folder) -> Result<Self, EngineError> {
        let mut plan = Self::default();
        plan.walk(data, "", DEPTH_MAX)?;
        Ok(plan)
    }

    fn walk(&mut self, folder: &Folder, path: &str, depth: usize) -> Result<(), EngineError> {
        let unexpected = |name: &str, why| EngineError::Unexpected {
            file: join(path, name),
            why,
        };
        if depth == 0 {
            return Err(unexpected("", "is nested too deep"));
        }
        let entries = folder
            .entries()
            .map_err(|source| EngineError::io("list", path, source))?;
        let has_template = |number: &str| {
            let name = format!("{number}_init");
            entries
                .binary_search_by(|entry| entry.name.as_str().cmp(&name))
                .is_ok()
        };
        for entry in &entries {
            let name = entry.name.as_str();
            if path == "pg_tblspc" {
                return Err(unexpected(name, "is a tablespace, which dumps do not have"));
            }
            match entry.kind {
                Kind::Folder if path.starts_with("base/") => self.leave_out(path, name),
                Kind::Folder => self.folder(folder, path, name, depth)?,
                Kind::File => {
                    let role = names::judge_file(path, name);
                    let is_relation = matches!(role, Role::Relation { .. });
                    if is_relation && path != "global" && names::is_unlogged(name, has_template) {
                        self.unlogged += 1;
                    } else if role != Role::Skip {
                        self.push(Item::File {
                            folder: path.to_owned(),
                            name: name.to_owned(),
                            role,
                        })?;
                        self.bytes += u64::try_from(entry.stat.st_size).unwrap_or(0);
                    }
                }
                // Among the files that are left out anything may lie.
                Kind::Other if path.is_empty() && !names::FOLDERS.contains(&name) => {}
                // The server would follow a link that stands for one of its files; it never looks
                // at others.
                Kind::Other if names::judge_file(path, name) == Role::Skip => {
                    self.leave_out(path, name);
                }
                Kind::Other => return Err(unexpected(name, "is neither folder nor file")),
            }
        }
        Ok(())
    }

    fn folder(
        &mut self,
        parent: &Folder,
        path: &str,
        name: &str,
        depth: usize,
    ) -> Result<(), EngineError> {
        let role = names::judge_folder(path, name);
        if role == FolderRole::Skip {
            return Ok(());
        }
        let inner_path = join(path, name);
        let inner = match parent.enter(name) {
            Ok(inner) => inner,
            // A database that was dropped meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && path == "base" => {
                return Ok(());
            }
            Err(source) => return Err(EngineError::io("enter", inner_path, source)),
        };
        self.push(Item::Folder(inner_path.clone()))?;
        match role {
            FolderRole::Whole => self.walk(&inner, &inner_path, depth - 1),
            FolderRole::Emptied if name == "pg_wal" => {
                self.push(Item::Folder("pg_wal/archive_status".to_owned()))
            }
            FolderRole::Emptied | FolderRole::Skip => Ok(()),
        }
    }

    fn leave_out(&mut self, path: &str, name: &str) {
        if self.odd.len() < ODD_MAX {
            self.odd.push(join(path, name));
        }
    }

    fn push(&mut self, item: Item) -> Result<(), EngineError> {
        if ENTRIES_MAX <= self.items.len() {
            return Err(EngineError::Unexpected {
                file: String::new(),
                why: "has too many files",
            });
        }
        self.items.push(item);
        Ok(())
    }
}

/// The unlogged relations whose templates exist now.
pub(super) fn templates(data: &Folder) -> Result<HashSet<Place>, EngineError> {
    let failed = |source| EngineError::io("list", "base", source);
    let base = data.enter("base").map_err(failed)?;
    let mut found = HashSet::new();
    for database in base.entries().map_err(failed)? {
        let path = join("base", &database.name);
        if database.kind != Kind::Folder
            || names::judge_folder("base", &database.name) != FolderRole::Whole
        {
            continue;
        }
        let entries = match base
            .enter(&database.name)
            .and_then(|folder| folder.entries())
        {
            Ok(entries) => entries,
            // A database that was dropped meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => return Err(EngineError::io("list", path, source)),
        };
        let templates = entries.iter().filter(|entry| entry.kind == Kind::File);
        found.extend(templates.filter_map(|entry| names::template_of(&path, &entry.name)));
    }
    Ok(found)
}
