//! Which catalog a deployment has, the name of this node in it, and moving from one to another.
//!
//! It does not know what catalogs hold.
use std::{fs, io, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use catalog::{
    Catalog, CatalogError, CatalogExt, PostgresCatalog, SqliteCatalog,
    copy::{self, CopyError},
    meta, nodes, rebuild_state,
};
use model::{SystemClock, SystemEntropy, limits};
use serde::{Deserialize, Serialize};
use service::Mode;

use crate::deployment::data_dir::{DataDir, DataDirError, write_private};
use crate::settings::catalog_place::{CatalogPlaceError, CatalogUrl, NodeName};

/// Names have this many random digits.
const NAME_DIGITS: usize = 8;
/// How long a start waits for the look at a catalog's file.
const CHECK_PATIENCE: Duration = Duration::from_secs(1);
/// What the only node of a data folder was called before nodes had names.
const OLD_NAME: &str = "local";

/// Opens the catalog at a URL, or the one in a data folder.
///
/// # Errors
/// The catalog's.
pub(crate) fn open(
    dir: &DataDir,
    url: Option<&CatalogUrl>,
) -> Result<Arc<dyn Catalog>, CatalogError> {
    Ok(match url {
        Some(url) => open_shared(url)?,
        None => {
            let catalog = SqliteCatalog::open(&dir.catalog(), Arc::new(SystemClock))?;
            catalog.check(CHECK_PATIENCE)?;
            Arc::new(catalog)
        }
    })
}

/// Opens the catalog at a URL, or the one that is in a data folder already.
///
/// # Errors
/// `NoCatalog`, or the catalog's.
pub(crate) fn open_existing(
    dir: &DataDir,
    url: Option<&CatalogUrl>,
) -> Result<Arc<dyn Catalog>, CatalogsError> {
    if url.is_none() && !has_catalog(dir)? {
        return Err(CatalogsError::NoCatalog(dir.catalog()));
    }
    Ok(open(dir, url)?)
}

/// Opens the catalog at a URL.
///
/// # Errors
/// The catalog's.
pub(crate) fn open_shared(url: &CatalogUrl) -> Result<Arc<dyn Catalog>, CatalogError> {
    Ok(Arc::new(PostgresCatalog::open(&url.0)?))
}

/// Whether signatures are checked by those who share a catalog; a new one takes note of it.
///
/// # Errors
/// `OtherMode`, or the catalog's.
pub(crate) async fn check_mode(catalog: &dyn Catalog, mode: Mode) -> Result<(), CatalogsError> {
    let word = match mode {
        Mode::Closed => "closed",
        Mode::Dev => "dev",
    };
    let noted = catalog
        .write(move |tx| meta::get_or_set(tx, meta::MODE, word))
        .await?;
    if noted == word {
        Ok(())
    } else {
        Err(CatalogsError::OtherMode {
            dev: mode == Mode::Closed,
        })
    }
}

/// Refuses a catalog that a rebuild has filled in part.
///
/// # Errors
/// `HalfRebuilt`, or the catalog's.
pub(crate) async fn check_whole(catalog: &dyn Catalog) -> Result<(), CatalogsError> {
    match catalog.read(rebuild_state::is_under_way).await? {
        true => Err(CatalogsError::HalfRebuilt),
        false => Ok(()),
    }
}

/// Refuses a shared catalog that some node serves.
///
/// # Errors
/// `Served`, or the catalog's.
pub(crate) async fn check_unserved(catalog: &dyn Catalog) -> Result<(), CatalogsError> {
    let alive = catalog.read(|tx| nodes::first_alive(tx, limits::NODE_SILENCE));
    match alive.await? {
        Some(node) => Err(CatalogsError::Served(node)),
        None => Ok(()),
    }
}

/// The node that a data folder belongs to. Written once, so that its clusters stay found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NodeMark {
    /// The node's name.
    pub(crate) name: String,
    /// Names the folder: a copy of it by hand is another one's, but that nobody can see.
    pub(crate) home: String,
}

