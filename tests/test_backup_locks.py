"""Locked vaults and legal holds: what they keep nobody takes away, nor the key that it needs."""
import datetime
import json
import re
import subprocess
import sys
import time

import boto3
import botocore.exceptions
import pytest

import clients
from clients import FAR, HOME, OWNER, PARTNER, refused, unique
from snapferry_tools import network, running
from test_aws_cli import aws  # noqa: F401
from test_backup_copies import copied, copy
from test_backup_jobs import MISSING, ROLE, described, ended, points, start, vault  # noqa: F401
from test_rebuild import GRACE, lose, rebuild, settle, sql
from test_s3_vault import ACCOUNT

LOCKED, HELD, FIXED = re.compile("is locked"), re.compile("legal hold"), re.compile("neither changed nor removed")
INVALID, REQUEST, MISSING_VALUE = "InvalidParameterValueException", "InvalidRequestException", "MissingParameterValueException"
KEY_STATE = "KMSInvalidStateException"
DAY = datetime.timedelta(days=1)


@pytest.fixture(scope="module")
def backup(closed):
    """The owner's client."""
    return closed.client("backup")


def state_of(backup, job):
    """A backup job's state and message, once it has come to its end."""
    def look():
        found = backup.describe_backup_job(BackupJobId=job)
        return found if found["State"] in ("COMPLETED", "FAILED") else None

    found = running.wait_until(look, 60, f"backup job {job} ends", every=0.1)
    return found["State"], found.get("StatusMessage", "")


def test_a_lock_as_terraform_does_it(closed, backup, vault, aws):  # noqa: F811
    """Put, read, read again alike, changed, removed; and what is refused."""
    before = described(backup.describe_backup_vault(BackupVaultName=vault))
    assert before["Locked"] is False and "LockDate" not in before
    backup.put_backup_vault_lock_configuration(
        BackupVaultName=vault, MinRetentionDays=7, MaxRetentionDays=30, ChangeableForDays=3)
    locked = described(backup.describe_backup_vault(BackupVaultName=vault))
    assert (locked["Locked"], locked["MinRetentionDays"], locked["MaxRetentionDays"]) == (True, 7, 30)
    assert abs(locked["LockDate"] - datetime.datetime.now(datetime.UTC) - 3 * DAY) < datetime.timedelta(minutes=5)
    assert described(backup.describe_backup_vault(BackupVaultName=vault)) == locked
    listed = {row["BackupVaultName"]: row for row in backup.list_backup_vaults()["BackupVaultList"]}
    assert listed[vault]["Locked"] and listed[vault]["LockDate"] == locked["LockDate"]
    # It can be changed until then: also to one that whoever may can always remove.
    aws("backup", "put-backup-vault-lock-configuration", "--backup-vault-name", vault, "--min-retention-days", "1")
    shown = described(backup.describe_backup_vault(BackupVaultName=vault))
    assert shown["MinRetentionDays"] == 1 and not {"LockDate", "MaxRetentionDays"} & set(shown)
    for more in [
        {"ChangeableForDays": 2}, {"MinRetentionDays": 0}, {"MaxRetentionDays": 36_501}, {"MinRetentionDays": 5, "MaxRetentionDays": 4},
    ]:
        refused(INVALID, backup.put_backup_vault_lock_configuration, None, 400, BackupVaultName=vault, **more)
    for stranger in (closed.client("backup", HOME, PARTNER), closed.client("backup", FAR)):
        refused("ResourceNotFoundException", stranger.put_backup_vault_lock_configuration, MISSING, 400, BackupVaultName=vault)
        refused("ResourceNotFoundException", stranger.delete_backup_vault_lock_configuration, MISSING, 400, BackupVaultName=vault)
    assert described(backup.describe_backup_vault(BackupVaultName=vault)) == shown
    backup.delete_backup_vault_lock_configuration(BackupVaultName=vault)
    backup.delete_backup_vault_lock_configuration(BackupVaultName=vault)
    assert described(backup.describe_backup_vault(BackupVaultName=vault)) == before


