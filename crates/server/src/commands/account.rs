//! The verbs about who may ask: accounts and their access keys.
//!
//! It does not know whether a server runs: one that does sees the change within a second.
use catalog::{
    Catalog, CatalogError, CatalogExt,
    access_keys::{self, AccessKeyStatus},
    accounts::{self, AccountRow, Holdings},
};
use model::Account;
use serde_json::json;

use crate::{
    commands::{
        cli::{AccessKeyVerb, AccountVerb, ExistingKey, KeyFormat, ListFormat},
        failure::Failure,
        output::{ROWS_MAX, closed, closed_catalog, lines_of_json, print, run, table},
    },
    deployment::{
        catalogs,
        credentials::{self, NewAccessKey},
        master_key,
    },
};

/// Tries to find a number that no account has.
const DRAWS_MAX: usize = 16;

/// `snapferry account ...`.
///
/// # Errors
/// Whatever kept it from its work.
pub(crate) fn account(verb: AccountVerb) -> Result<(), Failure> {
    match verb {
        AccountVerb::Create {
            account,
            name,
            folder,
        } => {
            let catalog = closed_catalog(&folder)?;
            let made = run(async { create_account(&*catalog, account, name).await })?;
            print(&format!("{made}\n"))
        }
        AccountVerb::List { folder, format } => {
            let catalog = closed_catalog(&folder)?;
            let rows = run(async { Ok(catalog.read(list_accounts).await?) })?;
            print(&shown_accounts(&rows, format))
        }
        AccountVerb::Delete { account, folder } => {
            let catalog = closed_catalog(&folder)?;
            run(async {
                catalog
                    .write(move |tx| {
                        let holdings = accounts::holdings(tx, &account)?;
                        if !holdings.is_empty() {
                            return Err(Failure::AccountOwns {
                                account: account.clone(),
                                holdings,
                            });
                        }
                        if accounts::delete(tx, &account)? {
                            Ok(())
                        } else {
                            Err(Failure::NoAccount(account.clone()))
                        }
                    })
                    .await
            })
        }
    }
}

async fn create_account(
    catalog: &dyn Catalog,
    wanted: Option<Account>,
    name: String,
) -> Result<Account, Failure> {
    for _ in 0..DRAWS_MAX {
        let account = match &wanted {
            Some(account) => account.clone(),
            None => credentials::draw_account()?,
        };
        let (row, name) = (account.clone(), name.clone());
        let new = catalog
            .write(move |tx| accounts::ensure(tx, &row, &name))
            .await
            .map_err(|error: CatalogError| Failure::Catalog(error))?;
        match (new, &wanted) {
            (true, _) => return Ok(account),
            (false, Some(_)) => return Err(Failure::AccountExists(account)),
            (false, None) => {}
        }
    }
    Err(Failure::NoFreeAccount)
}

fn list_accounts(tx: &mut dyn catalog::Tx) -> Result<Vec<(AccountRow, Holdings)>, CatalogError> {
    accounts::list(tx, ROWS_MAX)?
        .into_iter()
        .map(|row| {
            let holdings = accounts::holdings(tx, &row.id)?;
            Ok((row, holdings))
        })
        .collect()
}

/// `snapferry access-key ...`.
///
/// # Errors
/// Whatever kept it from its work.
pub(crate) fn access_key(verb: AccessKeyVerb) -> Result<(), Failure> {
    match verb {
        AccessKeyVerb::Create {
            account,
            folder,
            master_key,
            format,
        } => {
            let dir = closed(&folder)?;
            let sealing_key = master_key::obtain(&dir, master_key.master_key_fd, true)?;
            let catalog = catalogs::open(&dir, folder.shared.catalog.as_ref())?;
            let key = run(async {
                master_key::check(&*catalog, &sealing_key).await?;
                Ok(credentials::create(&*catalog, &sealing_key, account).await?)
            })?;
            print(&shown_key(&key, format))
        }
        AccessKeyVerb::List {
            account,
            folder,
            format,
        } => {
            let catalog = closed_catalog(&folder)?;
            let keys = run(async move {
                Ok(catalog
                    .read(move |tx| access_keys::list(tx, account.as_ref(), ROWS_MAX))
                    .await?)
            })?;
            print(&shown_keys(&keys, format))
        }
        AccessKeyVerb::Rotate {
            key,
            master_key,
            format,
        } => {
            let dir = closed(&key.folder)?;
            let sealing_key = master_key::obtain(&dir, master_key.master_key_fd, true)?;
            let catalog = catalogs::open(&dir, key.folder.shared.catalog.as_ref())?;
            let new = run(async {
                master_key::check(&*catalog, &sealing_key).await?;
                let new = credentials::rotate(&dir, &*catalog, &sealing_key, &key.id).await?;
                new.ok_or(Failure::NoAccessKey(key.id))
            })?;
            print(&shown_key(&new, format))
        }
        AccessKeyVerb::Disable(key) => set_status(key, AccessKeyStatus::Inactive),
        AccessKeyVerb::Enable(key) => set_status(key, AccessKeyStatus::Active),
        AccessKeyVerb::Delete(key) => change(key, access_keys::delete),
    }
}

