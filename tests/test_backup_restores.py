"""Restore jobs: a recovery point into a new cluster, by its metadata."""
import datetime
import json
import re

import pytest

import clients
from clients import FAR, HOME, OWNER, PARTNER, refused, unique
from snapferry_tools import running
from test_aws_cli import aws  # noqa: F401
from test_backup_jobs import MISSING, ROLE, described, ended, start, vault  # noqa: F401


@pytest.fixture(scope="module")
def backup(closed):
    """The owner's client."""
    return closed.client("backup")


def restored(backup, job, status="COMPLETED"):
    """A restore job that has come to its end."""
    def look():
        found = described(backup.describe_restore_job(RestoreJobId=job))
        return found if found["Status"] in ("COMPLETED", "FAILED") else None

    found = running.wait_until(look, 120, f"restore job {job} ends", every=0.2)
    assert found["Status"] == status, found
    return found


@pytest.mark.timeout(300)
def test_a_restore_by_metadata(closed, backup, vault, sealed, key, aws):  # noqa: F811
    """As runbooks do it: the metadata as it is told, with another name; then everything spelled otherwise."""
    rds = closed.rds()
    point = ended(backup, start(backup, vault, sealed, RecoveryPointTags={"team": "x"}))
    arn = point["RecoveryPointArn"]
    told = backup.get_recovery_point_restore_metadata(BackupVaultName=vault, RecoveryPointArn=arn)
    assert (told["BackupVaultArn"], told["RecoveryPointArn"], told["ResourceType"]) == (point["BackupVaultArn"], arn, "Aurora")
    metadata = told["RestoreMetadata"]
    assert metadata == {
        "DBClusterIdentifier": "sealed", "Engine": "aurora-postgresql", "EngineVersion": sealed["EngineVersion"],
        "EngineMode": "provisioned", "AvailabilityZones": json.dumps(sealed["AvailabilityZones"], separators=(",", ":")),
        "Port": str(sealed["Port"]), "KmsKeyId": key, "StorageEncrypted": "true",
    }
    first, second = unique("again"), unique("again")
    metadata |= {"DBClusterIdentifier": first}
    ask = {"RecoveryPointArn": arn, "Metadata": metadata, "IamRoleArn": ROLE, "IdempotencyToken": first}
    del metadata["Port"]
    job = backup.start_restore_job(**ask, ResourceType="Aurora")["RestoreJobId"]
    assert backup.start_restore_job(**ask)["RestoreJobId"] == job
    found = restored(backup, job)
    cluster = clients.wait_cluster(rds, first)
    assert {name: found[name] for name in (
        "AccountId", "RecoveryPointArn", "SourceResourceArn", "BackupVaultArn", "PercentDone", "IamRoleArn",
        "CreatedResourceArn", "ResourceType", "IsParent",
    )} == {
        "AccountId": OWNER, "RecoveryPointArn": arn, "SourceResourceArn": sealed["DBClusterArn"], "IsParent": False,
        "BackupVaultArn": point["BackupVaultArn"], "PercentDone": "100.0", "IamRoleArn": ROLE, "ResourceType": "Aurora",
        "CreatedResourceArn": cluster["DBClusterArn"],
    }
    assert found["CreationDate"] <= found["CompletionDate"] and 0 < found["BackupSizeInBytes"]
    with clients.connect(cluster) as connection, clients.connect(sealed) as source:
        assert clients.table_of(connection, "goods") == clients.table_of(source, "goods")
    assert backup.get_restore_job_metadata(RestoreJobId=job)["Metadata"] == metadata
    odd = {"dbclusteridentifier": second, "availabilityzones": f"{HOME}a, {HOME}b", "deletionProtection": "FALSE",
           "CopyTagsToSnapshot": "true", "BackupRetentionPeriod": "3", "EngineVersion": ""}
    other = aws("backup", "start-restore-job", "--recovery-point-arn", arn, "--metadata", json.dumps(odd),
                "--copy-source-tags-to-restored-resource")["RestoreJobId"]
    restored(backup, other)
    cluster = clients.cluster_of(rds, second)
    assert cluster["AvailabilityZones"] == [f"{HOME}a", f"{HOME}b"] and cluster["BackupRetentionPeriod"] == 3
    assert cluster["CopyTagsToSnapshot"] and {"Key": "team", "Value": "x"} in cluster["TagList"]

    middle, hour = found["CreationDate"], datetime.timedelta(hours=1)

    def ids(**more):
        return [row["RestoreJobId"] for row in backup.list_restore_jobs(**more)["RestoreJobs"]]

    assert ids()[:2] == [other, job]
    page = backup.list_restore_jobs(MaxResults=1)
    assert [row["RestoreJobId"] for row in page["RestoreJobs"]] == [other]
    assert job in [row["RestoreJobId"] for row in backup.list_restore_jobs(NextToken=page["NextToken"])["RestoreJobs"]]
    for more, wanted in [
        ({"ByStatus": "COMPLETED"}, True), ({"ByStatus": "FAILED"}, False), ({"ByResourceType": "Aurora"}, True),
        ({"ByResourceType": "RDS"}, False), ({"ByAccountId": OWNER}, True), ({"ByAccountId": PARTNER}, False),
        ({"ByCreatedAfter": middle - hour, "ByCreatedBefore": middle + hour}, True), ({"ByCreatedAfter": middle + hour}, False),
        ({"ByCompleteAfter": middle - hour}, True), ({"ByCompleteBefore": middle - hour}, False), ({"ByParentJobId": "x"}, False),
        ({"ByRestoreTestingPlanArn": "arn:aws:backup:::x"}, False),
    ]:
        assert (job in ids(**more)) is wanted, more

    def of_resource(resource=sealed["DBClusterArn"], **more):
        rows = backup.list_restore_jobs_by_protected_resource(ResourceArn=resource, **more)["RestoreJobs"]
        return [row["RestoreJobId"] for row in rows]

    assert of_resource()[:2] == [other, job] and of_resource(cluster["DBClusterArn"]) == []
    for more, wanted in [
        ({"ByStatus": "COMPLETED"}, True), ({"ByStatus": "PENDING"}, False),
        ({"ByRecoveryPointCreationDateAfter": middle - hour}, True), ({"ByRecoveryPointCreationDateBefore": middle - hour}, False),
    ]:
        assert (job in of_resource(**more)) is wanted, more
    for stranger in (closed.client("backup", HOME, PARTNER), closed.client("backup", FAR)):
        assert job not in [row["RestoreJobId"] for row in stranger.list_restore_jobs()["RestoreJobs"]]
        rows = stranger.list_restore_jobs_by_protected_resource(ResourceArn=sealed["DBClusterArn"])["RestoreJobs"]
        assert rows == []
        for call in (stranger.describe_restore_job, stranger.get_restore_job_metadata):
            refused("ResourceNotFoundException", call, MISSING, RestoreJobId=job)
        refused("ResourceNotFoundException", stranger.start_restore_job, MISSING, **ask)
        stranger.create_backup_vault(BackupVaultName=vault)
        refused("ResourceNotFoundException", stranger.get_recovery_point_restore_metadata, MISSING,
                BackupVaultName=vault, RecoveryPointArn=arn)
        stranger.delete_backup_vault(BackupVaultName=vault)
    # The job outlasts its cluster.
    for name in (first, second):
        rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
        clients.wait_cluster_gone(rds, name)
    assert described(backup.describe_restore_job(RestoreJobId=job)) == found


