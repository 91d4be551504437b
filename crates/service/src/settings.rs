//! What a deployment may choose. Values only; the parts are in [`crate::Dependencies`].
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use model::{Account, Region, limits};
use zeroize::Zeroizing;

use crate::{ClusterAddresses, auth::sessions::Role, link::peer::Peer};

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Every request is signed, and its signature verified.
    Closed,
    /// For laptops and CI: signatures are not checked.
    Dev,
}

/// An address that events are delivered to.
#[derive(Clone)]
pub struct Webhook {
    /// The http or https URL.
    pub url: String,
    /// What deliveries are signed with.
    pub secret: Zeroizing<String>,
    /// The topic that it stands for: it then gets what event subscriptions of that topic want, else
    /// every event.
    pub topic: Option<String>,
    /// Whose events they are said to be.
    pub source: EventSource,
}

/// Whose events a webhook's are said to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventSource {
    /// `snapferry.rds` and `snapferry.backup`: nobody takes them for Amazon's.
    #[default]
    Snapferry,
    /// `aws.rds` and `aws.backup`, for programs that know no others.
    Aws,
}

impl EventSource {
    /// The word before the service's.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Snapferry => "snapferry",
            Self::Aws => "aws",
        }
    }
}

impl std::fmt::Debug for Webhook {
    /// Shows no secret; the URL's path may be one too.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Webhook")
    }
}

/// How clusters speak TLS.
#[derive(Debug, Clone, Default)]
pub struct ClusterTls {
    /// The files of a certificate and its key for all clusters; none: the deployment's own
    /// authority makes one for each.
    pub given: Option<(PathBuf, PathBuf)>,
    /// Names that clients reach clusters by, beside their addresses.
    pub names: Vec<String>,
    /// Whether clients without TLS are refused.
    pub forced: bool,
}

/// What a node of a shared catalog tells the others.
#[derive(Debug, Clone)]
pub struct Membership {
    /// Names the data folder.
    pub home: String,
    /// Where this node is reached.
    pub endpoint: String,
    /// The release.
    pub build: String,
    /// The zone that this node is in, if it says one.
    pub zone: Option<String>,
}

/// What a deployment may choose.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who may ask.
    pub mode: Mode,
    /// The name of this node: clusters stay with their node. No slash is in it.
    pub node: String,
    /// What the nodes of a shared catalog know of one another; none: the catalog is this node's.
    pub membership: Option<Membership>,
    /// The region of requests that name none.
    pub default_region: Region,
    /// Regions beyond the ones that AWS has.
    pub extra_regions: BTreeSet<Region>,
    /// Regions whose encrypted copies under another key or account share no key with their source.
    pub reencrypt: BTreeSet<Region>,
    /// Regions that other deployments host.
    pub peers: BTreeMap<Region, Peer>,
    /// The account of requests that name none (`Dev`), and of the first administrator.
    pub default_account: Account,
    /// Where clusters' files lie: `clusters/` below it.
    pub data_dir: PathBuf,
    /// The addresses that clusters listen on, and their `Endpoint`s.
    pub cluster_addresses: ClusterAddresses,
    /// Ports that clusters on one address get when the caller asks for none, and others when
    /// theirs is in use on all addresses.
    pub cluster_ports: RangeInclusive<u16>,
    /// How clusters speak TLS.
    pub cluster_tls: ClusterTls,
    /// Whether each cluster runs under an OS user of its own (Snapferry is root).
    pub os_users: bool,
    /// Without OS users: whether clusters of several accounts may share one.
    pub shared_os_user: bool,
    /// Whether clusters' servers end with this process, or run on until the next one adopts them.
    pub stop_clusters_on_exit: bool,
    /// What the processes of one cluster may take of the machine.
    pub cluster_limits: engine::Limits,
    /// Bytes a second that copies may bring into one region; none: no limit.
    pub cross_region_bytes_per_sec: Option<u64>,
    /// Memory that one snapshot may use on its way to the vault, bytes.
    pub snapshot_memory_bytes: usize,
    /// Manual cluster snapshots of one account in one region.
    pub manual_snapshots_max: usize,
    /// Cross-region copies in progress into one region for one account.
    pub cross_region_copies_max: usize,
    /// Clusters of one account in one region.
    pub clusters_max: usize,
    /// Whether copies between regions need a `PreSignedUrl` outside GovCloud too.
    pub require_presigned_url: bool,
    /// Whether snapshots of Multi-AZ DB clusters cannot be copied, as in RDS.
    pub refuse_multi_az_copies: bool,
    /// Whether a catalog that knows less than the vault's record log may go on with that vault.
    pub accept_older_catalog: bool,
    /// Roles, and who may assume them. Without checked signatures anyone may assume any.
    pub roles: Vec<Role>,
    /// Where events are delivered.
    pub webhooks: Vec<Webhook>,
    /// Regions whose clusters' automated backups are brought to another one, and to which.
    pub replicate_backups: BTreeMap<Region, Region>,
    /// Whether no automated snapshots are taken.
    pub no_automated_backups: bool,
    /// Clusters that have metrics of their own, at most: with more, only sums are told.
    pub metrics_clusters_max: usize,
    /// Whether changes are refused while no record of them can be written.
    pub audit_required: bool,
    /// What the audit log's files may have together, bytes; the oldest go.
    pub audit_bytes_max: usize,
    /// How long they are kept at most.
    pub audit_days: usize,
    /// How long a job's lease lasts unless it is renewed.
    pub lease: Duration,
    /// How long what nothing reaches is kept.
    pub sweep_grace: Duration,
}

