"""Copy jobs: a recovery point into another vault, of another region, under another key, and of another account."""
import datetime
import json
import re

import pytest

import clients
from clients import FAR, HOME, OWNER, PARTNER, refused, unique
from snapferry_tools import running
from test_aws_cli import aws  # noqa: F401
from test_backup_jobs import MISSING, ROLE, described, ended, points, start, vault  # noqa: F401

STATEMENT = re.compile(r"\{.*\}")


@pytest.fixture(scope="module")
def backup(closed):
    """The owner's client."""
    return closed.client("backup")


@pytest.fixture
def new_vault(closed):
    """Makes vaults; each goes with the test, and its recovery points with it. Answers its ARN and its client."""
    made = []

    def make(region=HOME, account=OWNER, **more):
        client, name = closed.client("backup", region, account), unique("copies")
        made.append((client, name))
        return client.create_backup_vault(BackupVaultName=name, **more)["BackupVaultArn"], client

    yield make
    for client, name in made:
        clear(client, name)
        client.delete_backup_vault(BackupVaultName=name)


def clear(client, name):
    """Deletes a vault's recovery points."""
    for row in points(client, name):
        client.delete_recovery_point(BackupVaultName=name, RecoveryPointArn=row["RecoveryPointArn"])


def name_of(arn):
    """A vault's name."""
    return arn.rpartition(":")[2]


def copy(backup, source, target, **more):
    """Starts a copy job of a backup job's recovery point; its id."""
    ask = {"RecoveryPointArn": source["RecoveryPointArn"], "SourceBackupVaultName": source["BackupVaultName"],
           "DestinationBackupVaultArn": target, "IamRoleArn": ROLE}
    return backup.start_copy_job(**ask | more)["CopyJobId"]


def copied(backup, job, state="COMPLETED"):
    """A copy job that has come to its end."""
    def look():
        found = backup.describe_copy_job(CopyJobId=job)["CopyJob"]
        return found if found["State"] in ("COMPLETED", "FAILED") else None

    found = running.wait_until(look, 90, f"copy job {job} ends", every=0.1)
    assert found["State"] == state, found
    return found


@pytest.mark.timeout(300)
def test_copies_into_other_vaults(closed, backup, vault, sealed, key, new_vault):  # noqa: F811
    """Within a region and into another one, each under its vault's key; both hold the rows."""
    source = ended(backup, start(backup, vault, sealed, Lifecycle={"DeleteAfterDays": 35}, RecoveryPointTags={"a": "b"}))
    near_key, far_key = closed.new_key(HOME), closed.new_key(FAR)
    near, _ = new_vault(EncryptionKeyArn=near_key)
    far, far_backup = new_vault(FAR, EncryptionKeyArn=far_key)
    within = copied(backup, copy(backup, source, near))
    across = copied(backup, copy(backup, source, far, Lifecycle={"DeleteAfterDays": 7}))
    for job, target, target_key, days, region in ((within, near, near_key, 35, HOME), (across, far, far_key, 7, FAR)):
        arn = f"arn:aws:rds:{region}:{OWNER}:cluster-snapshot:awsbackup:copyjob-{job['CopyJobId']}"
        wanted = {
            "AccountId": OWNER, "SourceRecoveryPointArn": source["RecoveryPointArn"], "DestinationBackupVaultArn": target,
            "SourceBackupVaultArn": source["BackupVaultArn"], "DestinationRecoveryPointArn": arn, "ResourceName": "sealed",
            "DestinationRecoveryPointLifecycle": {"DeleteAfterDays": days}, "ResourceArn": sealed["DBClusterArn"],
            "ResourceType": "Aurora", "IamRoleArn": ROLE, "MessageCategory": "SUCCESS", "DestinationEncryptionKeyArn": target_key,
        }
        assert {name: job[name] for name in wanted} == wanted
        assert 0 < job["BackupSizeInBytes"] and job["CreationDate"] <= job["CompletionDate"]
        there = closed.client("backup", region)
        point = there.describe_recovery_point(BackupVaultName=name_of(target), RecoveryPointArn=arn)
        assert (point["Status"], point["EncryptionKeyArn"], point["BackupVaultArn"]) == ("COMPLETED", target_key, target)
        assert point["CalculatedLifecycle"]["DeleteAt"] - point["CreationDate"] == datetime.timedelta(days=days)
        assert there.list_tags(ResourceArn=arn)["Tags"] == {"a": "b"}
        snapshot = clients.snapshot_of(closed.rds(region), arn)
        assert (snapshot["SnapshotType"], snapshot["Status"], snapshot["KmsKeyId"]) == ("awsbackup", "available", target_key)
        assert snapshot["SourceDBClusterSnapshotArn"] == source["RecoveryPointArn"]
    # What is restored in the other region needs nothing of this one.
    backup.delete_recovery_point(BackupVaultName=vault, RecoveryPointArn=source["RecoveryPointArn"])
    rds, back = closed.rds(FAR), unique("back")
    rds.restore_db_cluster_from_snapshot(DBClusterIdentifier=back, Engine="aurora-postgresql",
                                         SnapshotIdentifier=across["DestinationRecoveryPointArn"])
    with clients.connect(clients.wait_cluster(rds, back)) as connection, clients.connect(sealed) as origin:
        assert clients.table_of(connection, "goods") == clients.table_of(origin, "goods")
    rds.delete_db_cluster(DBClusterIdentifier=back, SkipFinalSnapshot=True)
    assert len(points(far_backup, name_of(far))) == 1
    onward = copied(backup, copy(backup, {"RecoveryPointArn": within["DestinationRecoveryPointArn"],
                                          "BackupVaultName": name_of(near)}, far))
    assert onward["SourceRecoveryPointArn"] == within["DestinationRecoveryPointArn"]