/// Reads a folder's node, or draws one for a new folder, or keeps the name that is asked for.
///
/// # Errors
/// When the folder belongs to a node of another name.
pub(crate) fn node_of(dir: &DataDir, asked: Option<&NodeName>) -> Result<NodeMark, CatalogsError> {
    let path = dir.node();
    let mark = match fs::read_to_string(&path) {
        Ok(text) => toml::from_str::<NodeMark>(&text).map_err(|source| CatalogsError::Mark {
            path,
            source: Box::new(source),
        })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => draw(dir, asked)?,
        Err(source) => return Err(CatalogsError::Unreadable { path, source }),
    };
    match asked {
        Some(asked) if asked.0 != mark.name => Err(CatalogsError::OtherNode {
            asked: asked.0.clone(),
            name: mark.name,
        }),
        _ => Ok(mark),
    }
}

fn has_catalog(dir: &DataDir) -> Result<bool, CatalogsError> {
    let path = dir.catalog();
    path.try_exists()
        .map_err(|source| CatalogsError::Unreadable { path, source })
}

fn draw(dir: &DataDir, asked: Option<&NodeName>) -> Result<NodeMark, CatalogsError> {
    let mut bytes = [0; 16];
    kms::fill_random(&mut bytes).map_err(|_| CatalogsError::NoRandom)?;
    let home = data_encoding::HEXLOWER.encode(&bytes);
    let name = match asked {
        Some(asked) => asked.0.clone(),
        None if has_catalog(dir)? => OLD_NAME.to_owned(),
        None => format!("node-{}", &home[..NAME_DIGITS]),
    };
    let text = format!(
        "# The node that this folder's clusters belong to. Written once; do not change it.\n\
         name = \"{name}\"\nhome = \"{home}\"\n"
    );
    write_private(&dir.node(), text.as_bytes())?;
    Ok(NodeMark { name, home })
}

/// One end of a copy: a URL, or a data folder.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// A PostgreSQL catalog.
    Url(CatalogUrl),
    /// A data folder with a catalog in it.
    Folder(PathBuf),
}

impl FromStr for End {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text
            .parse()
            .map_or_else(|_| Self::Folder(PathBuf::from(text)), Self::Url))
    }
}

/// An opened end, with the lock that keeps servers out meanwhile.
struct Opened {
    catalog: Arc<dyn Catalog>,
    _dir: Option<DataDir>,
}

impl End {
    fn open(&self) -> Result<Opened, CatalogsError> {
        match self {
            Self::Url(url) => Ok(Opened {
                catalog: open_shared(url)?,
                _dir: None,
            }),
            Self::Folder(path) => {
                let mode = DataDir::attach(path)?.mode();
                let dir = DataDir::acquire(path, mode)?;
                Ok(Opened {
                    catalog: open(&dir, None)?,
                    _dir: Some(dir),
                })
            }
        }
    }
}

/// Copies a catalog that nobody serves into an empty one, and compares the two.
///
/// # Errors
/// When a server has the source, the target is not empty, or the two differ.
pub(crate) async fn copy(from: &End, into: &End) -> Result<Vec<copy::Copied>, CatalogsError> {
    let (from, into) = (from.open()?, into.open()?);
    for catalog in [&from.catalog, &into.catalog] {
        check_unserved(&**catalog).await?;
        check_whole(&**catalog).await?;
    }
    let copied = copy::copy(&from.catalog, &*into.catalog).await?;
    service::succeed(&*into.catalog, &SystemEntropy).await?;
    Ok(copied)
}

