"""Backup plans: what they say, select, and are due at; and the jobs that they make."""
import datetime
import itertools
import json
import re

import botocore.exceptions
import pytest

import clients
from clients import FAR, HOME, OWNER, PARTNER, refused, unique
from snapferry_tools import running
from test_aws_cli import aws  # noqa: F401
from test_backup_jobs import ROLE, described, ended, points, vault  # noqa: F401
from test_people_verbs import published, run

NO_PLAN = re.compile("Cannot find Backup plan")


@pytest.fixture(scope="module")
def backup(closed):
    """The owner's client."""
    return closed.client("backup")


def plan_of(vault, **more):  # noqa: F811
    """A plan of one rule."""
    return {"BackupPlanName": "nightly", "Rules": [{"RuleName": "night", "TargetBackupVaultName": vault} | more]}


@pytest.fixture
def new_plan(backup):
    """Makes plans; each goes with the test, and its selections with it."""
    made = []

    def make(plan, client=backup, **more):
        created = client.create_backup_plan(BackupPlan=plan, **more)
        made.append((client, created["BackupPlanId"]))
        return created

    yield make
    for client, plan in made:
        try:
            rows = client.list_backup_selections(BackupPlanId=plan)["BackupSelectionsList"]
        except botocore.exceptions.ClientError:
            continue
        for row in rows:
            client.delete_backup_selection(BackupPlanId=plan, SelectionId=row["SelectionId"])
        client.delete_backup_plan(BackupPlanId=plan)


