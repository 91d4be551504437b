//! What every engine can do, and the values that go in and out.
//!
//! It knows no particular database.
use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use model::{LogPlace, Standing, pages::Content};

use crate::{
    certify::Tls,
    confinement::Confinement,
    error::{EngineError, SinkError},
    home::Home,
    log::{LogSource, LogTail, ReplayTarget},
    parameters::{Configured, Parameter, WantedParameters},
    profile::Profile,
    question::{Answer, Inspected, Inspection, Question},
};

/// What a new cluster begins with.
#[derive(Clone, PartialEq, Eq)]
pub struct NewCluster {
    /// The role that the user gets; no superuser.
    pub master_username: String,
    /// What the server keeps of its password, from [`Engine::verifier`].
    pub master_verifier: String,
    /// A database to make for that role, beside the engine's own first one.
    pub database_name: Option<String>,
}

impl fmt::Debug for NewCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewCluster")
            .field("master_username", &self.master_username)
            .field("database_name", &self.database_name)
            .finish_non_exhaustive()
    }
}

/// How a cluster's server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerState {
    /// It has no process.
    Ended,
    /// It lives, and takes no sessions: it recovers, stops, or is stuck.
    Silent,
    /// It takes sessions.
    Answers,
}

/// How far a server of a cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replica {
    /// Whether it follows another one; it takes writes otherwise.
    pub follows: bool,
    /// The end of the log that it has: more is newer, among servers of one cluster.
    pub position: u64,
    /// Whether it hears from the one that it follows.
    pub is_connected: bool,
    /// How many servers of its cluster hear from it, or are being copied from it.
    pub heard_by: u64,
}

/// What a server that takes over has of what the one before it had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inheritance {
    /// All that it had logged.
    All,
    /// What itself has: that one's log is lost. Each commit that a client was told of is in one of those for
    /// which commits wait, and those have more and less of the same, so the one with the most has all.
    Own,
}

/// What a dump says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpInfo {
    /// The engine's own description as JSON, to be given to [`Engine::load`] unchanged.
    pub document: String,
    /// What lay among a database's files and is none of them, neither file nor link of its kind:
    /// paths within the data folder, a few of them.
    pub left_out: Vec<String>,
    /// Where in the cluster's log it lies, when the engine can recover it to later moments: where the
    /// log must begin that goes with it, and where it is a consistent state.
    pub in_log: Option<(LogPlace, LogPlace)>,
}

/// What was read of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Examined {
    /// Databases that take connections.
    pub databases: u64,
    /// Relations that were read.
    pub relations: u64,
    /// Indexes that were checked.
    pub indexes: u64,
    /// Rows of the owner's own tables.
    pub rows: u64,
}

/// Whether an engine knows from a cluster's log which pages changed since an earlier dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChangeMaps {
    /// It does not: every file that was written to is read.
    #[default]
    Off,
    /// It does, and only those are read.
    On,
    /// It does, all are read, and a dump fails when one is another than in the earlier dump though the
    /// log does not say so.
    Check,
}

/// Takes a dump's folders and files, in the order of the dump.
pub trait DumpSink: Send {
    /// The document of the earlier dump whose bytes can stand for those of this one; none without.
    fn base_document(&self) -> Option<&str> {
        None
    }

    /// About how many bytes will come: said before the first file, and again when more is known.
    fn expect_total(&mut self, bytes: u64);

    /// A folder; it comes before what is in it. `path` is relative, with `/` between its parts.
    ///
    /// # Errors
    /// Whatever ends the dump.
    fn directory(&mut self, path: &str, mode: u32) -> Result<(), SinkError>;

    /// A file, which the sink reads to its end now or a little later, checking its pages. Bytes of
    /// an earlier dump stand for it where its change token says so, if that dump is of this cluster.
    ///
    /// # Errors
    /// Whatever ends the dump, of this file or an earlier one.
    fn file(&mut self, path: &str, mode: u32, content: Arc<dyn Content>) -> Result<(), SinkError>;

