//! Raw records beside the volumes: the catalog's record log under `records/` and `keys/`.
//!
//! It does not know what is in them, nor who authenticates them.
use bytes::Bytes;
use model::Timestamp;
use object_store::{ObjectMeta, ObjectStoreExt, path::Path};

use crate::{error::VaultError, store::vault::Vault};

/// The folders that records lie in.
const FOLDERS: [&str; 2] = ["records", "keys"];
/// A record, bytes, at most.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// A record that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordEntry {
    /// Its path.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// When it was written, by the store's clock.
    pub modified: Timestamp,
}

fn checked(path: &str) -> Result<Path, VaultError> {
    let refused = |why| VaultError::BadPath {
        path: model::limits::echo(path),
        why,
    };
    let folder = path.split_once('/').map(|(folder, _)| folder);
    if !folder.is_some_and(|folder| FOLDERS.contains(&folder)) {
        return Err(refused("is not under records/ or keys/"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/=+".contains(c);
    if !path.chars().all(plain) {
        return Err(refused("has a character that names of records cannot have"));
    }
    crate::format::body::check_path(path).map_err(refused)?;
    Path::parse(path).map_err(|_| refused("is no name of an object"))
}

/// Writes a record under `records/…` or `keys/…`. It is durable when this returns, and writing
/// the same bytes again does nothing.
///
/// # Errors
/// [`VaultError::Conflict`] when other bytes lie there; [`VaultError::BadPath`].
pub async fn put_record(vault: &Vault, path: &str, bytes: Bytes) -> Result<(), VaultError> {
    let name = checked(path)?;
    if RECORD_BYTES_MAX < bytes.len() {
        return Err(VaultError::BadPath {
            path: path.to_owned(),
            why: "would name a record that is too large",
        });
    }
    // A bucket's put would overwrite. The catalog gives each version to one writer, so that
    // looking first is enough.
    if vault.place().is_some() {
        let may_be = |found: Option<&Bytes>| found.is_none_or(|there| *there == bytes);
        match asked(vault, path, may_be).await? {
            None => {}
            Some(there) if there == bytes => return Ok(()),
            Some(_) => {
                return Err(VaultError::Conflict {
                    path: path.to_owned(),
                });
            }
        }
    }
    match vault.create(&name, bytes.clone()).await {
        Ok(()) => Ok(()),
        Err(object_store::Error::AlreadyExists { .. }) => match get_record(vault, path).await? {
            Some(there) if there == bytes => Ok(()),
            _ => Err(VaultError::Conflict {
                path: path.to_owned(),
            }),
        },
        Err(source) => Err(VaultError::store("write", name, source)),
    }
}

/// A record's bytes; none when there is no such record.
///
/// # Errors
/// When the store fails; [`VaultError::BadPath`].
pub async fn get_record(vault: &Vault, path: &str) -> Result<Option<Bytes>, VaultError> {
    asked(vault, path, |_| true).await
}

/// What `open` makes of a record that must be there; none when there is no such record. A bucket
/// is asked again while it has none, or one that does not open.
///
/// # Errors
/// When the store fails; [`VaultError::BadPath`].
pub async fn open_record<T, E>(
    vault: &Vault,
    path: &str,
    open: impl Fn(&[u8]) -> Result<T, E>,
) -> Result<Option<Result<T, E>>, VaultError> {
    let mut opened = None;
    asked(vault, path, |found| {
        opened = found.map(|bytes| open(bytes));
        matches!(opened, Some(Ok(_)))
    })
    .await?;
    Ok(opened)
}

/// Reads a record until it is one that can be right; the last answer, when none is.
async fn asked(
    vault: &Vault,
    path: &str,
    mut can_be_right: impl FnMut(Option<&Bytes>) -> bool,
) -> Result<Option<Bytes>, VaultError> {
    let name = checked(path)?;
    let mut round = 0;
    loop {
        let answer = once(vault, &name).await;
        let is_final = match &answer {
            Ok(found) => can_be_right(found.as_ref()),
            Err(_) => false,
        };
        if is_final || !vault.ask_again(round).await {
            return answer;
        }
        round += 1;
    }
}

async fn once(vault: &Vault, name: &Path) -> Result<Option<Bytes>, VaultError> {
    let failed = |source| VaultError::store("read", name, source);
    match vault.store().get(name).await {
        Ok(found) if (RECORD_BYTES_MAX as u64) < found.meta.size => Err(VaultError::BadPath {
            path: name.to_string(),
            why: "names a record that is too large",
        }),
        Ok(found) => found.bytes().await.map(Some).map_err(failed),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(source) => Err(failed(source)),
    }
}

/// All records under a folder such as `records`, sorted by their paths.
///
/// # Errors
/// When the store fails; [`VaultError::BadPath`].
pub async fn list_records(vault: &Vault, folder: &str) -> Result<Vec<RecordEntry>, VaultError> {
    let name = if FOLDERS.contains(&folder) {
        Path::from(folder)
    } else {
        checked(folder)?
    };
    let mut entries = Vec::new();
    let each = |meta: ObjectMeta| {
        entries.push(RecordEntry {
            path: meta.location.to_string(),
            size: meta.size,
            modified: Timestamp(meta.last_modified.timestamp_micros()),
        });
    };
    vault.list(&name, each).await?;
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// Removes a record; that it is gone already is no error.
///
/// # Errors
/// When the store fails; [`VaultError::BadPath`].
pub async fn delete_record(vault: &Vault, path: &str) -> Result<(), VaultError> {
    let name = checked(path)?;
    match vault.store().delete(&name).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(source) => Err(VaultError::store("delete", name, source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn records_are_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::local_folder(folder.path()).unwrap();
        let path = "records/123456789012/rds:c-2024-01-01/7";
        assert_eq!(get_record(&vault, path).await.unwrap(), None);
        assert!(list_records(&vault, "records").await.unwrap().is_empty());
        for _ in 0..2 {
            put_record(&vault, path, Bytes::from_static(b"one"))
                .await
                .unwrap();
        }
        let other = put_record(&vault, path, Bytes::from_static(b"two")).await;
        assert!(matches!(other, Err(VaultError::Conflict { .. })));
        assert_eq!(get_record(&vault, path).await.unwrap().unwrap(), "one");
        put_record(&vault, "keys/k/1", Bytes::new()).await.unwrap();
        for folder in ["records", "records/123456789012"] {
            let listed = list_records(&vault, folder).await.unwrap();
            let found: Vec<_> = listed
                .iter()
                .map(|one| (one.path.as_str(), one.size))
                .collect();
            assert_eq!(found, [(path, 3)]);
        }
        delete_record(&vault, path).await.unwrap();
        delete_record(&vault, path).await.unwrap();
        assert_eq!(get_record(&vault, path).await.unwrap(), None);
    }

    #[tokio::test]
    async fn records_stay_in_their_folders() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::local_folder(folder.path()).unwrap();
        for path in [
            "records",
            "volumes/x",
            "records/../volumes/x",
            "/records/x",
            "records//x",
            "records/x#1",
            "records/ü",
            "",
        ] {
            let put = put_record(&vault, path, Bytes::new()).await;
            assert!(matches!(put, Err(VaultError::BadPath { .. })), "{path}");
        }
    }
}
