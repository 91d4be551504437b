//! A DB instance: one server of a cluster, and where it is.
use serde::{Deserialize, Serialize};

use crate::{
    arn::Arn,
    clock::Timestamp,
    cluster::{Cluster, ClusterStatus},
    ids::{Account, InstanceId, Region, ResourceId},
    names::InstanceName,
    tag::Tag,
    told::Told,
};

/// Letters of an instance's id that its folders, its socket and its slot are named by.
const MEMBER_CHARS: usize = 12;
/// The promotion tier of one that was given none. Source: API_CreateDBInstance.
pub const DEFAULT_TIER: u8 = 1;

/// What an instance does for its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceRole {
    /// Takes writes. A cluster has at most one.
    Writer,
    /// Follows the writer, and answers reads.
    Reader,
}

impl InstanceRole {
    /// The word in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Reader => "reader",
        }
    }
}

/// How an instance's server is reached and where its files are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The node whose data folder has the files.
    pub node: String,
    /// The host that clients connect to; empty until one is found.
    pub host: String,
    /// The TCP port that clients connect to; zero until one is found.
    pub port: u16,
    /// The OS user that the server runs as; none when Snapferry itself is not root.
    pub os_uid: Option<u32>,
    /// The attempt whose folder holds the data: `clusters/<resource id>/<attempt>`. Empty until one
    /// is whole, and again once its files have begun to go.
    pub attempt: String,
    /// What tells its folders and its socket from those of its cluster's other instances; empty for
    /// the one that the cluster was made with.
    #[serde(default)]
    pub member: String,
    /// What its server is to the others.
    #[serde(default)]
    pub replication: Replication,
}

/// What an instance's server is to its cluster's other servers; [`link`] says it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Replication {
    /// The writer, when this one is a reader.
    #[serde(default)]
    pub follows: Option<Box<Followed>>,
    /// The replication names of the readers, when this one is the writer.
    #[serde(default)]
    pub followers: Vec<String>,
    /// Those of them of which one must have a commit before its client hears of it.
    #[serde(default)]
    pub synchronous: Vec<String>,
    /// The term of the writer ([`crate::Spread::term`]) that this one is, or follows, on several nodes: they
    /// prove themselves with a password of that term. Zero on one node.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub term: u64,
}

fn is_zero(term: &u64) -> bool {
    *term == 0
}

/// A writer, as its readers' servers reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// Its [`Placement::member`].
    pub member: String,
    /// The port that it listens on; a socket may be named by it.
    pub port: u16,
    /// The host that it listens on.
    #[serde(default)]
    pub host: String,
    /// The attempt whose folder holds its data.
    #[serde(default)]
    pub attempt: String,
}

impl Followed {
    /// A writer at this place.
    pub fn at(place: &Placement) -> Self {
        Self {
            member: place.member.clone(),
            port: place.port,
            host: place.host.clone(),
            attempt: place.attempt.clone(),
        }
    }
}

impl Placement {
    /// Whether there are files that a server can run on.
    pub fn is_whole(&self) -> bool {
        !self.attempt.is_empty()
    }

    /// Whether its node has found an address for it.
    pub fn has_address(&self) -> bool {
        self.port != 0
    }

    /// Its server's name among its cluster's servers.
    pub fn replication_name(&self) -> String {
        match self.member.as_str() {
            "" => "member_first".to_owned(),
            member => format!("member_{member}"),
        }
    }

    /// The name of an attempt of this instance's.
    pub fn attempt_of(&self, fence: u64) -> String {
        match self.member.as_str() {
            "" => format!("try-{fence}"),
            member => format!("{member}-try-{fence}"),
        }
    }

    /// Whether a folder of the cluster's is an attempt of this instance's.
    pub fn has_attempt(&self, folder: &str) -> bool {
        let rest = match self.member.as_str() {
            "" => Some(folder),
            member => folder
                .strip_prefix(member)
                .and_then(|rest| rest.strip_prefix('-')),
        };
        rest.is_some_and(|rest| rest.starts_with("try-"))
    }

    /// Whether its cluster has other servers, which run as the same OS user.
    pub fn has_peers(&self) -> bool {
        self.replication.follows.is_some() || !self.replication.followers.is_empty()
    }
}

/// Where an instance stands. RDS's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceStatus {
    /// Being made as a copy of the writer.
    Creating,
    /// Runs.
    #[default]
    Available,
    /// Is stopped and started again.
    Rebooting,
    /// Being removed.
    Deleting,
    /// Could not be made. It can be deleted.
    Failed,
}

impl InstanceStatus {
    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Available => "available",
            Self::Rebooting => "rebooting",
            Self::Deleting => "deleting",
            Self::Failed => "failed",
        }
    }
}

