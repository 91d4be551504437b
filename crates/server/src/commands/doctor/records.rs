//! Looks at what a deployment keeps: folder, credentials, catalog, clock, master key and vault.
use std::fs::{self, File};

use catalog::{Catalog, CatalogExt, meta};
use model::{Clock, SystemClock, Timestamp};
use rustix::fs::{Access, access};
use service::Mode;

use super::{finding::Finding, site::Site};
use crate::{
    commands::failure::Failure,
    deployment::{
        catalogs,
        data_dir::{DataDir, DataDirError, check_private},
        master_key, vaults,
    },
    units::counted,
};

/// Clocks differ by less than this, seconds.
const CLOCK_SLACK_SECS: u64 = 60;

/// Whether there is a folder of this mode.
pub(super) fn data_folder(site: &Site) -> Vec<Finding> {
    let path = site.path.display();
    vec![match &site.dir {
        Ok(dir) if dir.mode() != site.layer.mode() => {
            let (is, add) = match dir.mode() {
                Mode::Dev => (
                    "of --dev",
                    "add --dev, or name another folder with --data DIR",
                ),
                Mode::Closed => (
                    "not of --dev",
                    "leave --dev out, or name another folder with --data DIR",
                ),
            };
            Finding::failed(format!("{path} is {is}")).with(add)
        }
        Ok(_) if access(&site.path, Access::WRITE_OK).is_err() => {
            Finding::failed(format!("{path} cannot be written"))
                .with("run this as the server's user, or mount it for writing")
        }
        Ok(_) => Finding::ok(path.to_string()),
        Err(DataDirError::NotThere(_)) => {
            Finding::warning(format!("no server was started on {path} yet"))
                .with("name the folder with --data DIR, or start one with `snapferry serve`")
        }
        Err(error) => Finding {
            remedy: error.hint(),
            ..Finding::failed(error.to_string())
        },
    }]
}

/// Whether the secrets in the folder are its owner's alone.
pub(super) fn credentials(site: &Site) -> Vec<Finding> {
    let Ok(dir) = &site.dir else {
        return Vec::new();
    };
    let secrets = [dir.credentials(), dir.master_key()];
    let mut told = Vec::new();
    for path in secrets {
        let looked = match File::open(&path) {
            Ok(file) => check_private(&path, &file),
            // Taken away by whoever keeps it elsewhere.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => Err(DataDirError::io("read", &path, source)),
        };
        told.push(match looked {
            Ok(()) => Finding::ok(format!("{} is its owner's alone", path.display())),
            Err(error) => Finding {
                remedy: error.hint(),
                ..Finding::failed(error.to_string())
            },
        });
    }
    told
}

/// What needs the catalog, and the vault. Nothing of a folder without any.
pub(super) async fn of_catalog(site: &Site) -> Vec<(&'static str, Finding)> {
    let Ok(dir) = &site.dir else {
        return Vec::new();
    };
    let catalog = match open(site, dir).await {
        Ok(catalog) => catalog,
        Err(failure) => return vec![("catalog", Finding::of(&failure))],
    };
    let place = match &site.layer.catalog {
        Some(_) => "shared, reached and whole".to_owned(),
        None => format!("{} is whole", dir.catalog().display()),
    };
    vec![
        ("catalog", Finding::ok(place)),
        ("clock", clock(&*catalog).await),
        ("master key", key(site, dir, &*catalog).await),
        ("vault", vault(site, dir).await),
    ]
}

async fn open(site: &Site, dir: &DataDir) -> Result<std::sync::Arc<dyn Catalog>, Failure> {
    let catalog = catalogs::open_existing(dir, site.layer.catalog.as_ref())?;
    catalogs::check_whole(&*catalog).await?;
    Ok(catalog)
}

/// Compares this machine's clock with the catalog's, and both with what a server saw last.
async fn clock(catalog: &dyn Catalog) -> Finding {
    let read =
        catalog.read(|tx| Ok::<_, catalog::CatalogError>((tx.now(), meta::get(tx, meta::CLOCK)?)));
    let (there, seen) = match read.await {
        Ok(read) => read,
        Err(error) => return Finding::of(&error.into()),
    };
    let here = SystemClock.now();
    let apart = here.since(there).max(there.since(here)).as_secs();
    let remedy = "set the clock, and keep it set with NTP: leases, signatures and expiry go by it";
    if CLOCK_SLACK_SECS < apart {
        return Finding::failed(format!(
            "this machine's clock and the catalog's are {apart} s apart"
        ))
        .with(remedy);
    }
    let seen = seen.and_then(|text| text.split(' ').next()?.parse().ok());
    match seen.map(Timestamp) {
        Some(seen) if CLOCK_SLACK_SECS < seen.since(here).as_secs() => Finding::failed(format!(
            "it is {} by this clock, and a server saw {} before",
            here.to_rfc3339_secs(),
            seen.to_rfc3339_secs()
        ))
        .with(remedy),
        _ => Finding::ok(format!("{}, as the catalog has it", here.to_rfc3339_secs())),
    }
}

/// Whether the master key is there and is this catalog's.
async fn key(site: &Site, dir: &DataDir, catalog: &dyn Catalog) -> Finding {
    let looked = async {
        let key = master_key::obtain(dir, site.master_key_fd, true)?;
        master_key::check(catalog, &key).await?;
        Ok::<_, Failure>(())
    };
    match looked.await {
        Ok(()) => Finding::ok("it is this catalog's; keep a copy of it elsewhere"),
        Err(failure) => Finding::of(&failure),
    }
}

/// Whether the vault can be read, and whose it is.
async fn vault(site: &Site, dir: &DataDir) -> Finding {
    let Some(folder) = site.vault_folder() else {
        return match vaults::open(&site.layer, dir).await {
            Ok(vaults) => {
                let regions = (vaults.regions)().len() as u64;
                Finding::ok(format!(
                    "the bucket is there, with {}",
                    counted(regions, "region")
                ))
            }
            Err(error) => Finding::of(&error.into()),
        };
    };
    let path = folder.display();
    match fs::read_dir(&folder) {
        Ok(_) if access(&folder, Access::WRITE_OK).is_err() => {
            Finding::failed(format!("{path} cannot be written"))
                .with("run this as the server's user, or mount it for writing")
        }
        Ok(entries) => {
            let regions = entries.filter_map(Result::ok).count() as u64;
            Finding::ok(format!("{path}, with {}", counted(regions, "region")))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Finding::warning(format!("{path} is not there: nothing was kept yet"))
                .with("if something was, mount it there or name its place with --vault PLACE before a server starts")
        }
        Err(error) => Finding::failed(format!("{path} cannot be read: {error}"))
            .with("run this as the server's user"),
    }
}
