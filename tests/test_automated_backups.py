"""Automated snapshots: each cluster has them taken, nobody shares or deletes one, anybody copies and restores one."""
import datetime
import re

import pytest

import clients
from clients import FAR, OWNER, PARTNER, refused, unique
from snapferry_tools import running

TAKING = {"SNAPFERRY_NO_AUTOMATED_BACKUPS": None}
NAME = re.compile(r"rds:(.+)-\d{4}-\d\d-\d\d-\d\d-\d\d")
SOON = 60


def automated(rds, cluster):
    """The automated snapshots of a cluster."""
    return rds.describe_db_cluster_snapshots(SnapshotType="automated", DBClusterIdentifier=cluster)[
        "DBClusterSnapshots"
    ]


def first_of(rds, cluster):
    """A cluster's first automated snapshot, once it is available."""
    def taken():
        return [one for one in automated(rds, cluster) if one["Status"] == "available"]
    return running.wait_until(taken, SOON, f"an automated snapshot of {cluster}")[0]


@pytest.fixture(scope="module")
def taking(deploy_for_module):
    """A deployment whose clusters have automated snapshots taken."""
    return deploy_for_module(environment=TAKING)


@pytest.fixture(scope="module")
def shop(taking):
    """A cluster with rows, and tags that go to its snapshots."""
    made = taking.new_cluster("shop", CopyTagsToSnapshot=True, Tags=[{"Key": "team", "Value": "sea"}], wait=False)
    clients.wait_cluster(taking.rds(), "shop")
    return made


@pytest.fixture(scope="module")
def first(taking, shop):
    """Its first automated snapshot."""
    return first_of(taking.rds(), "shop")


def test_rule_2_12_a_new_cluster_has_one_taken(taking, first):
    assert NAME.fullmatch(first["DBClusterSnapshotIdentifier"]).group(1) == "shop"
    minute = first["SnapshotCreateTime"].astimezone(datetime.UTC).strftime("%Y-%m-%d-%H-%M")
    assert first["DBClusterSnapshotIdentifier"] == f"rds:shop-{minute}"
    assert first["SnapshotType"] == "automated"
    assert first["TagList"] == [{"Key": "team", "Value": "sea"}]
    assert first["DBClusterSnapshotArn"].endswith(":cluster-snapshot:" + first["DBClusterSnapshotIdentifier"])
    events = taking.rds().describe_events(
        SourceType="db-cluster-snapshot", SourceIdentifier=first["DBClusterSnapshotIdentifier"]
    )["Events"]
    said = [event["Message"] for event in events]
    assert said == ["Creating automated cluster snapshot.", "Automated cluster snapshot created."]
    assert {category for event in events for category in event["EventCategories"]} == {"backup"}


def test_rule_2_12_it_is_listed_where_amazon_lists_it(taking, first):
    rds, name = taking.rds(), first["DBClusterSnapshotIdentifier"]
    taking.new_snapshot("by-hand", "shop")

    def listed(**by):
        found = rds.describe_db_cluster_snapshots(**by)["DBClusterSnapshots"]
        return [one["DBClusterSnapshotIdentifier"] for one in found]

    both = sorted(["by-hand", name])
    of_type = {"Filters": [{"Name": "snapshot-type", "Values": ["automated"]}]}
    assert listed() == both == listed(DBClusterIdentifier="shop") == listed(IncludeShared=True, IncludePublic=True)
    assert listed(SnapshotType="automated") == [name] == listed(**of_type)
    assert listed(SnapshotType="manual") == ["by-hand"]
    assert listed(DBClusterSnapshotIdentifier=name) == [name]
    assert listed(DBClusterSnapshotIdentifier=first["DBClusterSnapshotArn"].replace("shop", "SHOP")) == [name]
    for other in ("awsbackup", "shared", "public"):
        assert listed(SnapshotType=other) == []
    quotas = {one["AccountQuotaName"]: one["Used"] for one in rds.describe_account_attributes()["AccountQuotas"]}
    assert quotas["ManualClusterSnapshots"] == 1
    rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="by-hand")