    /// Waits until every file given so far was read to its end.
    ///
    /// # Errors
    /// As [`DumpSink::file`].
    fn settle(&mut self) -> Result<(), SinkError>;

    /// Takes back a file that was given and settled: it turned out not to belong to the dump.
    ///
    /// # Errors
    /// As [`DumpSink::file`].
    fn leave_out(&mut self, path: &str) -> Result<(), SinkError>;

    /// The dump begins (true) or has ended (false) a wait for the server's answer that takes longer
    /// than a moment: how long is up to the server's owner. The sink may make the dump wait further.
    fn waits(&self, waiting: bool);

    /// Whether the dump should end without a result; asked between files and while it waits.
    fn stop_requested(&self) -> bool;
}

/// Runs, dumps and loads clusters of one kind of database.
///
/// A future that is dropped before its end may leave processes and files behind; the next call on
/// the same [`Home`], or [`Engine::remove`], deals with them.
#[async_trait]
pub trait Engine: Send + Sync + fmt::Debug {
    /// What it is, apart from what it does.
    fn profile(&self) -> &'static Profile;

    /// The versions on this machine, newest first, such as `15.18`.
    fn installed(&self) -> Vec<String>;

    /// The folders in which its programs are looked for.
    fn searched(&self) -> Vec<PathBuf>;

