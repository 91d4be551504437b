"""What Terraform's AWS provider calls for each resource about clusters, in its order: create, wait, read, update, read, delete.

The provider's own rules are kept: which status it waits through (any other one ends an apply), what it reads beside the
resource itself, how it compares. A state that is read right after the create must show no difference to the configuration, and
a second read none to the first. Source: terraform-provider-aws, internal/service/rds.
"""
import re
import time

import pytest

from clients import FAR, HOME, OWNER, PASSWORD, USER, refused, unique

# Statuses that the provider waits through until `available`.
CLUSTER_PENDING = {
    "backing-up", "creating", "migrating", "modifying", "preparing-data-migration", "rebooting", "renaming",
    "resetting-master-credentials", "scaling-compute", "upgrading",
}
INSTANCE_PENDING = {
    "backing-up", "configuring-enhanced-monitoring", "configuring-iam-database-auth", "configuring-log-exports", "creating",
    "maintenance", "modifying", "rebooting", "renaming", "resetting-master-credentials", "starting", "stopping",
    "storage-full", "storage-optimization", "upgrading",
}
SNAPSHOT_PENDING = {"creating", "copying"}
GROUP = "sg-0123456789abcdef0"

# An `aws_rds_cluster` block by the API's names, but for what a cluster has only one of.
CONFIGURATION = {
    "Engine": "aurora-postgresql",
    "EngineMode": "provisioned",
    "MasterUsername": USER,
    "DatabaseName": "shop",
    "AvailabilityZones": [f"{HOME}a", f"{HOME}b", f"{HOME}c"],
    "BackupRetentionPeriod": 7,
    "PreferredBackupWindow": "02:00-02:30",
    "PreferredMaintenanceWindow": "sun:05:00-sun:05:30",
    "CopyTagsToSnapshot": True,
    "DeletionProtection": True,
    "StorageEncrypted": True,
    "NetworkType": "IPV4",
    "EngineLifecycleSupport": "open-source-rds-extended-support",
    "StorageType": "aurora-iopt1",
    "BacktrackWindow": 0,
    "DatabaseInsightsMode": "standard",
    "Port": 5432,
}
# What a computed attribute must be, or the next plan replaces the cluster or ends in a panic.
COMPUTED = (
    "DBClusterArn", "DbClusterResourceId", "DBClusterParameterGroup", "DBSubnetGroup", "Endpoint", "ReaderEndpoint",
    "EngineVersion", "HostedZoneId", "KmsKeyId", "MasterUsername",
)
LISTS = ("AssociatedRoles", "DBClusterMembers", "DomainMemberships", "TagList", "VpcSecurityGroups")


class Provider:
    """The provider's calls against one region."""

    def __init__(self, deployment, region=HOME):
        self.rds = deployment.rds(region)

    def wait(self, read, pending, target="available", seconds=60):
        """Waits as the provider does: an unexpected status ends it."""
        end = time.monotonic() + seconds
        while True:
            status = read()
            if status == target:
                return
            assert status in pending, f"unexpected state '{status}', wanted target '{target}'"
            assert time.monotonic() < end, f"still '{status}'"
            time.sleep(0.1)

    def cluster(self, name):
        """`findDBClusterByID`: an answer about another identifier counts as none."""
        [found] = self.rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"]
        assert found["DBClusterIdentifier"] == name
        return found

    def wait_cluster(self, name, settled=False):
        """Waits for a cluster, and after a change until nothing of it is pending."""
        self.wait(lambda: self.cluster(name)["Status"], CLUSTER_PENDING)
        end = time.monotonic() + 60
        while settled and self.cluster(name).get("PendingModifiedValues"):
            assert time.monotonic() < end, "changes stay pending"
            time.sleep(0.1)

    def read_cluster(self, name):
        """All that a refresh asks for; the state."""
        found = self.cluster(name)
        assert self.rds.describe_global_clusters(
            Filters=[{"Name": "db-cluster-id", "Values": [found["DBClusterArn"]]}]
        )["GlobalClusters"] == []
        return found

    def create_cluster(self, name, **arguments):
        self.rds.create_db_cluster(DBClusterIdentifier=name, MasterUserPassword=PASSWORD, **arguments)
        self.wait_cluster(name)

    def delete_cluster(self, name):
        """Protection is lifted first; the wait ends at the fault."""
        if self.cluster(name)["DeletionProtection"]:
            refused(
                "InvalidParameterCombination", self.rds.delete_db_cluster, re.compile("disable deletion pro"),
                DBClusterIdentifier=name, SkipFinalSnapshot=True,
            )
            self.rds.modify_db_cluster(DBClusterIdentifier=name, DeletionProtection=False, ApplyImmediately=True)
            self.wait_cluster(name)
        self.rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True, DeleteAutomatedBackups=True)
        end = time.monotonic() + 60
        while True:
            try:
                assert self.cluster(name)["Status"] in CLUSTER_PENDING | {"available", "deleting"}
            except self.rds.exceptions.DBClusterNotFoundFault:
                return
            assert time.monotonic() < end, "the cluster stays"
            time.sleep(0.1)