def test_rule_2_12_it_is_neither_deleted_nor_shared_by_hand(taking, first):
    rds, name = taking.rds(), first["DBClusterSnapshotIdentifier"]
    refused(
        "InvalidDBClusterSnapshotStateFault", rds.delete_db_cluster_snapshot, "Only manual snapshots may be deleted.",
        DBClusterSnapshotIdentifier=name,
    )
    refused(
        "InvalidDBClusterSnapshotStateFault", rds.modify_db_cluster_snapshot_attribute,
        "automated snapshots cannot be modified.", DBClusterSnapshotIdentifier=name, AttributeName="restore",
        ValuesToAdd=[PARTNER],
    )
    shared = rds.describe_db_cluster_snapshot_attributes(DBClusterSnapshotIdentifier=name)
    attributes = shared["DBClusterSnapshotAttributesResult"]["DBClusterSnapshotAttributes"]
    assert attributes == [{"AttributeName": "restore", "AttributeValues": []}]
    for target in ("rds:mine", first["DBClusterSnapshotIdentifier"]):
        refused(
            "InvalidParameterValue", rds.create_db_cluster_snapshot, DBClusterSnapshotIdentifier=target,
            DBClusterIdentifier="shop",
        )


def test_rule_2_12_its_copies_are_manual_here_and_far(taking, first):
    name, arn = first["DBClusterSnapshotIdentifier"], first["DBClusterSnapshotArn"]
    for region, source in ((clients.HOME, name), (FAR, arn)):
        rds = taking.rds(region)
        copy = rds.copy_db_cluster_snapshot(
            SourceDBClusterSnapshotIdentifier=source, TargetDBClusterSnapshotIdentifier="kept", CopyTags=True
        )["DBClusterSnapshot"]
        assert (copy["SnapshotType"], copy["SourceDBClusterSnapshotArn"]) == ("manual", arn)
        assert copy["SnapshotCreateTime"] == first["SnapshotCreateTime"]
        assert copy["TagList"] == first["TagList"]
        clients.wait_snapshot(rds, "kept")
        rds.modify_db_cluster_snapshot_attribute(
            DBClusterSnapshotIdentifier="kept", AttributeName="restore", ValuesToAdd=[PARTNER]
        )
        rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="kept")


def test_rule_2_12_it_is_restored_and_tagged_like_any(taking, first):
    rds, arn = taking.rds(), first["DBClusterSnapshotArn"]
    rds.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "seen", "Value": "yes"}])
    tags = rds.list_tags_for_resource(ResourceName=arn)["TagList"]
    assert {"Key": "seen", "Value": "yes"} in tags
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier="again", SnapshotIdentifier=first["DBClusterSnapshotIdentifier"],
        Engine="aurora-postgresql",
    )
    restored = clients.wait_cluster(rds, "again")
    with clients.connect(restored) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    # Its own first one builds on what it was restored from; it ends with the cluster.
    assert first_of(rds, "again")["DbClusterResourceId"] == restored["DbClusterResourceId"]
    rds.delete_db_cluster(DBClusterIdentifier="again", SkipFinalSnapshot=True)
    clients.wait_cluster_gone(rds, "again")
    assert automated(rds, "again") == []


def test_what_a_cluster_is_asked_to_do_does_not_wait_for_one(taking):
    """A cluster that is just available is stopped and deleted as if no automated snapshot were being taken."""
    rds, name = taking.rds(), unique("busy")
    taking.new_cluster(name)
    rds.stop_db_cluster(DBClusterIdentifier=name)
    running.wait_until(lambda: clients.cluster_of(rds, name)["Status"] == "stopped", SOON, "it is stopped")
    assert all(one["Status"] == "available" for one in automated(rds, name))
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    clients.wait_cluster_gone(rds, name)
    assert automated(rds, name) == []


