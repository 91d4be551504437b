//! What can go wrong in an engine.
//!
//! It does not know how a fault is told to a caller of the API.
use std::{io, path::PathBuf};

use model::{ErrorKind, Told};

use crate::{
    capabilities::{self, Lacking},
    removal::RemovalError,
};

/// What is wanted of files that a removal is about.
const DELETE: &str = "delete";

/// Why a program or a server refused: an engine's own client has the type.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What a [`DumpSink`](crate::DumpSink) could not do, with what its caller needs to know of it.
#[derive(Debug, thiserror::Error)]
#[error("it was not taken")]
pub struct SinkError {
    /// What to do about it.
    pub kind: ErrorKind,
    /// What the account may read of it.
    pub told: Told,
    /// The sink's own error.
    pub source: Cause,
}

impl From<io::Error> for SinkError {
    fn from(error: io::Error) -> Self {
        Self {
            kind: ErrorKind::Retry,
            told: Told::new("the snapshot's bytes could not be kept"),
            source: error.into(),
        }
    }
}

/// What can go wrong in an engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// No engine has the name.
    #[error("there is no engine {engine}")]
    Unknown {
        /// The name.
        engine: String,
    },
    /// No programs of the cluster's series.
    #[error("{title} {series} is not installed (found: {found})")]
    NotInstalled {
        /// The database.
        title: &'static str,
        /// The series that was asked for.
        series: String,
        /// The versions there are.
        found: String,
    },
    /// A value that the engine was given cannot be used.
    #[error("{what} {value:?} {why}")]
    BadValue {
        /// Which value.
        what: &'static str,
        /// The value.
        value: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// The cluster's user cannot enter a folder above its files.
    #[error("user {uid} cannot enter the folder {folder:?}: allow it with chmod o+x")]
    Unreachable {
        /// The first folder that is closed.
        folder: PathBuf,
        /// The user.
        uid: u32,
    },
    /// As root, a program needs a user with a name, and there is none.
    #[error("there is no user {users} to run {program} as")]
    NoHelperUser {
        /// The names that were looked for.
        users: &'static str,
        /// The program.
        program: &'static str,
    },
    /// Another program listens on the cluster's port.
    #[error("port {port} of {host} is in use by another program")]
    PortInUse {
        /// The address.
        host: String,
        /// The port.
        port: u16,
    },
    /// A server has no certificate to show.
    #[error("there is no certificate for {host}")]
    NoCertificate {
        /// The address that it would be for.
        host: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The address is none of this machine's.
    #[error("{host} is no address of this machine")]
    NoSuchAddress {
        /// The address.
        host: String,
    },
    /// Another operation holds the cluster.
    #[error("another operation works on the cluster in {home:?}")]
    Busy {
        /// The cluster's folder.
        home: PathBuf,
    },
    /// The folder holds no cluster that was made or loaded to the end.
    #[error("{home:?} holds no whole cluster")]
    NotWhole {
        /// The cluster's folder.
        home: PathBuf,
    },
    /// Another server of the cluster takes its writes, or is about to.
    #[error("the server in {home:?} is not the one that takes its cluster's writes")]
    Fenced {
        /// The server's folder.
        home: PathBuf,
    },
    /// A server that follows cannot take its cluster's writes without the loss of some; it goes on to follow.
    #[error("the server in {home:?} cannot take its cluster's writes")]
    CannotTakeOver {
        /// The server's folder.
        home: PathBuf,
        /// What the account may read of it.
        told: Told,
        /// Why not.
        #[source]
        source: Cause,
    },
    /// The server takes its cluster's writes and was not fenced, so it is not made to follow.
    #[error("the server in {home:?} takes its cluster's writes")]
    TakesWrites {
        /// The server's folder.
        home: PathBuf,
    },
    /// The folder holds a whole cluster, which is never overwritten.
    #[error("{home:?} holds a whole cluster already")]
    AlreadyWhole {
        /// The cluster's folder.
        home: PathBuf,
    },
    /// A program of the database failed.
    #[error("{program} failed ({status}): {tail}")]
    Program {
        /// The database.
        title: &'static str,
        /// The program.
        program: &'static str,
        /// How it ended.
        status: String,
        /// Its last words.
        tail: String,
    },
    /// The server ended before it took connections.
    #[error("the server in {home:?} ended before it took connections: {log}")]
    ServerEnded {
        /// The cluster's folder.
        home: PathBuf,
        /// The log's last lines.
        log: String,
    },
    /// The server lives, but does not take connections in time.
    #[error("the server in {home:?} takes no connections after {secs} s: {log}")]
    StartTimeout {
        /// The cluster's folder.
        home: PathBuf,
        /// How long it was waited for.
        secs: u64,
        /// The log's last lines.
        log: String,
    },
    /// Processes of the server stay in spite of SIGKILL.
    #[error("processes of the server in {home:?} do not end: {pids:?}")]
    WillNotEnd {
        /// The cluster's folder.
        home: PathBuf,
        /// Their numbers.
        pids: Vec<u32>,
    },
    /// Whether a process of the cluster lives is not known: nothing was ended, started or deleted.
    #[error(
        "it cannot be told which processes the cluster in {home:?} has, because {path:?} cannot be read{lacking}"
    )]
    CannotTell {
        /// The cluster's folder.
        home: PathBuf,
        /// What could not be read.
        path: PathBuf,
        /// The rights that this process lacks, where that may be why.
        lacking: Lacking,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The server's socket cannot be connected to, or is another user's.
    #[error("cannot connect to {path:?}")]
    NoSocket {
        /// The socket.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The server refused a statement.
    #[error("the server failed to {doing}")]
    Sql {
        /// What was wanted.
        doing: &'static str,
        /// What its answer says of another try.
        kind: ErrorKind,
        /// The server's answer.
        #[source]
        source: Cause,
    },
    /// The server did not answer in time.
    #[error("the server did not {doing} within {secs} s")]
    SqlTimeout {
        /// What was wanted.
        doing: &'static str,
        /// How long it was waited for.
        secs: u64,
    },
    /// The dump's session ended before the dump: what was read is void.
    #[error("the session of the dump was lost, so the dump is void")]
    SessionLost {
        /// What the connection said last, when it said something.
        #[source]
        source: Option<Cause>,
    },
    /// A server that follows has not all that its writer has, so no dump is taken of it.
    #[error("the server does not follow closely enough for a dump")]
    Behind,
    /// What happened in the cluster meanwhile makes the dump void; another one may be whole.
    #[error("{why}")]
    Disturbed {
        /// What happened.
        why: String,
        /// What the account may read of it.
        told: Told,
    },
    /// A page's checksum does not match its bytes.
    #[error("page {block} of {file} is damaged")]
    PageDamaged {
        /// The file, relative to the data folder.
        file: String,
        /// The page within the file, counted from zero.
        block: u64,
        /// How the account finds out more: words that follow a colon.
        advice: &'static str,
    },
    /// A file of the data folder is not what it must be.
    #[error("{file}: {why}")]
    FileDamaged {
        /// The file, relative to the data folder.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// Something in the data folder that cannot be part of a dump.
    #[error("{file} in the data folder {why}")]
    Unexpected {
        /// The file, relative to the data folder.
        file: String,
        /// What it is.
        why: &'static str,
    },
    /// A stopped cluster was not shut down in order.
    #[error(
        "the cluster is stopped, but its state is {state:?}: start it once so that it recovers"
    )]
    NotShutDown {
        /// What its files say.
        state: &'static str,
    },
    /// A dump's files or document are not those of a dump of this engine.
    #[error("this is not a dump that can be loaded: {why}")]
    BadDump {
        /// What is wrong.
        why: String,
    },
    /// The engine has no log that can be read while a server writes it.
    #[error("the log of the cluster in {home:?} cannot be read by this engine")]
    NoLog {
        /// The cluster's folder.
        home: PathBuf,
    },
    /// The server no longer has the log from where it is to be read.
    #[error("the server no longer has the log from there on: {why}")]
    LogGone {
        /// What it says.
        why: String,
    },
    /// The log that was given does not lead to where it should.
    #[error("the log cannot be applied: {why}")]
    BadLog {
        /// What is wrong.
        why: String,
    },
    /// The log that a recovery needs could not be had.
    #[error("the log of the recovery was not given")]
    Source {
        /// What its source said.
        #[source]
        source: SinkError,
    },
    /// The sink did not take a file or folder.
    #[error("the dump's taker failed at {file}")]
    Sink {
        /// The file or folder.
        file: String,
        /// What it said.
        #[source]
        source: SinkError,
    },
    /// The sink asked for an end.
    #[error("the dump was told to stop")]
    StopRequested,
    /// The operating system refused.
    #[error("cannot {doing} {path:?}{lacking}")]
    Io {
        /// What was wanted.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// The rights that this process lacks, where that may be why.
        lacking: Lacking,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl EngineError {
    /// What a caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            // A right that is missing does not come back by waiting.
            Self::CannotTell { lacking, .. } if !lacking.is_empty() => ErrorKind::Report,
            Self::Busy { .. } | Self::Fenced { .. } | Self::TakesWrites { .. } => ErrorKind::Wait,
            Self::CannotTell { .. }
            | Self::PortInUse { .. }
            | Self::NoSocket { .. }
            | Self::NoSuchAddress { .. }
            | Self::NoCertificate { .. }
            | Self::SessionLost { .. }
            | Self::Behind
            | Self::Disturbed { .. }
            | Self::StartTimeout { .. }
            | Self::SqlTimeout { .. } => ErrorKind::Retry,
            Self::StopRequested => ErrorKind::Stop,
            Self::Sink { source, .. } | Self::Source { source } => source.kind,
            Self::Unknown { .. }
            | Self::NotInstalled { .. }
            | Self::BadValue { .. }
            | Self::Unreachable { .. }
            | Self::NoHelperUser { .. }
            | Self::AlreadyWhole { .. }
            | Self::NotShutDown { .. }
            | Self::Unexpected { .. }
            | Self::NoLog { .. }
            | Self::LogGone { .. }
            | Self::BadLog { .. }
            | Self::CannotTakeOver { .. }
            | Self::BadDump { .. } => ErrorKind::Refuse,
            // It refused nothing: whatever ended it was not the files.
            Self::ServerEnded { log, .. } if log.is_empty() => ErrorKind::Retry,
            Self::PageDamaged { .. } | Self::FileDamaged { .. } => ErrorKind::Repair,
            Self::Program { .. }
            | Self::ServerEnded { .. }
            | Self::NotWhole { .. }
            | Self::WillNotEnd { .. }
            | Self::Io { .. } => ErrorKind::Report,
            Self::Sql { kind, .. } => *kind,
        }
    }

    /// What the account may read of it: the cause in words, nothing of the host or the server.
    pub fn told(&self) -> Told {
        Told::new(match self {
            Self::BadValue { what, why, .. } => return Told::of(&["the value of", what, why]),
            Self::Sql { doing, .. } => {
                return Told::of(&["the database server failed to", doing]);
            }
            Self::SqlTimeout { doing, .. } => {
                return Told::of(&["the database server did not", doing, "in time"]);
            }
            Self::NotInstalled { title, .. } => {
                return Told::of(&["the", title, "version that it needs is not installed"]);
            }
            Self::Program { title, .. } => return Told::of(&["a program of", title, "failed"]),
            Self::Disturbed { told, .. } | Self::CannotTakeOver { told, .. } => {
                return told.clone();
            }
            Self::Sink { source, .. } | Self::Source { source } => return source.told.clone(),
            Self::PageDamaged { advice, .. } => {
                return Told::of(&[
                    "a page of the cluster's data does not match its checksum:",
                    advice,
                ]);
            }
            Self::Unknown { .. } => "its engine is not one of this release",
            Self::Unreachable { .. } | Self::NoHelperUser { .. } => {
                "the host is not set up for database servers, which its operator can mend"
            }
            Self::PortInUse { .. } => "another program uses its address and port",
            Self::NoCertificate { .. } => "there is no certificate for its address",
            Self::NoSuchAddress { .. } => "its address is none of the host's",
            Self::Busy { .. } => "another operation works on the cluster",
            Self::NotWhole { .. } => "the cluster's files are not whole",
            Self::Fenced { .. } => "another server takes the cluster's writes",
            Self::TakesWrites { .. } => "the server takes the cluster's writes",
            Self::AlreadyWhole { .. } => "the cluster's files are there already",
            Self::ServerEnded { .. } => {
                "the database server ended before it took connections, with the reason in its log"
            }
            Self::StartTimeout { .. } => "the database server did not take connections in time",
            Self::CannotTell { lacking, .. } | Self::Io { lacking, .. } if !lacking.is_empty() => {
                return lacking.told();
            }
            Self::CannotTell { .. } => "the host does not tell whether the database server runs",
            Self::WillNotEnd { .. } => "processes of the database server do not end",
            Self::NoSocket { .. } => "the database server takes no connections",
            Self::Behind => "the reader that the snapshot was read from is behind its writer",
            Self::SessionLost { .. } => "the session that the snapshot was taken by was lost",
            Self::FileDamaged { .. } => "a file of the cluster's data is damaged",
            Self::Unexpected { .. } => "the cluster's data folder holds what no snapshot can keep",
            Self::NotShutDown { .. } => "the cluster was not shut down in order",
            Self::BadDump { .. } => "the snapshot's content is not one that can be loaded",
            Self::NoLog { .. } => "its engine does not restore to points in time",
            Self::LogGone { .. } => "the cluster's log was not kept from there on",
            Self::BadLog { .. } => "the log that was kept does not lead to that point in time",
            Self::StopRequested => "it was told to stop",
            Self::Io { .. } => "the host's file system refused",
        })
    }

    pub(crate) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> Self {
        let source = source.into();
        Self::Io {
            doing,
            path: path.into(),
            lacking: capabilities::explain(&source),
            source,
        }
    }

    /// Whether a removal that ended so may have deleted files of the cluster. One that could not end
    /// its processes has not.
    pub fn may_have_deleted(&self) -> bool {
        matches!(self, Self::Io { doing: DELETE, .. })
    }

    pub(crate) fn removal(error: RemovalError) -> Self {
        Self::io(DELETE, error.path, error.source)
    }

    pub(crate) fn bad_dump(why: impl Into<String>) -> Self {
        Self::BadDump { why: why.into() }
    }
}
