"""Restore testing: plans that have recovery points restored for a test, and what each test found."""
import datetime
import json
import re

import pytest

import clients
from clients import FAR, HOME, OWNER, PARTNER, refused, unique
from snapferry_tools import running
from test_aws_cli import aws  # noqa: F401
from test_backup_jobs import MISSING, ROLE, described, ended, start, vault  # noqa: F401
from test_people_verbs import published, run
from test_verify import hash_of, objects, spoil

INVALID, REQUEST, MISSING_VALUE = "InvalidParameterValueException", "InvalidRequestException", "MissingParameterValueException"
EXISTS, NOT_FOUND = "AlreadyExistsException", "ResourceNotFoundException"
PREFIX = "awsbackup-restore-test-"
FAR_AWAY = "cron(0 5 1 1 ? 2099)"


@pytest.fixture(scope="module")
def backup(closed):
    """The owner's client."""
    return closed.client("backup")


def plan_of(name, **more):
    """A plan that is not due for long."""
    points = {"Algorithm": "LATEST_WITHIN_WINDOW", "IncludeVaults": ["*"], "RecoveryPointTypes": ["SNAPSHOT"]}
    return {"RestoreTestingPlanName": name, "ScheduleExpression": FAR_AWAY, "RecoveryPointSelection": points} | more


def selection_of(name, **more):
    """A selection of all clusters."""
    return {"RestoreTestingSelectionName": name, "ProtectedResourceType": "Aurora", "IamRoleArn": ROLE,
            "ProtectedResourceArns": ["*"]} | more


def named(kind):
    """A name as these plans may have it."""
    return unique(kind).replace("-", "_")


@pytest.fixture
def new_plan(backup):
    """Makes plans; each goes with the test, and its selections with it."""
    made = []

    def make(plan, *selections, **more):
        created = backup.create_restore_testing_plan(RestoreTestingPlan=plan, **more)
        name = created["RestoreTestingPlanName"]
        made.append(name)
        for selection in selections:
            backup.create_restore_testing_selection(RestoreTestingPlanName=name, RestoreTestingSelection=selection)
        return created

    yield make
    for name in made:
        forget(backup, name)


def forget(backup, name):
    """Deletes a plan with its selections, if it is there."""
    if name not in [row["RestoreTestingPlanName"] for row in backup.list_restore_testing_plans()["RestoreTestingPlans"]]:
        return
    for row in backup.list_restore_testing_selections(RestoreTestingPlanName=name)["RestoreTestingSelections"]:
        backup.delete_restore_testing_selection(
            RestoreTestingPlanName=name, RestoreTestingSelectionName=row["RestoreTestingSelectionName"])
    backup.delete_restore_testing_plan(RestoreTestingPlanName=name)