def test_a_plan_lives(closed, backup, vault, new_plan, aws):  # noqa: F811
    """As Terraform does it: made, read, read again, changed, read in both versions, tagged, deleted."""
    far = f"arn:aws:backup:{FAR}:{OWNER}:backup-vault:Default"
    full = plan_of(
        vault, ScheduleExpression="cron(30 2 ? * MON-FRI *)", ScheduleExpressionTimezone="Europe/Berlin", StartWindowMinutes=60,
        CompletionWindowMinutes=180, Lifecycle={"DeleteAfterDays": 35}, RecoveryPointTags={"a": "b"},
        CopyActions=[{"DestinationBackupVaultArn": far, "Lifecycle": {"DeleteAfterDays": 7}}], EnableContinuousBackup=False,
    )
    made = new_plan(full, BackupPlanTags={"team": "x"}, CreatorRequestId="one")
    plan = made["BackupPlanId"]
    assert made["BackupPlanArn"] == f"arn:aws:backup:{HOME}:{OWNER}:backup-plan:{plan}"
    shown = described(backup.get_backup_plan(BackupPlanId=plan))
    rule = shown["BackupPlan"]["Rules"][0]
    assert shown["BackupPlan"] == {"BackupPlanName": "nightly", "Rules": [full["Rules"][0] | {"RuleId": rule["RuleId"]}]}
    assert described(backup.get_backup_plan(BackupPlanId=plan)) == shown and shown["VersionId"] == made["VersionId"]
    assert described(new_plan(full, CreatorRequestId="one")) == described(made)
    said = refused("AlreadyExistsException", backup.create_backup_plan, BackupPlan=plan_of(vault), CreatorRequestId="one")
    assert "CreatorRequestId" in said
    # What nothing is said of is told.
    plain = new_plan(plan_of(vault))
    told = backup.get_backup_plan(BackupPlanId=plain["BackupPlanId"])["BackupPlan"]["Rules"][0]
    assert {name: told[name] for name in told if name != "RuleId"} == {
        "RuleName": "night", "TargetBackupVaultName": vault, "ScheduleExpression": "cron(0 5 ? * * *)",
        "StartWindowMinutes": 480, "CompletionWindowMinutes": 10080, "RecoveryPointTags": {}, "CopyActions": [],
        "EnableContinuousBackup": False, "ScheduleExpressionTimezone": "Etc/UTC",
    }
    listed = {row["BackupPlanId"]: row for row in backup.list_backup_plans()["BackupPlansList"]}
    assert listed[plan]["BackupPlanName"] == "nightly" and listed[plan]["VersionId"] == made["VersionId"]
    # Another version keeps the rule's id; the first one can still be read.
    changed = backup.update_backup_plan(BackupPlanId=plan, BackupPlan=full | {"BackupPlanName": "renamed"})
    assert changed["VersionId"] != made["VersionId"]
    now = backup.get_backup_plan(BackupPlanId=plan)
    assert (now["BackupPlan"]["BackupPlanName"], now["BackupPlan"]["Rules"]) == ("renamed", shown["BackupPlan"]["Rules"])
    old = backup.get_backup_plan(BackupPlanId=plan, VersionId=made["VersionId"])
    assert (old["BackupPlan"], old["VersionId"]) == (shown["BackupPlan"], made["VersionId"])
    versions = aws("backup", "list-backup-plan-versions", "--backup-plan-id", plan)["BackupPlanVersionsList"]
    assert [row["VersionId"] for row in versions] == [made["VersionId"], changed["VersionId"]]
    pages = backup.get_paginator("list_backup_plan_versions").paginate(BackupPlanId=plan, PaginationConfig={"PageSize": 1})
    assert [row["VersionId"] for page in pages for row in page["BackupPlanVersionsList"]] == [row["VersionId"] for row in versions]
    # Tags, by the plan's ARN.
    backup.tag_resource(ResourceArn=made["BackupPlanArn"], Tags={"more": "y"})
    backup.untag_resource(ResourceArn=made["BackupPlanArn"], TagKeyList=["team"])
    assert backup.list_tags(ResourceArn=made["BackupPlanArn"])["Tags"] == {"more": "y"}
    tagging = closed.client("tagging")
    assert tagging.tag_resources(ResourceARNList=[made["BackupPlanArn"]], Tags={"via": "tagging"})["FailedResourcesMap"] == {}
    by_tag = {"ResourceTypeFilters": ["backup:backup-plan"], "TagFilters": [{"Key": "via"}]}
    assert [row["ResourceARN"] for row in tagging.get_resources(**by_tag)["ResourceTagMappingList"]] == [made["BackupPlanArn"]]
    for stranger in (closed.client("backup", HOME, PARTNER), closed.client("backup", FAR)):
        assert plan not in [row["BackupPlanId"] for row in stranger.list_backup_plans(IncludeDeleted=True)["BackupPlansList"]]
        for call, more in [
            (stranger.get_backup_plan, {}), (stranger.delete_backup_plan, {}), (stranger.list_backup_plan_versions, {}),
            (stranger.list_backup_selections, {}),
        ]:
            refused("ResourceNotFoundException", call, NO_PLAN, 400, BackupPlanId=plan, **more)
        refused("ResourceNotFoundException", stranger.update_backup_plan, NO_PLAN, BackupPlanId=plan, BackupPlan=plan_of("Default"))
        for call, more in [(stranger.list_tags, {}), (stranger.tag_resource, {"Tags": {"a": "b"}}),
                           (stranger.untag_resource, {"TagKeyList": ["a"]})]:
            refused("ResourceNotFoundException", call, NO_PLAN, ResourceArn=made["BackupPlanArn"], **more)
        refused("InvalidParameterValueException", stranger.create_backup_selection, NO_PLAN, BackupPlanId=plan,
                BackupSelection={"SelectionName": "all", "IamRoleArn": ROLE, "Resources": ["*"]})
    gone = backup.delete_backup_plan(BackupPlanId=plan)
    assert gone["BackupPlanArn"] == made["BackupPlanArn"] and gone["VersionId"] == changed["VersionId"]
    refused("ResourceNotFoundException", backup.get_backup_plan, NO_PLAN, BackupPlanId=plan)
    assert tagging.get_resources(**by_tag)["ResourceTagMappingList"] == []
    assert plan not in [row["BackupPlanId"] for row in backup.list_backup_plans()["BackupPlansList"]]
    deleted = {row["BackupPlanId"]: row for row in backup.list_backup_plans(IncludeDeleted=True)["BackupPlansList"]}
    assert deleted[plan]["DeletionDate"] >= deleted[plan]["CreationDate"]


