//! Which files of a data folder a dump has, by their names.
//!
//! The exclusions are those of PostgreSQL's own base backup (`basebackup.c`), and the settings,
//! which a load writes anew. It does not know the files' content.
use super::super::review::Place;
use crate::profile::FilePart;

/// The folders that a data folder has. All others at its top are not PostgreSQL's.
pub(in crate::postgres) const FOLDERS: &[&str] = &[
    "base",
    "global",
    "pg_commit_ts",
    "pg_dynshmem",
    "pg_logical",
    "pg_multixact",
    "pg_notify",
    "pg_replslot",
    "pg_serial",
    "pg_snapshots",
    "pg_stat",
    "pg_stat_tmp",
    "pg_subtrans",
    "pg_tblspc",
    "pg_twophase",
    "pg_wal",
    "pg_xact",
];

/// Folders whose content is of no use to another server: rebuilt at its start, or taken on its own
/// (the log).
const EMPTIED: &[&str] = &[
    "pg_dynshmem",
    "pg_notify",
    "pg_replslot",
    "pg_serial",
    "pg_snapshots",
    "pg_stat_tmp",
    "pg_subtrans",
    "pg_wal",
];

/// Folders whose files come and go while a server works: the log makes up for what is missed.
const CHANGING: &[&str] = &[
    "pg_commit_ts",
    "pg_logical",
    "pg_multixact",
    "pg_twophase",
    "pg_xact",
];

/// What a dump does with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Leaves it out.
    Skip,
    /// Reads it and checks its pages; `first_block` is the relation's block that it begins with.
    Relation { first_block: u32 },
    /// Reads it until its own checksum holds.
    RelationMap,
    /// Reads it as it is.
    Plain { may_vanish: bool },
}

/// Pages in a segment of a relation: files are cut at 1 GiB.
const SEGMENT_PAGES: u32 = 131_072;

/// Whether a folder is kept, and whether its content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FolderRole {
    Skip,
    Emptied,
    Whole,
}

/// Judges a folder by the path of the folder around it and its name.
pub(super) fn judge_folder(parent: &str, name: &str) -> FolderRole {
    match parent {
        "" if !FOLDERS.contains(&name) => FolderRole::Skip,
        "" if EMPTIED.contains(&name) => FolderRole::Emptied,
        // A database's folder is its number; pgsql_tmp holds sorts of running queries.
        "base" if !is_number(name) => FolderRole::Skip,
        _ if name.starts_with("pgsql_tmp") => FolderRole::Skip,
        _ => FolderRole::Whole,
    }
}

/// Judges a file by its folder's path and its name. Unlogged relations are for
/// [`is_unlogged`], which needs the whole folder.
pub(super) fn judge_file(folder: &str, name: &str) -> Role {
    let excluded = name.starts_with("pgsql_tmp") || name.starts_with("pg_internal.init");
    let in_relations = folder == "global" || folder.starts_with("base/");
    match (folder, name) {
        _ if excluded => Role::Skip,
        ("", "PG_VERSION") => Role::Plain { may_vanish: false },
        ("" | "base", _) => Role::Skip,
        // Read last of all, by itself.
        ("global", "pg_control") => Role::Skip,
        (_, "pg_filenode.map") if in_relations => Role::RelationMap,
        _ if in_relations && is_temporary(name) => Role::Skip,
        _ if in_relations => match Relation::parse(name) {
            Some(relation) => Role::Relation {
                first_block: relation.segment.wrapping_mul(SEGMENT_PAGES),
            },
            // A database's own PG_VERSION goes when the database goes.
            None if name == "PG_VERSION" => Role::Plain { may_vanish: true },
            None => Role::Skip,
        },
        _ => {
            let top = folder.split('/').next().unwrap_or_default();
            Role::Plain {
                may_vanish: CHANGING.contains(&top),
            }
        }
    }
}

/// Whether a relation's file may be gone when it is opened: the log has its removal.
pub(super) fn may_vanish(folder: &str, role: Role) -> bool {
    match role {
        Role::Relation { .. } => true,
        Role::RelationMap => folder != "global",
        Role::Plain { may_vanish } => may_vanish,
        Role::Skip => false,
    }
}

/// The parts of a relation file's name: `<number>[_<fork>][.<segment>]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Relation<'a> {
    pub(super) number: &'a str,
    pub(super) fork: Option<&'a str>,
    segment: u32,
}