def test_a_plan_lives(closed, backup, new_plan, aws):  # noqa: F811
    """As Terraform does it: made, read, read again alike, changed, tagged, deleted."""
    name = named("weekly")
    full = plan_of(name, ScheduleExpressionTimezone="Europe/Berlin", StartWindowHours=48)
    full["RecoveryPointSelection"] |= {"ExcludeVaults": [f"arn:aws:backup:{HOME}:{OWNER}:backup-vault:old-*"], "SelectionWindowDays": 7}
    made = new_plan(full, Tags={"team": "x"}, CreatorRequestId="first")
    arn = made["RestoreTestingPlanArn"]
    assert arn == f"arn:aws:backup:{HOME}:{OWNER}:restore-testing-plan:{name}"
    shown = described(backup.get_restore_testing_plan(RestoreTestingPlanName=name))["RestoreTestingPlan"]
    assert {key: shown[key] for key in full} == full and shown["CreatorRequestId"] == "first"
    assert described(backup.get_restore_testing_plan(RestoreTestingPlanName=name))["RestoreTestingPlan"] == shown
    assert "LastUpdateTime" not in shown and "LastExecutionTime" not in shown
    again = backup.create_restore_testing_plan(RestoreTestingPlan=full, CreatorRequestId="first")
    assert again["RestoreTestingPlanArn"] == arn
    refused(EXISTS, backup.create_restore_testing_plan, None, 400, RestoreTestingPlan=full)
    refused(EXISTS, backup.create_restore_testing_plan, re.compile("CreatorRequestId"), 400,
            RestoreTestingPlan=full | {"StartWindowHours": 1}, CreatorRequestId="first")
    # What nothing is said of is told.
    plain = named("plain")
    new_plan(plan_of(plain))
    told = backup.get_restore_testing_plan(RestoreTestingPlanName=plain)["RestoreTestingPlan"]
    assert (told["ScheduleExpressionTimezone"], told["StartWindowHours"]) == ("Etc/UTC", 24)
    assert told["RecoveryPointSelection"]["SelectionWindowDays"] == 30 and told["RecoveryPointSelection"]["ExcludeVaults"] == []
    rows = {row["RestoreTestingPlanName"]: row for row in aws("backup", "list-restore-testing-plans")["RestoreTestingPlans"]}
    assert rows[name]["RestoreTestingPlanArn"] == arn and plain in rows
    pages = backup.get_paginator("list_restore_testing_plans").paginate(PaginationConfig={"PageSize": 1})
    assert {name, plain} <= {row["RestoreTestingPlanName"] for page in pages for row in page["RestoreTestingPlans"]}
    changed = backup.update_restore_testing_plan(RestoreTestingPlanName=name, RestoreTestingPlan={"StartWindowHours": 5})
    assert changed["UpdateTime"] >= changed["CreationTime"]
    now = described(backup.get_restore_testing_plan(RestoreTestingPlanName=name))["RestoreTestingPlan"]
    assert now == shown | {"StartWindowHours": 5, "LastUpdateTime": now["LastUpdateTime"]}
    backup.tag_resource(ResourceArn=arn, Tags={"more": "y"})
    backup.untag_resource(ResourceArn=arn, TagKeyList=["team"])
    assert backup.list_tags(ResourceArn=arn)["Tags"] == {"more": "y"}
    for stranger in (closed.client("backup", HOME, PARTNER), closed.client("backup", FAR)):
        assert name not in [row["RestoreTestingPlanName"] for row in stranger.list_restore_testing_plans()["RestoreTestingPlans"]]
        ask = {"RestoreTestingPlanName": name}
        for call, more in [
            (stranger.get_restore_testing_plan, {}), (stranger.update_restore_testing_plan, {"RestoreTestingPlan": {}}),
            (stranger.list_restore_testing_selections, {}),
            (stranger.create_restore_testing_selection, {"RestoreTestingSelection": selection_of("all")}),
        ]:
            refused(NOT_FOUND, call, MISSING, 400, **ask, **more)
        stranger.delete_restore_testing_plan(**ask)
    assert backup.get_restore_testing_plan(RestoreTestingPlanName=name)
    backup.create_restore_testing_selection(RestoreTestingPlanName=name, RestoreTestingSelection=selection_of("all"))
    refused(REQUEST, backup.delete_restore_testing_plan, re.compile("deleted prior"), 400, RestoreTestingPlanName=name)
    forget(backup, name)
    refused(NOT_FOUND, backup.get_restore_testing_plan, MISSING, 400, RestoreTestingPlanName=name)


