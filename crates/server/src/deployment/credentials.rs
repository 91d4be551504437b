//! Access keys: drawing them, sealing them, and the first administrator's file.
//!
//! It does not know how signatures are checked.
use std::{fmt, fs, io, path::Path};

use aws_lc_rs::error::Unspecified;
use catalog::{
    Catalog, CatalogError, CatalogExt,
    access_keys::{self, AccessKeyStatus},
    accounts, meta,
};
use data_encoding::{BASE32_NOPAD, BASE64};
use kms::MasterKey;
use model::{Account, Region};
use service::auth::authenticate::SECRET_PURPOSE;
use zeroize::Zeroizing;

use crate::deployment::data_dir::{DataDir, DataDirError, write_private};

/// The profile in the credentials file.
pub(crate) const PROFILE: &str = "snapferry";
/// The account of the first administrator.
const ADMINISTRATOR_ACCOUNT: &str = "000000000000";

/// A key as its owner gets it, once.
pub(crate) struct NewAccessKey {
    /// Whom it acts for.
    pub(crate) account: Account,
    /// `AKIA` and 16 more characters.
    pub(crate) id: String,
    /// 40 characters.
    pub(crate) secret: Zeroizing<String>,
}

impl fmt::Debug for NewAccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewAccessKey")
            .field("account", &self.account)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl NewAccessKey {
    /// Draws a key from the operating system's generator.
    ///
    /// # Errors
    /// When that has none to give.
    pub(crate) fn draw(account: Account) -> Result<Self, CredentialsError> {
        let mut id = [0; 10];
        let mut secret = Zeroizing::new([0; 30]);
        kms::fill_random(&mut id)?;
        kms::fill_random(secret.as_mut())?;
        Ok(Self {
            account,
            id: format!("AKIA{}", BASE32_NOPAD.encode(&id)),
            secret: Zeroizing::new(BASE64.encode(secret.as_ref())),
        })
    }

    fn sealed(&self, master_key: &MasterKey) -> Vec<u8> {
        master_key.seal(SECRET_PURPOSE, &self.id, self.secret.as_bytes())
    }

    fn row(
        &self,
        master_key: &MasterKey,
    ) -> impl Fn(model::Timestamp) -> access_keys::AccessKey + Send + Sync + 'static {
        let (id, account, sealed_secret) = (
            self.id.clone(),
            self.account.clone(),
            self.sealed(master_key),
        );
        move |created_at| access_keys::AccessKey {
            id: id.clone(),
            account: account.clone(),
            sealed_secret: sealed_secret.clone(),
            status: AccessKeyStatus::Active,
            created_at,
        }
    }
}

/// Makes and keeps a key for an account.
///
/// # Errors
/// The catalog's.
pub(crate) async fn create(
    catalog: &dyn Catalog,
    master_key: &MasterKey,
    account: Account,
) -> Result<NewAccessKey, CredentialsError> {
    let key = NewAccessKey::draw(account)?;
    let row = key.row(master_key);
    catalog
        .write(move |tx| {
            let row = row(tx.now());
            accounts::ensure(tx, &row.account, "")?;
            access_keys::insert(tx, &row)
        })
        .await?;
    Ok(key)
}

/// A number for an account, of 12 digits that do not begin with 0.
///
/// # Errors
/// When the system has no randomness to give.
pub(crate) fn draw_account() -> Result<Account, CredentialsError> {
    let mut bytes = [0; 8];
    kms::fill_random(&mut bytes)?;
    let number = 100_000_000_000 + u64::from_be_bytes(bytes) % 900_000_000_000;
    Ok(number.to_string().parse().expect("twelve digits"))
}

/// Makes a new key for the account of another, and disables that one; none when there is no
/// such key. The administrator's file gets the new key.
///
/// The steps stand in this order so that at each moment some key works that its owner knows.
///
/// # Errors
/// When the file or the catalog cannot be written.
pub(crate) async fn rotate(
    dir: &DataDir,
    catalog: &dyn Catalog,
    master_key: &MasterKey,
    id: &str,
) -> Result<Option<NewAccessKey>, CredentialsError> {
    let wanted = id.to_owned();
    let (old, administrator) = catalog
        .read(move |tx| {
            Ok::<_, CatalogError>((
                access_keys::get(tx, &wanted)?,
                meta::get(tx, meta::ADMINISTRATOR)?,
            ))
        })
        .await?;
    let Some(old) = old else {
        return Ok(None);
    };
    let key = create(catalog, master_key, old.account).await?;
    let is_administrator = administrator.as_deref() == Some(id);
    if is_administrator {
        rewrite(&dir.credentials(), &key)?;
    }
    let (old, new) = (id.to_owned(), key.id.clone());
    catalog
        .write(move |tx| {
            if is_administrator {
                meta::set(tx, meta::ADMINISTRATOR, &new)?;
            }
            access_keys::set_status(tx, &old, AccessKeyStatus::Inactive)
        })
        .await?;
    Ok(Some(key))
}