/// What a creator said of an instance that is kept and answered, and changes nothing else here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InstanceOptions {
    /// As given, or true.
    pub auto_minor_version_upgrade: Option<bool>,
    /// The authority of the certificate that the server shows.
    pub ca_certificate: Option<String>,
    /// Seconds between enhanced metrics.
    pub monitoring_interval: Option<u32>,
    /// The role that enhanced metrics are sent under.
    pub monitoring_role: Option<String>,
    /// A weekly window, in lower case.
    pub maintenance_window: Option<String>,
    /// Whether insights are wanted.
    pub performance_insights: Option<bool>,
    /// Days that they are kept.
    pub performance_insights_days: Option<u32>,
    /// Whether the address is to be public.
    pub publicly_accessible: Option<bool>,
    /// Its parameter group.
    pub parameter_group: Option<String>,
    /// As given.
    pub copy_tags_to_snapshot: Option<bool>,
}

/// A DB instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its cluster's region.
    pub region: Region,
    /// Its cluster's owner.
    pub account: Account,
    /// Its name for life.
    pub id: InstanceId,
    /// Its cluster.
    pub cluster: ResourceId,
    /// What it does there.
    pub role: InstanceRole,
    /// A zone of the region.
    pub availability_zone: Option<String>,
    /// As given for a Multi-AZ cluster.
    pub class: Option<String>,
    /// Where it is.
    pub placement: Placement,
    /// Its DBInstanceIdentifier, unique in region and account. None for a cluster's writer that nobody
    /// made by name: it is not among the cluster's members.
    #[serde(default)]
    pub name: Option<InstanceName>,
    /// Where it stands.
    #[serde(default)]
    pub status: InstanceStatus,
    /// Which reader takes writes when the writer cannot: the lowest first.
    #[serde(default = "default_tier")]
    pub promotion_tier: u8,
    /// When it was made by name.
    #[serde(default)]
    pub created_at: Option<Timestamp>,
    /// What is kept and answered.
    #[serde(default)]
    pub options: InstanceOptions,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// Why it failed.
    #[serde(default)]
    pub failure: Option<Told>,
}

fn default_tier() -> u8 {
    DEFAULT_TIER
}

/// Says of a cluster's instances whom each follows and who follows it, and of which one commits wait for
/// another in a Multi-AZ DB cluster. Readers that are not there yet, or go, are waited for by nobody; on
/// several nodes all are, once the cluster is there, and a reader knows whom its commits are to wait for
/// should it take the writes.
pub fn link(instances: &mut [Instance], cluster: &Cluster) {
    let readers: Vec<&Instance> = instances
        .iter()
        .filter(|one| one.role == InstanceRole::Reader)
        .collect();
    let name = |one: &&Instance| one.placement.replication_name();
    let stays = |one: &&&Instance| one.status != InstanceStatus::Failed;
    let followers: Vec<String> = readers.iter().filter(stays).map(name).collect();
    let synchronous = cluster.is_multi_az();
    let is_spread = cluster.spread.is_some();
    let term = cluster.spread.as_ref().map_or(0, |spread| spread.term);
    let all_count = is_spread && cluster.status != ClusterStatus::Creating;
    let is_waited_for = |one: &&&Instance| synchronous && (all_count || one.serves());
    let waited_for: Vec<String> = readers.iter().filter(is_waited_for).map(name).collect();
    let others = |of: &Instance| -> Vec<String> {
        let others = instances.iter().filter(|one| one.id != of.id);
        others.map(|one| one.placement.replication_name()).collect()
    };
    let writer = instances
        .iter()
        .find(|one| one.role == InstanceRole::Writer);
    let followed = writer.map(|writer| Box::new(Followed::at(&writer.placement)));
    let of_reader = |reader: &Instance| Replication {
        follows: followed.clone(),
        followers: Vec::new(),
        synchronous: match is_spread {
            true => others(reader),
            false => Vec::new(),
        },
        term,
    };
    let linked: Vec<Replication> = instances
        .iter()
        .map(|one| match one.role {
            InstanceRole::Writer => Replication {
                follows: None,
                followers: followers.clone(),
                synchronous: waited_for.clone(),
                term,
            },
            InstanceRole::Reader => of_reader(one),
        })
        .collect();
    for (one, linked) in instances.iter_mut().zip(linked) {
        one.placement.replication = linked;
    }
}

impl Instance {
    /// The writer that a cluster is made with.
    pub fn first_writer(cluster: &Cluster, placement: Placement) -> Self {
        Self {
            region: cluster.region.clone(),
            account: cluster.account.clone(),
            id: InstanceId::first_of(&cluster.resource_id),
            cluster: cluster.resource_id.clone(),
            role: InstanceRole::Writer,
            availability_zone: cluster.availability_zones.first().cloned(),
            class: cluster.instance_class.clone(),
            placement,
            name: None,
            status: InstanceStatus::Available,
            promotion_tier: DEFAULT_TIER,
            created_at: None,
            options: InstanceOptions::default(),
            tags: Vec::new(),
            failure: None,
        }
    }

    /// A reader of a cluster, of which nothing is there yet.
    pub fn reader(cluster: &Cluster, id: InstanceId, placement: Placement) -> Self {
        let letters = id.as_str().trim_start_matches("db-").to_ascii_lowercase();
        let member = letters.chars().take(MEMBER_CHARS).collect();
        Self {
            id,
            role: InstanceRole::Reader,
            status: InstanceStatus::Creating,
            ..Self::first_writer(
                cluster,
                Placement {
                    member,
                    attempt: String::new(),
                    ..placement
                },
            )
        }
    }