def test_selections_live(backup, new_plan, plain):
    name, chosen = named("of"), named("some")
    new_plan(plan_of(name))
    ask = {"RestoreTestingPlanName": name}
    conditions = {"StringEquals": [{"Key": "aws:ResourceTag/team", "Value": "shop"}], "StringNotEquals": []}
    full = selection_of(chosen, ProtectedResourceConditions=conditions, ValidationWindowHours=4,
                        RestoreMetadataOverrides={"dbsubnetgroupname": "default", "snapferry:min-rows": "10"})
    made = backup.create_restore_testing_selection(**ask, RestoreTestingSelection=full, CreatorRequestId="one")
    assert made["RestoreTestingSelectionName"] == chosen and made["RestoreTestingPlanArn"].endswith(f":{name}")
    assert backup.create_restore_testing_selection(**ask, RestoreTestingSelection=full, CreatorRequestId="one") | {
        "ResponseMetadata": None} == made | {"ResponseMetadata": None}
    refused(EXISTS, backup.create_restore_testing_selection, re.compile(chosen), 400, **ask, RestoreTestingSelection=full)
    one = ask | {"RestoreTestingSelectionName": chosen}
    shown = described(backup.get_restore_testing_selection(**one))["RestoreTestingSelection"]
    assert {key: shown[key] for key in full} == full
    assert described(backup.get_restore_testing_selection(**one))["RestoreTestingSelection"] == shown
    backup.update_restore_testing_selection(**one, RestoreTestingSelection={"ValidationWindowHours": 0})
    assert described(backup.get_restore_testing_selection(**one))["RestoreTestingSelection"] == shown | {"ValidationWindowHours": 0}
    rows = backup.list_restore_testing_selections(**ask)["RestoreTestingSelections"]
    assert [row["RestoreTestingSelectionName"] for row in rows] == [chosen]
    arn = plain["DBClusterArn"]
    for code, more in [
        (MISSING_VALUE, {"ProtectedResourceArns": []}), (INVALID, {"ProtectedResourceArns": ["*", arn]}), (INVALID, {"ProtectedResourceArns": ["x"]}),
        (INVALID, {"ProtectedResourceArns": [arn], "ProtectedResourceConditions": conditions}), (INVALID, {"ProtectedResourceType": "EBS"}),
        (INVALID, {"RestoreMetadataOverrides": {"nonsense": "1"}}), (INVALID, {"RestoreMetadataOverrides": {"snapferry:min-rows": "many"}}),
        (INVALID, {"RestoreMetadataOverrides": {"snapferry:other": "1"}}), (INVALID, {"ValidationWindowHours": 169}),
        (INVALID, {"IamRoleArn": "admin"}), (INVALID, {"RestoreTestingSelectionName": "with-hyphen"}),
    ]:
        refused(code, backup.create_restore_testing_selection, None, 400, **ask,
                RestoreTestingSelection=selection_of(named("never")) | more)
    for code, more in [
        (MISSING_VALUE, {"Algorithm": None}), (INVALID, {"Algorithm": "BEST"}), (MISSING_VALUE, {"IncludeVaults": []}),
        (INVALID, {"IncludeVaults": ["x"]}), (MISSING_VALUE, {"RecoveryPointTypes": []}), (INVALID, {"RecoveryPointTypes": ["DISK"]}),
        (INVALID, {"SelectionWindowDays": 366}),
    ]:
        plan = plan_of(named("never"))
        plan["RecoveryPointSelection"] |= more
        plan["RecoveryPointSelection"] = {key: value for key, value in plan["RecoveryPointSelection"].items() if value is not None}
        refused(code, backup.create_restore_testing_plan, None, 400, RestoreTestingPlan=plan)
    for more in ({"ScheduleExpression": "daily"}, {"ScheduleExpressionTimezone": "Berlin"}, {"StartWindowHours": 169},
                 {"RestoreTestingPlanName": "a-b"}):
        refused(INVALID, backup.create_restore_testing_plan, None, 400, RestoreTestingPlan=plan_of(named("never")) | more)
    backup.delete_restore_testing_selection(**one)
    refused(NOT_FOUND, backup.get_restore_testing_selection, MISSING, 400, **one)
    refused(NOT_FOUND, backup.delete_restore_testing_selection, MISSING, 400, **one)


def soon(seconds=100):
    """A schedule of one time, which is in the next two minutes."""
    at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return f"cron({at.minute} {at.hour} {at.day} {at.month} ? {at.year})"