impl<'a> Relation<'a> {
    pub(super) fn parse(name: &'a str) -> Option<Self> {
        let (stem, segment) = match name.split_once('.') {
            Some((stem, segment)) if is_number(segment) => (stem, segment.parse().ok()?),
            Some(_) => return None,
            None => (name, 0),
        };
        let (number, fork) = match stem.split_once('_') {
            Some((number, fork)) => (number, Some(fork)),
            None => (stem, None),
        };
        let known = fork.is_none_or(|fork| ["fsm", "vm", "init"].contains(&fork));
        (is_number(number) && known).then_some(Self {
            number,
            fork,
            segment,
        })
    }
}

/// Whether a file belongs to an unlogged relation and is not its template: a load empties such
/// relations from the template, so their content would be dead weight. `has_template` tells
/// whether the folder has `<number>_init`.
pub(super) fn is_unlogged(name: &str, has_template: impl Fn(&str) -> bool) -> bool {
    Relation::parse(name)
        .is_some_and(|relation| relation.fork != Some("init") && has_template(relation.number))
}

/// The database and number of the relation whose content a file holds: all but the template of
/// an unlogged one.
pub(in crate::postgres) fn content_of(folder: &str, name: &str) -> Option<Place> {
    let database = folder.strip_prefix("base/")?;
    let relation = Relation::parse(name)?;
    match relation.fork {
        Some("init") => None,
        _ => place_of(database, relation.number),
    }
}

/// The database, relation and fork of a file, by the numbers that its path has; shared relations are in
/// the database `global`.
pub(in crate::postgres) fn part_of(path: &str) -> Option<FilePart> {
    let (folder, name) = path.rsplit_once('/')?;
    let database = match folder {
        "global" => folder,
        _ => folder.strip_prefix("base/")?,
    };
    let relation = Relation::parse(name)?;
    Some(FilePart {
        database: database.to_owned(),
        relation: relation.number.to_owned(),
        fork: match relation.fork {
            None => "main",
            Some("fsm") => "fsm",
            Some("vm") => "vm",
            Some(_) => "init",
        },
    })
}

/// The database, 0 for what all share, and number of the relation of whose main fork a file is a part.
pub(super) fn main_fork_of(folder: &str, name: &str) -> Option<Place> {
    let database = match folder {
        "global" => "0",
        _ => folder.strip_prefix("base/")?,
    };
    let relation = Relation::parse(name)?;
    match relation.fork {
        None => place_of(database, relation.number),
        Some(_) => None,
    }
}

/// The database and number of the unlogged relation whose template a file is.
pub(super) fn template_of(folder: &str, name: &str) -> Option<Place> {
    let database = folder.strip_prefix("base/")?;
    let relation = Relation::parse(name)?;
    match relation.fork {
        Some("init") => place_of(database, relation.number),
        _ => None,
    }
}

fn place_of(database: &str, number: &str) -> Option<Place> {
    Some((database.parse().ok()?, number.parse().ok()?))
}