def test_a_key_that_cannot_be_used_is_told(taking):
    rds, name = taking.rds(), unique("sealed")
    key = taking.new_key(Description="of a cluster")
    taking.new_cluster(name, wait=False, StorageEncrypted=True, KmsKeyId=key)
    taking.kms().disable_key(KeyId=key)
    clients.wait_cluster(rds, name)

    def told():
        events = rds.describe_events(SourceType="db-cluster", SourceIdentifier=name)["Events"]
        return [one["Message"] for one in events if "backup" in one["Message"]]

    said = running.wait_until(told, SOON, "the event")
    assert re.fullmatch(r"Automated backup of the DB cluster failed: The target KMS key .*\.", said[0])
    assert automated(rds, name) == []
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


def test_none_is_taken_where_that_was_chosen(closed, plain):
    """The whole suite's deployment has them switched off."""
    assert automated(closed.rds(), plain["DBClusterIdentifier"]) == []
    assert OWNER in plain["DBClusterArn"]


def test_default_windows_lie_in_the_region_s_block(taking):
    """03:00 to 11:00 in Virginia, 22:00 to 06:00 in Ireland."""
    for region, opens, hours in ((clients.HOME, 3, 8), (FAR, 22, 8)):
        made = taking.new_cluster(unique("window"), region, wait=False)
        start = made["PreferredBackupWindow"].partition("-")[0]
        hour, minute = map(int, start.split(":"))
        since = (hour * 60 + minute - opens * 60) % 1440
        assert since <= hours * 60 - 30, made["PreferredBackupWindow"]
        assert made["BackupRetentionPeriod"] == 1


def backups(rds, **by):
    """What is listed of automated backups."""
    return rds.describe_db_cluster_automated_backups(**by)["DBClusterAutomatedBackups"]


def test_rule_2_12_backups_of_clusters_that_are_there(taking, first):
    rds, resource = taking.rds(), first["DbClusterResourceId"]
    cluster = clients.cluster_of(rds, "shop")
    (shown,) = backups(rds, DbClusterResourceId=resource.lower())
    assert shown["Status"] == "active"
    for member in ("Engine", "EngineVersion", "EngineMode", "MasterUsername", "DbClusterResourceId", "DBClusterArn",
                   "ClusterCreateTime", "BackupRetentionPeriod", "PreferredBackupWindow", "Port", "AllocatedStorage",
                   "StorageEncrypted", "AvailabilityZones", "TagList"):
        assert shown[member] == cluster[member], member
    assert (shown["DBClusterIdentifier"], shown["Region"]) == ("shop", clients.HOME)
    prefix = f"arn:aws:rds:{clients.HOME}:{OWNER}:cluster-auto-backup:ab-"
    assert shown["DBClusterAutomatedBackupsArn"].startswith(prefix)
    filters = {
        "db-cluster-id": ["SHOP", cluster["DBClusterArn"]],
        "db-cluster-resource-id": [resource, cluster["DBClusterArn"]],
        "status": ["active"],
    }

    # Its window moves on from one answer to the next.
    def found(**by):
        return [one["DBClusterAutomatedBackupsArn"] for one in backups(rds, **by)]

    arn = shown["DBClusterAutomatedBackupsArn"]
    for name, values in filters.items():
        for value in values:
            assert arn in found(Filters=[{"Name": name, "Values": [value]}]), value
        assert backups(rds, Filters=[{"Name": name, "Values": ["no-such-thing"]}]) == []
    assert found(DBClusterIdentifier="Shop") == [arn]
    assert arn not in found(Filters=[{"Name": "status", "Values": ["retained"]}])
    missing = "DBClusterAutomatedBackupNotFoundFault"
    for member in ("DbClusterResourceId", "DBClusterIdentifier"):
        said = refused(missing, rds.describe_db_cluster_automated_backups, status=404, **{member: "nothing-here"})
        assert "nothing-here" in said
        refused(missing, taking.rds(account=PARTNER).describe_db_cluster_automated_backups, **{member: shown[
            {"DBClusterIdentifier": "DBClusterArn"}.get(member, member)]})
    refused("InvalidParameterValue", rds.describe_db_cluster_automated_backups, MaxRecords=19)
    refused(missing, rds.delete_db_cluster_automated_backup, status=404, DbClusterResourceId="cluster-ABC")
    refused(missing, taking.rds(account=PARTNER).delete_db_cluster_automated_backup, DbClusterResourceId=resource)
    for named in (resource, shown["DBClusterAutomatedBackupsArn"]):
        refused(
            "InvalidDBClusterAutomatedBackupStateFault", rds.delete_db_cluster_automated_backup,
            DbClusterResourceId=named,
        )