/// Waits until a node that was told to drain holds no job; answers whether it came to that.
///
/// # Errors
/// The catalog's.
pub(crate) async fn wait_until_drained(
    catalog: &dyn Catalog,
    name: &str,
    patience: Duration,
) -> Result<bool, CatalogError> {
    let end = tokio::time::Instant::now() + patience;
    // It hears of the drain at its next heartbeat; what it claims until then is counted after.
    tokio::time::sleep((2 * limits::NODE_HEARTBEAT).min(patience)).await;
    loop {
        let listed = catalog.read(nodes::list).await?;
        let busy = listed
            .iter()
            .any(|one| one.node.name == name && 0 < one.leases);
        if !busy {
            return Ok(true);
        }
        if end <= tokio::time::Instant::now() {
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// What is wrong with a catalog's place, or a node's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CatalogsError {
    /// No catalog, or no node, is named so.
    #[error(transparent)]
    Place(#[from] CatalogPlaceError),
    /// Another name than before.
    #[error("the data folder belongs to the node {name}, and not to {asked}")]
    OtherNode {
        /// The name that was asked for.
        asked: String,
        /// The folder's.
        name: String,
    },
    /// The mark does not read.
    #[error("{} does not read as a node's mark", path.display())]
    Mark {
        /// The mark.
        path: PathBuf,
        source: Box<toml::de::Error>,
    },
    /// The mark, or whether there is a catalog, cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        source: io::Error,
    },
    /// The system gave no randomness.
    #[error("the operating system gave no random bytes")]
    NoRandom,
    /// Checked and unchecked signatures are never mixed.
    #[error("the catalog {}", if *dev { "belongs to nodes with --dev, which check no signatures" } else { "belongs to nodes that check signatures, and --dev does not" })]
    OtherMode {
        /// Whether it is a dev catalog.
        dev: bool,
    },
    /// There is none.
    #[error("there is no catalog at {}", .0.display())]
    NoCatalog(PathBuf),
    /// A rebuild did not come to its end.
    #[error("the catalog holds a part of its records: a rebuild of it was cut short")]
    HalfRebuilt,
    /// Somebody writes into it.
    #[error("the node {0} serves that catalog")]
    Served(String),
    /// A folder.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A copy.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The catalog does not answer.
    #[error("the catalog cannot be used")]
    Catalog(#[from] CatalogError),
}

impl CatalogsError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Place(CatalogPlaceError::NoUrl) => Some(
                "such as postgres://user:password@host:5432/snapferry?sslmode=verify-full"
                    .to_owned(),
            ),
            Self::OtherNode { name, .. } => Some(format!(
                "leave --node out or say --node {name}: the clusters in the folder are found by that name"
            )),
            Self::OtherMode { dev: true } => Some("add --dev to join them".to_owned()),
            Self::OtherMode { dev: false } => Some("leave --dev out to join them".to_owned()),
            Self::NoCatalog(_) => Some("name the deployment's folder with --data DIR, or its --catalog; when the catalog is lost, `snapferry catalog rebuild` comes first".to_owned()),
            Self::HalfRebuilt => Some(
                "give `snapferry catalog rebuild` again, with the same options: it begins anew"
                    .to_owned(),
            ),
            Self::Served(node) => Some(format!(
                "stop every server on it, and wait {} s after one was killed (the node {node} was heard of lately)",
                limits::NODE_SILENCE.as_secs()
            )),
            Self::DataDir(error) => error.hint(),
            Self::Catalog(error) => catalog_hint(error),
            Self::Copy(CopyError::NotEmpty { .. }) => {
                Some("copy into a fresh, empty database".to_owned())
            }
            Self::Copy(CopyError::Into(_) | CopyError::Differs { .. }) => {
                Some("make the target anew, and copy again; the source is as it was".to_owned())
            }
            _ => None,
        }
    }
}

/// What to do about a catalog that cannot be used.
pub(crate) fn catalog_hint(error: &CatalogError) -> Option<String> {
    match error {
        CatalogError::Corrupt { .. }
        | CatalogError::Damaged { .. }
        | CatalogError::Misshapen { .. } => Some(catalog::DAMAGE_HINT.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_node() {
        let above = tempfile::tempdir().expect("a folder");
        let dir = DataDir::acquire(above.path(), Mode::Closed).expect("new");
        let first = node_of(&dir, None).expect("drawn");
        assert!(first.name.starts_with("node-"), "{}", first.name);
        let again = node_of(&dir, None).expect("read");
        assert_eq!((first.name, first.home), (again.name, again.home));
        let other = NodeName("other".to_owned());
        assert!(matches!(
            node_of(&dir, Some(&other)),
            Err(CatalogsError::OtherNode { .. })
        ));
    }
}