@pytest.mark.timeout(240)
def test_a_lock_bounds_what_comes_in(backup, vault, plain):  # noqa: F811
    """Backups and copies that would be kept for too short or too long fail, and say so."""
    free = ended(backup, start(backup, "Default", plain))
    backup.put_backup_vault_lock_configuration(BackupVaultName=vault, MinRetentionDays=7, MaxRetentionDays=30)
    target = backup.describe_backup_vault(BackupVaultName=vault)["BackupVaultArn"]
    for lifecycle, word in [({"DeleteAfterDays": 6}, "at least 7"), ({"DeleteAfterDays": 31}, "at most 30"), (None, "at most 30")]:
        more = {"Lifecycle": lifecycle} if lifecycle else {}
        state, said = state_of(backup, start(backup, vault, plain, **more))
        assert state == "FAILED" and word in said and target in said
        said = copied(backup, copy(backup, free, target, **more), "FAILED")["StatusMessage"]
        assert word in said and target in said
    assert points(backup, vault) == []
    made = ended(backup, start(backup, vault, plain, Lifecycle={"DeleteAfterDays": 7}))
    job = copied(backup, copy(backup, free, target, Lifecycle={"DeleteAfterDays": 30}))
    both = {made["RecoveryPointArn"], job["DestinationRecoveryPointArn"]}
    assert {row["RecoveryPointArn"] for row in points(backup, vault)} == both
    # Kept until the lock is removed, which this one can be.
    for arn in both:
        ask = {"BackupVaultName": vault, "RecoveryPointArn": arn}
        refused(REQUEST, backup.delete_recovery_point, LOCKED, 400, **ask)
        refused(REQUEST, backup.update_recovery_point_lifecycle, LOCKED, 400, **ask, Lifecycle={"DeleteAfterDays": 1})
        refused(REQUEST, backup.update_recovery_point_lifecycle, LOCKED, 400, **ask, Lifecycle={"DeleteAfterDays": 30})
    # Nor is a hold beside the lock a way to change it: the hold ends some day.
    hold = backup.create_legal_hold(Title="beside", Description="a lock", RecoveryPointSelection={"VaultNames": [vault]})["LegalHoldId"]
    for arn in both:
        ask = {"BackupVaultName": vault, "RecoveryPointArn": arn}
        refused(REQUEST, backup.update_recovery_point_lifecycle, LOCKED, 400, **ask, Lifecycle={"DeleteAfterDays": 1})
    backup.cancel_legal_hold(LegalHoldId=hold, CancelDescription="over")
    refused(REQUEST, backup.delete_backup_vault, None, 400, BackupVaultName=vault)
    backup.delete_backup_vault_lock_configuration(BackupVaultName=vault)
    backup.delete_recovery_point(BackupVaultName="Default", RecoveryPointArn=free["RecoveryPointArn"])


def policy(*accounts, action="kms:*"):
    """A key policy that lets these accounts do something, and its owner manage it."""
    allow = [{"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": action, "Resource": "*"}
             for account in accounts]
    manage = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{OWNER}:root"}, "Resource": "*",
              "Action": ["kms:Put*", "kms:Get*", "kms:Describe*", "kms:Create*", "kms:Revoke*", "kms:Retire*", "kms:Disable*",
                         "kms:Enable*", "kms:Schedule*", "kms:Cancel*", "kms:List*"]}
    return json.dumps({"Version": "2012-10-17", "Statement": [*allow, manage]})