/// `t<backend>_<number>…`: a session's temporary relation.
fn is_temporary(name: &str) -> bool {
    name.strip_prefix('t')
        .and_then(|rest| rest.split_once('_'))
        .is_some_and(|(backend, rest)| is_number(backend) && Relation::parse(rest).is_some())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_are_told_from_all_else() {
        let relation = |first_block| Role::Relation { first_block };
        for (folder, name, role) in [
            ("base/5", "16384", relation(0)),
            ("base/5", "16384.2", relation(262_144)),
            ("base/5", "16384_fsm", relation(0)),
            ("base/5", "16384_vm.1", relation(131_072)),
            ("base/5", "16384_init", relation(0)),
            ("global", "1262", relation(0)),
            ("base/5", "t3_16400", Role::Skip),
            ("base/5", "t3_16400_fsm.1", Role::Skip),
            ("base/5", "pg_internal.init", Role::Skip),
            ("global", "pg_internal.init.4711", Role::Skip),
            ("base/5", "16384.x", Role::Skip),
            ("base/5", "16384_other", Role::Skip),
            ("base/5", "pg_filenode.map", Role::RelationMap),
            ("base/5", "pg_filenode.map.tmp", Role::Skip),
            ("base/5", "PG_VERSION", Role::Plain { may_vanish: true }),
            ("global", "pg_control", Role::Skip),
            ("pg_xact", "0000", Role::Plain { may_vanish: true }),
            (
                "pg_multixact/members",
                "0000",
                Role::Plain { may_vanish: true },
            ),
            ("pg_stat", "pgstat.stat", Role::Plain { may_vanish: false }),
            ("", "PG_VERSION", Role::Plain { may_vanish: false }),
        ] {
            assert_eq!(judge_file(folder, name), role, "{folder}/{name}");
        }
    }

    #[test]
    fn nothing_unknown_at_the_top_is_kept() {
        for name in [
            "postgresql.conf",
            "postgresql.auto.conf",
            "postgresql.auto.conf.tmp",
            "pg_hba.conf",
            "pg_ident.conf",
            "postmaster.pid",
            "postmaster.opts",
            "backup_label",
            "backup_label.old",
            "tablespace_map",
            "backup_manifest",
            "current_logfiles",
            "current_logfiles.tmp",
            "recovery.signal",
            "standby.signal",
            "anything",
        ] {
            assert_eq!(judge_file("", name), Role::Skip, "{name}");
        }
    }

    #[test]
    fn folders_are_kept_with_or_without_content() {
        for (parent, name, role) in [
            ("", "base", FolderRole::Whole),
            ("", "pg_wal", FolderRole::Emptied),
            ("", "pg_replslot", FolderRole::Emptied),
            ("", "pg_stat_tmp", FolderRole::Emptied),
            ("", "log", FolderRole::Skip),
            ("base", "5", FolderRole::Whole),
            ("base", "pgsql_tmp", FolderRole::Skip),
            ("base", "x", FolderRole::Skip),
            ("pg_multixact", "members", FolderRole::Whole),
            ("pg_logical", "snapshots", FolderRole::Whole),
        ] {
            assert_eq!(judge_folder(parent, name), role, "{parent}/{name}");
        }
    }

    #[test]
    fn a_template_is_told_from_content() {
        for name in ["16384", "16384.1", "16384_fsm", "16384_vm.2"] {
            assert_eq!(content_of("base/5", name), Some((5, 16384)), "{name}");
            assert_eq!(template_of("base/5", name), None, "{name}");
        }
        assert_eq!(template_of("base/5", "16384_init"), Some((5, 16384)));
        assert_eq!(content_of("base/5", "16384_init"), None);
        for (folder, name) in [
            ("global", "1262"),
            ("base/x", "7"),
            ("base/5", "t3_7"),
            ("base", "7"),
        ] {
            assert_eq!(content_of(folder, name), None, "{folder}/{name}");
        }
    }

    #[test]
    fn a_main_fork_is_told_from_the_others() {
        for (folder, name, place) in [
            ("base/5", "16384", Some((5, 16384))),
            ("base/5", "16384.2", Some((5, 16384))),
            ("global", "1262", Some((0, 1262))),
            ("base/5", "16384_fsm", None),
            ("base/5", "16384_vm.1", None),
            ("base/5", "16384_init", None),
            ("base/5", "t3_16384", None),
            ("base/x", "16384", None),
            ("pg_xact", "0000", None),
        ] {
            assert_eq!(main_fork_of(folder, name), place, "{folder}/{name}");
        }
    }

    #[test]
    fn unlogged_relations_keep_only_their_template() {
        let has_template = |number: &str| number == "7";
        for name in ["7", "7.1", "7_fsm", "7_vm"] {
            assert!(is_unlogged(name, has_template), "{name}");
        }
        for name in ["7_init", "8", "8_fsm", "PG_VERSION"] {
            assert!(!is_unlogged(name, has_template), "{name}");
        }
    }

    #[test]
    fn a_path_tells_database_relation_and_fork() {
        let part = |path| {
            part_of(path).map(|part| format!("{} {} {}", part.database, part.relation, part.fork))
        };
        for (path, expected) in [
            ("base/5/16384", Some("5 16384 main")),
            ("base/5/16384.2", Some("5 16384 main")),
            ("base/5/16384_vm.1", Some("5 16384 vm")),
            ("base/5/16384_fsm", Some("5 16384 fsm")),
            ("base/5/16384_init", Some("5 16384 init")),
            ("global/1262", Some("global 1262 main")),
            ("global/pg_control", None),
            ("base/5/PG_VERSION", None),
            ("pg_xact/0000", None),
            ("PG_VERSION", None),
        ] {
            assert_eq!(part(path).as_deref(), expected, "{path}");
        }
    }
}