fn set_status(key: ExistingKey, status: AccessKeyStatus) -> Result<(), Failure> {
    change(key, move |tx, id| access_keys::set_status(tx, id, status))
}

/// Changes a key that is there.
fn change(
    key: ExistingKey,
    change: impl Fn(&mut dyn catalog::Tx, &str) -> Result<bool, CatalogError> + Send + Sync + 'static,
) -> Result<(), Failure> {
    let catalog = closed_catalog(&key.folder)?;
    run(async move {
        let id = key.id.clone();
        let found: Result<bool, CatalogError> = catalog.write(move |tx| change(tx, &id)).await;
        if found? {
            Ok(())
        } else {
            Err(Failure::NoAccessKey(key.id))
        }
    })
}

fn shown_accounts(rows: &[(AccountRow, Holdings)], format: ListFormat) -> String {
    match format {
        ListFormat::Text => table(
            &[
                "ACCOUNT",
                "CREATED",
                "ACCESS KEYS",
                "CLUSTERS",
                "SNAPSHOTS",
                "KMS KEYS",
                "NAME",
            ],
            rows.iter().map(|(row, owns)| {
                vec![
                    row.id.to_string(),
                    row.created_at.to_rfc3339_secs(),
                    owns.access_keys.to_string(),
                    owns.clusters.to_string(),
                    owns.snapshots.to_string(),
                    owns.kms_keys.to_string(),
                    row.name.clone(),
                ]
            }),
        ),
        ListFormat::Json => lines_of_json(rows.iter().map(|(row, owns)| {
            json!({
                "account": row.id.as_str(),
                "name": row.name,
                "created_at": row.created_at.to_rfc3339_secs(),
                "access_keys": owns.access_keys,
                "clusters": owns.clusters,
                "snapshots": owns.snapshots,
                "kms_keys": owns.kms_keys,
            })
        })),
    }
}

fn shown_key(key: &NewAccessKey, format: KeyFormat) -> String {
    let (account, id, secret) = (&key.account, &key.id, key.secret.as_str());
    match format {
        KeyFormat::Text => format!(
            "# Access key for account {account}. The secret is shown only now.\n[{}-{account}]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n",
            credentials::PROFILE
        ),
        KeyFormat::Env => {
            format!("export AWS_ACCESS_KEY_ID={id}\nexport AWS_SECRET_ACCESS_KEY={secret}\n")
        }
        KeyFormat::Json => {
            let value = json!({ "account": account.as_str(), "access_key_id": id, "secret_access_key": secret });
            format!("{value}\n")
        }
    }
}

fn shown_keys(keys: &[access_keys::AccessKey], format: ListFormat) -> String {
    match format {
        ListFormat::Text => table(
            &["ACCESS KEY ID", "ACCOUNT", "STATUS", "CREATED"],
            keys.iter().map(|key| {
                vec![
                    key.id.clone(),
                    key.account.to_string(),
                    key.status.as_str().to_owned(),
                    key.created_at.to_rfc3339_secs(),
                ]
            }),
        ),
        ListFormat::Json => lines_of_json(keys.iter().map(|key| {
            json!({
                "access_key_id": key.id,
                "account": key.account.as_str(),
                "status": key.status.as_str(),
                "created_at": key.created_at.to_rfc3339_secs(),
            })
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_print_in_every_format() {
        let key = NewAccessKey::draw("123456789012".parse().expect("an account")).expect("random");
        for format in [KeyFormat::Text, KeyFormat::Env, KeyFormat::Json] {
            let text = shown_key(&key, format);
            assert!(
                text.contains(&key.id) && text.contains(key.secret.as_str()),
                "{text}"
            );
        }
    }
}