@pytest.mark.timeout(900)
def test_recovery_points_are_restored_for_a_test(closed, backup, vault, new_plan, binary):  # noqa: F811
    """What is good passes, what lacks rows fails, what is held waits for a word; each has its receipt."""
    from test_console_plans import drill_is_shown

    rds, name, environment = closed.rds(), unique("tested"), closed.environment()
    cluster = closed.new_cluster(name)
    with clients.connect(cluster) as connection:
        connection.execute("create table goods as select n from generate_series(1, 100) n")
        connection.execute("create index on goods (n)")
    point = ended(backup, start(backup, vault, cluster))
    arn, resource = point["RecoveryPointArn"], cluster["DBClusterArn"]
    inferred = backup.get_restore_testing_inferred_metadata(BackupVaultName=vault, RecoveryPointArn=arn)["InferredMetadata"]
    assert inferred["Engine"] == "aurora-postgresql" and not {"DBClusterIdentifier", "Port"} & set(inferred)
    plans = {word: named(word) for word in ("good", "short", "held", "left")}
    when, more = soon(), {
        "good": {"RestoreMetadataOverrides": {"snapferry:min-rows": "100"}},
        "short": {"RestoreMetadataOverrides": {"snapferry:min-rows": "101"}},
        "held": {"ValidationWindowHours": 1}, "left": {"ValidationWindowHours": 1},
    }
    for word, plan in plans.items():
        new_plan(plan_of(plan, ScheduleExpression=when), selection_of("one", ProtectedResourceArns=[resource], **more[word]))

    def listed(plan):
        return published("drill list", run(binary, "drill", "list", "--plan", plan, "--json", environment=environment))

    def status(plan, wanted):
        def look():
            found = [row for row in listed(plan) if row["Status"] == wanted]
            return found[0] if found else None
        return running.wait_until(look, 300, f"the drill of {plan} is {wanted}", every=1)

    good = status(plans["good"], "over")
    assert (good["Outcome"], good["RecoveryPointArn"], good["SourceResourceArn"], good["BackupVaultName"]) == (
        "SUCCESSFUL", arn, resource, vault)
    checks = {check["Name"]: (check["Passed"], check["Found"]) for check in good["Checks"]}
    assert set(checks) == {"connects", "relations", "indexes", "rows"} and all(passed for passed, _ in checks.values())
    assert checks["rows"][1] == "100 rows of at least 100" and 0 < good["RestoreSeconds"] and good["Manifest"]
    assert good["DeletionStatus"] == "SUCCESSFUL" and good["DBClusterArn"] not in [one["DBClusterArn"] for one in rds.describe_db_clusters()["DBClusters"]]
    job = described(backup.describe_restore_job(RestoreJobId=good["DrillIdentifier"]))
    assert (job["Status"], job["ValidationStatus"], job["DeletionStatus"]) == ("COMPLETED", "SUCCESSFUL", "SUCCESSFUL")
    plan_arn = job["CreatedBy"]["RestoreTestingPlanArn"]
    assert plan_arn.endswith(f":{plans['good']}")
    rows = backup.list_restore_jobs(ByRestoreTestingPlanArn=plan_arn)["RestoreJobs"]
    assert [row["RestoreJobId"] for row in rows] == [job["RestoreJobId"]]
    shown = published("drill show", run(binary, "drill", "show", good["DrillIdentifier"], "--json", environment=environment))
    assert shown == good
    drill_is_shown(closed, good)
    text = run(binary, "drill", "show", good["DrillIdentifier"], environment=environment)
    assert "rows passed: 100 rows" in text and "SUCCESSFUL" in text
    assert good["DrillIdentifier"] in run(binary, "drill", "list", environment=environment)
    partner = closed.environment(PARTNER)
    assert json.loads(run(binary, "drill", "list", "--json", environment=partner)) == []
    assert "cannot be found" in run(binary, "drill", "show", good["DrillIdentifier"], environment=partner, status=5)

    short = status(plans["short"], "over")
    assert short["Outcome"] == "FAILED" and "100 rows of at least 101" in short["OutcomeMessage"]
    refused(REQUEST, backup.put_restore_validation_result, re.compile("final"), 400,
            RestoreJobId=short["DrillIdentifier"], ValidationStatus="SUCCESSFUL")
    messages = [event["Message"] for event in rds.describe_events(
        SourceType="db-cluster-snapshot", SourceIdentifier=arn.split("snapshot:", 1)[1], Duration=60)["Events"]]
    assert any("Restore test of the cluster snapshot passed" in text for text in messages)
    assert any("Restore test of the cluster snapshot failed" in text and "at least 101" in text for text in messages)
    told = clients.send(closed.server, "GET", "/metrics").text
    assert re.search(r'^snapferry_drills_total\{status="FAILED"\} [1-9]', told, re.M)
    assert re.search(r'^snapferry_drills_total\{status="SUCCESSFUL"\} [1-9]', told, re.M)
    assert not re.search(r"^snapferry_drill_last_success_timestamp_seconds 0$", told, re.M)

    # Within its window somebody looks at it, and says what it is.
    held, left = status(plans["held"], "held"), status(plans["left"], "held")
    restored = clients.cluster_of(rds, held["DBClusterArn"].rsplit(":", 1)[1])
    assert restored["DBClusterIdentifier"].startswith(PREFIX) and restored["Status"] == "available"
    assert {"Key": "awsbackup-restore-test", "Value": plans["held"]} in restored["TagList"]
    for stranger in (closed.client("backup", HOME, PARTNER), closed.client("backup", FAR)):
        refused(NOT_FOUND, stranger.put_restore_validation_result, MISSING, 400,
                RestoreJobId=held["DrillIdentifier"], ValidationStatus="FAILED")
    refused(INVALID, backup.put_restore_validation_result, None, 400, RestoreJobId=held["DrillIdentifier"], ValidationStatus="GOOD")
    said = {"RestoreJobId": held["DrillIdentifier"], "ValidationStatusMessage": "the sums agree"}
    backup.put_restore_validation_result(**said, ValidationStatus="VALIDATING")
    assert backup.describe_restore_job(RestoreJobId=held["DrillIdentifier"])["ValidationStatus"] == "VALIDATING"
    backup.put_restore_validation_result(**said, ValidationStatus="SUCCESSFUL")
    # One whose tag is gone is its owner's.
    rds.remove_tags_from_resource(ResourceName=left["DBClusterArn"], TagKeys=["awsbackup-restore-test"])
    backup.put_restore_validation_result(RestoreJobId=left["DrillIdentifier"], ValidationStatus="FAILED", ValidationStatusMessage="it smells")
    over = status(plans["held"], "over")
    assert (over["Outcome"], over["OutcomeMessage"], over["DeletionStatus"]) == ("SUCCESSFUL", "the sums agree", "SUCCESSFUL")
    over = status(plans["left"], "over")
    assert (over["Outcome"], over["DeletionStatus"]) == ("FAILED", "FAILED") and "left alone" in over["DeletionStatusMessage"]
    rds.delete_db_cluster(DBClusterIdentifier=left["DBClusterArn"].rsplit(":", 1)[1], SkipFinalSnapshot=True)
    plain_job = backup.start_restore_job(RecoveryPointArn=arn, Metadata={"DBClusterIdentifier": name})["RestoreJobId"]
    refused(REQUEST, backup.put_restore_validation_result, re.compile("no restore testing plan"), 400,
            RestoreJobId=plain_job, ValidationStatus="SUCCESSFUL")
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


