//! What can go wrong with what is kept, naming the object and the place.
//!
//! It does not know what a caller tells its own caller: see the service's fault table.
use std::fmt;

use model::{ErrorKind, Hash, Told};

/// The kinds of objects in a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// Frames of blocks.
    Pack,
    /// Where the blocks of stretches of files lie.
    List,
    /// A snapshot's description.
    Manifest,
    /// A stretch of a cluster's log.
    Chunk,
}

impl ObjectKind {
    /// Those that make up snapshots, in the order in which they are written.
    pub const ALL: [Self; 3] = [Self::Pack, Self::List, Self::Manifest];

    /// The folder of a volume in which objects of this kind lie.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Pack => "packs",
            Self::List => "lists",
            Self::Manifest => "manifests",
            Self::Chunk => "log",
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pack => "pack",
            Self::List => "block list",
            Self::Manifest => "manifest",
            Self::Chunk => "log chunk",
        })
    }
}

/// Names one object of a volume, whichever incarnations of it there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// What it is.
    pub kind: ObjectKind,
    /// The hash of its bytes.
    pub hash: Hash,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.hash)
    }
}

/// Why the vault could not do it.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// No incarnation of an object is there that is not condemned.
    #[error("{object} is not in the vault")]
    Missing {
        /// What was looked for.
        object: ObjectId,
    },
    /// An object's bytes are not what they were, or not what a reader may accept.
    #[error("{object} is damaged: {why}")]
    Damaged {
        /// What was read.
        object: ObjectId,
        /// The first rule that is broken.
        why: &'static str,
    },
    /// A file's block came out other than it went in.
    #[error("bytes {start}..{end} of file {path:?} do not come back as stored from {object}")]
    Content {
        /// The pack they were read from.
        object: ObjectId,
        /// The file in the snapshot.
        path: String,
        /// The first byte.
        start: u64,
        /// Behind the last byte.
        end: u64,
    },
    /// The key that was given does not open the object, whose bytes are as they were stored.
    #[error("the key does not open {object}")]
    WrongKey {
        /// What was to be opened.
        object: ObjectId,
    },
    /// A key was given for an unsealed object, or none for a sealed one.
    #[error("{object} is {}sealed, which is not what was asked for", if *sealed { "" } else { "not " })]
    Sealing {
        /// What was read.
        object: ObjectId,
        /// Whether it is sealed.
        sealed: bool,
    },
    /// Another release wrote it.
    #[error("{object} has format version {version}; this release reads version 1")]
    Format {
        /// What was read.
        object: ObjectId,
        /// The version it names.
        version: u16,
    },
    /// A path that a snapshot or a record cannot have.
    #[error("the path {path:?} {why}")]
    BadPath {
        /// The path.
        path: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// A snapshot has more of something than the format can hold.
    #[error("a snapshot cannot have more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A file has pages of a size that cannot be checked: see [`model::pages::can_be_checked`].
    #[error("the file {path:?} has pages of {page_bytes} bytes, which blocks cannot be checked by")]
    PageSize {
        /// The file in the snapshot.
        path: String,
        /// Its pages' size.
        page_bytes: usize,
    },
    /// A name that is never written twice holds other bytes.
    #[error("{path} is there already with other bytes")]
    Conflict {
        /// The object's full path.
        path: String,
    },
    /// What holds the other end of a link did not answer, or not in a way that can be used now.
    #[error("the link to {peer} failed: {why}")]
    Link {
        /// Whom the link leads to.
        peer: String,
        /// What happened.
        why: String,
    },
    /// The other end of a link refuses.
    #[error("{peer} refuses: {why}")]
    LinkRefused {
        /// Whom the link leads to.
        peer: String,
        /// Its words.
        why: String,
    },
    /// The observer asked to stop.
    #[error("stopped on request")]
    Stopped,
    /// An earlier error ended this writer.
    #[error("the snapshot writer already failed")]
    Spent,
    /// The calling thread belongs to no tokio runtime, which uploads and reads need.
    #[error("no tokio runtime on the calling thread")]
    NoRuntime(#[source] tokio::runtime::TryCurrentError),
    /// A background task of the vault ended by a panic or with its runtime.
    #[error("a background task ended early")]
    Task(#[source] tokio::task::JoinError),
    /// The system gives no more threads.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// A thread of the vault's own panicked: a defect.
    #[error("a thread of the vault ended by a panic")]
    Panicked,
    /// The content that was to be kept could not be read.
    #[error("cannot read {path:?} after {offset} bytes")]
    Source {
        /// The file in the snapshot.
        path: String,
        /// How far reading came.
        offset: u64,
        /// The reader's error.
        source: std::io::Error,
    },
    /// The file system refused.
    #[error("cannot {what}")]
    Io {
        /// What was tried, with the path.
        what: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The object store refused.
    #[error("cannot {what}")]
    Store {
        /// What was tried, with the path.
        what: String,
        /// The store's answer.
        source: object_store::Error,
    },
}

impl VaultError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing { .. } | Self::Damaged { .. } | Self::Content { .. } => ErrorKind::Repair,
            Self::WrongKey { .. }
            | Self::Sealing { .. }
            | Self::Format { .. }
            | Self::BadPath { .. }
            | Self::LinkRefused { .. }
            | Self::PageSize { .. }
            | Self::TooMany { .. } => ErrorKind::Refuse,
            Self::Stopped => ErrorKind::Stop,
            Self::Source { .. }
            | Self::Io { .. }
            | Self::Store { .. }
            | Self::Link { .. }
            | Self::Thread(_) => ErrorKind::Retry,
            Self::Conflict { .. }
            | Self::Spent
            | Self::NoRuntime(_)
            | Self::Task(_)
            | Self::Panicked => ErrorKind::Report,
        }
    }

    /// What the account may read of it: the cause in words, nothing of where or under which
    /// names its bytes lie.
    pub fn told(&self) -> Told {
        Told::new(match self {
            Self::TooMany { what, .. } => {
                return Told::of(&["a snapshot cannot have so many", what]);
            }
            Self::Missing { .. } | Self::Damaged { .. } | Self::Content { .. } => {
                "bytes that were kept are damaged or gone"
            }
            Self::WrongKey { .. } | Self::Sealing { .. } => {
                "the data key does not open what was kept"
            }
            Self::Format { .. } => {
                "it was kept by another release, in a format that this one does not read"
            }
            Self::BadPath { .. } => "a file has a name that cannot be kept",
            Self::PageSize { .. } => "a file has pages of a size that cannot be checked",
            Self::Link { .. } => "the deployment at the other end did not answer as it should",
            Self::LinkRefused { .. } => "the deployment at the other end refuses",
            Self::Stopped => "it was told to stop",
            Self::Source { .. } => "the content could not be read",
            Self::Io { .. } | Self::Store { .. } => "the vault could not be read or written",
            Self::Conflict { .. }
            | Self::Spent
            | Self::NoRuntime(_)
            | Self::Task(_)
            | Self::Thread(_)
            | Self::Panicked => return Told::INTERNAL,
        })
    }

    pub(crate) fn damaged(object: ObjectId, why: &'static str) -> Self {
        Self::Damaged { object, why }
    }

    pub(crate) fn io(what: &str, path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io {
            what: format!("{what} {}", path.display()),
            source,
        }
    }

    pub(crate) fn store(what: &str, path: impl fmt::Display, source: object_store::Error) -> Self {
        Self::Store {
            what: format!("{what} {path}"),
            source,
        }
    }
}
