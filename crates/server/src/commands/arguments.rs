//! Arguments that several commands take.
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueEnum, value_parser};

use crate::settings::{catalog_place::CatalogUrl, vault_place::VaultPlace};

/// Where the master key comes from, unless from the environment or the data folder.
#[derive(Debug, Args)]
pub(crate) struct MasterKeySource {
    /// Read the master key (64 hexadecimal digits) from this file descriptor, which must be a pipe
    ///
    /// Without it the key is taken from the variable SNAPFERRY_MASTER_KEY, else from DATA/master.key.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) master_key_fd: Option<u32>,
}

/// The data folder of a verb that works beside the server.
#[derive(Debug, Args)]
pub(crate) struct Folder {
    /// Data folder [default: /var/lib/snapferry as root, else ~/.local/share/snapferry]
    #[arg(long, env = "SNAPFERRY_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) shared: Shared,
}

/// The catalog of a verb, when it is not in the data folder.
#[derive(Debug, Args)]
pub(crate) struct Shared {
    /// The postgres:// URL that the nodes were started with [default: the catalog in the data folder]
    #[arg(
        long,
        env = "SNAPFERRY_CATALOG",
        value_name = "URL",
        hide_env_values = true
    )]
    pub(crate) catalog: Option<CatalogUrl>,
}

/// A deployment that a verb works on while no server does.
#[derive(Debug, Args)]
pub(crate) struct Offline {
    /// Settings file of the servers, for what is not said here
    #[arg(long, env = "SNAPFERRY_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The deployment's servers run with --dev
    #[arg(long)]
    pub(crate) dev: bool,
    #[command(flatten)]
    pub(crate) folder: Folder,
    #[command(flatten)]
    pub(crate) place: VaultAt,
    #[command(flatten)]
    pub(crate) master_key: MasterKeySource,
}

/// Where the vaults are.
#[derive(Debug, Args)]
pub(crate) struct VaultAt {
    /// Where snapshots' bytes are kept, as the servers have it [default: vault in the data folder]
    #[arg(long, env = "SNAPFERRY_VAULT", value_name = "PLACE")]
    pub(crate) vault: Option<VaultPlace>,
    /// Address of the S3-compatible store [default: Amazon S3 of AWS_REGION]
    #[arg(long, env = "SNAPFERRY_VAULT_ENDPOINT", value_name = "URL")]
    pub(crate) vault_endpoint: Option<String>,
    /// Put the bucket's name into the host name [default: only without --vault-endpoint]
    #[arg(long, env = "SNAPFERRY_VAULT_VIRTUAL_HOST", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) vault_virtual_host: Option<bool>,
}

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// One JSON object, or one a line
    Json,
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    /// A table
    Text,
    /// A JSON array
    Json,
}

// Both are arguments as they are, to be flattened into a verb's: `--format`, and `--json` for short.
macro_rules! format_arguments {
    ($($format:ident,)*) => {$(
        impl FromArgMatches for $format {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                let given = matches.get_one("format").copied();
                let short = matches.get_flag("json").then_some(Self::Json);
                Ok(short.or(given).unwrap_or(Self::Text))
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                *self = Self::from_arg_matches(matches)?;
                Ok(())
            }
        }

        impl Args for $format {
            fn augment_args(command: Command) -> Command {
                let format = Arg::new("format").long("format").value_name("FORMAT");
                let short = Arg::new("json").long("json").action(ArgAction::SetTrue);
                command
                    .arg(format.value_parser(value_parser!(Self)).default_value("text").help("How it is printed; docs/reference/cli.schema.json says what the JSON is"))
                    .arg(short.conflicts_with("format").help("The same as --format json"))
            }

            fn augment_args_for_update(command: Command) -> Command {
                Self::augment_args(command)
            }
        }
    )*};
}

format_arguments! {
    Format,
    ListFormat,
}
