//! Which files of a data folder a dump has, by their names.
//!
//! It does not know the files' content.
use super::super::redo;
use crate::profile::FilePart;

/// What a dump does with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mysql) enum Role {
    /// Leaves it out: the server makes it anew, or it is of this server alone.
    Skip,
    /// Reads it and checks its pages.
    Tablespace,
    /// Reads it as it is: the description of a table that is not InnoDB's, and an empty log.
    Plain,
}

/// The file of the system's tablespace.
pub(in crate::mysql) const SYSTEM_TABLESPACE: &str = "ibdata1";

/// Folders that are left out: the redo log is taken on its own.
const SKIPPED_FOLDERS: &[&str] = &[redo::FOLDER, "#innodb_temp", "#clone", "performance_schema"];

/// Files at the top that are left out.
const SKIPPED: &[&str] = &[
    "auto.cnf",
    "backup_lock",
    "ib_buffer_pool",
    "ib_buffer_pool.incomplete",
    "my.cnf",
    "mysql_upgrade_history",
    "mysqld-auto.cnf",
    "mysqld-auto.cnf.backup",
    "mysqld.my",
];
const SKIPPED_BEGINNINGS: &[&str] = &["binlog.", "relay", "ibtmp"];
const SKIPPED_ENDS: &[&str] = &[".dblwr", ".pem"];

/// Whether a dump has the folder of this name at the top and what is in it; none: nobody knows it.
pub(in crate::mysql) fn has_folder(name: &str) -> Option<bool> {
    if SKIPPED_FOLDERS.contains(&name) {
        return Some(false);
    }
    is_name(name).then_some(true)
}

/// What a dump does with the file of this name; none: nobody knows it. `folder` is empty at the top.
pub(in crate::mysql) fn judge_file(folder: &str, name: &str) -> Option<Role> {
    if folder.is_empty() && is_skipped(name) {
        return Some(Role::Skip);
    }
    if folder.is_empty() && (name == SYSTEM_TABLESPACE || is_undo(name)) {
        return Some(Role::Tablespace);
    }
    match name.rsplit_once('.')? {
        (stem, "ibd") if is_name(stem) => Some(Role::Tablespace),
        (stem, "ibu") if folder.is_empty() && is_name(stem) => Some(Role::Tablespace),
        (stem, "sdi") if is_name(stem) => Some(Role::Plain),
        (stem, "CSV" | "CSM") if folder == "mysql" && is_name(stem) => Some(Role::Plain),
        _ => None,
    }
}

/// The database and table of a tablespace of its own; of one of several partitions, the whole table.
pub(in crate::mysql) fn part_of(path: &str) -> Option<FilePart> {
    let (database, name) = path.rsplit_once('/')?;
    let table = name.strip_suffix(".ibd")?;
    let end = table.to_ascii_lowercase().find("#p#");
    Some(FilePart {
        database: database.to_owned(),
        relation: table[..end.unwrap_or(table.len())].to_owned(),
        fork: "main",
    })
}

fn is_skipped(name: &str) -> bool {
    SKIPPED.contains(&name)
        || SKIPPED_BEGINNINGS
            .iter()
            .any(|beginning| name.starts_with(beginning))
        || SKIPPED_ENDS.iter().any(|end| name.ends_with(end))
}

/// `undo_001`
fn is_undo(name: &str) -> bool {
    let digits = name.strip_prefix("undo_").unwrap_or_default();
    digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The server writes all but these as `@` and hexadecimal digits.
fn is_name(name: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"_@#$-".contains(&byte);
    !name.is_empty() && name.bytes().all(is_known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_their_roles() {
        for (folder, name, role) in [
            ("", "ibdata1", Some(Role::Tablespace)),
            ("", "ibdata2", None),
            ("", "undo_001", Some(Role::Tablespace)),
            ("", "undo_1_trunc.log", None),
            ("", "mysql.ibd", Some(Role::Tablespace)),
            ("", "extra.ibu", Some(Role::Tablespace)),
            ("app", "extra.ibu", None),
            ("app", "t#p#p0.ibd", Some(Role::Tablespace)),
            ("Gr@1i@1je", "t@002d1.ibd", Some(Role::Tablespace)),
            ("app", "m_401.sdi", Some(Role::Plain)),
            ("mysql", "general_log.CSV", Some(Role::Plain)),
            ("app", "mine.CSV", None),
            ("app", "t.MYD", None),
            ("app", "t.isl", None),
            ("app", ".ibd", None),
            ("app", "a b.ibd", None),
            ("app", "auto.cnf", None),
            ("", "auto.cnf", Some(Role::Skip)),
            ("", "#ib_16384_0.dblwr", Some(Role::Skip)),
            ("", "binlog.000001", Some(Role::Skip)),
            ("", "core", None),
        ] {
            assert_eq!(judge_file(folder, name), role, "{folder}/{name}");
        }
        assert_eq!(has_folder("app"), Some(true));
        assert_eq!(has_folder(redo::FOLDER), Some(false));
        assert_eq!(has_folder("a.b"), None);
    }

    #[test]
    fn a_path_tells_database_and_table() {
        let part = |path| part_of(path).map(|part| format!("{} {}", part.database, part.relation));
        for (path, expected) in [
            ("app/t.ibd", Some("app t")),
            ("app/t#p#p0.ibd", Some("app t")),
            ("app/t#P#p0#SP#s1.ibd", Some("app t")),
            ("mysql.ibd", None),
            ("app/t.sdi", None),
        ] {
            assert_eq!(part(path).as_deref(), expected, "{path}");
        }
    }
}
