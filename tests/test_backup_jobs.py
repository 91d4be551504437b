"""Backups on demand: a job makes a recovery point, which is a snapshot in a vault that AWS Backup alone deletes."""
import datetime
import json
import re

import pytest

import clients
from clients import FAR, HOME, OWNER, PARTNER, refused, unique
from snapferry_tools import running
from test_aws_cli import aws  # noqa: F401

ROLE = f"arn:aws:iam::{OWNER}:role/service-role/AWSBackupDefaultServiceRole"
MISSING = re.compile("cannot be found")


@pytest.fixture(scope="module")
def backup(closed):
    """The owner's client."""
    return closed.client("backup")


@pytest.fixture
def vault(backup):
    """A new vault's name; it goes with the test, and its recovery points with it."""
    name = unique("jobs")
    backup.create_backup_vault(BackupVaultName=name)
    yield name
    for row in points(backup, name):
        backup.delete_recovery_point(BackupVaultName=name, RecoveryPointArn=row["RecoveryPointArn"])
    backup.delete_backup_vault(BackupVaultName=name)


def points(backup, vault, **more):
    """The recovery points of a vault."""
    return backup.list_recovery_points_by_backup_vault(BackupVaultName=vault, **more)["RecoveryPoints"]


def start(backup, vault, cluster, **more):
    """Starts a backup job; its id."""
    ask = {"BackupVaultName": vault, "ResourceArn": cluster["DBClusterArn"], "IamRoleArn": ROLE}
    return backup.start_backup_job(**ask | more)["BackupJobId"]


def ended(backup, job):
    """A job that has come to its end."""
    def look():
        found = backup.describe_backup_job(BackupJobId=job)
        return found if found["State"] in ("COMPLETED", "FAILED") else None

    found = running.wait_until(look, 60, f"backup job {job} ends", every=0.1)
    assert found["State"] == "COMPLETED", found
    return found


def described(answer):
    """An answer without what boto3 adds."""
    return {key: value for key, value in answer.items() if key != "ResponseMetadata"}