@pytest.mark.timeout(300)
def test_a_locked_point_outlives_everything(deploy):
    """The lock's date is over and the clock far ahead: no API, verb, sweep, restart or rebuild removes it, and its key stays."""
    deployment = deploy(*GRACE, "--no-automated-backups")
    server, backup, kms, rds = deployment.server, deployment.client("backup"), deployment.kms(), deployment.rds()
    key = deployment.new_key()
    cluster = deployment.new_cluster("shop", StorageEncrypted=True, KmsKeyId=key)
    with clients.connect(cluster) as connection:
        connection.execute("create table goods as select n from generate_series(1, 100) n")
    backup.create_backup_vault(BackupVaultName="locked", EncryptionKeyArn=key)
    backup.put_backup_vault_lock_configuration(BackupVaultName="locked", MinRetentionDays=7, ChangeableForDays=3)
    arn = ended(backup, start(backup, "locked", cluster, Lifecycle={"DeleteAfterDays": 7}))["RecoveryPointArn"]
    gone = ended(backup, start(backup, "Default", cluster, Lifecycle={"DeleteAfterDays": 7}))["RecoveryPointArn"]
    rds.delete_db_cluster(DBClusterIdentifier="shop", SkipFinalSnapshot=True)
    rds.get_waiter("db_cluster_deleted").wait(DBClusterIdentifier="shop", WaiterConfig={"Delay": 1, "MaxAttempts": 90})
    # As if both had been made a hundred days ago: as a clock that is set ahead says.
    long_ago = int((time.time() - 100 * 86_400) * 1e6)
    server.stop()
    sql(server, f"update snapshots set body = json_set(body, '$.recorded_at', {long_ago}) where kind = 'awsbackup'")
    sql(server, f"update backup_vaults set body = json_set(body, '$.lock.lock_date', {long_ago}) where name = 'locked'")
    server.start()
    backup, kms, rds = deployment.client("backup"), deployment.kms(), deployment.rds()
    ask = {"BackupVaultName": "locked", "RecoveryPointArn": arn}
    running.wait_until(lambda: not clients.exists(rds, gone), 60, "what is not locked goes")
    running.wait_until(lambda: backup.describe_recovery_point(**ask)["Status"] == "EXPIRED", 60, "its lifecycle is over")
    assert LOCKED.search(backup.describe_recovery_point(**ask)["StatusMessage"])
    fixed = "select 1 from backup_vaults where json_extract(body, '$.lock.is_fixed')"
    running.wait_until(lambda: sql(server, fixed), 60, "the lock's date is written down")

    def attack():
        """All ways to be rid of it."""
        backup, kms, rds = deployment.client("backup"), deployment.kms(), deployment.rds()
        refused(REQUEST, backup.put_backup_vault_lock_configuration, FIXED, 400, BackupVaultName="locked", MinRetentionDays=1)
        refused(REQUEST, backup.put_backup_vault_lock_configuration, FIXED, 400, BackupVaultName="locked", ChangeableForDays=3)
        refused(REQUEST, backup.delete_backup_vault_lock_configuration, FIXED, 400, BackupVaultName="locked")
        refused(REQUEST, backup.delete_recovery_point, LOCKED, 400, **ask)
        refused(REQUEST, backup.update_recovery_point_lifecycle, LOCKED, 400, **ask, Lifecycle={"DeleteAfterDays": 1})
        refused(REQUEST, backup.delete_backup_vault, None, 400, BackupVaultName="locked")
        refused("InvalidDBClusterSnapshotStateFault", rds.delete_db_cluster_snapshot,
                DBClusterSnapshotIdentifier=arn.split("snapshot:", 1)[1])
        for call, more in [(kms.disable_key, {}), (kms.schedule_key_deletion, {"PendingWindowInDays": 7}),
                           (kms.put_key_policy, {"PolicyName": "default", "Policy": policy(PARTNER)})]:
            said = refused(KEY_STATE, call, LOCKED, 400, KeyId=key, **more)
            assert "backup vault locked" in said and "until 20" in said
        assert clients.snapshot_of(rds, arn)["Status"] == "available"

    attack()
    # A policy that still lets its owner read it is no matter.
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy(OWNER))
    settle(server)
    lose(server)
    assert rebuild(server)["records"]["backup_vaults"] >= 1
    server.start()
    attack()
    back, rds = unique("back"), deployment.rds()
    rds.restore_db_cluster_from_snapshot(DBClusterIdentifier=back, SnapshotIdentifier=arn, Engine="aurora-postgresql")
    with clients.connect(clients.wait_cluster(rds, back)) as connection:
        assert connection.execute("select count(*) from goods").fetchone()[0] == 100
    report = json.loads(server.run("vault", "verify", "--read-data", "--format", "json"))
    assert report["damaged"] == 0 and report["snapshots"] >= 1