/// Bounds of the period of upkeep; within them it is a quarter of the grace.
const UPKEEP_MIN: Duration = Duration::from_secs(1);
const UPKEEP_MAX: Duration = Duration::from_secs(600);

impl Settings {
    /// How often what is over is looked for, in the vaults and in the catalog.
    pub fn upkeep_period(&self) -> Duration {
        (self.sweep_grace / 4).clamp(UPKEEP_MIN, UPKEEP_MAX)
    }

    /// The defaults for a data folder.
    pub fn new(mode: Mode, data_dir: PathBuf) -> Self {
        Self {
            mode,
            node: "local".to_owned(),
            membership: None,
            default_region: "us-east-1".parse().expect("a region's name"),
            extra_regions: BTreeSet::new(),
            reencrypt: BTreeSet::new(),
            peers: BTreeMap::new(),
            default_account: "000000000000".parse().expect("twelve digits"),
            data_dir,
            cluster_addresses: ClusterAddresses::default(),
            cluster_ports: 15_432..=16_431,
            cluster_tls: ClusterTls {
                // As newer engines of RDS have it; laptops' tools often have no TLS.
                forced: mode == Mode::Closed,
                ..ClusterTls::default()
            },
            os_users: false,
            shared_os_user: false,
            // What a laptop or CI began is to be gone afterwards.
            stop_clusters_on_exit: mode == Mode::Dev,
            cluster_limits: engine::Limits::default(),
            cross_region_bytes_per_sec: None,
            snapshot_memory_bytes: limits::SNAPSHOT_MEMORY_BYTES,
            manual_snapshots_max: limits::MANUAL_SNAPSHOTS_MAX,
            cross_region_copies_max: limits::CROSS_REGION_COPIES_MAX,
            clusters_max: limits::CLUSTERS_MAX,
            require_presigned_url: false,
            refuse_multi_az_copies: false,
            accept_older_catalog: false,
            roles: Vec::new(),
            webhooks: Vec::new(),
            replicate_backups: BTreeMap::new(),
            no_automated_backups: false,
            metrics_clusters_max: limits::METRICS_CLUSTERS_MAX,
            audit_required: false,
            audit_bytes_max: limits::AUDIT_BYTES_MAX,
            audit_days: limits::AUDIT_DAYS,
            lease: limits::LEASE,
            sweep_grace: limits::SWEEP_GRACE,
        }
    }

    /// Whether requests and copies may name this region.
    pub fn knows(&self, region: &Region) -> bool {
        region.is_known() || self.extra_regions.contains(region) || self.peers.contains_key(region)
    }
}