def test_selections(backup, vault, new_plan, aws):  # noqa: F811
    plan = new_plan(plan_of(vault))["BackupPlanId"]
    conditions = {
        "StringEquals": [{"ConditionKey": "aws:ResourceTag/env", "ConditionValue": "prod"}], "StringNotEquals": [],
        "StringLike": [{"ConditionKey": "aws:ResourceTag/team", "ConditionValue": "a*"}], "StringNotLike": [],
    }
    selection = {
        "SelectionName": "all", "IamRoleArn": ROLE, "Resources": ["arn:aws:rds:*:*:cluster:*"], "Conditions": conditions,
        "NotResources": [f"arn:aws:rds:{HOME}:{OWNER}:cluster:not-this"],
        "ListOfTags": [{"ConditionType": "STRINGEQUALS", "ConditionKey": "backup", "ConditionValue": "yes"}],
    }
    made = backup.create_backup_selection(BackupPlanId=plan, BackupSelection=selection, CreatorRequestId="one")
    again = backup.create_backup_selection(BackupPlanId=plan, BackupSelection=selection, CreatorRequestId="one")
    assert again["SelectionId"] == made["SelectionId"] and made["BackupPlanId"] == plan
    refused("AlreadyExistsException", backup.create_backup_selection, BackupPlanId=plan, CreatorRequestId="one",
            BackupSelection=selection | {"SelectionName": "other"})
    ask = {"BackupPlanId": plan, "SelectionId": made["SelectionId"]}
    shown = backup.get_backup_selection(**ask)
    assert shown["BackupSelection"] == selection and shown["CreatorRequestId"] == "one"
    rows = aws("backup", "list-backup-selections", "--backup-plan-id", plan)["BackupSelectionsList"]
    assert [(row["SelectionId"], row["SelectionName"], row["IamRoleArn"]) for row in rows] == [(made["SelectionId"], "all", ROLE)]
    refused("InvalidRequestException", backup.delete_backup_plan, re.compile("Related backup plan selections must be deleted"),
            400, BackupPlanId=plan)
    invalid = "InvalidParameterValueException"
    for code, more in [
        (invalid, {"SelectionName": "no/name"}), (invalid, {"IamRoleArn": "admin"}), (invalid, {"Resources": ["cluster"]}),
        (invalid, {"NotResources": ["x"]}), ("MissingParameterValueException", {"Resources": [], "ListOfTags": []}),
        (invalid, {"Conditions": {"StringEquals": [{"ConditionKey": "env", "ConditionValue": "x"}]}}),
        ("LimitExceededException", {"Resources": [f"arn:aws:rds:*:*:cluster:{n}*" for n in range(31)]}),
        ("LimitExceededException", {"Resources": [f"arn:aws:rds:r:a:cluster:{n}" for n in range(501)]}),
        ("LimitExceededException", {"ListOfTags": selection["ListOfTags"] * 31}),
    ]:
        refused(code, backup.create_backup_selection, status=400, BackupPlanId=plan, BackupSelection=selection | more)
    refused(invalid, backup.get_backup_selection, NO_PLAN, 400, BackupPlanId="none", SelectionId=made["SelectionId"])
    refused(invalid, backup.delete_backup_selection, NO_PLAN, 400, BackupPlanId="none", SelectionId=made["SelectionId"])
    refused("ResourceNotFoundException", backup.get_backup_selection, None, 400, BackupPlanId=plan, SelectionId="none")
    backup.delete_backup_selection(**ask)
    refused("ResourceNotFoundException", backup.delete_backup_selection, None, 400, **ask)
    assert backup.list_backup_selections(BackupPlanId=plan)["BackupSelectionsList"] == []