@pytest.mark.timeout(240)
def test_a_grant_that_a_locked_point_needs_stays(closed, vault, plain):  # noqa: F811
    """A vault under another account's key, which only a grant lets its owner use."""
    kms, theirs = closed.kms(), closed.client("backup", HOME, PARTNER)
    key = closed.new_key()
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy(PARTNER))
    name, cluster = unique("granted"), unique("granted")
    rds = closed.rds(account=PARTNER)
    made = closed.new_cluster(cluster, account=PARTNER, StorageEncrypted=True, KmsKeyId=key)
    theirs.create_backup_vault(BackupVaultName=name, EncryptionKeyArn=key)
    theirs.put_backup_vault_lock_configuration(BackupVaultName=name, MinRetentionDays=1)
    ask = {"BackupVaultName": name, "ResourceArn": made["DBClusterArn"], "IamRoleArn": ROLE.replace(OWNER, PARTNER)}
    point = ended(theirs, theirs.start_backup_job(**ask, Lifecycle={"DeleteAfterDays": 2})["BackupJobId"])
    grants = [kms.create_grant(KeyId=key, GranteePrincipal=f"arn:aws:iam::{PARTNER}:root",
                               Operations=["Decrypt", "DescribeKey"])["GrantId"] for _ in range(2)]
    # With the grants the policy may change; then one of them may go, and the last may not.
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy())
    kms.revoke_grant(KeyId=key, GrantId=grants[0])
    said = refused(KEY_STATE, kms.revoke_grant, LOCKED, 400, KeyId=key, GrantId=grants[1])
    assert PARTNER in said and name not in said
    refused(KEY_STATE, kms.retire_grant, LOCKED, 400, KeyId=key, GrantId=grants[1])
    theirs.delete_backup_vault_lock_configuration(BackupVaultName=name)
    kms.revoke_grant(KeyId=key, GrantId=grants[1])
    theirs.delete_recovery_point(BackupVaultName=name, RecoveryPointArn=point["RecoveryPointArn"])
    theirs.delete_backup_vault(BackupVaultName=name)
    rds.delete_db_cluster(DBClusterIdentifier=cluster, SkipFinalSnapshot=True)


@pytest.mark.timeout(300)
def test_each_locked_point_is_judged_by_its_own_context(closed, backup, vault):  # noqa: F811
    """A policy or a grant may look at a point's encryption context: none of the points is shut out, whichever it names."""
    kms, rds, key, name = closed.kms(), closed.rds(), closed.new_key(), unique("context")
    cluster = closed.new_cluster(name, StorageEncrypted=True, KmsKeyId=key)
    arns = [ended(backup, start(backup, vault, cluster, Lifecycle={"DeleteAfterDays": 2}))["RecoveryPointArn"] for _ in range(2)]
    backup.put_backup_vault_lock_configuration(BackupVaultName=vault, MinRetentionDays=1)
    uids = [sql(closed.server, f"select json_extract(body, '$.uid') from snapshots where name = '{arn.split('snapshot:', 1)[1]}'")[0][0]
            for arn in arns]
    context = "kms:EncryptionContext:snapferry:snapshot"

    def put(effect, names):
        given = json.loads(policy(OWNER) if effect == "Deny" else policy())
        given["Statement"].append({"Effect": effect, "Principal": {"AWS": f"arn:aws:iam::{OWNER}:root"}, "Action": "kms:Decrypt",
                                   "Resource": "*", "Condition": {"StringEquals": {context: names}}})
        return {"KeyId": key, "PolicyName": "default", "Policy": json.dumps(given)}

    for uid in uids:
        for effect in ("Allow", "Deny"):
            refused(KEY_STATE, kms.put_key_policy, LOCKED, 400, **put(effect, [uid]))
    kms.put_key_policy(**put("Deny", ["another"]))
    kms.put_key_policy(**put("Allow", uids))
    grants = [kms.create_grant(KeyId=key, GranteePrincipal=f"arn:aws:iam::{OWNER}:root", Operations=["Decrypt"],
                               Constraints={"EncryptionContextSubset": {"snapferry:snapshot": uid}})["GrantId"] for uid in uids]
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy())
    for grant in grants:
        refused(KEY_STATE, kms.revoke_grant, LOCKED, 400, KeyId=key, GrantId=grant)
    kms.put_key_policy(**put("Allow", uids[:1]))
    kms.revoke_grant(KeyId=key, GrantId=grants[0])
    refused(KEY_STATE, kms.revoke_grant, LOCKED, 400, KeyId=key, GrantId=grants[1])
    backup.delete_backup_vault_lock_configuration(BackupVaultName=vault)
    kms.revoke_grant(KeyId=key, GrantId=grants[1])
    for arn in arns:
        backup.delete_recovery_point(BackupVaultName=vault, RecoveryPointArn=arn)
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