@pytest.mark.timeout(240)
def test_a_backup_on_demand(closed, backup, vault, sealed, key):
    rds = closed.rds()
    before = len(rds.describe_db_cluster_snapshots(SnapshotType="manual")["DBClusterSnapshots"])
    job = start(backup, vault, sealed, Lifecycle={"DeleteAfterDays": 35}, RecoveryPointTags={"kept": "by-tests"})
    found = ended(backup, job)
    arn = f"arn:aws:rds:{HOME}:{OWNER}:cluster-snapshot:awsbackup:job-{job}"
    assert {name: found[name] for name in (
        "AccountId", "BackupVaultName", "RecoveryPointArn", "ResourceArn", "ResourceType", "ResourceName", "IamRoleArn",
        "PercentDone", "EncryptionKeyArn", "IsEncrypted", "RecoveryPointLifecycle", "MessageCategory",
    )} == {
        "AccountId": OWNER, "BackupVaultName": vault, "RecoveryPointArn": arn, "ResourceArn": sealed["DBClusterArn"],
        "ResourceType": "Aurora", "ResourceName": "sealed", "IamRoleArn": ROLE, "PercentDone": "100.0",
        "EncryptionKeyArn": key, "IsEncrypted": True, "RecoveryPointLifecycle": {"DeleteAfterDays": 35},
        "MessageCategory": "SUCCESS",
    }
    assert found["CreationDate"] <= found["CompletionDate"] and 0 < found["BackupSizeInBytes"]
    assert found["StartBy"] - found["CreationDate"] < datetime.timedelta(hours=8, seconds=1)
    point = described(backup.describe_recovery_point(BackupVaultName=vault, RecoveryPointArn=arn))
    assert (point["Status"], point["ResourceArn"], point["EncryptionKeyArn"]) == ("COMPLETED", sealed["DBClusterArn"], key)
    assert point["CalculatedLifecycle"]["DeleteAt"] - point["CreationDate"] == datetime.timedelta(days=35)
    assert points(backup, vault) == [point]
    of_cluster = backup.list_recovery_points_by_resource(ResourceArn=sealed["DBClusterArn"])["RecoveryPoints"]
    assert arn in [row["RecoveryPointArn"] for row in of_cluster]
    # To RDS it is a snapshot of another kind: it takes no place of the manual ones, and is not RDS's to delete.
    snapshot = clients.snapshot_of(rds, arn)
    assert (snapshot["SnapshotType"], snapshot["Status"]) == ("awsbackup", "available")
    assert {"Key": "kept", "Value": "by-tests"} in snapshot["TagList"]
    listed = rds.describe_db_cluster_snapshots(SnapshotType="awsbackup")["DBClusterSnapshots"]
    assert [row["DBClusterSnapshotArn"] for row in listed] == [arn]
    by_filter = [{"Name": "snapshot-type", "Values": ["awsbackup", "automated"]}]
    assert arn in [row["DBClusterSnapshotArn"] for row in rds.describe_db_cluster_snapshots(Filters=by_filter)["DBClusterSnapshots"]]
    assert len(rds.describe_db_cluster_snapshots(SnapshotType="manual")["DBClusterSnapshots"]) == before
    name = snapshot["DBClusterSnapshotIdentifier"]
    refused("InvalidDBClusterSnapshotStateFault", rds.delete_db_cluster_snapshot, DBClusterSnapshotIdentifier=name)
    refused("InvalidDBClusterSnapshotStateFault", rds.modify_db_cluster_snapshot_attribute,
            DBClusterSnapshotIdentifier=name, AttributeName="restore", ValuesToAdd=[PARTNER])
    refused("InvalidParameterValue", rds.create_db_cluster_snapshot, DBClusterSnapshotIdentifier="awsbackup:job-1",
            DBClusterIdentifier="sealed")
    # It is copied and restored as any other.
    copy = clients.copied(closed, arn)
    rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=copy["DBClusterSnapshotIdentifier"])
    back = unique("back")
    rds.restore_db_cluster_from_snapshot(DBClusterIdentifier=back, SnapshotIdentifier=arn, Engine="aurora-postgresql")
    with clients.connect(clients.wait_cluster(rds, back)) as connection, clients.connect(sealed) as source:
        assert clients.table_of(connection, "goods") == clients.table_of(source, "goods")
    rds.delete_db_cluster(DBClusterIdentifier=back, SkipFinalSnapshot=True)
    # A vault with recovery points stays; the job outlasts its recovery point.
    assert backup.describe_backup_vault(BackupVaultName=vault)["NumberOfRecoveryPoints"] == 1
    counts = {row["BackupVaultName"]: row["NumberOfRecoveryPoints"] for row in backup.list_backup_vaults()["BackupVaultList"]}
    assert (counts[vault], counts["Default"]) == (1, 0)
    refused("InvalidRequestException", backup.delete_backup_vault, re.compile("contains recovery points"), BackupVaultName=vault)
    backup.delete_recovery_point(BackupVaultName=vault, RecoveryPointArn=arn)
    ask = {"BackupVaultName": vault, "RecoveryPointArn": arn}
    refused("ResourceNotFoundException", backup.describe_recovery_point, MISSING, 400, **ask)
    refused("ResourceNotFoundException", backup.delete_recovery_point, MISSING, 400, **ask)
    assert points(backup, vault) == [] and not clients.exists(rds, arn)
    assert described(backup.describe_backup_job(BackupJobId=job)) == described(found)


