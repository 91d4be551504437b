//! What an engine is, apart from what it does.
//!
//! It knows no particular database: every engine's folder has its own profile.
use std::{collections::BTreeMap, ops::RangeInclusive};

use crate::client_call::{ClientCall, ClientTarget};

/// What a file of a dump belongs to, as its path tells.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilePart {
    /// The database, as its files name it.
    pub database: String,
    /// The table or index, as its files name it.
    pub relation: String,
    /// Which of the relation's forks.
    pub fork: &'static str,
}

/// What an engine is, in words and numbers that others need to serve it.
#[derive(Debug)]
pub struct Profile {
    /// The database's name, for people.
    pub title: &'static str,
    /// The values of the API's `Engine` that it serves.
    pub names: &'static [&'static str],
    /// The series of a version: what all versions have in common that read each other's files. It begins the
    /// version.
    pub series: fn(&str) -> &str,
    /// What a file of a dump belongs to, by its path; none of one that is no relation's.
    pub part_of: fn(&str) -> Option<FilePart>,
    /// What databases are called whose files have another name for them, by that name, as far as a dump's
    /// document tells.
    pub databases_in: fn(&str) -> BTreeMap<String, String>,
    /// The port that its clients try first.
    pub default_port: u16,
    /// What the API's `LicenseModel` says.
    pub license_model: &'static str,
    /// Bytes of its files' pages; a file may have others.
    pub page_bytes: usize,
    /// The file name of its server's program.
    pub program: &'static str,
    /// The name of the file that a server's messages go to.
    pub log_file: &'static str,
    /// The kinds of logs that the API can be asked to export.
    pub log_types: &'static [&'static str],
    /// What the master user may be called.
    pub user_names: NameRules,
    /// What the first database may be called.
    pub database_names: NameRules,
    /// Characters of the master user's password.
    pub password_chars: RangeInclusive<usize>,
    /// What is looked for on the machine, as in "no … was found".
    pub wanted: &'static str,
    /// A command that installs it.
    pub install: &'static str,
    /// How its client for people is called.
    pub client: fn(&ClientTarget<'_>) -> ClientCall,
    /// The content of a file by which that client knows a password.
    pub client_password: fn(&str) -> String,
    /// Whether its servers can follow one another.
    pub replicates: bool,
    /// Whether a commit can wait until another server has it.
    pub waits_for_followers: bool,
}

/// What names of one kind may be. All begin with a letter, and go on with letters, digits and
/// underscores.
#[derive(Debug)]
pub struct NameRules {
    /// Bytes at most.
    pub bytes_max: usize,
    /// Words that are no such names, in lower case.
    pub reserved: &'static [&'static [&'static str]],
    /// With what no such name begins, in lower case.
    pub reserved_prefix: Option<&'static str>,
}

impl NameRules {
    /// Whether a name is made of what it may be made of.
    pub fn is_well_formed(&self, name: &str) -> bool {
        name.len() <= self.bytes_max
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    }

    /// Whether a name is a word that is kept for something else.
    pub fn is_reserved(&self, name: &str) -> bool {
        let lower = name.to_ascii_lowercase();
        self.reserved
            .iter()
            .any(|words| words.contains(&lower.as_str()))
    }

    /// The reserved beginning that a name has, if it has one.
    pub fn prefix_of(&self, name: &str) -> Option<&'static str> {
        let lower = name.to_ascii_lowercase();
        self.reserved_prefix
            .filter(|prefix| lower.starts_with(prefix))
    }
}
