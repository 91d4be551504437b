//! The command line: verbs, flags and their help.
//!
//! It does not know how a verb does its work.
use std::{path::PathBuf, str::FromStr};

use clap::{Args, Parser, Subcommand, ValueEnum};
use model::{Account, Region, SnapshotName};

use crate::{
    deployment::catalogs::End,
    settings::{Layer, catalog_place::CatalogUrl, vault_place::VaultPlace},
};

/// Snapshots of real PostgreSQL clusters, copied between regions, accounts and encryption keys
///
/// Snapferry serves the Amazon RDS API for DB clusters and their snapshots, over real PostgreSQL and
/// real storage. The AWS CLI, boto3 and other AWS SDKs work with it unchanged.
#[derive(Debug, Parser)]
#[command(
    name = "snapferry",
    version,
    propagate_version = false,
    arg_required_else_help = true,
    after_help = "Examples:\n  \
        snapferry serve                                     serve on 127.0.0.1:8085, signatures checked\n  \
        snapferry serve --dev                               for a laptop or CI: signatures not checked\n  \
        snapferry access-key create --account 123456789012  let another account in\n  \
        snapferry job list                                  what is being created, copied and restored"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What can be asked of the program.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Serve the API until SIGTERM or Ctrl-C
    ///
    /// Standard output carries one line once requests are answered: `snapferry is ready at http://...`.
    /// Logs go to standard error.
    ///
    /// Each setting can be given as a flag, as an environment variable (SNAPFERRY_...), or as a key of
    /// the TOML file that --config names; the first of these that says something wins. A key has the
    /// name of its flag, as in `listen = "127.0.0.1:9000"` or `snapshot-memory = "256MiB"`.
    ///
    /// At its first start on a data folder the server makes a master key (DATA/master.key) and, unless
    /// --dev is given, an administrator's access key (DATA/credentials). Keep a copy of the master key
    /// elsewhere: without it nothing that the folder holds can be opened.
    #[command(after_help = "Examples:\n  \
        snapferry serve\n  \
        snapferry serve --data /srv/snapferry --listen 127.0.0.1:9000\n  \
        snapferry serve --dev --listen 127.0.0.1:0\n  \
        snapferry serve --listen 0.0.0.0:8085 --host ferry.example.net --tls-certificate cert.pem --tls-key key.pem\n  \
        snapferry serve --config /etc/snapferry.toml --log-format json")]
    Serve(Box<Serve>),
    /// Make, list and delete accounts
    #[command(
        arg_required_else_help = true,
        after_help = "Examples:\n  \
        snapferry account create --name staging\n  \
        snapferry account list\n  \
        snapferry account delete 123456789012"
    )]
    Account {
        #[command(subcommand)]
        verb: AccountVerb,
    },
    /// Make, list, rotate, disable and delete access keys
    #[command(
        arg_required_else_help = true,
        after_help = "Examples:\n  \
        snapferry access-key create --account 123456789012\n  \
        snapferry access-key list\n  \
        snapferry access-key disable AKIAIOSFODNN7EXAMPLE"
    )]
    AccessKey {
        #[command(subcommand)]
        verb: AccessKeyVerb,
    },
    /// List the API's actions that are implemented
    #[command(after_help = "Examples:\n  \
        snapferry actions\n  \
        snapferry actions --all --format json")]
    Actions {
        /// Also those of RDS, KMS, STS and tagging that are not
        #[arg(long)]
        all: bool,
        /// How the list is printed
        #[arg(long, value_enum, default_value_t = ListFormat::Text, value_name = "FORMAT")]
        format: ListFormat,
    },
    /// The authority that signs clusters' certificates
    #[command(
        arg_required_else_help = true,
        after_help = "Examples:\n  \
        snapferry ca export > clusters-ca.pem"
    )]
    Ca {
        #[command(subcommand)]
        verb: CaVerb,
    },
    /// Look at background work
    #[command(
        arg_required_else_help = true,
        after_help = "Examples:\n  \
        snapferry job list\n  \
        snapferry job list --format json"
    )]
    Job {
        #[command(subcommand)]
        verb: JobVerb,
    },
    /// Look at the nodes that share a catalog, drain one, or forget one
    #[command(
        arg_required_else_help = true,
        after_help = "Examples:\n  \
        snapferry node list --catalog postgres://ferry@db/snapferry\n  \
        snapferry node drain node-1 --catalog postgres://ferry@db/snapferry"
    )]
    Node {
        #[command(subcommand)]
        verb: NodeVerb,
    },
    /// Move a catalog, or rebuild a lost one
    #[command(
        arg_required_else_help = true,
        after_help = "Examples:\n  \
        snapferry catalog copy /var/lib/snapferry postgres://ferry@db/snapferry\n  \
        snapferry catalog rebuild"
    )]
    Catalog {
        #[command(subcommand)]
        verb: CatalogVerb,
    },
    /// Change the master key
    #[command(
        arg_required_else_help = true,
        after_help = "Examples:\n  \
        snapferry master-key rotate"
    )]
    MasterKey {
        #[command(subcommand)]
        verb: MasterKeyVerb,
    },
    /// Look at what the vaults keep
    #[command(
        arg_required_else_help = true,
        after_help = "Examples:\n  \
        snapferry vault verify\n  \
        snapferry vault verify --read-data --sample 10%"
    )]
    Vault {
        #[command(subcommand)]
        verb: VaultVerb,
    },
    /// Print this command line's reference page
    #[command(hide = true)]
    Reference,
    /// Print the OpenAPI document of the JSON door
    ///
    /// A running server answers it at /openapi.json.
    #[command(after_help = "Examples:\n  snapferry openapi > openapi.json")]
    Openapi,
}