def test_what_is_refused(backup, vault, new_plan):  # noqa: F811
    invalid = "InvalidParameterValueException"
    before = backup.list_backup_plans(IncludeDeleted=True)["BackupPlansList"]
    arn = f"arn:aws:backup:{HOME}:{OWNER}:backup-vault:nowhere"
    for more in [
        {"RuleName": "a b"}, {"TargetBackupVaultName": "x"},
        {"TargetBackupVaultName": "nowhere"}, {"ScheduleExpression": "cron(0 5 * * * *)"},
        {"ScheduleExpression": "daily"}, {"ScheduleExpressionTimezone": "Mars/Olympus"},
        {"StartWindowMinutes": 59}, {"StartWindowMinutes": 60, "CompletionWindowMinutes": 119},
        {"Lifecycle": {"MoveToColdStorageAfterDays": 10, "DeleteAfterDays": 20}}, {"RecoveryPointTags": {"aws:x": ""}},
        {"EnableContinuousBackup": True}, {"TargetLogicallyAirGappedBackupVaultArn": arn},
        {"CopyActions": [{"DestinationBackupVaultArn": arn}]},
        {"CopyActions": [{"DestinationBackupVaultArn": "x"}]}, {"IndexActions": [{"ResourceTypes": ["S3"]}]},
    ]:
        refused(invalid, backup.create_backup_plan, status=400, BackupPlan=plan_of(vault, **more))
    twice = plan_of(vault)["Rules"] * 2
    for code, plan in [
        (invalid, plan_of(vault) | {"BackupPlanName": "no/name"}), ("MissingParameterValueException", plan_of(vault) | {"Rules": []}),
        (invalid, plan_of(vault) | {"Rules": twice}),
        (invalid, plan_of(vault) | {"AdvancedBackupSettings": [{"ResourceType": "EC2", "BackupOptions": {"WindowsVSS": "enabled"}}]}),
    ]:
        refused(code, backup.create_backup_plan, status=400, BackupPlan=plan)
    refused("ResourceNotFoundException", backup.get_backup_plan, NO_PLAN, 400, BackupPlanId="none")
    assert backup.list_backup_plans(IncludeDeleted=True)["BackupPlansList"] == before
    plan = new_plan(plan_of(vault))["BackupPlanId"]
    refused(invalid, backup.get_backup_plan, None, 400, BackupPlanId=plan, MaxScheduledRunsPreview=11)
    refused("ResourceNotFoundException", backup.get_backup_plan, NO_PLAN, 400, BackupPlanId=plan, VersionId="none")


def test_runs_are_told_ahead(backup, vault, new_plan):  # noqa: F811
    """Of all rules, soonest first, by their own time zones; a rate counts from its making."""
    rules = [
        {"RuleName": "noon", "TargetBackupVaultName": vault, "ScheduleExpression": "cron(0 12 * * ? *)",
         "ScheduleExpressionTimezone": "Asia/Kolkata"},
        {"RuleName": "often", "TargetBackupVaultName": vault, "ScheduleExpression": "rate(12 hours)"},
    ]
    made = new_plan({"BackupPlanName": "ahead", "Rules": rules})
    shown = backup.get_backup_plan(BackupPlanId=made["BackupPlanId"], MaxScheduledRunsPreview=10)
    ids = {rule["RuleName"]: rule["RuleId"] for rule in shown["BackupPlan"]["Rules"]}
    runs = shown["ScheduledRunsPreview"]
    times = [run["ExecutionTime"] for run in runs]
    assert len(runs) == 10 and times == sorted(times) and {run["RuleExecutionType"] for run in runs} == {"SNAPSHOTS"}
    noons = [time.astimezone(datetime.UTC) for time, run in zip(times, runs, strict=True) if run["RuleId"] == ids["noon"]]
    assert {(time.hour, time.minute) for time in noons} == {(6, 30)} and len(noons) in (3, 4)
    often = [time for time, run in zip(times, runs, strict=True) if run["RuleId"] == ids["often"]]
    assert often[0] - made["CreationDate"] == datetime.timedelta(hours=12) and often[1] - often[0] == datetime.timedelta(hours=12)
    assert "ScheduledRunsPreview" not in backup.get_backup_plan(BackupPlanId=made["BackupPlanId"])


