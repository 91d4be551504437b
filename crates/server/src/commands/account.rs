//! `snapferry account`: who there is.
//!
//! It does not know whether a server runs: one that does sees the change within a second.
use catalog::{
    Catalog, CatalogError, CatalogExt,
    accounts::{self, AccountRow},
    holdings::{self, Holdings},
};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::commands::{
    arguments::{Folder, ListFormat},
    failure::Failure,
    invocation::{Invocation, Outcome, Run},
    output::{ROWS_MAX, closed_catalog, lines_of_json, print, run, table},
};
use crate::deployment::credentials;

/// Tries to find a number that no account has.
const DRAWS_MAX: usize = 16;

/// Make, list and delete accounts
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    snapferry account create --name staging\n  \
    snapferry account list\n  \
    snapferry account delete 123456789012"
)]
pub(crate) struct Account {
    #[command(subcommand)]
    verb: AccountVerb,
}

/// `snapferry account ...`.
#[derive(Debug, Subcommand)]
enum AccountVerb {
    /// Make an account and print its number
    ///
    /// It owns nothing yet and nobody can act for it: `access-key create` makes a way in. Under
    /// `serve --dev` every account is there already.
    #[command(after_help = "Examples:\n  \
        snapferry account create --name staging\n  \
        snapferry account create --account 123456789012")]
    Create {
        /// The account's number, of 12 digits [default: a random one]
        #[arg(long, value_name = "ID")]
        account: Option<model::Account>,
        /// A name for people
        #[arg(
            long,
            default_value = "",
            hide_default_value = true,
            value_name = "TEXT"
        )]
        name: String,
        #[command(flatten)]
        folder: Folder,
    },
    /// List accounts and how much each of them owns
    #[command(after_help = "Examples:\n  \
        snapferry account list\n  \
        snapferry account list --format json")]
    List {
        #[command(flatten)]
        folder: Folder,
        #[command(flatten)]
        format: ListFormat,
    },
    /// Delete an account that owns nothing, and its access keys
    ///
    /// While it has a cluster, a snapshot, a KMS key or unfinished work, it is refused. A server that
    /// runs on the data folder refuses the account's access keys within a second.
    #[command(after_help = "Examples:\n  \
        snapferry account delete 123456789012")]
    Delete {
        /// The account's number
        #[arg(value_name = "ID")]
        account: model::Account,
        #[command(flatten)]
        folder: Folder,
    },
}

impl Run for Account {
    fn run(self, _: &Invocation) -> Result<Outcome, Failure> {
        account(self.verb)?;
        Ok(Outcome::Done)
    }
}

/// `snapferry account ...`.
///
/// # Errors
/// Whatever kept it from its work.
fn account(verb: AccountVerb) -> Result<(), Failure> {
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
                        let holdings = holdings::of_account(tx, &account)?;
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
    wanted: Option<model::Account>,
    name: String,
) -> Result<model::Account, Failure> {
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
            let holdings = holdings::of_account(tx, &row.id)?;
            Ok((row, holdings))
        })
        .collect()
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
                    owns.of::<model::Cluster>().to_string(),
                    owns.of::<model::Snapshot>().to_string(),
                    owns.of::<model::Key>().to_string(),
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
                "clusters": owns.of::<model::Cluster>(),
                "snapshots": owns.of::<model::Snapshot>(),
                "kms_keys": owns.of::<model::Key>(),
            })
        })),
    }
}
