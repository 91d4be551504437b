//! What an operator may choose, in layers: flags, then the environment, then a file, then defaults.
//!
//! It does not know what the values do; `serve` hands them on.
pub(crate) mod address;
pub(crate) mod catalog_place;
mod error;
pub(crate) mod kms;
mod layers;
pub(crate) mod peer;
mod resolved;
pub(crate) mod roles;
mod rules;
pub(crate) mod values;
pub(crate) mod vault_place;
pub(crate) mod webhook;

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use clap::Args;
use model::Region;
use serde::{Deserialize, de::DeserializeOwned};
use service::Mode;

pub(crate) use error::SettingsError;

use crate::settings::{
    catalog_place::{CatalogUrl, NodeName},
    kms::KmsLayer,
    layers::layer,
    peer::PeerRow,
    roles::RoleRow,
    values::{
        Addresses, ByteCount, ExternalUrl, Listen, Network, Ports, RegionPair, Seconds, Secret,
    },
    vault_place::VaultPlace,
    webhook::WebhookRow,
};

/// The address of a server that was told none.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8085);
/// Room for every setting many times over; a larger file is not a settings file.
const FILE_BYTES_MAX: u64 = 1 << 20;

layer! {
/// One layer of settings: flags and environment together, or a file. What is absent is left to
/// the layer below. A setting is one row here: a key of
/// the file is the flag's name, and `=>` names what it sets of the service's, if nothing else has to
/// be looked at for that.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Layer {
    /// Do not check signatures: for laptops and CI, on loopback only
    #[arg(long, env = "SNAPFERRY_DEV", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    dev: Option<bool>,
    /// Address and port to listen on; port 0 lets the system pick one [default: 127.0.0.1:8085]
    #[arg(long, env = "SNAPFERRY_LISTEN", value_name = "ADDRESS:PORT")]
    listen: Option<Listen>,
    /// Folder that keeps everything [default: /var/lib/snapferry as root, else ~/.local/share/snapferry]
    ///
    /// With --dev the last part of the default is snapferry-dev. The folder is made when it is missing,
    /// and it must be reachable by the users that clusters run as when Snapferry runs as root.
    #[arg(long, env = "SNAPFERRY_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// PostgreSQL database that keeps the catalog [default: a SQLite file in the data folder]
    ///
    /// As in postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full (or require, or disable;
    /// sslrootcert=FILE names the authorities). Several nodes can share it, with the same --vault. With a
    /// password in it rather set the variable, or write it into the file: other users of the machine can
    /// see a command line.
    #[arg(
        long,
        env = "SNAPFERRY_CATALOG",
        value_name = "URL",
        hide_env_values = true
    )]
    catalog: Option<CatalogUrl>,
    /// Where snapshots' bytes are kept: a folder, s3://BUCKET or s3://BUCKET/PREFIX [default: vault in the data folder]
    ///
    /// Each region has a folder or prefix of its own there. A bucket's credentials are found as AWS's tools
    /// find them. Nodes that share a catalog share the vault too.
    #[arg(long, env = "SNAPFERRY_VAULT", value_name = "PLACE")]
    vault: Option<VaultPlace>,
    /// Address of the S3-compatible store [default: Amazon S3 of AWS_REGION]
    #[arg(long, env = "SNAPFERRY_VAULT_ENDPOINT", value_name = "URL")]
    vault_endpoint: Option<String>,
    /// Put the bucket's name into the host name, as Amazon S3 wants it [default: only without --vault-endpoint]
    #[arg(long, env = "SNAPFERRY_VAULT_VIRTUAL_HOST", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    vault_virtual_host: Option<bool>,
    /// Requests that carry objects to or from the bucket at once [default: 16]
    #[arg(long, env = "SNAPFERRY_VAULT_STREAMS", value_name = "COUNT")]
    vault_streams: Option<u16>,
    /// Objects above this go to the bucket in parts of this size, several at once [default: 16MiB]
    #[arg(long, env = "SNAPFERRY_VAULT_PART_SIZE", value_name = "BYTES")]
    vault_part_size: Option<ByteCount>,
    /// Name of this node among those that share a catalog [default: drawn once for a data folder]
    #[arg(long, env = "SNAPFERRY_NODE", value_name = "NAME")]
    node: Option<NodeName>,
    /// Zone that this node is in, of nodes that share a catalog [default: none]
    ///
    /// Three nodes or more that name two zones or more have the instances of new Multi-AZ DB clusters of
    /// PostgreSQL on three of them, which outlive any one. Their instances show it as AvailabilityZone.
    #[arg(long, env = "SNAPFERRY_ZONE", value_name = "NAME")]
    zone: Option<NodeName>,
    /// Region of requests that name none [default: us-east-1]
    #[arg(long, env = "SNAPFERRY_DEFAULT_REGION", value_name = "NAME")]
    default_region: Option<Region> => default_region,
    /// A region beyond those that AWS has; can be given several times
    #[arg(
        long,
        env = "SNAPFERRY_REGION",
        value_name = "NAME",
        value_delimiter = ','
    )]
    region: Vec<Region> => extra_regions,
    /// A region whose encrypted copies under another key or account share no key with their source
    ///
    /// Such a copy is a job and takes space, instead of one commit: every byte is sealed under fresh
    /// keys. Can be given several times.
    #[arg(
        long,
        env = "SNAPFERRY_REENCRYPT",
        value_name = "REGION",
        value_delimiter = ','
    )]
    reencrypt: Vec<Region> => reencrypt,
    /// A further host name that clients reach this server by; can be given several times
    #[arg(
        long,
        env = "SNAPFERRY_HOST",
        value_name = "NAME",
        value_delimiter = ','
    )]
    host: Vec<String>,
    /// Address that browsers have this server by, where a proxy stands before it: `https://ferry.example.net`
    ///
    /// The console takes changes from pages of that origin only, and of the address that it listens on.
    #[arg(long, env = "SNAPFERRY_EXTERNAL_URL", value_name = "URL")]
    external_url: Option<ExternalUrl>,
    /// Serve no console at /console/
    #[arg(long, env = "SNAPFERRY_NO_CONSOLE", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    no_console: Option<bool>,
    /// Address or network of a proxy that many clients come through; can be given several times
    ///
    /// Connections from there have no share of their own, as those of other addresses have: see
    /// docs/guides/deployment.md.
    #[arg(
        long,
        env = "SNAPFERRY_PROXY",
        value_name = "ADDRESS",
        value_delimiter = ','
    )]
    proxy: Vec<Network>,
    /// PEM file with the server's certificate chain: serves HTTPS; needs --tls-key
    #[arg(long, env = "SNAPFERRY_TLS_CERTIFICATE", value_name = "FILE")]
    tls_certificate: Option<PathBuf>,
    /// PEM file with the certificate's private key; needs --tls-certificate
    #[arg(long, env = "SNAPFERRY_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Listen beyond loopback without TLS: anyone on the way can read and replay what clients send
    #[arg(long, env = "SNAPFERRY_INSECURE_LISTEN", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    insecure_listen: Option<bool>,
    /// Addresses for clusters, one each: those of a network or from a first to a last [default: 127.64.0.0/10]
    ///
    /// As in 10.0.8.0/24 or 10.0.8.10-10.0.8.99: the machine's own addresses, where clients can reach
    /// them. A cluster's address is its Endpoint, and its Port is 5432 unless another is asked for.
    #[arg(long, env = "SNAPFERRY_CLUSTER_ADDRESSES", value_name = "RANGE")]
    cluster_addresses: Option<Addresses>,
    /// One address for all clusters, each with a port of its own, instead of --cluster-addresses
    #[arg(long, env = "SNAPFERRY_CLUSTER_HOST", value_name = "ADDRESS")]
    cluster_host: Option<IpAddr>,
    /// Ports for clusters that ask for none, with --cluster-host or where 5432 is in use [default: 15432-16431]
    #[arg(long, env = "SNAPFERRY_CLUSTER_PORTS", value_name = "FIRST-LAST")]
    cluster_ports: Option<Ports> => cluster_ports,
    /// PEM file with a certificate chain that all clusters show, instead of the deployment's own authority's
    ///
    /// Needs --cluster-tls-key. Both are read again when they change: renew them in place.
    #[arg(long, env = "SNAPFERRY_CLUSTER_TLS_CERTIFICATE", value_name = "FILE")]
    cluster_tls_certificate: Option<PathBuf>,
    /// PEM file with that certificate's private key
    #[arg(long, env = "SNAPFERRY_CLUSTER_TLS_KEY", value_name = "FILE")]
    cluster_tls_key: Option<PathBuf>,
    /// A further name in clusters' certificates, beside each one's address; can be given several times
    #[arg(
        long,
        env = "SNAPFERRY_CLUSTER_TLS_NAME",
        value_name = "NAME",
        value_delimiter = ','
    )]
    cluster_tls_name: Vec<String> => cluster_tls.names,
    /// Refuse PostgreSQL clients without TLS, as rds.force_ssl does [default: true, with --dev false]
    #[arg(long, env = "SNAPFERRY_CLUSTER_FORCE_TLS", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    cluster_force_tls: Option<bool> => cluster_tls.forced,
    /// Stop the clusters' databases when the server ends [default: false, with --dev true]
    ///
    /// Otherwise they run on, and the next server on the data folder adopts them: an upgrade costs their
    /// clients nothing. `snapferry data stop-clusters` ends them without a server. As the first process of
    /// a container the server always stops them, because nothing can outlive it there.
    #[arg(long, env = "SNAPFERRY_STOP_CLUSTERS_ON_EXIT", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    stop_clusters_on_exit: Option<bool> => stop_clusters_on_exit,
    /// Folder with a database's programs, or with one such folder per version
    ///
    /// On the command line or in the file it is searched besides /usr/lib/postgresql; in the
    /// environment (SNAPFERRY_ENGINE_BIN) it replaces that search.
    #[arg(long, value_name = "DIR")]
    engine_bin: Option<PathBuf>,
    /// Folder of a MySQL server, with bin/mysqld or sbin/mysqld [default: where packages put it]
    ///
    /// It is searched besides /usr/local/lib/snapferry/mysql, where `make setup` puts one, and /usr. MySQL
    /// 8.0.30 or later is taken; 9.7 was tested. MariaDB is another database, and not taken for one.
    #[arg(long, env = "SNAPFERRY_MYSQL_DIR", value_name = "DIR")]
    mysql_dir: Option<PathBuf>,
    /// Seconds for which a snapshot of a MySQL cluster may hold up changes of tables and accounts [default: 3600]
    ///
    /// CREATE, ALTER, DROP, GRANT and their like wait while the snapshot is read; rows are changed as ever. One
    /// that takes longer gives up, lets them go on, and is taken again later.
    #[arg(long, env = "SNAPFERRY_MYSQL_LOCK_SECONDS", value_name = "SECONDS")]
    mysql_lock_seconds: Option<Seconds>,
    /// Whether the next snapshot of a PostgreSQL cluster reads only the pages that its log says changed [default: off]
    ///
    /// Of clusters with one server whose log goes to the vault. check reads all files that were written to, as
    /// off does, and fails a snapshot in which a page changed that the log does not name.
    #[arg(
        long,
        env = "SNAPFERRY_CHANGE_MAPS",
        value_name = "HOW",
        value_enum
    )]
    change_maps: Option<ChangeMaps>,
    /// Without root: let one OS user run the clusters of several accounts
    ///
    /// An account's master user can then reach the other accounts' files through PostgreSQL, and
    /// Snapferry's own. Only for machines whose accounts trust each other.
    #[arg(long, env = "SNAPFERRY_ALLOW_SHARED_OS_USER", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    allow_shared_os_user: Option<bool>,
    /// Memory that one cluster may take, such as 2GiB [default: no limit]
    ///
    /// Of all its processes together where Snapferry may make control groups (cgroup v2), else of each
    /// process; the start says which. See docs/guides/deployment.md.
    #[arg(long, env = "SNAPFERRY_CLUSTER_MEMORY_MAX", value_name = "BYTES")]
    cluster_memory_max: Option<ByteCount> => cluster_limits.memory_bytes_max,
    /// Processes that one cluster may have, those of its sessions included [default: 2000]
    ///
    /// Bounds clusters with OS users of their own (Snapferry is root), and all where there are control groups.
    #[arg(long, env = "SNAPFERRY_CLUSTER_PROCESSES_MAX", value_name = "COUNT")]
    cluster_processes_max: Option<u32> => cluster_limits.processes_max,
    /// Bytes a second that copies may bring into one region, such as 50MiB [default: no limit]
    #[arg(
        long,
        env = "SNAPFERRY_CROSS_REGION_BYTES_PER_SECOND",
        value_name = "BYTES"
    )]
    cross_region_bytes_per_second: Option<ByteCount> => cross_region_bytes_per_sec,
    /// Memory that one snapshot may use on its way to the vault [default: 128MiB]
    #[arg(long, env = "SNAPFERRY_SNAPSHOT_MEMORY", value_name = "BYTES")]
    snapshot_memory: Option<ByteCount> => snapshot_memory_bytes,
    /// Manual cluster snapshots of one account in one region [default: 100]
    #[arg(long, env = "SNAPFERRY_MANUAL_SNAPSHOTS_MAX", value_name = "COUNT")]
    manual_snapshots_max: Option<u32> => manual_snapshots_max,
    /// Cross-region copies in progress into one region for one account [default: 5]
    #[arg(long, env = "SNAPFERRY_CROSS_REGION_COPIES_MAX", value_name = "COUNT")]
    cross_region_copies_max: Option<u32> => cross_region_copies_max,
    /// Clusters of one account in one region [default: 40]
    #[arg(long, env = "SNAPFERRY_CLUSTERS_MAX", value_name = "COUNT")]
    clusters_max: Option<u32> => clusters_max,
    /// Demand a PreSignedUrl for encrypted copies between regions everywhere, not in GovCloud only
    #[arg(long, env = "SNAPFERRY_REQUIRE_PRESIGNED_URL", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    require_presigned_url: Option<bool> => require_presigned_url,
    /// Refuse to copy snapshots of Multi-AZ DB clusters, as Amazon RDS does
    #[arg(long, env = "SNAPFERRY_REFUSE_MULTI_AZ_COPIES", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    refuse_multi_az_copies: Option<bool> => refuse_multi_az_copies,
    /// Take no automated snapshots, for clusters that live for one test run
    ///
    /// Otherwise each cluster has one taken soon after its creation and then daily, in its
    /// PreferredBackupWindow. Those that there are still expire after the BackupRetentionPeriod.
    #[arg(long, env = "SNAPFERRY_NO_AUTOMATED_BACKUPS", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    no_automated_backups: Option<bool> => no_automated_backups,
    /// Bring the automated backups of one region's clusters to another, their logs too; can be given several times
    ///
    /// Points in time can be restored there, also when all of the first region is lost: DescribeDBClusterAutomatedBackups
    /// and RestoreDBClusterToPointInTime of the other region have them. They are under the account's default key there.
    #[arg(long, env = "SNAPFERRY_REPLICATE_BACKUPS", value_name = "FROM=TO", value_delimiter = ',')]
    replicate_backups: Vec<RegionPair> => replicate_backups,

    /// Go on with a catalog brought back from a backup that is older than the vault: what was made
    /// since is lost, and its bytes are swept
    #[arg(long, env = "SNAPFERRY_ACCEPT_OLDER_CATALOG", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    accept_older_catalog: Option<bool> => accept_older_catalog,
    /// Address that events are posted to; the settings file can have several, as `[[webhook]]`
    #[arg(long, env = "SNAPFERRY_WEBHOOK_URL", value_name = "URL")]
    webhook_url: Option<String>,
    /// What deliveries to --webhook-url are signed with, 16 characters or more
    ///
    /// Rather set the variable: other users of the machine can see a command line.
    #[arg(
        long,
        env = "SNAPFERRY_WEBHOOK_SECRET",
        value_name = "SECRET",
        hide_env_values = true
    )]
    webhook_secret: Option<Secret>,
    /// Regions of other deployments, in the settings file
    #[arg(skip)]
    regions: BTreeMap<Region, PeerRow>,
    /// Webhooks of the settings file
    #[arg(skip)]
    webhook: Vec<WebhookRow>,
    /// Roles that accounts may assume, in the settings file
    #[arg(skip)]
    role: Vec<RoleRow>,
    /// An outside KMS.
    #[command(flatten)]
    kms: KmsLayer,
    /// What scrapes of /metrics show to be told names, 16 characters or more [default: only sums are told]
    ///
    /// As in `Authorization: Bearer TOKEN`. Who shows none is told sums, who shows another nothing. With
    /// --dev everyone on the machine is told names. Rather set the variable: other users of the machine can
    /// see a command line.
    #[arg(
        long,
        env = "SNAPFERRY_METRICS_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    metrics_token: Option<Secret>,
    /// Collector that traces of requests and jobs are sent to, by OTLP over HTTP [default: none is made]
    ///
    /// As in http://127.0.0.1:4318: /v1/traces is put behind. A request's `traceparent` is gone on with, and
    /// handed to other deployments over links.
    #[arg(long, env = "SNAPFERRY_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// Clusters that have metrics of their own; with more, only sums are told [default: 2000]
    #[arg(long, env = "SNAPFERRY_METRICS_CLUSTERS_MAX", value_name = "COUNT")]
    metrics_clusters_max: Option<u32> => metrics_clusters_max,
    /// Keep no record of requests: without, DATA/audit has who changed what, and what was denied [default: false]
    #[arg(long, env = "SNAPFERRY_NO_AUDIT", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    no_audit: Option<bool>,
    /// Refuse changes while no record of them can be written, as on a full disk [default: false]
    ///
    /// A change is then answered once its record is in the file, which a killed process does not lose.
    #[arg(long, env = "SNAPFERRY_AUDIT_REQUIRED", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    audit_required: Option<bool> => audit_required,
    /// What the files of records have together; the oldest are removed [default: 1GiB]
    #[arg(long, env = "SNAPFERRY_AUDIT_BYTES_MAX", value_name = "BYTES")]
    audit_bytes_max: Option<ByteCount> => audit_bytes_max,
    /// Days that records are kept at most [default: 90]
    #[arg(long, env = "SNAPFERRY_AUDIT_DAYS", value_name = "DAYS")]
    audit_days: Option<u32> => audit_days,
    /// Seconds after which the work of a process that died is taken over [default: 15]
    #[arg(long, env = "SNAPFERRY_LEASE_SECONDS", value_name = "SECONDS")]
    lease_seconds: Option<Seconds> => lease,
    /// Seconds that bytes which no snapshot reaches are kept [default: 3600]
    #[arg(long, env = "SNAPFERRY_SWEEP_GRACE_SECONDS", value_name = "SECONDS")]
    sweep_grace_seconds: Option<Seconds> => sweep_grace,
    /// How log lines are written to standard error [default: text]
    #[arg(long, env = "SNAPFERRY_LOG_FORMAT", value_name = "FORMAT", value_enum)]
    log_format: Option<LogFormat>,
    /// What is logged: error, warn, info, debug, trace, or filters such as info,service=debug [default: info]
    #[arg(long, env = "SNAPFERRY_LOG", value_name = "FILTER")]
    log_level: Option<String>,
}
}