@pytest.mark.timeout(240)
def test_what_fails_and_what_is_refused(closed, backup, vault, plain):  # noqa: F811
    point = ended(backup, start(backup, vault, plain))
    ask = {"RecoveryPointArn": point["RecoveryPointArn"], "Metadata": {"DBClusterIdentifier": unique("never")}}
    # What RDS refuses is told by the job.
    for metadata, told in [
        ({"DBClusterIdentifier": "plain"}, "already exists"), ({"Engine": "aurora-mysql"}, "cannot read a snapshot"),
        ({"DBSubnetGroupName": "nowhere"}, "nowhere"),
    ]:
        job = backup.start_restore_job(**ask | {"Metadata": ask["Metadata"] | metadata})["RestoreJobId"]
        failed = restored(backup, job, "FAILED")
        assert told in failed["StatusMessage"] and "CreatedResourceArn" not in failed, failed
    invalid = "InvalidParameterValueException"
    before = [row["RestoreJobId"] for row in backup.list_restore_jobs()["RestoreJobs"]]
    for code, more in [
        ("MissingParameterValueException", {"Metadata": {}}), (invalid, {"Metadata": ask["Metadata"] | {"Nonsense": "1"}}),
        (invalid, {"Metadata": ask["Metadata"] | {"Port": "five"}}), (invalid, {"Metadata": ask["Metadata"] | {"DeletionProtection": "x"}}),
        (invalid, {"Metadata": ask["Metadata"] | {"VpcSecurityGroupIds": '["sg-1"'}}), (invalid, {"IamRoleArn": "admin"}),
        (invalid, {"ResourceType": "EBS"}), (invalid, {"RecoveryPointArn": "x"}),
        ("ResourceNotFoundException", {"RecoveryPointArn": point["RecoveryPointArn"] + "0"}),
    ]:
        refused(code, backup.start_restore_job, status=400, **ask | more)
    refused("ResourceNotFoundException", backup.describe_restore_job, MISSING, RestoreJobId="none")
    refused(invalid, backup.list_restore_jobs_by_protected_resource, ResourceArn="x")
    deny = {"Effect": "Deny", "Principal": "*", "Action": "backup:StartRestoreJob", "Resource": "*"}
    backup.put_backup_vault_access_policy(
        BackupVaultName=vault, Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    refused("AccessDeniedException", backup.start_restore_job, re.compile("StartRestoreJob"), **ask)
    backup.delete_backup_vault_access_policy(BackupVaultName=vault)
    assert [row["RestoreJobId"] for row in backup.list_restore_jobs()["RestoreJobs"]] == before