@pytest.mark.timeout(240)
def test_a_legal_hold(closed, backup, vault, plain, sealed, key, aws):  # noqa: F811
    """Made, read, read again alike, tagged, listed, cancelled; and meanwhile it keeps what it names."""
    free = ended(backup, start(backup, vault, plain))
    first = ended(backup, start(backup, vault, sealed))
    now = first["CreationDate"].replace(microsecond=0)  # as boto3 sends it
    selection = {"VaultNames": [vault], "DateRange": {"FromDate": now - DAY, "ToDate": now + DAY}}
    gone_by = {"VaultNames": [vault], "DateRange": {"FromDate": now - 2 * DAY, "ToDate": now - DAY}}
    ask = {"Title": "a case", "Description": "what it is about", "IdempotencyToken": unique("hold"), "Tags": {"case": "7"}}
    past = backup.create_legal_hold(**ask | {"IdempotencyToken": unique("hold")}, RecoveryPointSelection=gone_by)["LegalHoldId"]
    assert backup.list_recovery_points_by_legal_hold(LegalHoldId=past)["RecoveryPoints"] == []
    made = described(backup.create_legal_hold(**ask, RecoveryPointSelection=selection))
    assert described(backup.create_legal_hold(**ask, RecoveryPointSelection=selection)) == made
    hold, arn = made["LegalHoldId"], made["LegalHoldArn"]
    assert arn == f"arn:aws:backup:{HOME}:{OWNER}:legal-hold:{hold}" and made["Status"] == "ACTIVE"
    shown = described(backup.get_legal_hold(LegalHoldId=hold))
    assert shown == made and described(backup.get_legal_hold(LegalHoldId=hold)) == shown
    assert shown["RecoveryPointSelection"] == selection
    backup.tag_resource(ResourceArn=arn, Tags={"more": "x"})
    backup.untag_resource(ResourceArn=arn, TagKeyList=["case"])
    assert backup.list_tags(ResourceArn=arn)["Tags"] == {"more": "x"}
    rows = {row["LegalHoldId"]: row["Status"] for row in aws("backup", "list-legal-holds")["LegalHolds"]}
    assert rows[hold] == rows[past] == "ACTIVE"
    # What is there, and what comes later.
    later = ended(backup, start(backup, vault, sealed))
    both = {one["RecoveryPointArn"] for one in (free, first, later)}
    pages = backup.get_paginator("list_recovery_points_by_legal_hold").paginate(LegalHoldId=hold, PaginationConfig={"PageSize": 2})
    held = [row for page in pages for row in page["RecoveryPoints"]]
    assert {row["RecoveryPointArn"] for row in held} == both and {row["BackupVaultName"] for row in held} == {vault}
    for one in both:
        refused(REQUEST, backup.delete_recovery_point, HELD, 400, BackupVaultName=vault, RecoveryPointArn=one)
    kms = closed.kms()
    for call in (kms.disable_key, kms.schedule_key_deletion):
        assert hold in refused(KEY_STATE, call, HELD, 400, KeyId=key)
    # By resource: the others are free again.
    by_resource = backup.create_legal_hold(**ask | {"IdempotencyToken": unique("hold")}, RecoveryPointSelection={
        "ResourceIdentifiers": [first["RecoveryPointArn"].replace(":job-", ":JOB-")]})["LegalHoldId"]
    by_vault = backup.create_legal_hold(**ask | {"IdempotencyToken": unique("hold")}, RecoveryPointSelection={
        "ResourceIdentifiers": [first["BackupVaultArn"]]})["LegalHoldId"]
    for one, wanted in [(by_resource, {first["RecoveryPointArn"]}), (by_vault, both)]:
        rows = backup.list_recovery_points_by_legal_hold(LegalHoldId=one)["RecoveryPoints"]
        assert {row["RecoveryPointArn"] for row in rows} == wanted
    backup.cancel_legal_hold(LegalHoldId=by_vault, CancelDescription="closed", RetainRecordInDays=0)
    backup.cancel_legal_hold(LegalHoldId=hold, CancelDescription="closed", RetainRecordInDays=10)
    # Both those that hold and those that did are listed; the token of one that did begins another.
    assert {row["LegalHoldId"]: row["Status"] for row in backup.list_legal_holds()["LegalHolds"]}[hold] == "CANCELED"
    anew = backup.create_legal_hold(**ask, RecoveryPointSelection=selection)
    assert anew["LegalHoldId"] != hold and anew["Status"] == "ACTIVE"
    refused(REQUEST, backup.delete_recovery_point, HELD, 400, BackupVaultName=vault, RecoveryPointArn=free["RecoveryPointArn"])
    refused(INVALID, backup.create_legal_hold, re.compile(anew["LegalHoldId"]), 400, **ask, RecoveryPointSelection=gone_by)
    backup.cancel_legal_hold(LegalHoldId=anew["LegalHoldId"], CancelDescription="closed", RetainRecordInDays=0)
    ended_hold = backup.get_legal_hold(LegalHoldId=hold)
    assert (ended_hold["Status"], ended_hold["CancelDescription"]) == ("CANCELED", "closed")
    assert ended_hold["RetainRecordUntil"] - ended_hold["CancellationDate"] == 10 * DAY
    assert backup.list_recovery_points_by_legal_hold(LegalHoldId=hold)["RecoveryPoints"] == []
    refused("InvalidResourceStateException", backup.cancel_legal_hold, None, 400, LegalHoldId=hold, CancelDescription="again")
    for one in (free, later):
        backup.delete_recovery_point(BackupVaultName=vault, RecoveryPointArn=one["RecoveryPointArn"])
    refused(REQUEST, backup.delete_recovery_point, HELD, 400, BackupVaultName=vault, RecoveryPointArn=first["RecoveryPointArn"])
    refused(REQUEST, backup.delete_backup_vault, None, 400, BackupVaultName=vault)
    for stranger in (closed.client("backup", HOME, PARTNER), closed.client("backup", FAR)):
        for call, more in [(stranger.get_legal_hold, {}), (stranger.cancel_legal_hold, {"CancelDescription": "x"})]:
            refused("ResourceNotFoundException", call, MISSING, 400, LegalHoldId=by_resource, **more)
        # Of this action AWS documents no such fault as that of a missing hold.
        refused(INVALID, stranger.list_recovery_points_by_legal_hold, MISSING, 400, LegalHoldId=by_resource)
        assert by_resource not in [row["LegalHoldId"] for row in stranger.list_legal_holds()["LegalHolds"]]
    for one in (by_resource, past):
        backup.cancel_legal_hold(LegalHoldId=one, CancelDescription="closed", RetainRecordInDays=0)
    for code, more in [
        (MISSING_VALUE, {"RecoveryPointSelection": {}}), (MISSING_VALUE, {"Title": ""}), (INVALID, {"Title": "x" * 1_001}),
        (INVALID, {"RecoveryPointSelection": {"VaultNames": ["nowhere"]}}),
        (INVALID, {"RecoveryPointSelection": {"ResourceIdentifiers": ["x"]}}),
        # These would hold nothing, and say nothing of it.
        *[(INVALID, {"RecoveryPointSelection": {"ResourceIdentifiers": [arn]}}) for arn in (
            sealed["DBClusterArn"].replace(OWNER, PARTNER), sealed["DBClusterArn"].replace(HOME, FAR),
            f"arn:aws:rds:{HOME}:{OWNER}:subgrp:x", key)],
        (INVALID, {"RecoveryPointSelection": selection | {"DateRange": {
            "FromDate": now, "ToDate": now - DAY}}}),
    ]:
        fresh = {"RecoveryPointSelection": selection, "IdempotencyToken": unique("hold")}
        refused(code, backup.create_legal_hold, None, 400, **ask | fresh | more)
    refused(MISSING_VALUE, backup.cancel_legal_hold, None, 400, LegalHoldId=hold, CancelDescription="")