impl Layer {
    /// Reads a settings file.
    ///
    /// # Errors
    /// When it cannot be read, or has a key or value that is no setting.
    pub(crate) fn read(path: &Path) -> Result<Self, SettingsError> {
        read(path)
    }

    /// This layer, and `below` where it says nothing.
    pub(crate) fn over(self, mut below: Self) -> Self {
        // One says where clusters are instead of the other: the upper layer's counts.
        if self.cluster_host.is_some() {
            below.cluster_addresses = None;
        }
        if self.cluster_addresses.is_some() {
            below.cluster_host = None;
        }
        self.merged(below)
    }

    /// Who may ask.
    pub(crate) fn mode(&self) -> Mode {
        if self.dev == Some(true) {
            Mode::Dev
        } else {
            Mode::Closed
        }
    }

    /// Where to listen.
    pub(crate) fn listen(&self) -> SocketAddr {
        self.listen.map_or(LISTEN, |listen| listen.0)
    }
}

/// Which folder a settings file names: for verbs that must do their work whatever else stands there.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct FolderNamed {
    /// The data folder.
    pub(crate) data: Option<PathBuf>,
    /// Whether its server runs with `--dev`.
    pub(crate) dev: Option<bool>,
}

impl FolderNamed {
    /// Reads them of a settings file.
    ///
    /// # Errors
    /// When it cannot be read, or is no TOML.
    pub(crate) fn read(path: &Path) -> Result<Self, SettingsError> {
        read(path)
    }
}