@pytest.mark.timeout(600)
def test_a_damaged_recovery_point_fails_its_test(deploy):
    """A bit that was flipped in a pack, of which no region has another: the owner is told, and the log names the object."""
    deployment = deploy("--no-automated-backups")
    backup, rds = deployment.client("backup"), deployment.rds()
    cluster = deployment.new_cluster("shop")
    with clients.connect(cluster) as connection:
        connection.execute("create table goods as select md5(n::text) from generate_series(1, 20000) n")
    point = ended(backup, start(backup, "Default", cluster))
    pack = objects(deployment, "packs")[0]
    spoil(pack, pack.stat().st_size // 2)
    backup.create_restore_testing_plan(RestoreTestingPlan=plan_of("weekly", ScheduleExpression=soon()))
    backup.create_restore_testing_selection(RestoreTestingPlanName="weekly", RestoreTestingSelection=selection_of("all"))

    def over():
        rows = backup.list_restore_jobs()["RestoreJobs"]
        return next((row for row in rows if row["Status"] == "FAILED"), None)

    job = running.wait_until(over, 200, "the test fails", every=1)
    assert job["RecoveryPointArn"] == point["RecoveryPointArn"] and "damaged" in job["StatusMessage"], job
    assert hash_of(pack)[:16] in deployment.server.log.read_text(encoding="utf-8")
    # What could not be made is taken away all the same.
    gone = job["SourceResourceArn"].replace("cluster:shop", PREFIX)
    running.wait_until(lambda: not [one for one in rds.describe_db_clusters()["DBClusters"]
                                    if one["DBClusterArn"].startswith(gone)], 60, "the failed cluster is gone")

    def told():
        events = rds.describe_events(SourceType="db-cluster-snapshot", EventCategories=["failure"])["Events"]
        return [event for event in events if "Restore test of the cluster snapshot failed" in event["Message"]]

    running.wait_until(told, 60, "an event tells of it")