def test_rule_2_12_backups_outlive_their_cluster_if_asked(taking):
    rds, name = taking.rds(), unique("kept")
    made = taking.new_cluster(name, BackupRetentionPeriod=3)
    with clients.connect(made) as connection:
        connection.execute("create table kept as select 7 as seven")
    first = first_of(rds, name)
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True, DeleteAutomatedBackups=False)
    clients.wait_cluster_gone(rds, name)
    (shown,) = backups(rds, Filters=[{"Name": "status", "Values": ["retained"]}])
    assert shown == backups(rds, DbClusterResourceId=made["DbClusterResourceId"])[0]
    assert shown == backups(rds, DBClusterIdentifier=made["DBClusterArn"])[0]
    assert (shown["Status"], shown["BackupRetentionPeriod"], shown["Port"]) == ("retained", 3, made["Port"])
    assert [one["DBClusterSnapshotArn"] for one in automated(rds, name)] == [first["DBClusterSnapshotArn"]]
    refused(
        "InvalidDBClusterSnapshotStateFault", rds.delete_db_cluster_snapshot,
        DBClusterSnapshotIdentifier=first["DBClusterSnapshotIdentifier"],
    )
    # Another cluster of that name has backups of its own, and the old ones are restored beside it.
    again = taking.new_cluster(name)
    assert {one["DbClusterResourceId"] for one in backups(rds, DBClusterIdentifier=name)} == {
        made["DbClusterResourceId"], again["DbClusterResourceId"],
    }
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=f"{name}-back", SnapshotIdentifier=first["DBClusterSnapshotArn"], Engine="aurora-postgresql",
    )
    clients.wait_cluster(rds, f"{name}-back")
    deleted = rds.delete_db_cluster_automated_backup(DbClusterResourceId=shown["DBClusterAutomatedBackupsArn"])
    assert deleted["DBClusterAutomatedBackup"] == shown
    refused(
        "DBClusterAutomatedBackupNotFoundFault", rds.delete_db_cluster_automated_backup, status=404,
        DbClusterResourceId=made["DbClusterResourceId"],
    )
    left = {one["DbClusterResourceId"] for one in automated(rds, name)}
    assert made["DbClusterResourceId"] not in left
    for gone in (name, f"{name}-back"):
        rds.delete_db_cluster(DBClusterIdentifier=gone, SkipFinalSnapshot=True, DeleteAutomatedBackups=True)
    for gone in (name, f"{name}-back"):
        clients.wait_cluster_gone(rds, gone)
    assert automated(rds, name) == [] == backups(rds, Filters=[{"Name": "status", "Values": ["retained"]}])


def test_retained_backups_have_a_quota(deploy):
    few = deploy("--clusters-max", "1", environment=TAKING)
    rds = few.rds()
    for name in ("one", "two"):
        few.new_cluster(name)
        first_of(rds, name)
        if name == "two":
            refused(
                "DBClusterAutomatedBackupQuotaExceededFault", rds.delete_db_cluster, DBClusterIdentifier=name,
                SkipFinalSnapshot=True, DeleteAutomatedBackups=False,
            )
            assert clients.cluster_of(rds, name)["Status"] == "available"
        else:
            rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True, DeleteAutomatedBackups=False)
            clients.wait_cluster_gone(rds, name)
    # They outlast the server.
    few.server.stop()
    few.server.start()
    assert [one["Status"] for one in backups(few.rds())] in (["active", "retained"], ["retained", "active"])