@pytest.mark.timeout(240)
def test_copies_into_another_account(closed, backup, vault, sealed, new_vault):  # noqa: F811
    """What the other vault's policy does not allow fails, and says what would allow it: that does."""
    assert backup.describe_global_settings()["GlobalSettings"]["isCrossAccountBackupEnabled"] == "true"
    source = ended(backup, start(backup, vault, sealed, RecoveryPointTags={"secret": "ours"}))
    target, theirs = new_vault(account=PARTNER)
    silent = copied(backup, copy(backup, source, target), "FAILED")
    assert target in silent["StatusMessage"] and "DestinationRecoveryPointArn" not in silent
    # A vault that is not there is told apart by its owner alone.
    nowhere = copied(backup, copy(backup, source, target + "x"), "FAILED")
    assert nowhere["StatusMessage"] == silent["StatusMessage"].replace(target, target + "x")
    allowed = json.loads(STATEMENT.search(silent["StatusMessage"])[0])
    theirs.put_backup_vault_access_policy(
        BackupVaultName=name_of(target), Policy=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}))
    job = copied(backup, copy(backup, source, target))
    arn = job["DestinationRecoveryPointArn"]
    assert arn == f"arn:aws:rds:{HOME}:{PARTNER}:cluster-snapshot:awsbackup:copyjob-{job['CopyJobId']}"
    point = theirs.describe_recovery_point(BackupVaultName=name_of(target), RecoveryPointArn=arn)
    assert (point["Status"], point["ResourceArn"]) == ("COMPLETED", sealed["DBClusterArn"])
    assert theirs.list_tags(ResourceArn=arn)["Tags"] == {}
    refused("ResourceNotFoundException", backup.delete_recovery_point, MISSING, BackupVaultName=vault, RecoveryPointArn=arn)
    assert theirs.list_copy_jobs()["CopyJobs"] == []
    refused("ResourceNotFoundException", theirs.describe_copy_job, MISSING, CopyJobId=job["CopyJobId"])
    # They can switch off that theirs go elsewhere; second reads equal the first.
    ours, _ = new_vault()
    for value in ("false", "true"):
        theirs.update_global_settings(GlobalSettings={"isCrossAccountBackupEnabled": value, "isMpaEnabled": "false"})
        for region in (HOME, FAR):
            told = closed.client("backup", region, PARTNER).describe_global_settings()
            assert told["GlobalSettings"] == {"isCrossAccountBackupEnabled": value} and told["LastUpdateTime"]
        told = copied(theirs, copy(theirs, {"RecoveryPointArn": arn, "BackupVaultName": name_of(target)}, ours), "FAILED")
        assert ("isCrossAccountBackupEnabled" in told["StatusMessage"]) == (value == "false"), told
    assert backup.describe_global_settings()["GlobalSettings"] == {"isCrossAccountBackupEnabled": "true"}
    # It is theirs: under their key, and restored by them.
    rds, back = closed.rds(account=PARTNER), unique("theirs")
    rds.restore_db_cluster_from_snapshot(DBClusterIdentifier=back, Engine="aurora-postgresql", SnapshotIdentifier=arn)
    with clients.connect(clients.wait_cluster(rds, back)) as connection, clients.connect(sealed) as origin:
        assert clients.table_of(connection, "goods") == clients.table_of(origin, "goods")
    rds.delete_db_cluster(DBClusterIdentifier=back, SkipFinalSnapshot=True)
    deny = allowed | {"Effect": "Deny"}
    theirs.put_backup_vault_access_policy(
        BackupVaultName=name_of(target), Policy=json.dumps({"Version": "2012-10-17", "Statement": [allowed, deny]}))
    assert "denies" in copied(backup, copy(backup, source, target), "FAILED")["StatusMessage"]
    default = f"arn:aws:backup:{HOME}:{PARTNER}:backup-vault:Default"
    assert "default" in copied(backup, copy(backup, source, default), "FAILED")["StatusMessage"]