    /// The series of a version: what all versions have in common that read each other's files.
    fn series<'a>(&self, version: &'a str) -> &'a str {
        (self.profile().series)(version)
    }

    /// What a server keeps of a password instead of it, drawn anew each time.
    fn verifier(&self, password: &str) -> String;

    /// Gives the master user of a running cluster another password, and back the rights that it had
    /// at first, should it have lost them. `verifier` is what the server keeps of the password.
    ///
    /// # Errors
    /// A name or a verifier that is none; what the server answers.
    async fn set_master_password(
        &self,
        home: &Home,
        master_username: &str,
        verifier: &str,
    ) -> Result<(), EngineError>;

    /// Makes a new, running cluster in a folder without one. What a try that was cut short left
    /// there is removed first; a whole cluster is never touched.
    ///
    /// # Errors
    /// [`EngineError::AlreadyWhole`]; wrong names; whatever the programs say.
    async fn create(&self, home: &Home, spec: &NewCluster) -> Result<(), EngineError>;

    /// Starts a whole cluster, or adopts its server when one runs; ends once it takes connections.
    ///
    /// # Errors
    /// [`EngineError::NotWhole`], [`EngineError::PortInUse`], [`EngineError::Busy`], or the
    /// server's last messages; [`EngineError::Fenced`], and [`EngineError::TakesWrites`] of one that is to
    /// follow and was not fenced.
    async fn start(&self, home: &Home) -> Result<(), EngineError>;

    /// Makes a new, running server that follows `home.replication.upstream`, in a folder without one;
    /// that one has the new one's name among its followers, by [`Engine::renew`] at the latest.
    /// [`Engine::start`] starts it from then on; one that took writes before is brought back to the
    /// state of the server that it is to follow now.
    ///
    /// # Errors
    /// [`EngineError::AlreadyWhole`]; whatever the programs say; that the engine cannot do it.
    async fn follow(&self, home: &Home) -> Result<(), EngineError>;

    /// Makes a follower anew that cannot go on.
    ///
    /// # Errors
    /// As [`Engine::follow`]; [`EngineError::TakesWrites`] when it follows no more.
    async fn follow_again(&self, home: &Home) -> Result<(), EngineError>;

    /// Ends a server that took writes as [`Engine::stop`] does, for another one to take them: from here
    /// on [`Engine::start`] does not start it but as a follower, until [`Engine::promote`] or
    /// [`Engine::unfence`]. `token` tells this time from others.
    ///
    /// # Errors
    /// As [`Engine::stop`]; [`EngineError::Busy`].
    async fn fence(&self, home: &Home, token: &str, patience: Duration) -> Result<(), EngineError>;

    /// With which token a server was fenced; none when it was not.
    ///
    /// # Errors
    /// When that cannot be read.
    async fn fenced(&self, home: &Home) -> Result<Option<String>, EngineError>;

    /// Lets a server take writes again whose place nobody took, if it was fenced with that token.
    ///
    /// # Errors
    /// When the files cannot be changed.
    async fn unfence(&self, home: &Home, token: &str) -> Result<(), EngineError>;

    /// What a running server that follows would have of what `writer` committed, which may have ended, if it took
    /// its writes. It only looks; [`Engine::promote`] may still find that it could not.
    ///
    /// # Errors
    /// [`EngineError::CannotTakeOver`] when commits would be lost; whatever keeps it from being told.
    async fn inheritance(&self, _home: &Home, _writer: &Home) -> Result<Inheritance, EngineError> {
        Ok(Inheritance::All)
    }

    /// Lets a server that followed take writes, at its home's address, which may be another one than
    /// it has. `fenced` is the one that took them before: it has ended, and what its log has beyond
    /// what it sent is not lost. Doing it again is nothing.
    ///
    /// # Errors
    /// [`EngineError::Busy`] while the fenced one may run; [`EngineError::CannotTakeOver`] before it took any
    /// writes: it has ended, and follows again once it is started; what the server answers.
    async fn promote(&self, home: &Home, fenced: Option<&Home>) -> Result<(), EngineError>;

    /// Whether servers of a version can follow one on another node.
    fn follows_afar(&self, _version: &str) -> bool {
        false
    }

    /// Whether a server has all of its files: not while they are made anew as a copy of another one's.
    ///
    /// # Errors
    /// When that cannot be read.
    async fn is_whole(&self, home: &Home) -> Result<bool, EngineError>;

    /// Whether a server's files are those of one that took writes when it last ran.
    ///
    /// # Errors
    /// When that cannot be read.
    async fn took_writes(&self, _home: &Home) -> Result<bool, EngineError> {
        Ok(false)
    }

    /// Ends a follower's connection to the writer with that term on another node, and to those before it,
    /// for good: from here on it has nothing new of theirs, whoever starts it. Starts it where it is down.
    /// Doing it again is nothing. Answers how far it is; of one that never followed that writer, nowhere.
    ///
    /// # Errors
    /// [`EngineError::NotWhole`]; whatever keeps it from being sure; that the engine cannot do it.
    async fn leave(&self, home: &Home, _term: u64) -> Result<Standing, EngineError> {
        Err(EngineError::BadValue {
            what: "the server to follow",
            value: home.dir.display().to_string(),
            why: "is on another node, which this engine does not know",
        })
    }

    /// How far a running server is.
    ///
    /// # Errors
    /// When it does not answer.
    async fn replica(&self, home: &Home) -> Result<Replica, EngineError>;

    /// Stops the server, and whatever else its own user runs: its sessions end at once, but it
    /// writes down what it must; when `patience` is over it is made to end, and recovers at its
    /// next start. Ends when every process is gone.
    /// It does not wait for a [`Engine::start`] that has not got as far as a process.
    ///
    /// # Errors
    /// When processes stay in spite of SIGKILL; [`EngineError::CannotTell`].
    async fn stop(&self, home: &Home, patience: Duration) -> Result<(), EngineError>;

    /// How the cluster's server is. Ends within seconds, whatever the server does.
    ///
    /// # Errors
    /// [`EngineError::CannotTell`]: a server may be there or not.
    async fn state(&self, home: &Home) -> Result<ServerState, EngineError>;

    /// Reads a consistent state of the cluster, running or stopped, into `sink`. Of a server that follows
    /// it is one that has all that the writer had on its disk when the dump began.
    ///
    /// Blocks: call it on a blocking thread inside a tokio runtime.
    ///
    /// # Errors
    /// [`EngineError::Behind`] of a server that follows; [`EngineError::PageDamaged`],
    /// [`EngineError::SessionLost`], [`EngineError::Sink`], [`EngineError::StopRequested`], and what files and SQL answer. Nothing of a dump that
    /// failed may be kept as a snapshot.
    fn dump(&self, home: &Home, sink: &mut dyn DumpSink) -> Result<DumpInfo, EngineError>;

    /// Turns the files of a dump that lie in `home.dir/data` into a running, verified cluster.
    /// `document` is [`DumpInfo::document`]. The files are treated as hostile.
    ///
    /// # Errors
    /// [`EngineError::BadDump`] when the files are not what the document says; the server's last
    /// messages when it does not come up. The folder must then not be used again.
    async fn load(&self, home: &Home, document: &str) -> Result<(), EngineError>;

    /// Reads the log of a running server that takes writes, from a place on, or from about where it is
    /// now. The server keeps it from there on for whoever asks again. One that does not log, though it is to, is
    /// started anew for it.
    ///
    /// # Errors
    /// [`EngineError::LogGone`] when the server does not have the log from there on; what the server
    /// answers; [`EngineError::NoLog`] of engines that know no such log.
    async fn tail(
        &self,
        home: &Home,
        _from: Option<LogPlace>,
    ) -> Result<Box<dyn LogTail>, EngineError> {
        Err(EngineError::NoLog {
            home: home.dir.clone(),
        })
    }

    /// How near a running server is to giving up the log that it keeps for [`Engine::tail`]: the share of
    /// its bound that is taken, from 0 to 1. None where there is no bound, or no such log.
    ///
    /// # Errors
    /// What the server answers.
    async fn log_bound_taken(&self, _home: &Home) -> Result<Option<f64>, EngineError> {
        Ok(None)
    }

    /// Has a running server keep no log any more for [`Engine::tail`].
    ///
    /// # Errors
    /// What the server answers.
    async fn end_tail(&self, _home: &Home) -> Result<(), EngineError> {
        Ok(())
    }

    /// [`Engine::load`], and then the log up to a moment.
    ///
    /// # Errors
    /// As [`Engine::load`]; what the source answers; [`EngineError::BadLog`] when the log does not
    /// lead to the moment.
    async fn load_until(
        &self,
        home: &Home,
        _document: &str,
        _target: &ReplayTarget,
        _log: &mut dyn LogSource,
    ) -> Result<(), EngineError> {
        Err(EngineError::NoLog {
            home: home.dir.clone(),
        })
    }

    /// Ends the cluster's server at once, and whatever else its own user runs, and then deletes
    /// `home.dir` and the socket's folder, however deep and wide they are.
    ///
    /// # Errors
    /// When something cannot be ended or deleted; [`EngineError::CannotTell`], before anything is
    /// deleted.
    async fn remove(&self, home: &Home) -> Result<(), EngineError>;

    /// Cuts the server's log to its last part when it has grown. Call it now and then.
    ///
    /// # Errors
    /// When the log cannot be read or written.
    async fn trim_log(&self, home: &Home) -> Result<(), EngineError>;

    /// Holds the address of a home that has no server, so that no other program can have it until
    /// [`Engine::start`] and its like need it, or it is released. Holding it again is nothing. Of a
    /// server that ends by itself the address is held at once.
    ///
    /// # Errors
    /// [`EngineError::PortInUse`] also when another home's is held; [`EngineError::NoSuchAddress`].
    fn hold(&self, home: &Home) -> Result<(), EngineError>;

    /// Lets go of the address of a home's cluster for good.
    fn release(&self, home: &Home);

    /// Resolves when the server of some home, started or adopted here, has ended.
    async fn ended(&self);

    /// Reads all of a running cluster that was loaded to be looked at: every database, every
    /// relation, and indexes as far as the database can check them. Runs what the cluster's owner
    /// wrote, so it is for clusters that are thrown away.
    ///
    /// # Errors
    /// The first thing that cannot be read.
    async fn examine(&self, home: &Home) -> Result<Examined, EngineError>;

    /// Asks a question of a running cluster that was restored for a test, as somebody who can read all and
    /// change nothing. Neither a question nor its answer takes more than its bounds.
    ///
    /// # Errors
    /// What says nothing about the question.
    async fn ask(&self, _home: &Home, _question: &Question) -> Result<Answer, EngineError> {
        Ok(Answer::Ended(
            "questions in SQL are not asked of clusters of this engine".to_owned(),
        ))
    }

    /// Looks at what the tables and indexes of such a cluster consist of, beyond that they can be read.
    ///
    /// # Errors
    /// What says nothing about the cluster.
    async fn inspect(&self, _home: &Home, _what: Inspection) -> Result<Inspected, EngineError> {
        Ok(Inspected::bad(
            "clusters of this engine have no such check".to_owned(),
        ))
    }

    /// Where the engine may keep what new clusters are copied from: a folder of its own, which it makes, and
    /// which can be lost at any time. Said once; without, and by engines that need none, each is made from nothing.
    fn keep_templates(&self, _folder: std::path::PathBuf) {}

    /// Where the engine may keep programs that it makes of the system's: a folder of its own, which it makes,
    /// which users of clusters can enter, and which can be lost while no cluster runs. Said once; without, and
    /// by engines that need none, the system's are run as they are.
    fn keep_programs(&self, _folder: std::path::PathBuf) {}

    /// Whether the servers of a cluster need one value of a parameter, so that no instance has its own.
    fn is_cluster_wide(&self, _parameter: &str) -> bool {
        false
    }

    /// Gives the master user of a running cluster all that this release gives one, where it does not have it:
    /// the cluster may be of an older release. Does nothing on a server that follows, and in engines that know
    /// no such rights.
    ///
    /// # Errors
    /// When the server does not take them, such as where its owner dropped the master user.
    async fn give_rights(&self, _home: &Home, _master_username: &str) -> Result<(), EngineError> {
        Ok(())
    }

    /// Holds servers to limits from their next start or adoption on. Said once; without, and by engines
    /// that run no processes, there are none.
    fn confine(&self, _confinement: Confinement) {}

    /// For how long a dump may make statements wait that change tables or accounts, in engines where it does;
    /// one that takes longer is void. Said once; without, it is an hour.
    fn bound_dumps(&self, _wait_max: Duration) {}

    /// Has the engine know from the logs that it reads by [`Engine::tail`] which pages change. Said once;
    /// without, and by engines that read no log, it does not.
    fn know_changes(&self, _how: ChangeMaps) {}

    /// Lets servers speak TLS from their next start or [`Engine::renew`] on. Said once.
    fn use_tls(&self, tls: Tls);

    /// Gives a running server the settings and the certificate that it should have by now.
    ///
    /// # Errors
    /// When they cannot be made or written.
    async fn renew(&self, home: &Home) -> Result<(), EngineError>;

    /// The parameters of a version's servers, by name. Asked of the programs once, which takes a
    /// second or two, and remembered.
    ///
    /// # Errors
    /// [`EngineError::NotInstalled`]; what the programs say.
    async fn parameters(&self, version: &str) -> Result<Arc<Vec<Parameter>>, EngineError>;

    /// What the database itself has against values that [`Parameter::takes`], if anything.
    ///
    /// # Errors
    /// When it cannot be asked.
    async fn check_parameters(
        &self,
        version: &str,
        values: &BTreeMap<String, String>,
    ) -> Result<Option<String>, EngineError>;

    /// Has a cluster's server get what is wanted of it: a running one at once where that is possible,
    /// else the next. A server that does not start with it is started with what the last one had.
    ///
    /// # Errors
    /// [`EngineError::Busy`]; when it cannot be written down, or the server not be told.
    async fn configure(
        &self,
        home: &Home,
        wanted: &WantedParameters,
    ) -> Result<Configured, EngineError>;

    /// The users that must be able to enter the folders above [`Home::dir`], beside
    /// [`Home::os_uid`], for [`Engine::create`] to work.
    fn helper_uids(&self) -> Vec<u32>;
}
