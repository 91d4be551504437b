//! The verbs about a data folder that no server has: end its databases, remove it with all that is in it.
//!
//! They need no catalog: the folder's files tell what runs on it.
use clap::{Args, Subcommand};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use engine::{EngineRegistry, Programs};
use rustix::process::geteuid;
use serde_json::json;
use service::{
    Mode,
    clusters::on_disk::{Kept, OnDisk},
};

use crate::{
    commands::{
        arguments::Format,
        failure::Failure,
        invocation::{Invocation, Outcome, Run},
        output::{print, run},
    },
    deployment::{
        data_dir::{DataDir, DataDirError, default_path},
        erase,
    },
    settings::FolderNamed,
    units::counted,
};

/// A database has this long to stop in order; then it is made to.
const PATIENCE: Duration = Duration::from_secs(60);

/// End the databases of a data folder, or remove it, while no server has it
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    snapferry data stop-clusters\n  \
    snapferry data remove --data /srv/snapferry --yes"
)]
pub(crate) struct Data {
    #[command(subcommand)]
    verb: DataVerb,
}

/// `snapferry data ...`.
#[derive(Debug, Subcommand)]
enum DataVerb {
    /// Stop the databases that run on after the server has ended
    ///
    /// The clusters stay what they are: the next server on the folder starts their databases again. Also
    /// ends what still runs on clusters whose folder was removed by hand, when --data names where it was.
    #[command(after_help = "Examples:\n  \
        snapferry data stop-clusters\n  \
        snapferry data stop-clusters --data /srv/snapferry --format json")]
    StopClusters {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        format: Format,
    },
    /// Stop the databases of a data folder, and delete it with everything in it
    ///
    /// Clusters, snapshots of a vault in the folder, keys: all of it is gone for good. Vaults and catalogs
    /// elsewhere stay. A try that is cut short can be given again.
    #[command(after_help = "Examples:\n  \
        snapferry data remove --data /srv/snapferry\n  \
        snapferry data remove --data /srv/snapferry --yes")]
    Remove {
        #[command(flatten)]
        place: Place,
        /// Do it; without, only say what would be deleted
        #[arg(long)]
        yes: bool,
    },
}

/// Which folder.
#[derive(Debug, Args)]
struct Place {
    /// Data folder [default: /var/lib/snapferry as root, else ~/.local/share/snapferry]
    #[arg(long, env = "SNAPFERRY_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Settings file of the server, whose `data` is the folder unless --data says it
    #[arg(
        long,
        env = "SNAPFERRY_CONFIG",
        value_name = "FILE",
        conflicts_with = "dev"
    )]
    config: Option<PathBuf>,
    /// The default data folder of `snapferry serve --dev`
    #[arg(long, conflicts_with = "data")]
    dev: bool,
}

impl Place {
    fn path(&self) -> Result<PathBuf, Failure> {
        if let Some(path) = &self.data {
            return Ok(path.clone());
        }
        let named = self.config.as_deref().map(FolderNamed::read).transpose()?;
        let named = named.unwrap_or_default();
        if let Some(path) = named.data {
            return Ok(path);
        }
        let dev = self.dev || named.dev.unwrap_or(false);
        Ok(default_path(if dev { Mode::Dev } else { Mode::Closed })?)
    }
}

impl Run for Data {
    fn run(self, _: &Invocation) -> Result<Outcome, Failure> {
        match self.verb {
            DataVerb::StopClusters { place, format } => stop_clusters(&place.path()?, format)?,
            DataVerb::Remove { place, yes } => remove(&place.path()?, yes)?,
        }
        Ok(Outcome::Done)
    }
}

/// The folder, whose lock keeps servers out meanwhile.
fn hold(path: &Path) -> Result<DataDir, DataDirError> {
    let mode = DataDir::attach(path)?.mode();
    DataDir::acquire(path, mode)
}

/// What was ended.
struct Ended {
    databases: usize,
    left_behind: usize,
}

async fn end(found: &OnDisk<'_>) -> Result<Ended, Failure> {
    let (databases, kept) = found.stop(PATIENCE).await;
    refuse_kept(kept)?;
    Ok(Ended {
        databases,
        left_behind: found.end_left_behind().await?,
    })
}

fn refuse_kept(kept: Vec<Kept>) -> Result<(), Failure> {
    match kept.into_iter().next() {
        Some(Kept { folder, error }) => Err(Failure::DatabaseStays(folder, error)),
        None => Ok(()),
    }
}

async fn find<'a>(engines: &'a EngineRegistry, at: &Path) -> Result<OnDisk<'a>, Failure> {
    let found = OnDisk::find(engines, geteuid().is_root(), at).await;
    found.map_err(|source| Failure::Io {
        doing: "list the clusters' folders",
        source,
    })
}

/// `snapferry data stop-clusters`.
///
/// # Errors
/// When a server has the folder, or a database does not end.
fn stop_clusters(path: &Path, format: Format) -> Result<(), Failure> {
    let held = match hold(path) {
        Ok(dir) => Some(dir),
        // What ran on it may run still.
        Err(DataDirError::NotThere(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let absolute = std::path::absolute(path).map_err(|source| Failure::Io {
        doing: "find the folder",
        source,
    })?;
    let at = held.as_ref().map_or(&*absolute, DataDir::path);
    let engines = EngineRegistry::open(&Programs::default());
    let ended = run(async { end(&find(&engines, at).await?).await })?;
    print(&shown(at, &ended, format))
}

/// `snapferry data remove`.
///
/// # Errors
/// When it is no data folder, a server has it, or something in it stays.
fn remove(path: &Path, yes: bool) -> Result<(), Failure> {
    let dir = hold(path)?;
    let at = dir.path().to_owned();
    let engines = EngineRegistry::open(&Programs::default());
    let ended = run(async {
        let found = find(&engines, &at).await?;
        if !yes {
            return Err(Failure::NotConfirmed(at.clone(), found.count()));
        }
        let ended = end(&found).await?;
        refuse_kept(found.remove().await)?;
        Ok(ended)
    })?;
    let node = dir.node();
    let was_node = node.try_exists().map_err(|source| Failure::Io {
        doing: "look at the folder",
        source,
    })?;
    erase::erase(dir)?;
    let mut text = String::new();
    if 0 < ended.databases + ended.left_behind {
        text.push_str(&shown(&at, &ended, Format::Text));
    }
    text.push_str(&format!("removed {}\n", at.display()));
    if was_node {
        text.push_str("the other nodes of its catalog know it still: `snapferry node forget NAME --drop-clusters`\n");
    }
    print(&text)
}

fn shown(at: &Path, ended: &Ended, format: Format) -> String {
    let count = |number: usize, what| counted(u64::try_from(number).unwrap_or(u64::MAX), what);
    if format == Format::Json {
        let value = json!({
            "data": at,
            "databases_ended": ended.databases,
            "processes_ended": ended.left_behind,
        });
        return format!("{value:#}\n");
    }
    let mut text = match ended.databases {
        0 => format!("no database runs on {}\n", at.display()),
        number => format!("ended {} of {}\n", count(number, "database"), at.display()),
    };
    if 0 < ended.left_behind {
        let what = match ended.left_behind {
            1 => "1 process".to_owned(),
            number => format!("{number} processes"),
        };
        text.push_str(&format!("ended {what} that a removed folder left\n"));
    }
    text
}
