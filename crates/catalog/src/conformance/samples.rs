//! Records that are as good as any, for tests.
//!
//! They do not come from an action: fields that the catalog does not search have plain values.
use model::{
    Account, ApplyMethod, Arn, ArnKind, BackupJob, BackupJobKind, BackupJobState, BackupPlan,
    BackupSelection, BackupVault, BackupVaultName, Cluster, ClusterName, ClusterStatus, Content,
    CopyAction, Drill, Entropy, GroupScope, Hash, Instance, Job, JobId, JobKind, Key, KeyManager,
    KeyState, LegalHold, ParameterGroup, ParameterSetting, Placement, PlanBody, PlanRule,
    PlanVersion, ReceiptChain, RecoveryPoint, Region, ResourceId, RestoreTestingPlan,
    RestoreTestingSelection, RetainedBackup, Snapshot, SnapshotKind, SnapshotName, SnapshotStatus,
    Subnet, SubnetGroup, SubnetGroupName, Subscription, SubscriptionName, SystemEntropy, Timestamp,
    VolumeId, VolumeRef,
    job::Subject,
    recovery_point::Lifecycle,
    restore_testing::{CLUSTER_PREFIX, Choice, PointsToTest, Stage},
};

/// A region.
pub fn region() -> Region {
    "us-east-1".parse().expect("a region's name")
}

/// Another region.
pub fn other_region() -> Region {
    "eu-west-1".parse().expect("a region's name")
}

/// The account of twelve times this digit.
pub fn account(digit: u8) -> Account {
    assert!(digit < 10, "a digit");
    digit.to_string().repeat(12).parse().expect("twelve digits")
}

/// A volume of its own.
pub fn volume() -> VolumeRef {
    VolumeRef {
        origin: region(),
        account: account(1),
        id: VolumeId::draw(&SystemEntropy),
    }
}

/// A manifest's hash.
pub fn hash(byte: u8) -> Hash {
    Hash([byte; 32])
}

/// A cluster of account 1.
pub fn cluster(name: &str) -> Cluster {
    Cluster {
        region: region(),
        account: account(1),
        name: ClusterName::parse(name).expect("a cluster's name"),
        resource_id: ResourceId::draw(&SystemEntropy),
        status: ClusterStatus::Available,
        created_at: Timestamp(1),
        engine: "aurora-postgresql".to_owned(),
        engine_version: "15.18".to_owned(),
        master_username: "master".to_owned(),
        database_name: None,
        storage_encrypted: false,
        kms_key: None,
        volume: volume(),
        base: None,
        copy_tags_to_snapshot: false,
        deletion_protection: false,
        backup_retention_days: 1,
        preferred_backup_window: "03:00-03:30".to_owned(),
        availability_zones: vec!["us-east-1a".to_owned()],
        engine_mode: "provisioned".to_owned(),
        storage_type: None,
        allocated_storage_gib: 1,
        iops: None,
        instance_class: None,
        tags: Vec::new(),
        failure: None,
        percent_progress: None,
        options: Box::default(),
        pending: Box::default(),
        restarts_at: None,
        backups: model::BackupState::default(),
        master_secret: None,
        logs: Vec::new(),
        spread: None,
    }
}

/// A cluster's writer, on `node-1`.
pub fn writer(cluster: &Cluster) -> Instance {
    Instance::first_writer(
        cluster,
        Placement {
            node: "node-1".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: 5_433,
            os_uid: Some(70_000),
            attempt: "a".to_owned(),
            member: String::new(),
            replication: model::instance::Replication::default(),
        },
    )
}

/// A deleted cluster of account 1 whose automated backups are kept.
pub fn retained_backup(name: &str) -> RetainedBackup {
    RetainedBackup {
        cluster: cluster(name),
        port: Some(5_432),
        deleted_at: Some(Timestamp(3)),
        brought_from: None,
    }
}