def differences(first, second):
    """Members of two reads that are not alike, but for what passes."""
    passing = {"ResponseMetadata", "LatestRestorableTime", "EarliestRestorableTime"}
    return {
        name: (first.get(name), second.get(name))
        for name in (set(first) | set(second)) - passing
        if first.get(name) != second.get(name)
    }


def shows(configuration, state):
    """Arguments of a configuration that a plan would change."""
    found = {}
    for name, wanted in configuration.items():
        seen = state.get(name)
        if isinstance(wanted, list):
            wanted, seen = sorted(wanted), sorted(seen or [])
        if seen != wanted:
            found[name] = (wanted, seen)
    return found


@pytest.fixture(scope="module")
def provider(closed):
    return Provider(closed)


@pytest.fixture(scope="module")
def applied(provider, key):
    """A cluster as `aws_rds_cluster` makes it, with its key."""
    name = unique("tf-cluster")
    provider.create_cluster(
        name, KmsKeyId=key, VpcSecurityGroupIds=[GROUP], EnableCloudwatchLogsExports=["postgresql"],
        Tags=[{"Key": "stage", "Value": "test"}], **CONFIGURATION,
    )
    yield name
    provider.delete_cluster(name)


def test_a_cluster_reads_as_it_was_configured(provider, applied, key):
    state = provider.read_cluster(applied)
    assert shows(CONFIGURATION, state) == {}
    assert state["KmsKeyId"].endswith(key.rpartition("/")[2])
    assert [one["VpcSecurityGroupId"] for one in state["VpcSecurityGroups"]] == [GROUP]
    assert state["EnabledCloudwatchLogsExports"] == ["postgresql"]
    assert state["TagList"] == [{"Key": "stage", "Value": "test"}]
    assert [name for name in COMPUTED if not state.get(name)] == []
    assert [name for name in LISTS if name not in state] == []
    assert state["EngineVersion"].startswith("15.") and len(state["AvailabilityZones"]) == 3
    assert differences(state, provider.read_cluster(applied)) == {}


def test_an_update_ends_and_reads_as_it_was_asked(provider, applied):
    before = provider.read_cluster(applied)
    wanted = {
        "BackupRetentionPeriod": 12, "PreferredBackupWindow": "04:00-04:30", "PreferredMaintenanceWindow": "mon:01:00-mon:01:30",
        "CopyTagsToSnapshot": False,
    }
    provider.rds.modify_db_cluster(DBClusterIdentifier=applied, ApplyImmediately=True, MasterUserPassword=PASSWORD + "-2", **wanted)
    provider.wait_cluster(applied, settled=True)
    arn = before["DBClusterArn"]
    provider.rds.remove_tags_from_resource(ResourceName=arn, TagKeys=["stage"])
    provider.rds.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "owner", "Value": "platform"}])
    after = provider.read_cluster(applied)
    assert set(differences(before, after)) == {*wanted, "TagList"}
    assert shows({**CONFIGURATION, **wanted}, after) == {}
    role = f"arn:aws:iam::{OWNER}:role/export"
    provider.rds.add_role_to_db_cluster(DBClusterIdentifier=applied, RoleArn=role, FeatureName="s3Export")
    [seen] = provider.read_cluster(applied)["AssociatedRoles"]
    assert (seen["RoleArn"], seen["FeatureName"], seen["Status"]) == (role, "s3Export", "ACTIVE")
    provider.rds.remove_role_from_db_cluster(DBClusterIdentifier=applied, RoleArn=role, FeatureName="s3Export")
    assert differences(after, provider.read_cluster(applied)) == {}