/// `snapferry serve`.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Settings file in TOML
    #[arg(long, env = "SNAPFERRY_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) master_key: MasterKeySource,
    #[command(flatten)]
    pub(crate) layer: Layer,
}

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

/// `snapferry node ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeVerb {
    /// List the nodes: who serves, who was not heard of, and what each holds
    #[command(after_help = "Examples:\n  \
        snapferry node list --catalog postgres://ferry@db/snapferry\n  \
        snapferry node list --catalog postgres://ferry@db/snapferry --format json")]
    List {
        #[command(flatten)]
        shared: Shared,
        /// How the list is printed
        #[arg(long, value_enum, default_value_t = ListFormat::Text, value_name = "FORMAT")]
        format: ListFormat,
    },
    /// Show how a node's background tasks fare: when each last succeeded, why it failed, when it runs again
    ///
    /// A node tells it once a minute, and when a task begins to fail or works again.
    #[command(after_help = "Examples:\n  \
        snapferry node show\n  \
        snapferry node show node-1 --catalog postgres://ferry@db/snapferry --format json")]
    Show {
        /// The node's name, as `snapferry node list` shows it [default: all that have told]
        #[arg(value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        folder: Folder,
        /// Look into the default data folder of `snapferry serve --dev`
        #[arg(long, conflicts_with = "data")]
        dev: bool,
        /// How the tasks are printed
        #[arg(long, value_enum, default_value_t = ListFormat::Text, value_name = "FORMAT")]
        format: ListFormat,
    },
    /// Let a node take on no more work, and wait until it has finished what it holds
    ///
    /// It goes on answering requests and running its clusters, and takes snapshots of those. Copies and
    /// new clusters are left to the others. It serves in full again once it is restarted.
    #[command(after_help = "Examples:\n  \
        snapferry node drain node-1 --catalog postgres://ferry@db/snapferry\n  \
        snapferry node drain node-1 --wait-seconds 0 --catalog postgres://ferry@db/snapferry")]
    Drain {
        /// The node's name, as `snapferry node list` shows it
        #[arg(value_name = "NAME")]
        name: String,
        /// How long to wait until it holds no job; 0 to wait for nothing
        #[arg(long, default_value_t = 600, value_name = "SECONDS")]
        wait_seconds: u64,
        #[command(flatten)]
        shared: Shared,
    },
    /// Forget a node that never comes back
    ///
    /// Refused while the node is heard of. Work that only it could do is given up, with events; copies
    /// that it had begun go on elsewhere. Clusters whose files it had are named, and stay unless
    /// --drop-clusters is given: then their records go too, and they can be restored from snapshots.
    #[command(after_help = "Examples:\n  \
        snapferry node forget node-1 --catalog postgres://ferry@db/snapferry\n  \
        snapferry node forget node-1 --drop-clusters --catalog postgres://ferry@db/snapferry")]
    Forget {
        /// The node's name, as `snapferry node list` shows it
        #[arg(value_name = "NAME")]
        name: String,
        /// Also the records of clusters whose files it had
        #[arg(long)]
        drop_clusters: bool,
        #[command(flatten)]
        shared: Shared,
        /// How what was forgotten is printed
        #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
        format: Format,
    },
}