/// A manual snapshot of account 1, still being taken.
pub fn snapshot(name: &str) -> Snapshot {
    Snapshot {
        region: region(),
        account: account(1),
        name: SnapshotName::parse_existing(name).expect("a snapshot's name"),
        uid: SystemEntropy.uuid(),
        status: SnapshotStatus::Creating,
        percent_progress: 0,
        kind: SnapshotKind::Manual,
        created_at: Timestamp(2),
        recorded_at: Timestamp(2),
        cluster_name: ClusterName::parse("c").expect("a cluster's name"),
        cluster_resource_id: ResourceId::draw(&SystemEntropy),
        cluster_created_at: Timestamp(1),
        engine: "aurora-postgresql".to_owned(),
        engine_version: "15.18".to_owned(),
        engine_mode: "provisioned".to_owned(),
        master_username: "master".to_owned(),
        port: 0,
        cluster_port: Some(5_432),
        allocated_storage_gib: 1,
        storage_type: None,
        availability_zones: vec!["us-east-1a".to_owned()],
        storage_encrypted: false,
        kms_key: None,
        source: None,
        content: None,
        shared_with: Vec::new(),
        in_log: None,
        tags: Vec::new(),
        failure: None,
        recovery_point: None,
    }
}

/// A snapshot that is a whole recovery point of a cluster, in the vault of that name.
pub fn recovery_point(name: &str, cluster: &str, vault: &str, at: Timestamp) -> Snapshot {
    Snapshot {
        kind: SnapshotKind::Backup,
        status: SnapshotStatus::Available,
        recorded_at: at,
        kms_key: Some(key_arn(vault)),
        recovery_point: Some(RecoveryPoint {
            vault: backup_vault(vault).name,
            job: name.to_owned(),
            resource: Arn::of(ArnKind::Cluster, &region(), &account(1), cluster),
            iam_role: String::new(),
            lifecycle: Lifecycle::default(),
            completed_at: Some(at),
            job_at: None,
            rule: None,
            lived_at: None,
            kept: None,
            retained_until: None,
        }),
        ..snapshot(name)
    }
}

/// A snapshot's bytes in a volume.
pub fn content(volume: &VolumeRef, manifest: Hash) -> Content {
    Content {
        volume: volume.clone(),
        manifest,
        wrapped_key: None,
        logical_bytes: 10,
        stored_bytes: 5,
    }
}

/// A key of account 1.
pub fn key(id: &str) -> Key {
    Key {
        region: region(),
        account: account(1),
        id: id.to_owned(),
        state: KeyState::Enabled,
        manager: KeyManager::Customer,
        created_at: Timestamp(1),
        deletion_at: None,
        description: String::new(),
        policy: "{}".to_owned(),
        tags: Vec::new(),
        spec: Default::default(),
        usage: Default::default(),
        sealed_material: vec![1, 2, 3],
        rotations: Vec::new(),
        current_material: 0,
        rotation: None,
        multi_region: None,
        pending_window_days: None,
    }
}

/// An open job of account 1 that can be claimed at once.
pub fn job(kind: JobKind, name: &str) -> Job {
    job_of(kind, &region(), &account(1), name)
}

/// The same of any account, on a cluster, a snapshot or the vaults: what the kind says.
pub fn job_of(kind: JobKind, region: &Region, account: &Account, name: &str) -> Job {
    let sort = match kind.as_str() {
        "verify-vault" => "vault",
        word if word.ends_with("cluster") => "cluster",
        _ => "snapshot",
    };
    let (region, account) = match sort {
        "vault" => ("", ""),
        _ => (region.as_str(), account.as_str()),
    };
    let id = JobId::draw(&SystemEntropy);
    let subject = Subject::read(sort, region, account, name);
    Job::new(id, kind, subject, "{}".to_owned(), Timestamp(1))
}

/// A key's ARN.
pub fn key_arn(id: &str) -> Arn {
    Arn::kms(&region(), &account(1), &format!("key/{id}"))
}