@pytest.mark.long
@pytest.mark.timeout(600)
def test_each_minute_a_backup_and_its_copy(deploy):
    """A plan that is due each minute, by a server that is killed again and again: each run is one job."""
    deployment = deploy("--no-automated-backups")
    backup, far = deployment.client("backup"), deployment.client("backup", FAR)
    key, far_key = deployment.new_key(), deployment.new_key(FAR)
    deployment.new_cluster("chosen", StorageEncrypted=True, KmsKeyId=key, Tags=[{"Key": "backup", "Value": "yes"}])
    deployment.new_cluster("other")
    backup.create_backup_vault(BackupVaultName="near")
    target = far.create_backup_vault(BackupVaultName="far", EncryptionKeyArn=far_key)["BackupVaultArn"]
    rule = {"RuleName": "each-minute", "TargetBackupVaultName": "near", "ScheduleExpression": "cron(* * * * ? *)",
            "Lifecycle": {"DeleteAfterDays": 35}, "RecoveryPointTags": {"by": "plan"},
            "CopyActions": [{"DestinationBackupVaultArn": target, "Lifecycle": {"DeleteAfterDays": 7}}]}
    plan = backup.create_backup_plan(BackupPlan={"BackupPlanName": "minutes", "Rules": [rule]})["BackupPlanId"]
    tag = {"ConditionType": "STRINGEQUALS", "ConditionKey": "backup", "ConditionValue": "yes"}
    backup.create_backup_selection(
        BackupPlanId=plan, BackupSelection={"SelectionName": "tagged", "IamRoleArn": ROLE, "ListOfTags": [tag]})

    def jobs(state=None):
        return deployment.client("backup").list_backup_jobs(**{"ByState": state} if state else {})["BackupJobs"]

    for count in (1, 2, 3):
        running.wait_until(lambda count=count: count <= len(jobs()), 150, f"{count} jobs are made", every=0.05)
        deployment.server.kill()
        deployment.server.start()
    # It listens elsewhere now.
    backup, far = deployment.client("backup"), deployment.client("backup", FAR)
    running.wait_until(lambda: 3 <= len(jobs("COMPLETED")), 150, "three backups are whole", every=0.5)
    running.wait_until(lambda: 3 <= len(backup.list_copy_jobs(ByState="COMPLETED")["CopyJobs"]), 150, "they are copied", every=0.5)
    backup.update_backup_plan(BackupPlanId=plan, BackupPlan={
        "BackupPlanName": "minutes", "Rules": [rule | {"ScheduleExpression": "cron(0 0 1 1 ? 2199)"}]})
    running.wait_until(lambda: not jobs("CREATED") + jobs("RUNNING"), 150, "all are through", every=0.5)
    made = jobs()
    assert {job["ResourceName"] for job in made} == {"chosen"} and {job["State"] for job in made} <= {"COMPLETED", "EXPIRED"}
    # One a minute: `StartBy` is a run's time and its window.
    assert len({job["StartBy"] for job in made}) == len(made), [job["StartBy"] for job in made]
    by = made[0]["CreatedBy"]
    assert (by["BackupPlanId"], by["BackupPlanName"], by["BackupRuleName"]) == (plan, "minutes", "each-minute")
    done = jobs("COMPLETED")
    running.wait_until(
        lambda: len(done) == len(backup.list_copy_jobs(ByState="COMPLETED")["CopyJobs"]), 150, "all are copied", every=0.5)
    copies = {copy["CreatedByBackupJobId"]: copy for copy in backup.list_copy_jobs()["CopyJobs"]}
    assert set(copies) == {job["BackupJobId"] for job in done} and len(points(far, "far")) == len(done)
    last = copies[done[0]["BackupJobId"]]
    assert last["CreatedBy"] == by and last["DestinationRecoveryPointLifecycle"] == {"DeleteAfterDays": 7}
    assert len(points(backup, "near", ByBackupPlanId=plan)) == len(done) and points(backup, "near", ByBackupPlanId="x") == []
    snapshot = clients.snapshot_of(deployment.rds(FAR), last["DestinationRecoveryPointArn"])
    assert (snapshot["Status"], snapshot["KmsKeyId"]) == ("available", far_key)
    assert {"Key": "by", "Value": "plan"} in snapshot["TagList"]
    assert backup.get_backup_plan(BackupPlanId=plan)["LastExecutionDate"] <= max(job["CreationDate"] for job in made)