def fix_lock(server, name):
    """A vault's lock, as if its date had come."""
    server.stop()
    long_ago = int((time.time() - 86_400) * 1e6)
    sql(server, f"update backup_vaults set body = json_set(body, '$.lock.lock_date', {long_ago}) where name = '{name}'")
    server.start()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("has_lock", [True, False])
def test_a_bucket_keeps_what_is_locked(deploy, has_lock):
    """Once a vault's lock is fixed the bucket's object lock keeps each object that its points reach, for as long as they stay;
    a bucket without object lock is told of."""
    port = network.free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as store:
        try:
            keep_in_bucket(deploy, f"http://127.0.0.1:{port}", has_lock)
        finally:
            store.kill()


def keep_in_bucket(deploy, address, has_lock):
    s3 = boto3.client("s3", "us-east-1", endpoint_url=address, aws_access_key_id=ACCOUNT["AWS_ACCESS_KEY_ID"],
                      aws_secret_access_key=ACCOUNT["AWS_SECRET_ACCESS_KEY"])

    def is_up():
        try:
            return s3.create_bucket(Bucket="vault", ObjectLockEnabledForBucket=has_lock)
        except botocore.exceptions.EndpointConnectionError:
            return None

    running.wait_until(is_up, 60, "the S3 server answers")
    deployment = deploy(*GRACE, "--no-automated-backups", "--vault", "s3://vault/ferry", "--vault-endpoint", address, environment=ACCOUNT)
    backup, server = deployment.client("backup"), deployment.server
    cluster = deployment.new_cluster("shop")
    backup.create_backup_vault(BackupVaultName="locked")
    backup.put_backup_vault_lock_configuration(BackupVaultName="locked", MinRetentionDays=7, ChangeableForDays=3)
    point = ended(backup, start(backup, "locked", cluster, Lifecycle={"DeleteAfterDays": 7}))
    ended(backup, start(backup, "Default", cluster))

    def kept():
        """What the bucket keeps, by its name: until when."""
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket="vault", Prefix=f"ferry/{HOME}/volumes/")
        found = {}
        for name in [one["Key"] for page in pages for one in page.get("Contents", [])]:
            said = s3.head_object(Bucket="vault", Key=name)
            if "ObjectLockMode" in said:
                assert said["ObjectLockMode"] == "COMPLIANCE"
                found[name] = said["ObjectLockRetainUntilDate"]
        return found

    assert kept() == {}, "a lock that can still be removed keeps nothing in the bucket"
    fix_lock(server, "locked")
    if not has_lock:
        running.wait_until(lambda: "the bucket has no object lock" in server.log.read_text(encoding="utf-8"), 60, "it is told")
        assert kept() == {}
        return
    noted = f"select json_extract(body, '$.recovery_point.retained_until') from snapshots where name = '{point['RecoveryPointArn'].split('snapshot:', 1)[1]}'"
    running.wait_until(lambda: sql(server, noted)[0][0], 60, "the bucket keeps it", every=0.5)
    held = kept()
    assert {name.split("/")[-2] for name in held} == {"packs", "lists", "manifests"}
    end = point["CreationDate"] + 7 * DAY
    assert all(abs(until - end) < datetime.timedelta(minutes=5) for until in held.values()), (held, end)
    assert len([name for name in held if "/manifests/" in name]) == 1, "what is not locked is left alone"
    # Nobody deletes it there, whatever credentials they have.
    name = next(name for name in held if "/packs/" in name)
    version = s3.list_object_versions(Bucket="vault", Prefix=name)["Versions"][0]["VersionId"]
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        s3.delete_object(Bucket="vault", Key=name, VersionId=version)