/// A DB subnet group of account 1.
pub fn subnet_group(name: &str) -> SubnetGroup {
    SubnetGroup {
        region: region(),
        account: account(1),
        name: SubnetGroupName::parse(name).expect("a subnet group's name"),
        description: "a sample".to_owned(),
        subnets: vec![Subnet {
            id: "subnet-1".to_owned(),
            availability_zone: "us-east-1a".to_owned(),
        }],
        tags: Vec::new(),
    }
}

/// A cluster parameter group of account 1.
pub fn parameter_group(name: &str) -> ParameterGroup {
    let setting = ParameterSetting {
        value: Some("1".to_owned()),
        apply_method: ApplyMethod::Immediate,
    };
    ParameterGroup {
        region: region(),
        account: account(1),
        scope: GroupScope::Cluster,
        name: name.to_owned(),
        family: "aurora-postgresql15".to_owned(),
        description: "a sample".to_owned(),
        parameters: [("work_mem".to_owned(), setting)].into(),
        tags: Vec::new(),
    }
}

/// A backup job of account 1.
pub fn backup_job(name: &str) -> BackupJob {
    BackupJob {
        region: region(),
        account: account(1),
        id: name.to_owned(),
        kind: BackupJobKind::Backup,
        state: BackupJobState::Completed,
        message: None,
        vault: backup_vault(name).name,
        resource: Arn::of(ArnKind::Cluster, &region(), &account(1), name),
        resource_name: name.to_owned(),
        resource_type: "Aurora".to_owned(),
        snapshot: SnapshotName::parse_existing(name).expect("a snapshot's name"),
        kms_key: None,
        iam_role: String::new(),
        lifecycle: Lifecycle::default(),
        idempotency_token: None,
        created_at: Timestamp(1),
        start_by: Timestamp(2),
        complete_by: None,
        ended_at: Some(Timestamp(3)),
        bytes: Some(4),
        rule: None,
        tags: Vec::new(),
        copies: [].into(),
        copy: None,
        restore: None,
    }
}

/// A backup plan of account 1, which is due at moment 5.
pub fn backup_plan(name: &str) -> BackupPlan {
    BackupPlan {
        region: region(),
        account: account(1),
        id: name.to_owned(),
        body: plan_version(name).body,
        creator_request_id: None,
        tags: Vec::new(),
        created_at: Timestamp(1),
        deleted_at: None,
        last_run: None,
        looked_to: Timestamp(4),
        due: Some(Timestamp(5)),
    }
}

/// The first version of such a plan: a backup each minute, with a copy.
pub fn plan_version(name: &str) -> PlanVersion {
    let copy = CopyAction {
        to: backup_vault("far").arn(),
        lifecycle: None,
    };
    PlanVersion {
        region: region(),
        account: account(1),
        plan: name.to_owned(),
        body: PlanBody {
            version: format!("{name}-1"),
            written_at: Timestamp(1),
            name: name.to_owned(),
            rules: vec![PlanRule {
                id: format!("{name}-rule"),
                name: "each-minute".to_owned(),
                since: Timestamp(1),
                vault: backup_vault("near").name,
                schedule: "cron(* * * * ? *)".to_owned(),
                time_zone: "Etc/UTC".to_owned(),
                start_window_mins: 60,
                completion_window_mins: 120,
                lifecycle: Lifecycle::default(),
                tags: Vec::new(),
                copies: vec![copy],
            }],
        },
    }
}

/// What such a plan backs up: all of the account's.
pub fn backup_selection(name: &str) -> BackupSelection {
    BackupSelection {
        region: region(),
        account: account(1),
        plan: name.to_owned(),
        id: format!("{name}-all"),
        name: "all".to_owned(),
        iam_role: String::new(),
        resources: vec!["*".to_owned()],
        not_resources: Vec::new(),
        any_tags: Vec::new(),
        conditions: Vec::new(),
        created_at: Timestamp(1),
        creator_request_id: None,
    }
}

/// A backup vault of account 1.
pub fn backup_vault(name: &str) -> BackupVault {
    BackupVault {
        region: region(),
        account: account(1),
        name: BackupVaultName::parse(&format!("Vault_{name}")).expect("a vault's name"),
        created_at: Some(Timestamp(1)),
        kms_key: Some(key_arn(name)),
        creator_request_id: Some("request".to_owned()),
        policy: None,
        tags: Vec::new(),
        lock: None,
    }
}

