"""Resources that are protected, what jobs came to, and what an account has set for AWS Backup."""
import datetime
import re

import pytest

from clients import FAR, HOME, OWNER, PARTNER, refused
from test_aws_cli import aws  # noqa: F401
from test_backup_jobs import MISSING, described, ended, points, start, vault  # noqa: F401
from test_backup_restores import restored

INVALID = "InvalidParameterValueException"
TYPES = {"Aurora": True, "RDS": True}


@pytest.fixture(scope="module")
def backup(closed):
    """The owner's client."""
    return closed.client("backup")


def arns(rows):
    """The ARNs of resources."""
    return [row["ResourceArn"] for row in rows]


@pytest.mark.timeout(240)
def test_protected_resources(closed, backup, vault, plain, sealed, aws):  # noqa: F811
    """Each is listed once, by its last recovery point; what has none is not."""
    assert backup.list_protected_resources_by_backup_vault(BackupVaultName=vault)["Results"] == []
    first = ended(backup, start(backup, vault, plain))
    last = ended(backup, start(backup, vault, plain))
    other = ended(backup, start(backup, vault, sealed))
    made = backup.describe_recovery_point(BackupVaultName=vault, RecoveryPointArn=last["RecoveryPointArn"])["CreationDate"]
    both = sorted([plain["DBClusterArn"], sealed["DBClusterArn"]])
    row = {"ResourceArn": plain["DBClusterArn"], "ResourceType": "Aurora", "ResourceName": plain["DBClusterIdentifier"],
           "LastBackupTime": made, "LastBackupVaultArn": last["BackupVaultArn"],
           "LastRecoveryPointArn": last["RecoveryPointArn"]}
    found = backup.list_protected_resources_by_backup_vault(BackupVaultName=vault)["Results"]
    assert arns(found) == both and row in found
    pages = backup.get_paginator("list_protected_resources_by_backup_vault").paginate(
        BackupVaultName=vault, PaginationConfig={"PageSize": 1})
    assert [page["Results"] for page in pages] == [[one] for one in found]
    everything = backup.list_protected_resources()["Results"]
    assert set(both) <= set(arns(everything)) and len(set(arns(everything))) == len(everything)
    assert arns(everything) == sorted(arns(everything))
    pages = backup.get_paginator("list_protected_resources").paginate(PaginationConfig={"PageSize": 1})
    assert [one for page in pages for one in page["Results"]] == everything
    assert aws("backup", "list-protected-resources-by-backup-vault", "--backup-vault-name", vault)["Results"]
    # Shown, with its last restore.
    ask = {"ResourceArn": plain["DBClusterArn"]}
    shown = described(backup.describe_protected_resource(**ask))
    assert {name: shown[name] for name in row} == row
    metadata = backup.get_recovery_point_restore_metadata(
        BackupVaultName=vault, RecoveryPointArn=last["RecoveryPointArn"])["RestoreMetadata"]
    metadata["DBClusterIdentifier"] = f"{vault}-again"
    job = backup.start_restore_job(RecoveryPointArn=last["RecoveryPointArn"], Metadata=metadata, IamRoleArn=first["IamRoleArn"])
    restore = restored(backup, job["RestoreJobId"])
    shown = backup.describe_protected_resource(**ask)
    assert shown["LatestRestoreJobCreationDate"] == restore["CreationDate"]
    assert shown["LatestRestoreRecoveryPointCreationDate"] == made
    assert shown["LatestRestoreExecutionTimeMinutes"] == (restore["CompletionDate"] - restore["CreationDate"]).seconds // 60
    closed.rds().delete_db_cluster(DBClusterIdentifier=metadata["DBClusterIdentifier"], SkipFinalSnapshot=True)
    # The one before is the last once the last is gone; without any the resource is protected no more.
    of_cluster = [one["RecoveryPointArn"] for one in backup.list_recovery_points_by_resource(**ask, MaxResults=2)["RecoveryPoints"]]
    assert of_cluster == [last["RecoveryPointArn"], first["RecoveryPointArn"]]
    backup.delete_recovery_point(BackupVaultName=vault, RecoveryPointArn=last["RecoveryPointArn"])
    assert backup.describe_protected_resource(**ask)["LastRecoveryPointArn"] == first["RecoveryPointArn"]
    assert [one["RecoveryPointArn"] for one in points(backup, vault, MaxResults=1)] == [
        min(first["RecoveryPointArn"], other["RecoveryPointArn"])]
    backup.delete_recovery_point(BackupVaultName=vault, RecoveryPointArn=other["RecoveryPointArn"])
    found = backup.list_protected_resources_by_backup_vault(BackupVaultName=vault)["Results"]
    assert arns(found) == [plain["DBClusterArn"]]
    # Nothing of it is others'.
    for stranger in (closed.client("backup", HOME, PARTNER), closed.client("backup", FAR)):
        assert plain["DBClusterArn"] not in arns(stranger.list_protected_resources()["Results"])
        refused("ResourceNotFoundException", stranger.describe_protected_resource, None, 400, **ask)
        refused("ResourceNotFoundException", stranger.list_protected_resources_by_backup_vault, MISSING, 400, BackupVaultName=vault)
    refused("ResourceNotFoundException", backup.list_protected_resources_by_backup_vault, MISSING, 400,
            BackupVaultName=vault, BackupVaultAccountId=PARTNER)
    refused("ResourceNotFoundException", backup.describe_protected_resource, None, 400, ResourceArn=ask["ResourceArn"] + "x")
    refused(INVALID, backup.describe_protected_resource, None, 400, ResourceArn="x")
    refused(INVALID, backup.list_protected_resources, None, 400, NextToken="x")