/// `snapferry vault ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum VaultVerb {
    /// Check all that snapshots need, and say which bytes of which files are damaged
    ///
    /// Without --read-data every stored byte is compared with its hash, and manifests and block lists
    /// are opened as far as their KMS keys can be used. The running server does the work; when this verb
    /// or the server is interrupted, the same command goes on where it was.
    ///
    /// Exit status: 0 when all is whole or was mended, 3 when something is damaged, 1 when the look
    /// could not be taken.
    #[command(after_help = "Examples:\n  \
        snapferry vault verify\n  \
        snapferry vault verify --read-data --sample 10%\n  \
        snapferry vault verify --restore-sample 5\n  \
        snapferry vault verify --region eu-west-1 --repair\n  \
        snapferry vault verify --snapshot nightly-7 --format json")]
    Verify(Box<Verify>),
}

/// `snapferry vault verify`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Open packs too, and compare every block as a restore would
    #[arg(long)]
    pub(crate) read_data: bool,
    /// Look at about so many of a hundred packs, the same ones each time; block lists and manifests are
    /// all looked at
    #[arg(long, default_value = "100%", value_name = "PERCENT")]
    pub(crate) sample: Percent,
    /// Restore so many snapshots, other ones each time, into a throw-away cluster; start it, read every
    /// relation of every database, and remove it
    #[arg(long, value_name = "COUNT", num_args = 0..=1, default_value_t = 0, default_missing_value = "3",
        hide_default_value = true, value_parser = clap::value_parser!(u32).range(..=100_000))]
    pub(crate) restore_sample: u32,
    /// Fetch what is damaged or gone again from another region that holds it
    #[arg(long)]
    pub(crate) repair: bool,
    /// Begin anew, also when a verification is under way
    #[arg(long)]
    pub(crate) restart: bool,
    /// Only this region's vault
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Option<Region>,
    /// Only what this account's snapshots and clusters need
    #[arg(long, value_name = "ID")]
    pub(crate) account: Option<Account>,
    /// Only snapshots of this name
    #[arg(long, value_name = "NAME", value_parser = snapshot_name)]
    pub(crate) snapshot: Option<SnapshotName>,
    #[command(flatten)]
    pub(crate) folder: Folder,
    /// Look into the default data folder of `snapferry serve --dev`
    #[arg(long, conflicts_with = "data")]
    pub(crate) dev: bool,
    /// How the report is printed
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub(crate) format: Format,
}

/// How many of a hundred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Percent(pub(crate) u8);

impl FromStr for Percent {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.strip_suffix('%').unwrap_or(text).parse().ok();
        number
            .filter(|percent| (1..=100).contains(percent))
            .map(Self)
            .ok_or("a whole percentage from 1% to 100% is needed")
    }
}

fn snapshot_name(text: &str) -> Result<SnapshotName, &'static str> {
    SnapshotName::parse_existing(text).map_err(|_| "no snapshot can have that name")
}

/// `snapferry catalog ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum CatalogVerb {
    /// Copy all of a catalog that nobody serves into an empty one, and compare the two
    ///
    /// Each end is a postgres:// URL, or a data folder, whose catalog is a SQLite file. The source stays
    /// as it is. Start the servers with the new catalog afterwards, each on its data folder as before.
    #[command(after_help = "Examples:\n  \
        snapferry catalog copy /var/lib/snapferry postgres://ferry@db/snapferry\n  \
        snapferry serve --catalog postgres://ferry@db/snapferry --vault /var/lib/snapferry/vault")]
    Copy {
        /// Where it is
        #[arg(value_name = "FROM")]
        from: End,
        /// Where it is to go
        #[arg(value_name = "TO")]
        to: End,
        /// How the tables are printed
        #[arg(long, value_enum, default_value_t = ListFormat::Text, value_name = "FORMAT")]
        format: ListFormat,
    },
    /// Fill a new catalog with the records that the vault mirrors
    ///
    /// For when the catalog is lost. The vault and the master key are enough: accounts, access keys, KMS
    /// keys, snapshots, whom they are shared with, tags and clusters come back as the mirror last had them.
    /// Jobs and events do not. What was acknowledged within the last moments before the loss may be
    /// missing; the report says when the mirror was last written.
    ///
    /// Stop every server of the deployment first. The new catalog must be empty. The vaults are its own
    /// afterwards: a server with the old one, should that turn up again, is refused. When the command is
    /// interrupted, give it again.
    ///
    /// Exit status: 0 when all that the mirror has was brought back, 3 when part of the mirror is damaged
    /// or a snapshot's manifest is gone, 1 when nothing could be done.
    #[command(after_help = "Examples:\n  \
        snapferry catalog rebuild\n  \
        snapferry catalog rebuild --data /srv/snapferry --vault /mnt/vault\n  \
        snapferry catalog rebuild --catalog postgres://ferry@db/snapferry --vault s3://bucket/ferry --format json")]
    Rebuild(Box<Rebuild>),
}

