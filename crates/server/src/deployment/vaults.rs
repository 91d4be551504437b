//! Opens regions' vaults: folders below one, or prefixes of one bucket.
//!
//! It does not know what is kept there.
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, SystemTime},
};

use model::Region;
use service::OpenVault;
use vault::{BucketOptions, Vault};

use crate::{
    deployment::{
        data_dir::DataDir,
        s3::{self, S3Error},
    },
    settings::{
        Layer,
        vault_place::{BucketUrl, VaultPlace},
    },
};

/// A file in a shared vault that was not finished for this long is a dead process's.
const UNFINISHED_AGE: Duration = Duration::from_secs(24 * 3_600);

/// Opens one region's vault, and tells which regions have one.
pub(crate) struct Vaults {
    pub(crate) open: OpenVault,
    pub(crate) regions: Box<dyn Fn() -> Vec<Region> + Send + Sync>,
}

/// The vaults that the settings name, or else those of the data folder.
///
/// # Errors
/// When the bucket cannot be used.
pub(crate) async fn open(layer: &Layer, dir: &DataDir) -> Result<Vaults, S3Error> {
    match &layer.vault {
        Some(VaultPlace::Bucket(url)) => bucket(layer, url).await,
        Some(VaultPlace::Folder(above)) => Ok(folder(above.clone(), layer.catalog.is_some())),
        None => Ok(folder(dir.vaults(), layer.catalog.is_some())),
    }
}

async fn bucket(layer: &Layer, url: &BucketUrl) -> Result<Vaults, S3Error> {
    let endpoint = layer.vault_endpoint.as_deref();
    let virtual_host = layer.vault_virtual_host.unwrap_or(endpoint.is_none());
    let mut options = BucketOptions::default();
    if let Some(streams) = layer.vault_streams {
        options.streams = usize::from(streams);
    }
    if let Some(bytes) = layer.vault_part_size {
        options.part_bytes = usize::try_from(bytes.0).unwrap_or(usize::MAX);
    }
    let bucket = s3::open(url, endpoint, virtual_host, options)?;
    // Also the proof that the bucket is there and may be read.
    let known = bucket.regions().await.map_err(S3Error::Vault)?;
    let known = Arc::new(Mutex::new(BTreeSet::from_iter(known)));
    let listed = Arc::clone(&known);
    Ok(Vaults {
        open: Box::new(move |region| {
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(region.clone());
            Ok(bucket.vault(region))
        }),
        regions: Box::new(move || {
            let listed = listed.lock().unwrap_or_else(PoisonError::into_inner);
            listed.iter().cloned().collect()
        }),
    })
}

/// Vaults in folders below one; `shared` when other nodes write there too.
#[expect(
    clippy::disallowed_methods,
    reason = "it is compared with what the file system says of files"
)]
fn folder(above: PathBuf, shared: bool) -> Vaults {
    let now = SystemTime::now();
    // What another node is writing now must not be taken for a dead process's.
    let started = match shared {
        true => now
            .checked_sub(UNFINISHED_AGE)
            .unwrap_or(SystemTime::UNIX_EPOCH),
        false => now,
    };
    let listed = above.clone();
    Vaults {
        open: Box::new(move |region| {
            let folder = above.join(region.as_str());
            let vault = Vault::local_folder(&folder)?;
            clear_unfinished(folder, started);
            Ok(vault)
        }),
        regions: Box::new(move || vault_regions(&listed)),
    }
}

/// Removes what processes before this one left half written in a vault, beside everything else:
/// it walks the whole folder.
fn clear_unfinished(folder: PathBuf, started: SystemTime) {
    let worker = thread::Builder::new().name("clear-vault".to_owned());
    let spawned = worker.spawn(move || match vault::remove_unfinished(&folder, started) {
        Ok(0) => {}
        Ok(files) => {
            tracing::info!(files, folder = %folder.display(), "removed unfinished uploads");
        }
        Err(error) => {
            tracing::warn!(%error, folder = %folder.display(), "cannot clear unfinished uploads");
        }
    });
    if let Err(error) = spawned {
        tracing::warn!(%error, "cannot clear unfinished uploads");
    }
}

/// The regions with a vault: the folders there that are named as regions are.
fn vault_regions(vaults: &Path) -> Vec<Region> {
    let entries = match fs::read_dir(vaults) {
        Ok(entries) => entries,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(%error, folder = %vaults.display(), "cannot list the vaults");
            }
            return Vec::new();
        }
    };
    let mut regions: Vec<Region> = entries
        .flatten()
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
        })
        .collect();
    regions.sort();
    regions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_folders_or_buckets() {
        assert_eq!(
            "a/b".parse::<VaultPlace>().expect("a folder"),
            VaultPlace::Folder(PathBuf::from("a/b"))
        );
        assert!(matches!("s3://a/b".parse(), Ok(VaultPlace::Bucket(_))));
        assert!("gs://a".parse::<VaultPlace>().is_err());
    }

    #[test]
    fn vaults_are_found_by_their_names() {
        let above = tempfile::tempdir().expect("a folder");
        assert_eq!(vault_regions(&above.path().join("none")), []);
        for name in ["us-east-1", "eu-west-1", "Not a region"] {
            fs::create_dir(above.path().join(name)).expect("made");
        }
        let names: Vec<String> = vault_regions(above.path())
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(names, ["eu-west-1", "us-east-1"]);
    }
}