@pytest.mark.timeout(120)
def test_summaries(backup, vault, plain, aws):  # noqa: F811
    """Jobs of the last days, by what they came to."""
    def counts(**more):
        return {(row["State"], row["ResourceType"], row.get("MessageCategory")): row["Count"]
                for row in backup.list_backup_job_summaries(**more)["BackupJobSummaries"]}

    alike = ("COMPLETED", "Aurora", "SUCCESS")
    before = counts(AggregationPeriod="SEVEN_DAYS").get(alike, 0)
    job = ended(backup, start(backup, vault, plain))
    assert counts(AggregationPeriod="SEVEN_DAYS")[alike] == before + 1
    by_day = backup.list_backup_job_summaries(State="COMPLETED", ResourceType="Aurora")
    today = by_day["BackupJobSummaries"][-1]
    assert by_day["AggregationPeriod"] == "ONE_DAY" and today["AccountId"] == OWNER and today["Region"] == HOME
    assert today["StartTime"] <= job["CreationDate"] < today["EndTime"]
    assert today["EndTime"] - today["StartTime"] == datetime.timedelta(days=1) and today["Count"] >= 1
    # All of a member as one, and what is not there.
    whole = counts(AggregationPeriod="FOURTEEN_DAYS", State="AGGREGATE_ALL", ResourceType="AGGREGATE_ALL",
                   MessageCategory="AGGREGATE_ALL")
    assert list(whole) == [("AGGREGATE_ALL", "AGGREGATE_ALL", "AGGREGATE_ALL")]
    assert sum(whole.values()) == sum(counts(AggregationPeriod="FOURTEEN_DAYS", State="ANY", AccountId=OWNER).values())
    assert counts(ResourceType="EBS") == counts(AccountId=PARTNER) == counts(MessageCategory="AccessDenied") == {}
    for call, rows in ((backup.list_copy_job_summaries, "CopyJobSummaries"), (backup.list_restore_job_summaries, "RestoreJobSummaries")):
        assert isinstance(call()[rows], list)
        refused(INVALID, call, None, 400, AggregationPeriod="ONE_YEAR")
    assert "BackupJobSummaries" in aws("backup", "list-backup-job-summaries")
    every, found, more = backup.list_backup_job_summaries()["BackupJobSummaries"], [], {}
    while more is not None:
        page = backup.list_backup_job_summaries(MaxResults=1, **more)
        found += page["BackupJobSummaries"]
        more = {"NextToken": page["NextToken"]} if "NextToken" in page else None
    assert found == every


def test_settings_are_kept(closed):
    """As Terraform does it: written, read, and read again alike; by account, and by region where they are one's."""
    backup, elsewhere = closed.client("backup", HOME, PARTNER), closed.client("backup", FAR, PARTNER)
    assert elsewhere.describe_region_settings()["ResourceTypeOptInPreference"] == TYPES
    wanted = {"Aurora": False, "RDS": True, "DynamoDB": True, "SAP HANA on Amazon EC2": False}
    backup.update_region_settings(ResourceTypeOptInPreference=wanted, ResourceTypeManagementPreference={"DynamoDB": True})
    read = described(backup.describe_region_settings())
    assert read == {"ResourceTypeOptInPreference": wanted, "ResourceTypeManagementPreference": {"DynamoDB": True}}
    assert described(backup.describe_region_settings()) == read
    backup.update_region_settings(ResourceTypeOptInPreference={"Aurora": True})
    assert backup.describe_region_settings()["ResourceTypeOptInPreference"] == wanted | {"Aurora": True}
    assert elsewhere.describe_region_settings()["ResourceTypeOptInPreference"] == TYPES
    assert closed.client("backup").describe_region_settings()["ResourceTypeOptInPreference"] == TYPES
    refused(INVALID, backup.update_region_settings, None, 400, ResourceTypeOptInPreference={"a/b": True})
    # However many requests name them, there are no more than that.
    for member in ("ResourceTypeOptInPreference", "ResourceTypeManagementPreference"):
        there = len(backup.describe_region_settings()[member])
        backup.update_region_settings(**{member: {f"Type {number}": True for number in range(100 - there)}})
        refused(INVALID, backup.update_region_settings, re.compile("at most 100"), 400, **{member: {"One more": True}})
        backup.update_region_settings(**{member: {"Type 1": False}})
        assert len(backup.describe_region_settings()[member]) == 100
    for code, given in [
        ("MissingParameterValueException", {}), (INVALID, {"isCrossAccountBackupEnabled": "yes"}), (INVALID, {"other": "true"}),
        ("InvalidRequestException", {"isMpaEnabled": "true"}),
    ]:
        refused(code, backup.update_global_settings, None, 400, GlobalSettings=given)