def test_a_cluster_instance(provider, applied):
    """`aws_rds_cluster_instance`: create, wait, read it and its cluster, change, delete."""
    rds, name = provider.rds, unique("tf-instance")
    wanted = {
        "DBInstanceClass": "db.r6g.large", "Engine": "aurora-postgresql", "PromotionTier": 3, "AutoMinorVersionUpgrade": True,
        "PubliclyAccessible": False, "MonitoringInterval": 0, "CopyTagsToSnapshot": False,
        "PreferredMaintenanceWindow": "tue:02:00-tue:02:30",
    }
    rds.create_db_instance(DBInstanceIdentifier=name, DBClusterIdentifier=applied, **wanted)

    def read():
        [found] = rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
        [cluster] = rds.describe_db_clusters(DBClusterIdentifier=found["DBClusterIdentifier"])["DBClusters"]
        [member] = [one for one in cluster["DBClusterMembers"] if one["DBInstanceIdentifier"] == name]
        return {**found, "writer": member["IsClusterWriter"]}

    provider.wait(lambda: read()["DBInstanceStatus"], INSTANCE_PENDING)
    state = read()
    assert shows(wanted, state) == {} and state["writer"] is True
    missing = (
        "AvailabilityZone", "CACertificateIdentifier", "DBInstanceArn", "DBParameterGroups", "DBSubnetGroup", "DbiResourceId",
        "Endpoint", "EngineVersion", "KmsKeyId", "NetworkType", "PreferredBackupWindow",
    )
    assert [member for member in missing if not state.get(member)] == []
    assert differences(state, read()) == {}
    rds.modify_db_instance(DBInstanceIdentifier=name, ApplyImmediately=True, PromotionTier=5)
    provider.wait(lambda: read()["DBInstanceStatus"], INSTANCE_PENDING)
    assert set(differences(state, read())) == {"PromotionTier"}
    rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
    rds.get_waiter("db_instance_deleted").wait(DBInstanceIdentifier=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 300})
    provider.wait_cluster(applied)


def test_a_snapshot_its_copies_and_a_restore(provider, closed, applied, far_key):
    """`aws_db_cluster_snapshot`, `aws_rds_cluster_snapshot_copy`, its data source, and a cluster with `snapshot_identifier`."""
    rds, name = provider.rds, unique("tf-snapshot")

    def status(of, region=HOME):
        [found] = closed.rds(region).describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=of)["DBClusterSnapshots"]
        return found["Status"]

    made = rds.create_db_cluster_snapshot(
        DBClusterIdentifier=applied, DBClusterSnapshotIdentifier=name, Tags=[{"Key": "kept", "Value": "yes"}]
    )["DBClusterSnapshot"]
    provider.wait(lambda: status(name), SNAPSHOT_PENDING)
    attributes = rds.describe_db_cluster_snapshot_attributes(DBClusterSnapshotIdentifier=name)
    attributes = attributes["DBClusterSnapshotAttributesResult"]["DBClusterSnapshotAttributes"]
    assert attributes == [{"AttributeName": "restore", "AttributeValues": []}]
    copy = f"{name}-far"
    closed.rds(FAR).copy_db_cluster_snapshot(
        SourceDBClusterSnapshotIdentifier=made["DBClusterSnapshotArn"], TargetDBClusterSnapshotIdentifier=copy,
        KmsKeyId=far_key, CopyTags=True, SourceRegion=HOME,
    )
    provider.wait(lambda: status(copy, FAR), SNAPSHOT_PENDING)
    [newest] = sorted(
        closed.rds(FAR).describe_db_cluster_snapshots(SnapshotType="manual", DBClusterIdentifier=applied)["DBClusterSnapshots"],
        key=lambda one: one["SnapshotCreateTime"],
    )[-1:]
    assert newest["DBClusterSnapshotIdentifier"] == copy and newest["KmsKeyId"] == far_key
    far = Provider(closed, FAR)
    restored = unique("tf-restored")
    wanted = {
        "Engine": "aurora-postgresql", "AvailabilityZones": [f"{FAR}a", f"{FAR}b", f"{FAR}c"], "CopyTagsToSnapshot": True,
        "DeletionProtection": False, "Port": 5432,
    }
    far.rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=restored, SnapshotIdentifier=newest["DBClusterSnapshotArn"], KmsKeyId=far_key, **wanted
    )
    far.wait_cluster(restored)
    # The provider modifies at once what a restore cannot be told.
    later = {"BackupRetentionPeriod": 3, "PreferredMaintenanceWindow": "wed:12:00-wed:12:30"}
    far.rds.modify_db_cluster(DBClusterIdentifier=restored, ApplyImmediately=True, MasterUserPassword=PASSWORD, **later)
    far.wait_cluster(restored, settled=True)
    state = far.read_cluster(restored)
    assert shows({**wanted, **later, "MasterUsername": USER, "StorageEncrypted": True}, state) == {}
    assert differences(state, far.read_cluster(restored)) == {}
    far.delete_cluster(restored)
    closed.rds(FAR).delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=copy)
    rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)
    refused("DBClusterSnapshotNotFoundFault", rds.describe_db_cluster_snapshots, DBClusterSnapshotIdentifier=name)