/// `snapferry catalog rebuild`.
#[derive(Debug, Args)]
pub(crate) struct Rebuild {
    #[command(flatten)]
    pub(crate) offline: Offline,
    /// How the report is printed
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub(crate) format: Format,
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

/// `snapferry master-key ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum MasterKeyVerb {
    /// Draw a new master key, and seal by it all that the old one seals
    ///
    /// That are access keys' secrets, KMS keys' material, and the mirror of the records in every vault;
    /// snapshots' bytes stay as they are. Stop every server of the deployment first. Both keys are kept
    /// until the end, so when the command is interrupted, give it again.
    ///
    /// The new key is in DATA/master.key afterwards: keep a copy of it elsewhere. The old one is kept
    /// beside it, under a name with its fingerprint's first digits; it opens backups of its time, and
    /// nothing else. When the key is given by SNAPFERRY_MASTER_KEY or --master-key-fd, put the new one at
    /// DATA/master.key.next first.
    #[command(after_help = "Examples:\n  \
        snapferry master-key rotate\n  \
        snapferry master-key rotate --config /etc/snapferry.toml --format json")]
    Rotate(Box<Rotate>),
}

/// `snapferry master-key rotate`.
#[derive(Debug, Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    pub(crate) offline: Offline,
    /// How what was done is printed
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub(crate) format: Format,
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

/// `snapferry access-key ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum AccessKeyVerb {
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
        /// How the list is printed
        #[arg(long, value_enum, default_value_t = ListFormat::Text, value_name = "FORMAT")]
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
pub(crate) struct ExistingKey {
    /// The access key's id, as `access-key list` shows it
    #[arg(value_name = "ACCESS_KEY_ID")]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) folder: Folder,
}

/// `snapferry account ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum AccountVerb {
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
        account: Option<Account>,
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
        /// How the list is printed
        #[arg(long, value_enum, default_value_t = ListFormat::Text, value_name = "FORMAT")]
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
        account: Account,
        #[command(flatten)]
        folder: Folder,
    },
}

/// `snapferry job ...`.
/// `snapferry ca ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum CaVerb {
    /// Print the authority's certificate as PEM
    ///
    /// Give it to PostgreSQL's clients as sslrootcert. It is the same on all nodes that share a catalog.
    #[command(after_help = "Examples:\n  \
        snapferry ca export > clusters-ca.pem\n  \
        psql 'host=ENDPOINT user=ferryman dbname=postgres sslmode=verify-full sslrootcert=clusters-ca.pem'")]
    Export {
        #[command(flatten)]
        folder: Folder,
        /// Look into the default data folder of `snapferry serve --dev`
        #[arg(long, conflicts_with = "data")]
        dev: bool,
    },
}

/// `snapferry job ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum JobVerb {
    /// List jobs: what is created, copied, restored and deleted, and how far it is
    #[command(after_help = "Examples:\n  \
        snapferry job list\n  \
        snapferry job list --data /srv/snapferry --format json")]
    List {
        #[command(flatten)]
        folder: Folder,
        /// Look into the default data folder of `snapferry serve --dev`
        #[arg(long, conflicts_with = "data")]
        dev: bool,
        /// How the list is printed
        #[arg(long, value_enum, default_value_t = ListFormat::Text, value_name = "FORMAT")]
        format: ListFormat,
    },
}

/// How a new access key is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyFormat {
    /// For people, and as a section for an AWS credentials file
    Text,
    /// Lines for a shell
    Env,
    /// One JSON object
    Json,
}

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// One JSON object
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn percentages_are_whole() {
        assert_eq!("7%".parse(), Ok(Percent(7)));
        assert_eq!("100".parse(), Ok(Percent(100)));
        for wrong in ["", "%", "0%", "101%", "1.5%", "-1"] {
            assert!(wrong.parse::<Percent>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_verb_has_examples() {
        fn check(command: &clap::Command) {
            if !command.is_hide_set() {
                let help = command
                    .get_after_help()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                assert!(
                    help.starts_with("Examples:\n"),
                    "{} has no examples",
                    command.get_name()
                );
                assert!(
                    command.get_about().is_some(),
                    "{} says nothing",
                    command.get_name()
                );
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}