/// Puts another key into a credentials file; what else it says stays.
fn rewrite(path: &Path, key: &NewAccessKey) -> Result<(), CredentialsError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        // Moved away by its owner: there is nothing to keep in step.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(DataDirError::io("read", path, source).into()),
    };
    let mut written = Zeroizing::new(String::new());
    for line in text.lines() {
        match line.split('=').next().map(str::trim) {
            Some(name @ "aws_access_key_id") => {
                written.push_str(&format!("{name} = {}", key.id));
            }
            Some(name @ "aws_secret_access_key") => {
                written.push_str(&format!("{name} = {}", key.secret.as_str()));
            }
            _ => written.push_str(line),
        }
        written.push('\n');
    }
    Ok(write_private(path, written.as_bytes())?)
}

/// At a folder's first closed start: gives the administrator a key, in `DATA/credentials`.
/// Later, and beside other keys, it makes none.
///
/// # Errors
/// When the file or the catalog cannot be written.
pub(crate) async fn ensure_administrator(
    dir: &DataDir,
    catalog: &dyn Catalog,
    master_key: &MasterKey,
    region: &Region,
) -> Result<Option<NewAccessKey>, CredentialsError> {
    if catalog
        .read(|tx| meta::get(tx, meta::ADMINISTRATOR))
        .await?
        .is_some()
    {
        return Ok(None);
    }
    let account = ADMINISTRATOR_ACCOUNT.parse().expect("twelve digits");
    let key = NewAccessKey::draw(account)?;
    // The file first: were the row first, a crash between the two would lose the secret for good.
    let path = dir.credentials();
    write_private(&path, credentials_file(&key, region).as_bytes())?;
    let row = key.row(master_key);
    let kept = catalog
        .write(move |tx| {
            let row = row(tx.now());
            if meta::get_or_set(tx, meta::ADMINISTRATOR, &row.id)? != row.id {
                return Ok(false);
            }
            accounts::ensure(tx, &row.account, "administrator")?;
            access_keys::insert(tx, &row)?;
            Ok::<_, CatalogError>(true)
        })
        .await?;
    if kept {
        return Ok(Some(key));
    }
    // Another node was first: its file has the administrator's key, and this one has none.
    std::fs::remove_file(&path).map_err(|source| DataDirError::io("remove", &path, source))?;
    Ok(None)
}

/// The text of an AWS credentials file. SDKs read the region from the same section.
fn credentials_file(key: &NewAccessKey, region: &Region) -> Zeroizing<String> {
    Zeroizing::new(format!(
        "# The administrator of account {}. Keep it private.\n[{PROFILE}]\naws_access_key_id = {}\naws_secret_access_key = {}\nregion = {region}\n",
        key.account,
        key.id,
        key.secret.as_str()
    ))
}

/// Lines for a shell that point AWS's clients here.
pub(crate) fn export_lines(endpoint: &str, credentials: &Path) -> String {
    format!(
        "export AWS_ENDPOINT_URL={endpoint}\nexport AWS_PROFILE={PROFILE}\nexport AWS_SHARED_CREDENTIALS_FILE={}\n",
        shell_word(&credentials.display().to_string())
    )
}

/// The same for a server with --dev, which takes any key.
pub(crate) fn dev_export_lines(endpoint: &str) -> String {
    format!(
        "export AWS_ENDPOINT_URL={endpoint}\nexport AWS_ACCESS_KEY_ID={ADMINISTRATOR_ACCOUNT}\nexport AWS_SECRET_ACCESS_KEY=dev\nexport AWS_DEFAULT_REGION=us-east-1\n"
    )
}

/// A text as one word of a POSIX shell.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Why a key could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialsError {
    /// The system gave no randomness.
    #[error("the operating system gave no random bytes")]
    NoRandom,
    /// The file could not be written.
    #[error(transparent)]
    File(#[from] DataDirError),
    /// The catalog did not keep it.
    #[error("cannot keep the access key")]
    Catalog(#[from] CatalogError),
}

impl From<Unspecified> for CredentialsError {
    fn from(_: Unspecified) -> Self {
        Self::NoRandom
    }
}

impl CredentialsError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::NoRandom | Self::Catalog(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_look_like_keys() {
        let key = NewAccessKey::draw("123456789012".parse().expect("an account")).expect("random");
        assert_eq!((key.id.len(), key.secret.len()), (20, 40));
        assert!(key.id.starts_with("AKIA"));
        assert!(
            key.id
                .bytes()
                .all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b))
        );
        assert!(!format!("{key:?}").contains(key.secret.as_str()));
        let other = NewAccessKey::draw(key.account.clone()).expect("random");
        assert_ne!(other.secret, key.secret);
    }

    #[test]
    fn lines_can_be_pasted() {
        assert!(
            export_lines("http://127.0.0.1:1", Path::new("/a b/c'd")).contains(r"'/a b/c'\''d'")
        );
        assert!(export_lines("http://127.0.0.1:1", Path::new("/a/b")).ends_with("FILE=/a/b\n"));
    }
}
