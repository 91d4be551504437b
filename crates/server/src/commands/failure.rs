//! Why a command failed, as it is told on a terminal: the error, its causes, and a hint.
//!
//! It does not know where the failure came from.
use std::{error::Error, io, path::PathBuf};

use catalog::holdings::Holdings;
use engine::Profile;
use model::{Account, Region};
use service::{
    OwnerError, RebuildError, StartError,
    clusters::authority::AuthorityError,
    nodes::forget::ForgetError,
    receipts::{NotAKey, ReceiptKeyError},
    record_log::rotate_master_key::RotateError,
};

use crate::{
    client::ApiError,
    commands::exit_status::ExitStatus,
    deployment::{
        catalogs::{CatalogsError, catalog_hint},
        credentials::CredentialsError,
        data_dir::DataDirError,
        master_key::MasterKeyError,
        s3::S3Error,
    },
    http::listen::ListenError,
    logging::LoggingError,
    process::open_files::TooFew,
    settings::SettingsError,
};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Logging(#[from] LoggingError),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    #[error(transparent)]
    Catalogs(#[from] CatalogsError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Audit(#[from] audit::AuditError),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    OpenFiles(#[from] TooFew),
    #[error(transparent)]
    S3(#[from] S3Error),
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    #[error(transparent)]
    Forget(#[from] ForgetError),
    #[error(transparent)]
    Rekey(#[from] RotateError),
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// No server made one yet.
    #[error("there is no authority yet: a server makes it at its first start")]
    NoAuthority,
    #[error(transparent)]
    ReceiptKey(#[from] ReceiptKeyError),
    /// No server made one yet.
    #[error("there is no key that signs receipts yet: a server makes it at its first start")]
    NoReceiptKey,
    /// A file holds no such key.
    #[error("{0:?} has no key to check receipts by")]
    BadReceiptKey(PathBuf, #[source] NotAKey),
    /// No plan has that name.
    #[error("there is no backup plan {0}")]
    NoPlan(String),
    /// A drill has no receipt.
    #[error("the drill {0} has no signed receipt")]
    NoReceipt(String),
    /// A vault cannot be opened.
    #[error("the vault of {0} cannot be opened")]
    Vault(Region, #[source] vault::VaultError),
    /// The catalog cannot be opened or read.
    #[error("the catalog cannot be used")]
    Catalog(#[from] catalog::CatalogError),
    /// A catalog in a data folder has one node.
    #[error("this catalog is in a data folder, so it has one node")]
    NoSharedCatalog,
    /// No node of that name runs.
    #[error("no node of the name {0} runs")]
    NoSuchNode(String),
    /// Nothing is known of a node's tasks.
    #[error("no node{} has told how its tasks fare", .0.as_ref().map(|name| format!(" of the name {name}")).unwrap_or_default())]
    NoTasks(Option<String>),
    /// Told to drain, and not there yet.
    #[error("the node {0} still holds jobs")]
    StillBusy(String),
    /// A database did not end, or its files are still there.
    #[error("the database in {0:?} is not ended and removed as it should be")]
    DatabaseStays(PathBuf, #[source] engine::EngineError),
    #[error(transparent)]
    LeftBehind(#[from] engine::LeftBehindError),
    /// Nothing was deleted yet.
    #[error(
        "this deletes {0:?} for good, with the files of {1} databases, and the keys and snapshots that lie there"
    )]
    NotConfirmed(PathBuf, usize),
    /// A verb whose work a server does.
    #[error("no server runs on that catalog, and the look is a server's work")]
    NotServed,
    /// There is one already that looks at something else.
    #[error("another verification is under way")]
    VerifyBusy,
    /// The job did not come to its end.
    #[error("the verification was given up: {0}")]
    VerifyEnded(String),
    /// No database programs.
    #[error("{}", none_found(missing))]
    NoEngine {
        /// What was looked for, and where.
        missing: Vec<(&'static Profile, Vec<PathBuf>)>,
    },
    /// Clusters' users could not get to their files.
    #[error("clusters run as users of their own, and those cannot enter {}", folder.display())]
    Unreachable {
        /// The folder that blocks.
        folder: PathBuf,
    },
    /// Access keys mean nothing to a server that checks no signatures.
    #[error("the data folder {} belongs to --dev, where no access keys are needed", .0.display())]
    DevHasNoKeys(PathBuf),
    /// An id of no access key.
    #[error("there is no access key {0}")]
    NoAccessKey(String),
    /// A number of no account.
    #[error("there is no account {0}")]
    NoAccount(Account),
    /// The number is taken.
    #[error("the account {0} is there already")]
    AccountExists(Account),
    /// No random number was free.
    #[error("no free account number was found")]
    NoFreeAccount,
    /// Something would be left behind.
    #[error("the account {account} still owns {}", owned(.holdings))]
    AccountOwns {
        account: Account,
        holdings: Holdings,
    },
    /// A server refused, or gave no answer.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// What was waited for came to nothing.
    #[error("the snapshot {id} {became}")]
    SnapshotLost {
        /// Its name.
        id: String,
        /// What became of it, in the past tense.
        became: String,
    },
    /// It takes longer than the caller waits.
    #[error("the snapshot {id} is still {status} after {seconds} s")]
    WaitTimedOut {
        /// Its name.
        id: String,
        status: String,
        seconds: u64,
        /// How to wait on.
        again: String,
    },
    /// Ctrl-C while the server works.
    #[error("interrupted; the server goes on")]
    Interrupted {
        /// How to wait on, where something is waited for.
        again: Option<String>,
    },
    /// It takes longer than the caller watches.
    #[error("not all jobs have ended after {seconds} s")]
    WatchTimedOut {
        seconds: u64,
        /// How to watch on.
        again: String,
    },
    /// No job of that id is there, and none is open on what has that name.
    #[error("there is no open job {0}")]
    NoJob(String),
    /// A job came to nothing.
    #[error("the job {id} did not do its work{}", error.as_ref().map(|error| format!(": {error}")).unwrap_or_default())]
    JobFailed { id: String, error: Option<String> },
    /// A cluster that cannot be connected to.
    #[error("the cluster {name} has no endpoint of that kind: it is {status}")]
    NoEndpoint { name: String, status: String },
    /// The database's client is not installed.
    #[error("the program {program} was not found")]
    NoClient {
        program: &'static str,
        /// What to install.
        package: &'static str,
    },
    /// Nothing was typed.
    #[error("no access key was given")]
    NoKeyGiven,
    /// No server made any yet.
    #[error("there are no credentials in {}", .0.display())]
    NoCredentialsFile(PathBuf),
    /// A file of plans that does not read.
    #[error("the plan file {} cannot be used: {why}", path.display())]
    PlanFile {
        /// Where it is.
        path: PathBuf,
        /// What is wrong, and where.
        why: String,
    },
    /// Plans of a file are found by their names.
    #[error("two backup plans of the region have the name {0}")]
    SameName(String),
    /// A vault that was made under another key.
    #[error("the backup vault {0} is there already, under another key")]
    FixedKey(String),
    /// A file cannot be read.
    #[error("cannot read {0:?}")]
    Unread(PathBuf, #[source] io::Error),
    /// The terminal or pipe is gone, or the system has no thread left.
    #[error("cannot {doing}")]
    Io {
        /// What was to be done.
        doing: &'static str,
        source: io::Error,
    },
}

impl Failure {
    /// The error and its causes in one line.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(cause.to_string().trim_end());
            source = cause.source();
        }
        text
    }

    /// How the program ends.
    pub(crate) fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Api(error) => api_status(error),
            Self::NoKeyGiven => ExitStatus::Refused,
            Self::NoJob(_) | Self::NoReceipt(_) | Self::NoPlan(_) => ExitStatus::NotFound,
            Self::BadReceiptKey(..) => ExitStatus::Usage,
            Self::NoEndpoint { .. } => ExitStatus::Conflict,
            Self::WaitTimedOut { .. } | Self::WatchTimedOut { .. } => ExitStatus::TimedOut,
            Self::Interrupted { .. } => ExitStatus::Interrupted,
            _ if self.is_of_a_setting() => ExitStatus::Usage,
            _ => ExitStatus::Failed,
        }
    }

    /// Whether a setting is wrong, in a file, a flag or the environment: the same start would fail
    /// again, so a service manager is not to try it.
    fn is_of_a_setting(&self) -> bool {
        match self {
            Self::Settings(_) | Self::Logging(LoggingError::Filter { .. }) => true,
            Self::MasterKey(error) => {
                matches!(error, MasterKeyError::Form(_) | MasterKeyError::NotAPipe(_))
            }
            Self::Catalogs(error) => matches!(
                error,
                CatalogsError::Place(_)
                    | CatalogsError::OtherNode { .. }
                    | CatalogsError::OtherMode { .. }
            ),
            _ => false,
        }
    }

    /// What to do about it, when that is known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Settings(error) => error.hint(),
            Self::DataDir(error) => error.hint(),
            Self::Catalogs(error) => error.hint(),
            Self::Start(StartError::NameTaken { .. }) => {
                Some("give this node another name with --node NAME, on a data folder of its own; `snapferry node list` shows who is there".to_owned())
            }
            Self::Start(StartError::Owner(error)) => owner_hint(error),
            Self::Start(StartError::Catalog(error)) | Self::Catalog(error) => catalog_hint(error),
            Self::Rebuild(error) => rebuild_hint(error),
            Self::Forget(error) => forget_hint(error),
            Self::Rekey(RotateError::Owner(error)) => owner_hint(error),
            Self::Rekey(_) => Some("both keys are kept; give the command again, and it goes on".to_owned()),
            Self::NoSharedCatalog => Some("nodes are listed where several share a catalog: name it with --catalog postgres://...".to_owned()),
            Self::NoAuthority | Self::NoReceiptKey => Some("start one with `snapferry serve`".to_owned()),
            Self::NoTasks(_) | Self::NoSuchNode(_) => Some("`snapferry node list` shows the nodes".to_owned()),
            Self::NotServed => Some("start it with `snapferry serve`, and ask again".to_owned()),
            Self::VerifyBusy => Some("wait for it, give the same options to watch it, or add --restart to give it up".to_owned()),
            Self::VerifyEnded(_) => Some("ask again; the server's log says more".to_owned()),
            Self::NotConfirmed(..) => Some("give the command again with --yes; what to keep of it is in docs/guides/backup-and-upgrade.md".to_owned()),
            Self::DatabaseStays(..) | Self::LeftBehind(_) => Some("nothing else was deleted; give the command again, as the user that the server ran as".to_owned()),
            Self::StillBusy(_) => Some("it goes on without taking on new work; ask again, or look at `snapferry job list`".to_owned()),
            Self::MasterKey(error) => error.hint(),
            Self::Audit(_) => Some("let this user write there; or keep no records with --no-audit".to_owned()),
            Self::Credentials(error) => error.hint(),
            Self::Listen(error) => error.hint(),
            Self::OpenFiles(_) => Some(TooFew::hint()),
            Self::Logging(_) => Some("try --log-level info, or filters such as info,service=debug".to_owned()),
            Self::NoEngine { missing } => {
                let installs: Vec<_> = missing.iter().map(|(profile, _)| format!("`{}`", profile.install)).collect();
                Some(format!("install it with {}, or name its folder with --engine-bin DIR", installs.join(" or ")))
            }
            Self::Unreachable { folder } => {
                Some(format!("let them pass with `chmod o+x {}`, or choose another folder with --data DIR", folder.display()))
            }
            Self::DevHasNoKeys(_) => Some("use twelve digits as the access key id to act for that account".to_owned()),
            Self::NoAccessKey(_) => Some("`snapferry access-key list` shows those that are".to_owned()),
            Self::NoAccount(_) => Some("`snapferry account list` shows those that are".to_owned()),
            Self::AccountExists(account) => {
                Some(format!("`snapferry access-key create --account {account}` lets somebody act for it"))
            }
            Self::NoFreeAccount => Some("give one with --account".to_owned()),
            Self::AccountOwns { .. } => {
                Some("delete these first, in all regions; a KMS key that is to be deleted is gone at its deletion date".to_owned())
            }
            Self::S3(S3Error::Vault(_)) => {
                Some("check that the bucket exists, its --vault-endpoint, and the credentials' rights".to_owned())
            }
            Self::Api(error) => error.hint(),
            Self::WaitTimedOut { again, .. } | Self::Interrupted { again: Some(again) } => {
                Some(format!("`{again}` waits on"))
            }
            Self::WatchTimedOut { again, .. } => Some(format!("`{again}` watches on")),
            Self::Interrupted { again: None } => None,
            Self::PlanFile { .. } => Some("nothing was changed; what a file can have is in docs/concepts/backups.md".to_owned()),
            Self::SameName(name) => Some(format!("give one of them another name, by UpdateBackupPlan, or delete it; `aws backup list-backup-plans` shows both {name}")),
            Self::FixedKey(_) => Some("a vault's key stays as it was made: give the file that key, or another vault's name".to_owned()),
            Self::BadReceiptKey(..) => Some("`snapferry receipt key` prints that of a deployment".to_owned()),
            Self::NoPlan(_) => Some("`aws backup list-backup-plans` shows those of the region".to_owned()),
            Self::NoReceipt(_) => Some("one is signed when the drill is over; `snapferry drill show` tells how far it is".to_owned()),
            Self::NoJob(_) => Some("`snapferry job list` shows those that are".to_owned()),
            Self::JobFailed { .. } => Some("`snapferry events` and the server's log say more".to_owned()),
            Self::NoEndpoint { .. } => Some("`snapferry cluster list` shows how clusters are; a cluster with one instance has no reader".to_owned()),
            Self::NoClient { program, package } => Some(format!("install it, such as with `apt-get install {package}`, or put the folder that has {program} into PATH")),
            Self::NoKeyGiven => Some("`snapferry access-key create` on the server makes one".to_owned()),
            Self::SnapshotLost { .. } => {
                Some("`snapferry job list` on the server and DescribeEvents tell why".to_owned())
            }
            Self::NoCredentialsFile(_) => Some("a server makes them at its first start; name its folder with --data DIR, and add --dev for one of `snapferry serve --dev`".to_owned()),
            Self::Start(StartError::Authority(_) | StartError::PeerKey(_) | StartError::ReceiptKey(_))
            | Self::Authority(_)
            | Self::ReceiptKey(_)
            | Self::S3(_)
            | Self::Vault(..) | Self::Unread(..) | Self::Io { .. } => None,
        }
    }
}

/// How the program ends after a server's answer, or none.
fn api_status(error: &ApiError) -> ExitStatus {
    match error {
        ApiError::Profile(_) => ExitStatus::Refused,
        ApiError::Refused { kind, .. } => match kind.as_str() {
            "UNAUTHENTICATED" | "FORBIDDEN" | "KEY_NOT_ACCESSIBLE" => ExitStatus::Refused,
            "NOT_FOUND" => ExitStatus::NotFound,
            "ALREADY_EXISTS" | "INVALID_STATE" => ExitStatus::Conflict,
            "QUOTA_EXCEEDED" => ExitStatus::Quota,
            "THROTTLED" => ExitStatus::TryAgain,
            _ => ExitStatus::Failed,
        },
        ApiError::NoAnswer { .. } => ExitStatus::TryAgain,
        ApiError::Sign(_) | ApiError::Foreign { .. } => ExitStatus::Failed,
    }
}

/// What to do about a vault that is not this catalog's.
fn owner_hint(error: &OwnerError) -> Option<String> {
    match error {
        OwnerError::Another { .. } => Some("start with that catalog, or name a vault of its own with --vault; when that catalog is lost, move this new one away and bring it back with `snapferry catalog rebuild`".to_owned()),
        OwnerError::Newer { .. } => Some("start with the newer catalog or its newest backup; to give up what was made since, start once with --accept-older-catalog".to_owned()),
        OwnerError::OtherKey { .. } => Some("start with that deployment's master key and catalog, or name a vault of its own with --vault".to_owned()),
        _ => None,
    }
}

/// What to do when a catalog was not rebuilt.
fn rebuild_hint(error: &RebuildError) -> Option<String> {
    let text = match error {
        RebuildError::Nothing => {
            "name the place that the servers had, with --vault PLACE (or --data DIR, when it is in the data folder)"
        }
        RebuildError::Unreadable(_) => {
            "give the deployment's own master key, by DATA/master.key, SNAPFERRY_MASTER_KEY or --master-key-fd"
        }
        RebuildError::Strangers { .. } => {
            "move the folder or prefix of the region that is not this deployment's elsewhere"
        }
        RebuildError::Filled => {
            "fill a new one: with a catalog in the data folder, move catalog.sqlite and its -wal and -shm elsewhere; in PostgreSQL, name an empty database"
        }
        RebuildError::OtherMode { closed: true } => {
            "leave --dev out, and give a --data folder that is not of --dev"
        }
        RebuildError::OtherMode { closed: false } => {
            "add --dev, and give a --data folder that is of --dev"
        }
        RebuildError::Owner(OwnerError::OtherKey { .. }) => {
            "give that deployment's master key, by DATA/master.key, SNAPFERRY_MASTER_KEY or --master-key-fd; or name its own vault with --vault"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

/// What to do about a node that is not forgotten.
fn forget_hint(error: &ForgetError) -> Option<String> {
    match error {
        ForgetError::Unknown(_) => Some("`snapferry node list` shows the nodes".to_owned()),
        ForgetError::Alive { .. } => Some(format!(
            "stop it first, or drain it with `snapferry node drain`; one that died is forgotten {} s after its last word",
            model::limits::NODE_SILENCE.as_secs()
        )),
        ForgetError::HasClusters { .. } => Some("start the node again on its data folder; when that is gone for good, add --drop-clusters, and restore the clusters from their snapshots".to_owned()),
        ForgetError::Catalog(_) => None,
    }
}

/// `2 snapshots and 1 KMS key`.
fn owned(holdings: &Holdings) -> String {
    let records = holdings.records.iter().copied();
    let parts: Vec<String> = records
        .chain([("unfinished job", holdings.jobs)])
        .filter(|(_, count)| *count != 0)
        .map(|(what, count)| format!("{count} {what}{}", if count == 1 { "" } else { "s" }))
        .collect();
    parts.join(" and ")
}

fn none_found(missing: &[(&Profile, Vec<PathBuf>)]) -> String {
    let each = missing.iter().map(|(profile, searched)| {
        format!("no {} was found in {}", profile.wanted, list(searched))
    });
    each.collect::<Vec<_>>().join(", and ")
}

fn list(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(" and ")
}