def test_a_file_of_plans_is_applied(closed, backup, binary, tmp_path):
    """Shown before, done, and done again for nothing; what changes is told by name; what is gone goes with --prune."""
    name, environment = unique("filed"), closed.environment()
    test = name.replace("-", "_")
    file = tmp_path / "plans.toml"
    text = f"""
[[Vaults]]
BackupVaultName = "{name}"
Lock = {{ MinRetentionDays = 2 }}

[[Plans]]
BackupPlanName = "{name}"
[[Plans.Rules]]
RuleName = "night"
TargetBackupVaultName = "{name}"
ScheduleExpression = "cron(0 3 1 1 ? 2099)"
Lifecycle = {{ DeleteAfterDays = 7 }}
[[Plans.Selections]]
SelectionName = "all"
IamRoleArn = "{ROLE}"
ListOfTags = [{{ ConditionType = "STRINGEQUALS", ConditionKey = "of", ConditionValue = "{name}" }}]

[[RestoreTestingPlans]]
RestoreTestingPlanName = "{test}"
ScheduleExpression = "cron(0 4 1 1 ? 2099)"
RecoveryPointSelection = {{ Algorithm = "LATEST_WITHIN_WINDOW", IncludeVaults = ["*"], RecoveryPointTypes = ["SNAPSHOT"] }}
[[RestoreTestingPlans.Selections]]
RestoreTestingSelectionName = "all"
ProtectedResourceType = "Aurora"
IamRoleArn = "{ROLE}"
ProtectedResourceArns = ["*"]
"""

    def apply(*flags, status=0):
        ended = running.subprocess.run([binary, "plan", "apply", str(file), *flags], check=False, capture_output=True, text=True,
                                       timeout=120, env=environment)
        assert ended.returncode == status, (ended.stdout, ended.stderr)
        return ended.stdout if status == 0 else ended.stderr

    def plans():
        rows = backup.list_backup_plans()["BackupPlansList"]
        return [row["BackupPlanId"] for row in rows if row["BackupPlanName"] == name]

    file.write_text(text.replace("RuleName", "RuelName"))
    told = apply(status=1)
    assert "RuelName" in told and "line 9" in told, told
    file.write_text(text)
    dry = apply("--dry-run")
    assert f"+ plan {name}" in dry and "nothing was done" in dry and plans() == []
    done = apply()
    assert dry.splitlines()[:-1] == done.splitlines()[:-1] and len(plans()) == 1
    assert backup.describe_backup_vault(BackupVaultName=name)["MinRetentionDays"] == 2
    assert apply() == "Everything is as the file says.\n"
    shown = backup.get_backup_plan(BackupPlanId=plans()[0])["BackupPlan"]
    file.write_text(text.replace("DeleteAfterDays = 7", "DeleteAfterDays = 9").replace('ConditionKey = "of"', 'ConditionKey = "for"'))
    told = apply()
    assert "Rules[night].Lifecycle.DeleteAfterDays: 7 -> 9" in told and f"- selection all of the plan {name}" in told
    rule = backup.get_backup_plan(BackupPlanId=plans()[0])["BackupPlan"]["Rules"][0]
    assert rule["RuleId"] == shown["Rules"][0]["RuleId"] and rule["Lifecycle"]["DeleteAfterDays"] == 9
    selections = backup.list_backup_selections(BackupPlanId=plans()[0])["BackupSelectionsList"]
    assert len(selections) == 1
    assert apply() == "Everything is as the file says.\n"
    # Other tests have plans of their own here: what --prune would do is shown, and done for what is this one's.
    file.write_text(text.split("[[Plans]]")[0])
    assert apply() == "Everything is as the file says.\n" and len(plans()) == 1
    told = apply("--prune", "--dry-run")
    assert f"- plan {name}" in told and f"- restore testing plan {test}" in told and f"vault {name}" not in told
    backup.delete_backup_selection(BackupPlanId=plans()[0], SelectionId=selections[0]["SelectionId"])
    backup.delete_backup_plan(BackupPlanId=plans()[0])
    backup.delete_restore_testing_selection(RestoreTestingPlanName=test, RestoreTestingSelectionName="all")
    backup.delete_restore_testing_plan(RestoreTestingPlanName=test)
    backup.delete_backup_vault_lock_configuration(BackupVaultName=name)
    backup.delete_backup_vault(BackupVaultName=name)