/// A legal hold of account 1 on the vault of that name.
pub fn legal_hold(name: &str) -> LegalHold {
    LegalHold {
        region: region(),
        account: account(1),
        id: name.to_owned(),
        title: name.to_owned(),
        description: String::new(),
        vaults: vec![backup_vault(name).name],
        resources: Vec::new(),
        made_between: None,
        idempotency_token: None,
        tags: Vec::new(),
        created_at: Timestamp(1),
        cancelled: None,
    }
}

/// A restore testing plan of account 1.
pub fn restore_testing_plan(name: &str) -> RestoreTestingPlan {
    RestoreTestingPlan {
        region: region(),
        account: account(1),
        name: name.to_owned(),
        schedule: "cron(0 5 ? * * *)".to_owned(),
        time_zone: "Etc/UTC".to_owned(),
        since: Timestamp(1),
        start_window_hours: 24,
        points: PointsToTest {
            choice: Choice::Latest,
            include_vaults: vec!["*".to_owned()],
            exclude_vaults: Vec::new(),
            snapshots: true,
            continuous: false,
            window_days: 30,
        },
        creator_request_id: None,
        tags: Vec::new(),
        created_at: Timestamp(1),
        updated_at: None,
        last_run: None,
        looked_to: Timestamp(1),
        due: Some(Timestamp(5)),
        last_passed: None,
    }
}

/// A restore testing selection of account 1 that takes all, of the plan of the same name.
pub fn restore_testing_selection(name: &str) -> RestoreTestingSelection {
    RestoreTestingSelection {
        region: region(),
        account: account(1),
        plan: name.to_owned(),
        name: name.to_owned(),
        resource_type: "Aurora".to_owned(),
        resources: vec!["*".to_owned()],
        conditions: Vec::new(),
        overrides: Default::default(),
        validation_window_hours: 0,
        iam_role: "arn:aws:iam::111111111111:role/tests".to_owned(),
        creator_request_id: None,
        created_at: Timestamp(1),
        updated_at: None,
    }
}

/// A drill of account 1 that waits.
pub fn drill(name: &str) -> Drill {
    let arn = |kind, name: &str| Arn::of(kind, &region(), &account(1), name);
    Drill {
        region: region(),
        account: account(1),
        id: name.to_owned(),
        plan: name.to_owned(),
        selection: name.to_owned(),
        resource: arn(ArnKind::Cluster, name),
        resource_type: "Aurora".to_owned(),
        point: arn(ArnKind::ClusterSnapshot, name),
        vault: backup_vault(name).name,
        point_made_at: Timestamp(1),
        bytes: 7,
        manifest: None,
        cluster: arn(ArnKind::Cluster, &format!("{CLUSTER_PREFIX}{name}")),
        planned_at: Timestamp(2),
        start_by: Timestamp(9),
        validation_window_hours: 0,
        rows_min: None,
        wanted: Vec::new(),
        stage: Stage::Waiting,
        started_at: None,
        restored_at: None,
        checked_at: None,
        checks: Vec::new(),
        validation: None,
        deletion: None,
        ended_at: None,
        origin: None,
        receipt: None,
    }
}

/// The newest receipt of an account.
pub fn receipt_chain(digit: u8) -> ReceiptChain {
    ReceiptChain {
        region: region(),
        account: account(digit),
        number: 1,
        sha256: "00".repeat(32),
    }
}

/// An event subscription of account 1.
pub fn subscription(name: &str) -> Subscription {
    Subscription {
        region: region(),
        account: account(1),
        name: SubscriptionName::parse(name).expect("a subscription's name"),
        topic: "arn:aws:sns:us-east-1:111111111111:topic".to_owned(),
        source_type: None,
        categories: Vec::new(),
        sources: Vec::new(),
        enabled: true,
        created_at: Timestamp(1),
        tags: Vec::new(),
    }
}
