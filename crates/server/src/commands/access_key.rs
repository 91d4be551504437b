//! `snapferry access-key`: ways in.
use catalog::{
    CatalogError, CatalogExt,
    access_keys::{self, AccessKeyStatus},
};
use clap::{Args, Subcommand, ValueEnum};
use model::Account;
use serde_json::json;

use crate::{
    commands::{
        arguments::{Folder, ListFormat, MasterKeySource},
        failure::Failure,
        invocation::{Invocation, Outcome, Run},
        output::{ROWS_MAX, closed, closed_catalog, lines_of_json, print, run, table},
    },
    deployment::{
        catalogs,
        credentials::{self, NewAccessKey},
        master_key,
    },
};

/// Make, list, rotate, disable and delete access keys
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    snapferry access-key create --account 123456789012\n  \
    snapferry access-key list\n  \
    snapferry access-key disable AKIAIOSFODNN7EXAMPLE"
)]
pub(crate) struct AccessKey {
    #[command(subcommand)]
    verb: AccessKeyVerb,
}

/// `snapferry access-key ...`.
#[derive(Debug, Subcommand)]
enum AccessKeyVerb {
    /// Make an access key that acts for an account, and print it once
    ///
    /// A server that runs on the data folder knows the key at once. An account that is not there yet
    /// is made. The secret is not shown again, and cannot be found out later.
    #[command(after_help = "Examples:\n  \
        snapferry access-key create --account 123456789012\n  \
        eval \"$(snapferry access-key create --account 123456789012 --format env)\"\n  \
        snapferry access-key create --account 123456789012 --data /srv/snapferry --format json")]
    Create {
        /// The account's number, of 12 digits
        #[arg(long, value_name = "ID")]
        account: Account,
        #[command(flatten)]
        folder: Folder,
        #[command(flatten)]
        master_key: MasterKeySource,
        /// How the key is printed
        #[arg(long, value_enum, default_value_t = KeyFormat::Text, value_name = "FORMAT")]
        format: KeyFormat,
    },
    /// List access keys, without their secrets
    #[command(after_help = "Examples:\n  \
        snapferry access-key list\n  \
        snapferry access-key list --account 123456789012 --format json")]
    List {
        /// Only this account's
        #[arg(long, value_name = "ID")]
        account: Option<Account>,
        #[command(flatten)]
        folder: Folder,
        #[command(flatten)]
        format: ListFormat,
    },
    /// Make a new access key for the same account, print it once, and disable the old one
    ///
    /// `access-key enable` undoes the latter, for clients that still have the old one. When it is the
    /// administrator's, DATA/credentials gets the new key.
    #[command(after_help = "Examples:\n  \
        snapferry access-key rotate AKIAIOSFODNN7EXAMPLE\n  \
        snapferry access-key rotate AKIAIOSFODNN7EXAMPLE --format env")]
    Rotate {
        #[command(flatten)]
        key: ExistingKey,
        #[command(flatten)]
        master_key: MasterKeySource,
        /// How the key is printed
        #[arg(long, value_enum, default_value_t = KeyFormat::Text, value_name = "FORMAT")]
        format: KeyFormat,
    },
    /// Refuse what an access key signs, until it is enabled
    ///
    /// A server that runs on the data folder does so within a second.
    #[command(after_help = "Examples:\n  \
        snapferry access-key disable AKIAIOSFODNN7EXAMPLE")]
    Disable(ExistingKey),
    /// Accept what an access key signs again
    #[command(after_help = "Examples:\n  \
        snapferry access-key enable AKIAIOSFODNN7EXAMPLE")]
    Enable(ExistingKey),
    /// Forget an access key; its account stays
    #[command(after_help = "Examples:\n  \
        snapferry access-key delete AKIAIOSFODNN7EXAMPLE")]
    Delete(ExistingKey),
}

/// An access key that is there.
#[derive(Debug, Args)]
struct ExistingKey {
    /// The access key's id, as `access-key list` shows it
    #[arg(value_name = "ACCESS_KEY_ID")]
    id: String,
    #[command(flatten)]
    folder: Folder,
}

/// How a new access key is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KeyFormat {
    /// For people, and as a section for an AWS credentials file
    Text,
    /// Lines for a shell
    Env,
    /// One JSON object
    Json,
}

impl Run for AccessKey {
    fn run(self, _: &Invocation) -> Result<Outcome, Failure> {
        access_key(self.verb)?;
        Ok(Outcome::Done)
    }
}

/// `snapferry access-key ...`.
///
/// # Errors
/// Whatever kept it from its work.
fn access_key(verb: AccessKeyVerb) -> Result<(), Failure> {
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