def test_what_a_file_lacks_is_pruned(deploy, binary, tmp_path):
    """In a deployment of its own: all that the file does not have goes, vaults stay; a file that is wrong does nothing of it."""
    deployment = deploy("--no-automated-backups")
    backup, environment, file = deployment.client("backup"), deployment.environment(), tmp_path / "plans.json"
    rule = {"RuleName": "night", "TargetBackupVaultName": "Default", "ScheduleExpression": "cron(0 3 1 1 ? 2099)"}
    selection = {"SelectionName": "all", "IamRoleArn": ROLE, "Resources": ["*"]}
    points = {"Algorithm": "LATEST_WITHIN_WINDOW", "IncludeVaults": ["*"], "RecoveryPointTypes": ["SNAPSHOT"]}
    tested = {"RestoreTestingSelectionName": "all", "ProtectedResourceType": "Aurora", "IamRoleArn": ROLE, "ProtectedResourceArns": ["*"],
              "RestoreMetadataOverrides": {"snapferry:builtin": "checksums"}}
    test = {"RestoreTestingPlanName": "weekly", "ScheduleExpression": "cron(0 4 1 1 ? 2099)", "RecoveryPointSelection": points,
            "Selections": [tested, tested | {"RestoreTestingSelectionName": "more"}]}
    everything = {
        "Vaults": [{"BackupVaultName": "mine"}],
        "Plans": [{"BackupPlanName": name, "Rules": [rule], "Selections": [selection, selection | {"SelectionName": "more"}]}
                  for name in ("stays", "goes")],
        "RestoreTestingPlans": [test, test | {"RestoreTestingPlanName": "goes"}],
    }

    def apply(content, *flags, status=0):
        file.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
        return run(binary, "plan", "apply", str(file), *flags, environment=environment, status=status)

    def there():
        plans = {row["BackupPlanName"]: row["BackupPlanId"] for row in backup.list_backup_plans()["BackupPlansList"]}
        tests = [row["RestoreTestingPlanName"] for row in backup.list_restore_testing_plans()["RestoreTestingPlans"]]
        selections = [row["SelectionName"] for row in backup.list_backup_selections(BackupPlanId=plans["stays"])["BackupSelectionsList"]]
        of_test = backup.list_restore_testing_selections(RestoreTestingPlanName="weekly")["RestoreTestingSelections"]
        return (sorted(plans), sorted(selections), sorted(tests), sorted(row["RestoreTestingSelectionName"] for row in of_test),
                sorted(row["BackupVaultName"] for row in backup.list_backup_vaults()["BackupVaultList"]))

    assert "done." in apply(everything)
    whole = (["goes", "stays"], ["all", "more"], ["goes", "weekly"], ["all", "more"], ["Default", "mine"])
    assert there() == whole and apply(everything, "--prune") == "Everything is as the file says.\n"
    less = {"Plans": [everything["Plans"][0] | {"Selections": [selection]}], "RestoreTestingPlans": [test | {"Selections": [tested]}]}
    wrong = json.dumps(less, indent=1).replace('"RuleName"', '"RuelName"')
    line = 1 + wrong[:wrong.index("RuelName")].count("\n")
    told = apply(wrong, "--prune", status=1)
    assert "RuelName" in told and f"line {line}" in told and "nothing was changed" in told, told
    assert there() == whole
    dry = apply(less, "--prune", "--dry-run")
    assert there() == whole
    done = apply(less, "--prune")
    assert dry.splitlines()[:-1] == done.splitlines()[:-1]
    for gone in ("- selection more of the plan stays", "- selection all of the plan goes", "- plan goes",
                 "- selection more of the restore testing plan weekly", "- restore testing plan goes"):
        assert gone in done.splitlines(), done
    assert there() == (["stays"], ["all"], ["weekly"], ["all"], ["Default", "mine"])
    assert apply(less, "--prune") == "Everything is as the file says.\n"