    /// `arn:…:db:<name>`; of one without a name, with its id.
    pub fn arn(&self) -> Arn {
        Arn::rds(&self.region, &self.account, "db", self.arn_name())
    }

    /// Its name; of one without, its id.
    pub fn arn_name(&self) -> &str {
        let name = self.name.as_ref().map(InstanceName::as_str);
        name.unwrap_or(self.id.as_str())
    }

    /// Whether it has a server that stays.
    fn serves(&self) -> bool {
        let stays = matches!(
            self.status,
            InstanceStatus::Available | InstanceStatus::Rebooting
        );
        stays && self.placement.is_whole()
    }

    /// Whether it is the cluster's writer.
    pub fn is_writer(&self) -> bool {
        self.role == InstanceRole::Writer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(member: &str) -> Placement {
        Placement {
            node: "n".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: 5_432,
            os_uid: None,
            attempt: "try-1".to_owned(),
            member: member.to_owned(),
            replication: Replication::default(),
        }
    }

    #[test]
    fn a_folder_is_of_one_member() {
        let (first, other) = (placement(""), placement("abc"));
        assert_eq!(
            (first.attempt_of(7), other.attempt_of(7)),
            ("try-7".to_owned(), "abc-try-7".to_owned())
        );
        assert!(first.has_attempt("try-7") && !first.has_attempt("abc-try-7"));
        assert!(other.has_attempt("abc-try-7") && !other.has_attempt("try-7"));
        assert!(!placement("ab").has_attempt("abc-try-7"));
    }

    #[test]
    fn readers_follow_the_writer_and_commits_wait_for_those_that_stay() {
        let mut of = cluster();
        let cluster = of.resource_id.clone();
        let one = |role, member: &str| Instance {
            region: of.region.clone(),
            account: of.account.clone(),
            id: match member {
                "" => InstanceId::first_of(&cluster),
                _ => InstanceId::draw(&crate::SystemEntropy),
            },
            cluster: cluster.clone(),
            role,
            availability_zone: None,
            class: None,
            placement: placement(member),
            name: None,
            status: InstanceStatus::Available,
            promotion_tier: DEFAULT_TIER,
            created_at: None,
            options: InstanceOptions::default(),
            tags: Vec::new(),
            failure: None,
        };
        let mut all = vec![
            one(InstanceRole::Writer, ""),
            one(InstanceRole::Reader, "b"),
            one(InstanceRole::Reader, "c"),
        ];
        all[2].status = InstanceStatus::Deleting;
        link(&mut all, &of);
        let writer = &all[0].placement.replication;
        assert_eq!(writer.followers, ["member_b", "member_c"]);
        assert_eq!(
            writer.synchronous,
            ["member_b"],
            "nobody waits for one that goes"
        );
        let followed = all[1].placement.replication.follows.clone();
        let followed = followed.expect("the writer");
        assert_eq!((followed.member.as_str(), followed.port), ("", 5_432));
        assert_eq!(all[1].placement.replication.term, 0);
        assert!(all[1].placement.replication.synchronous.is_empty());
        // On several nodes each knows all others, and whom it follows by its address.
        of.spread = Some(Box::default());
        of.status = ClusterStatus::Creating;
        link(&mut all, &of);
        assert_eq!(all[0].placement.replication.synchronous, ["member_b"]);
        of.status = ClusterStatus::Available;
        link(&mut all, &of);
        let all_readers = ["member_b", "member_c"];
        assert_eq!(all[0].placement.replication.synchronous, all_readers);
        let reader = &all[1].placement.replication;
        assert_eq!(reader.synchronous, ["member_first", "member_c"]);
        let followed = reader.follows.clone().expect("the writer");
        assert_eq!(followed.host, "127.0.0.1");
        assert_eq!((reader.term, all[0].placement.replication.term), (1, 1));
        (of.spread, of.instance_class) = (None, None);
        link(&mut all, &of);
        assert!(all[0].placement.replication.synchronous.is_empty());
        all.truncate(1);
        link(&mut all, &of);
        assert!(!all[0].placement.has_peers());
    }

    fn cluster() -> Cluster {
        let body = serde_json::json!({
            "region": "us-east-1", "account": "000000000001", "name": "c", "status": "available",
            "resource_id": "cluster-ABCDEFGHIJKLMNOPQRSTUVWXYZ", "created_at": 0, "engine": "postgres",
            "engine_version": "15.1", "master_username": "m", "database_name": null,
            "storage_encrypted": false, "kms_key": null,
            "volume": {"origin": "us-east-1", "account": "000000000001", "id": "00000000-0000-0000-0000-000000000000"},
            "base": null, "copy_tags_to_snapshot": false, "deletion_protection": false,
            "backup_retention_days": 1, "preferred_backup_window": "", "availability_zones": [],
            "engine_mode": "provisioned", "storage_type": null, "allocated_storage_gib": 1, "iops": null,
            "instance_class": "db.m5d.large", "tags": [], "failure": null,
        });
        serde_json::from_value(body).expect("it reads")
    }
}
