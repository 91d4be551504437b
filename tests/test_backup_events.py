"""AWS Backup's events, in the shape of EventBridge, by webhooks."""
import json

import pytest

from clients import HOME, OWNER
from snapferry_tools import running
from test_backup_copies import copied, copy
from test_backup_jobs import ROLE, ended, start
from test_backup_plans import plan_of
from test_backup_restores import restored
from test_webhooks import Receiver, receive  # noqa: F401


def of_backup(receiver):
    """What was taken of AWS Backup."""
    taken = [json.loads(body) for _, _, body in receiver.taken]
    return [event for event in taken if event["detail-type"].endswith("State Change")]


@pytest.mark.timeout(240)
def test_validators_get_what_they_know(deploy, receive, tmp_path):  # noqa: F811
    """From `aws.backup` where the settings say so, in order; DescribeEvents has none of them."""
    aws, ours, topic = receive(), receive(), receive()
    arn = f"arn:aws:sns:{HOME}:{OWNER}:all"
    hooks = [(aws, 'source = "aws"'), (ours, ""), (topic, f'topic = "{arn}"')]
    config = tmp_path / "settings.toml"
    config.write_text("".join(
        f'[[webhook]]\nurl = "http://127.0.0.1:{hook.port}/"\nsecret = "a-secret-for-the-tests"\n{more}\n' for hook, more in hooks
    ), encoding="utf-8")
    config.chmod(0o600)
    deployment = deploy("--config", str(config), "--no-automated-backups")
    backup, rds = deployment.client("backup"), deployment.rds()
    rds.create_event_subscription(SubscriptionName="all", SnsTopicArn=arn, Enabled=True)
    cluster = deployment.new_cluster("shop")
    for name in ("near", "other"):
        backup.create_backup_vault(BackupVaultName=name)
    target = backup.describe_backup_vault(BackupVaultName="other")["BackupVaultArn"]
    backup.put_backup_vault_lock_configuration(BackupVaultName="other", MaxRetentionDays=30)
    job = ended(backup, start(backup, "near", cluster, Lifecycle={"DeleteAfterDays": 7}))
    refused = copied(backup, copy(backup, job, target, Lifecycle={"DeleteAfterDays": 31}), "FAILED")
    done = copied(backup, copy(backup, job, target))
    metadata = {"DBClusterIdentifier": "again"}
    point = job["RecoveryPointArn"]
    restore = backup.start_restore_job(RecoveryPointArn=point, Metadata=metadata, IamRoleArn=ROLE)["RestoreJobId"]
    restored(backup, restore)
    plan = backup.create_backup_plan(BackupPlan=plan_of("near"))["BackupPlanId"]
    backup.update_backup_plan(BackupPlanId=plan, BackupPlan=plan_of("near") | {"BackupPlanName": "other"})
    backup.delete_backup_plan(BackupPlanId=plan)
    backup.update_region_settings(ResourceTypeOptInPreference={"RDS": False})
    backup.delete_recovery_point(BackupVaultName="near", RecoveryPointArn=point)
    backup.delete_backup_vault(BackupVaultName="near")

    def ends(receiver):
        found = of_backup(receiver)
        return found if found and found[-1]["detail"].get("state") == "DELETED" and "Vault" in found[-1]["detail-type"] else None

    events = running.wait_until(lambda: ends(aws), 60, "the last event is delivered")
    assert {event["source"] for event in events} == {"aws.backup"} and {event["account"] for event in events} == {OWNER}
    assert {event["source"] for event in running.wait_until(lambda: ends(ours), 60, "the other has all too")} == {"snapferry.backup"}

    def told(detail_type, **of):
        return [event for event in events
                if event["detail-type"] == detail_type and {key: event["detail"].get(key) for key in of} == of]

    backups = told("Backup Job State Change", backupJobId=job["BackupJobId"])
    assert [event["detail"]["state"] for event in backups] == ["RUNNING", "COMPLETED"]
    assert [event["resources"] for event in backups] == [[], [point]]
    detail = backups[-1]["detail"]
    assert detail["backupSizeInBytes"] == str(job["BackupSizeInBytes"]) and detail["percentDone"] == 100
    assert detail["resourceArn"] == cluster["DBClusterArn"] and detail["backupVaultName"] == "near"
    states = [event["detail"]["state"] for event in told("Copy Job State Change", copyJobId=done["CopyJobId"])]
    assert states[0] == "CREATED" and states[-1] == "COMPLETED"
    failed = told("Copy Job State Change", copyJobId=refused["CopyJobId"])[-1]
    assert failed["detail"]["state"] == "FAILED" and failed["detail"]["statusMessage"] == refused["StatusMessage"]
    assert failed["resources"] == [point] and failed["detail"]["destinationRecoveryPointArn"] == {}
    states = [event["detail"]["status"] for event in told("Restore Job State Change", restoreJobId=restore)]
    assert states == ["PENDING", "RUNNING", "COMPLETED"]
    last = told("Restore Job State Change", restoreJobId=restore)[-1]
    assert last["resources"] == [point] and last["detail"]["createdResourceArn"].endswith(":cluster:again")
    points = [event for event in told("Recovery Point State Change") if event["resources"] == [point]]
    assert [event["detail"]["status"] for event in points] == ["COMPLETED", "DELETING"]
    assert points[0]["detail"]["lifecycle"] == {"deleteAfterDays": 7} and points[0]["detail"]["resourceType"] == "Aurora"
    vaults = [(event["detail"]["backupVaultName"], event["detail"]["state"]) for event in told("Backup Vault State Change")]
    assert vaults == [("near", "CREATED"), ("other", "CREATED"), ("other", "MODIFIED"), ("near", "DELETED")]
    plans = [event["detail"]["state"] for event in told("Backup Plan State Change", backupPlanId=plan)]
    assert plans == ["CREATED", "MODIFIED", "DELETED"]
    assert told("Region Setting State Change")[0]["detail"]["ResourceTypeOptInPreference"] == {"RDS": False}
    # RDS's own are as they were, and alone in its lists and subscriptions.
    others = [json.loads(body) for _, _, body in aws.taken if b"RDS DB" in body]
    assert others and {event["source"] for event in others} == {"aws.rds"}
    assert {row["SourceType"] for row in rds.describe_events()["Events"]} <= {"db-cluster", "db-cluster-snapshot", "db-instance"}
    running.wait_until(lambda: len(topic.taken) >= len(others) - 1, 60, "the subscription has RDS's")
    assert of_backup(topic) == []