@pytest.mark.timeout(300)
def test_a_plan_runs_now(deploy, binary, tmp_path):
    """What a file will do is shown without a server; a plan that is there is run at once, with its copies."""
    file = tmp_path / "plans.toml"
    file.write_text("""
[[Plans]]
BackupPlanName = "production"
[[Plans.Rules]]
RuleName = "night"
TargetBackupVaultName = "near"
ScheduleExpression = "cron(0 3 * * ? *)"
Lifecycle = { DeleteAfterDays = 7 }
[[Plans.Rules]]
RuleName = "year"
TargetBackupVaultName = "near"
ScheduleExpression = "cron(0 4 1 1 ? *)"
""")
    alone = running.clean_environment(HOME=str(tmp_path))
    told = run(binary, "plan", "preview", str(file), "--runs", "3", environment=alone)
    assert "The rule night of production keeps some 7 recovery points" in told and "The rule year of production keeps all" in told
    preview = published("plan preview", run(binary, "plan", "preview", str(file), "--json", environment=alone))
    assert len(preview["due"]) == 10 and {row["vault"] for row in preview["due"]} == {"near"}
    nights = [datetime.datetime.fromisoformat(row["time"]) for row in preview["due"] if row["rule"] == "night"]
    assert all(later - earlier == datetime.timedelta(days=1) for earlier, later in itertools.pairwise(nights))

    deployment = deploy("--no-automated-backups")
    backup, far, environment = deployment.client("backup"), deployment.client("backup", FAR), deployment.environment()
    far_vault = far.create_backup_vault(BackupVaultName="far")["BackupVaultArn"]
    backup.create_backup_vault(BackupVaultName="near")
    cluster = deployment.new_cluster("shop")
    rules = [{"RuleName": name, "TargetBackupVaultName": "near", "ScheduleExpression": "cron(0 3 1 1 ? 2099)",
              "Lifecycle": {"DeleteAfterDays": days}, "CopyActions": [{"DestinationBackupVaultArn": far_vault}] * copies}
             for name, days, copies in (("night", 7, 1), ("year", 365, 0))]
    plan = backup.create_backup_plan(BackupPlan={"BackupPlanName": "production", "Rules": rules})["BackupPlanId"]
    backup.create_backup_selection(BackupPlanId=plan, BackupSelection={"SelectionName": "all", "IamRoleArn": ROLE, "Resources": ["*"]})
    for stranger in (deployment.environment(PARTNER), environment | {"AWS_REGION": FAR}):
        assert "no backup plan production" in run(binary, "plan", "run", "production", environment=stranger, status=5)
    assert "has no rule" in run(binary, "plan", "run", "production", "--rule", "day", environment=environment, status=5)
    (begun,) = published("plan run", run(binary, "plan", "run", "production", "--rule", "night", "--json", environment=environment))
    assert (begun["RuleName"], begun["ResourceArn"], begun["BackupVaultName"]) == ("night", cluster["DBClusterArn"], "near")
    job = ended(backup, begun["BackupJobId"])
    assert job["State"] == "COMPLETED" and job["CreatedBy"]["BackupPlanId"] == plan

    def copied():
        done = backup.list_copy_jobs(ByState="COMPLETED")["CopyJobs"]
        return done[0] if done else None

    copy = running.wait_until(copied, 120, "the copy is there", every=1)
    assert copy["DestinationBackupVaultArn"] == far_vault and copy["CreatedByBackupJobId"] == begun["BackupJobId"]
    told = run(binary, "plan", "run", plan, environment=environment)
    assert "night" in told and "year" in told