@pytest.mark.timeout(240)
def test_a_key_that_cannot_be_used_is_named(closed, backup, vault, new_vault):  # noqa: F811
    """With the right that is missing and the statement to add."""
    kms, source_key, target_key = closed.kms(), closed.new_key(HOME), closed.new_key(HOME)
    cluster = closed.new_cluster(unique("keyed"), StorageEncrypted=True, KmsKeyId=source_key)
    source = ended(backup, start(backup, vault, cluster))
    target, _ = new_vault(EncryptionKeyArn=target_key)
    for broken, right in ((target_key, "kms:GenerateDataKey"), (source_key, "kms:Decrypt")):
        kms.disable_key(KeyId=broken)
        told = copied(backup, copy(backup, source, target), "FAILED")["StatusMessage"]
        assert broken in told and f"needs {right}" in told
        statement = json.loads(STATEMENT.search(told)[0])
        assert (statement["Action"], statement["Principal"]) == (right, {"AWS": f"arn:aws:iam::{OWNER}:root"})
        kms.enable_key(KeyId=broken)
    copied(backup, copy(backup, source, target))
    closed.rds().delete_db_cluster(DBClusterIdentifier=cluster["DBClusterIdentifier"], SkipFinalSnapshot=True)


@pytest.mark.timeout(240)
def test_lists_and_refusals(closed, backup, vault, plain, new_vault, aws):  # noqa: F811
    source = ended(backup, start(backup, vault, plain))
    target, _ = new_vault()
    first = copy(backup, source, target, IdempotencyToken="one")
    assert copy(backup, source, target, IdempotencyToken="one") == first
    done = copied(backup, first)
    assert "DestinationEncryptionKeyArn" not in done
    second = copied(backup, copy(backup, source, target))
    arn = source["RecoveryPointArn"]

    def ids(**more):
        return [row["CopyJobId"] for row in backup.list_copy_jobs(ByDestinationVaultArn=target, **more)["CopyJobs"]]

    assert ids() == [second["CopyJobId"], first]
    page = backup.list_copy_jobs(ByDestinationVaultArn=target, MaxResults=1)
    rest = backup.list_copy_jobs(ByDestinationVaultArn=target, NextToken=page["NextToken"])
    assert page["CopyJobs"] + rest["CopyJobs"] == [second, done]
    middle, hour = done["CreationDate"], datetime.timedelta(hours=1)
    for more, wanted in [
        ({"ByState": "COMPLETED"}, 2), ({"ByState": "FAILED"}, 0), ({"ByResourceArn": plain["DBClusterArn"]}, 2),
        ({"ByResourceArn": arn}, 0), ({"ByResourceType": "Aurora"}, 2), ({"ByResourceType": "EBS"}, 0),
        ({"ByAccountId": OWNER}, 2), ({"ByAccountId": "*"}, 2), ({"ByAccountId": PARTNER}, 0),
        ({"ByCreatedAfter": middle - hour, "ByCreatedBefore": middle + hour}, 2), ({"ByCreatedAfter": middle + hour}, 0),
        ({"ByCompleteAfter": middle - hour}, 2), ({"ByCompleteBefore": middle - hour}, 0), ({"ByParentJobId": "x"}, 0),
        ({"ByMessageCategory": "SUCCESS"}, 2), ({"BySourceRecoveryPointArn": arn}, 2), ({"BySourceRecoveryPointArn": "x"}, 0),
    ]:
        assert len(ids(**more)) == wanted, more
    assert aws("backup", "describe-copy-job", "--copy-job-id", first)["CopyJob"]["State"] == "COMPLETED"
    assert len(aws("backup", "list-copy-jobs", "--by-destination-vault-arn", target)["CopyJobs"]) == 2
    # A copy job is no backup job, nor the other way round.
    refused("ResourceNotFoundException", backup.describe_backup_job, MISSING, BackupJobId=first)
    refused("ResourceNotFoundException", backup.describe_copy_job, MISSING, CopyJobId=source["BackupJobId"])
    invalid, missing = "InvalidParameterValueException", "ResourceNotFoundException"
    for code, more in [
        (invalid, {"RecoveryPointArn": "x"}), (missing, {"RecoveryPointArn": arn + "0"}),
        (missing, {"SourceBackupVaultName": "Default"}), (invalid, {"SourceBackupVaultName": "x"}),
        (invalid, {"DestinationBackupVaultArn": "Default"}), (missing, {"DestinationBackupVaultArn": target + "0"}),
        (missing, {"DestinationBackupVaultArn": target.replace(HOME, "mars-north-1")}), (invalid, {"IamRoleArn": "admin"}),
        ("InvalidRequestException", {"DestinationBackupVaultArn": source["BackupVaultArn"]}),
        (invalid, {"Lifecycle": {"DeleteAfterDays": 0}}),
    ]:
        refused(code, copy, None, 400, backup=backup, source=source, target=target, **more)
    for stranger in (closed.client("backup", HOME, PARTNER), closed.client("backup", FAR)):
        stranger.create_backup_vault(BackupVaultName=vault)
        refused(missing, copy, MISSING, 400, backup=stranger, source=source, target=target)
        refused(missing, stranger.describe_copy_job, MISSING, CopyJobId=first)
        assert first not in [row["CopyJobId"] for row in stranger.list_copy_jobs()["CopyJobs"]]
        stranger.delete_backup_vault(BackupVaultName=vault)
    assert len(ids()) == 2