/// A TOML file of a bounded size.
fn read<T: DeserializeOwned>(path: &Path) -> Result<T, SettingsError> {
    let unreadable = |source| SettingsError::Unreadable {
        path: path.to_owned(),
        source,
    };
    if FILE_BYTES_MAX < fs::metadata(path).map_err(unreadable)?.len() {
        return Err(unreadable(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "larger than 1 MiB",
        )));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    toml::from_str(&text).map_err(|source| SettingsError::Malformed {
        path: path.to_owned(),
        source: Box::new(source),
    })
}

/// What is made of what a cluster's log says of changed pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ChangeMaps {
    /// Nothing: every file that was written to is read
    #[default]
    Off,
    /// Other pages are not read
    On,
    /// All are read, and compared with it
    Check,
}

impl From<ChangeMaps> for engine::ChangeMaps {
    fn from(how: ChangeMaps) -> Self {
        match how {
            ChangeMaps::Off => Self::Off,
            ChangeMaps::On => Self::On,
            ChangeMaps::Check => Self::Check,
        }
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        layer: Layer,
    }

    pub(super) fn flags(args: &[&str]) -> Layer {
        Flags::try_parse_from(std::iter::once(&"test").chain(args))
            .expect("legal flags")
            .layer
    }

    #[test]
    fn upper_layers_win_and_silence_falls_through() {
        let file: Layer = toml::from_str(
            "listen = '127.0.0.1:1'\nsnapshot-memory = '64MiB'\nregion = ['a-b-1']\ncross-region-bytes-per-second = 7\n",
        )
        .expect("legal file");
        let merged = flags(&["--listen", "localhost:0", "--region", "c-d-1,e-f-1"]).over(file);
        assert_eq!(merged.listen(), "127.0.0.1:0".parse().expect("an address"));
        assert_eq!(merged.snapshot_memory, Some(ByteCount(64 << 20)));
        assert_eq!(merged.cross_region_bytes_per_second, Some(ByteCount(7)));
        assert_eq!(merged.region.len(), 2);
        assert_eq!(merged.mode(), Mode::Closed);
        assert!(merged.check().is_ok());
        assert_eq!(Layer::default().listen(), LISTEN);
    }

    #[test]
    fn a_wrong_key_is_named_with_its_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("snapferry.toml");
        fs::write(&path, "lissen = 'x'\n").expect("written");
        let error = Layer::read(&path).expect_err("no such setting");
        let source = std::error::Error::source(&error)
            .expect("a cause")
            .to_string();
        assert!(
            error.to_string().contains("snapferry.toml") && source.contains("lissen"),
            "{error}: {source}"
        );
        fs::write(&path, "lissen = 'x'\ndata = '/srv/s'\n").expect("written");
        let named = FolderNamed::read(&path).expect("other keys are no matter");
        assert_eq!(named.data.as_deref(), Some(Path::new("/srv/s")));
        assert!(matches!(
            Layer::read(&dir.path().join("none")),
            Err(SettingsError::Unreadable { .. })
        ));
    }
}