@pytest.mark.timeout(240)
def test_lists_and_lifecycles(closed, backup, vault, plain):
    """A job that is asked for again is the same; each filter narrows; a lifecycle can be changed."""
    first = start(backup, vault, plain, IdempotencyToken="one")
    assert start(backup, vault, plain, IdempotencyToken="one") == first
    second = start(backup, vault, plain)
    jobs = [ended(backup, job) for job in (first, second)]
    arns = [job["RecoveryPointArn"] for job in jobs]

    def ids(**more):
        rows = backup.list_backup_jobs(ByBackupVaultName=vault, **more)["BackupJobs"]
        return [row["BackupJobId"] for row in rows]

    assert ids() == [second, first]
    page = backup.list_backup_jobs(ByBackupVaultName=vault, MaxResults=1)
    rest = backup.list_backup_jobs(ByBackupVaultName=vault, NextToken=page["NextToken"])
    assert [row["BackupJobId"] for row in page["BackupJobs"] + rest["BackupJobs"]] == [second, first]
    assert page["BackupJobs"][0] == described(jobs[1])
    middle = jobs[1]["CreationDate"]
    hour = datetime.timedelta(hours=1)
    for more, wanted in [
        ({"ByState": "COMPLETED"}, 2), ({"ByState": "RUNNING"}, 0), ({"ByResourceArn": plain["DBClusterArn"]}, 2),
        ({"ByResourceArn": plain["DBClusterArn"] + "x"}, 0), ({"ByResourceType": "Aurora"}, 2), ({"ByResourceType": "EBS"}, 0),
        ({"ByAccountId": OWNER}, 2), ({"ByAccountId": "*"}, 2), ({"ByAccountId": PARTNER}, 0),
        ({"ByCreatedAfter": middle - hour, "ByCreatedBefore": middle + hour}, 2), ({"ByCreatedAfter": middle + hour}, 0),
        ({"ByCompleteAfter": middle - hour}, 2), ({"ByCompleteBefore": middle - hour}, 0), ({"ByParentJobId": "x"}, 0),
        ({"ByMessageCategory": "SUCCESS"}, 2), ({"ByMessageCategory": "FAILURE"}, 0),
    ]:
        assert len(ids(**more)) == wanted, more
    for more, wanted in [
        ({"ByResourceArn": plain["DBClusterArn"]}, 2), ({"ByResourceType": "RDS"}, 0), ({"ByBackupPlanId": "x"}, 0),
        ({"ByCreatedAfter": middle + hour}, 0), ({"ByCreatedBefore": middle + hour}, 2),
        ({"ByParentRecoveryPointArn": "x"}, 0), ({"MaxResults": 1}, 1), ({"BackupVaultAccountId": OWNER}, 2),
    ]:
        assert len(points(backup, vault, **more)) == wanted, more
    ask = {"BackupVaultName": vault, "RecoveryPointArn": arns[0]}
    changed = backup.update_recovery_point_lifecycle(**ask, Lifecycle={"DeleteAfterDays": 2})
    point = backup.describe_recovery_point(**ask)
    assert changed["Lifecycle"] == point["Lifecycle"] == {"DeleteAfterDays": 2}
    assert point["CalculatedLifecycle"]["DeleteAt"] - point["CreationDate"] == datetime.timedelta(days=2)
    changed = backup.update_recovery_point_lifecycle(**ask, Lifecycle={"DeleteAfterDays": -1})
    assert "CalculatedLifecycle" not in changed and "Lifecycle" not in backup.describe_recovery_point(**ask)
    # Its tags are the snapshot's.
    backup.tag_resource(ResourceArn=arns[0], Tags={"a": "b"})
    assert backup.list_tags(ResourceArn=arns[0])["Tags"] == {"a": "b"}
    assert closed.rds().list_tags_for_resource(ResourceName=arns[0])["TagList"] == [{"Key": "a", "Value": "b"}]
    backup.untag_resource(ResourceArn=arns[0], TagKeyList=["a"])
    assert backup.list_tags(ResourceArn=arns[0])["Tags"] == {}
    refused("InvalidRequestException", backup.stop_backup_job, re.compile("cannot be stopped"), 400, BackupJobId=first)
    # A policy's denial holds.
    deny = {"Effect": "Deny", "Principal": "*", "Action": "backup:DeleteRecoveryPoint", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    backup.put_backup_vault_access_policy(BackupVaultName=vault, Policy=policy)
    refused("AccessDeniedException", backup.delete_recovery_point, **ask)
    backup.delete_backup_vault_access_policy(BackupVaultName=vault)
    assert len(points(backup, vault)) == 2


def test_what_is_refused(closed, backup, vault, plain):
    """Nothing of it makes a job or a snapshot."""
    other, mine = closed.client("backup", HOME, PARTNER), {"BackupVaultName": vault, "IamRoleArn": ROLE}
    arn = plain["DBClusterArn"]
    ask = mine | {"ResourceArn": arn}
    invalid, wrong = "InvalidParameterValueException", "InvalidRequestException"
    for code, more in [
        (invalid, {"ResourceArn": "arn:aws:s3:::bucket"}), (invalid, {"ResourceArn": "plain"}),
        ("ResourceNotFoundException", {"ResourceArn": arn + "x"}),
        ("ResourceNotFoundException", {"ResourceArn": arn.replace(HOME, FAR)}),
        ("ResourceNotFoundException", {"ResourceArn": arn.replace(OWNER, PARTNER)}),
        ("ResourceNotFoundException", {"BackupVaultName": "nowhere"}), (invalid, {"BackupVaultName": "x"}),
        (invalid, {"IamRoleArn": "admin"}), (invalid, {"StartWindowMinutes": 59}),
        (invalid, {"StartWindowMinutes": 60, "CompleteWindowMinutes": 119}), (invalid, {"Lifecycle": {"DeleteAfterDays": 0}}),
        (invalid, {"Lifecycle": {"DeleteAfterDays": 36501}}),
        (invalid, {"Lifecycle": {"MoveToColdStorageAfterDays": 10, "DeleteAfterDays": 99}}),
        (invalid, {"Lifecycle": {"DeleteAfterEvent": "DELETE_AFTER_COPY"}}),
        (wrong, {"Lifecycle": {"OptInToArchiveForSupportedResources": True}}), (invalid, {"RecoveryPointTags": {"aws:x": ""}}),
        (wrong, {"BackupOptions": {"WindowsVSS": "enabled"}}), (wrong, {"Index": "ENABLED"}),
        (wrong, {"LogicallyAirGappedBackupVaultArn": arn}),
    ]:
        refused(code, backup.start_backup_job, status=400, **ask | more)
    refused("ResourceNotFoundException", other.start_backup_job, **ask)
    refused("ResourceNotFoundException", other.start_backup_job, **ask | {"BackupVaultName": "Default"})
    refused("ResourceNotFoundException", backup.describe_backup_job, MISSING, BackupJobId="none")
    refused("ResourceNotFoundException", backup.stop_backup_job, MISSING, BackupJobId="none")
    for call in (backup.describe_recovery_point, backup.delete_recovery_point, backup.update_recovery_point_lifecycle):
        for code, point in [(invalid, "x"), (invalid, arn), ("ResourceNotFoundException", arn.replace(":cluster:", ":cluster-snapshot:"))]:
            refused(code, call, BackupVaultName=vault, RecoveryPointArn=point)
    refused(invalid, backup.list_recovery_points_by_resource, ResourceArn="x")
    rows = backup.list_backup_jobs(ByBackupVaultName=vault)["BackupJobs"]
    assert rows == points(backup, vault) == []


@pytest.mark.timeout(240)
def test_jobs_and_points_are_their_accounts_and_regions(closed, backup, vault, plain):
    job = ended(backup, start(backup, vault, plain))
    arn = job["RecoveryPointArn"]
    for stranger in (closed.client("backup", HOME, PARTNER), closed.client("backup", FAR)):
        stranger.create_backup_vault(BackupVaultName=vault)
        assert job["BackupJobId"] not in [row["BackupJobId"] for row in stranger.list_backup_jobs()["BackupJobs"]]
        assert points(stranger, vault) == []
        assert stranger.list_recovery_points_by_resource(ResourceArn=plain["DBClusterArn"])["RecoveryPoints"] == []
        for call in (stranger.describe_backup_job, stranger.stop_backup_job):
            refused("ResourceNotFoundException", call, MISSING, BackupJobId=job["BackupJobId"])
        for call in (stranger.describe_recovery_point, stranger.delete_recovery_point, stranger.update_recovery_point_lifecycle):
            refused("ResourceNotFoundException", call, MISSING, BackupVaultName=vault, RecoveryPointArn=arn)
        for call, more in ((stranger.list_tags, {}), (stranger.tag_resource, {"Tags": {"a": "b"}}),
                           (stranger.untag_resource, {"TagKeyList": ["a"]})):
            refused("ResourceNotFoundException", call, MISSING, ResourceArn=arn, **more)
        stranger.delete_backup_vault(BackupVaultName=vault)
    # In another vault of its own account it is not there either.
    refused("ResourceNotFoundException", backup.describe_recovery_point, MISSING, BackupVaultName="Default", RecoveryPointArn=arn)
    refused("ResourceNotFoundException", backup.delete_recovery_point, MISSING, BackupVaultName="Default", RecoveryPointArn=arn)
    assert [row["RecoveryPointArn"] for row in points(backup, vault)] == [arn]


def test_what_is_set(backup, aws):  # noqa: F811
    assert backup.get_supported_resource_types()["ResourceTypes"] == ["Aurora", "RDS"]
    assert backup.describe_region_settings()["ResourceTypeOptInPreference"] == {"Aurora": True, "RDS": True}
    assert backup.describe_global_settings()["GlobalSettings"] == {"isCrossAccountBackupEnabled": "true"}
    # Others of the account may have failed.
    ask = ("--by-state", "FAILED", "--by-backup-vault-name", unique("none"))
    assert aws("backup", "list-backup-jobs", *ask) == {"BackupJobs": []}
