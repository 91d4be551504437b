"""Restore testing: plans that have recovery points restored for a test, and what each test found."""
import base64
import datetime
import hashlib
import json
import re

from cryptography.hazmat.primitives import serialization
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
        (INVALID, {"RestoreMetadataOverrides": {"snapferry:other": "1"}}), (INVALID, {"RestoreMetadataOverrides": {"snapferry:checks": "[{}]"}}),
        (INVALID, {"RestoreMetadataOverrides": {"snapferry:builtin": "fsck"}}), (INVALID, {"ValidationWindowHours": 169}),
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


def in_sql(*checks):
    """Overrides that have checks made in SQL."""
    return {"snapferry:checks": json.dumps(list(checks))}


def envelope_says(line, key):
    """What a receipt says, by a reader that shares no code with what signed it: DSSE over Ed25519."""
    envelope = json.loads(line)
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"]
    signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    (signature,) = envelope["signatures"]
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert signature["keyid"] == hashlib.sha256(der).hexdigest()
    key.verify(base64.b64decode(signature["sig"]), signed)
    return json.loads(payload), hashlib.sha256(payload).hexdigest()


@pytest.mark.timeout(900)
def test_checks_of_ones_own_and_their_receipts(deploy, binary, tmp_path):
    """In SQL and built-in: the good ones pass; what lacks a row, writes, runs for ever or floods fails and says so.
    Each drill's receipt is signed, and checks out on a machine that has its public key alone."""
    deployment = deploy()
    backup, environment = deployment.client("backup"), deployment.environment()
    cluster = deployment.new_cluster("shop")
    with clients.connect(cluster) as connection:
        connection.execute("create table goods as select n, now() as made from generate_series(1, 100) n")
        connection.execute("create index on goods (n)")
        connection.execute("grant all on goods to public")
        connection.execute("create function empties() returns int language plpgsql security definer as "
                           "$$begin delete from goods; return 1; end$$")
        # What has the names of newer functions beside an old version of the extension is never called.
        connection.execute("create schema old")
        connection.execute("create extension amcheck schema old version '1.0'")
        for name, answer in [("bt_index_check", "void"), ("bt_index_parent_check", "void"), ("verify_heapam", "table (blkno bigint, msg text)")]:
            connection.execute(f"create function old.{name}(regclass, boolean) returns {answer} language plpgsql as "
                               "$$begin raise exception 'the owner''s code runs as %', current_user; end$$")
        connection.execute("create database closed")
        connection.execute("revoke connect on database closed from public")
        database = connection.execute("select current_database()").fetchone()[0]
    point = ended(backup, start(backup, "Default", cluster))
    good = in_sql({"name": "behind a door", "database": "closed", "sql": "select 1"},
                  {"name": "the last one", "database": database, "sql": "select n from goods where n = 100"},
                  {"name": "all", "database": database, "sql": "select count(*) from goods", "expect": 100})
    good["snapferry:builtin"] = f"amcheck,checksums,newest-row:{database}/public.goods.made<=1h"
    lacking = in_sql({"name": "the next one", "database": database, "sql": "select n from goods where n = 101"})
    wild = in_sql({"name": "writes", "database": database, "sql": "select empties()"},
                  {"name": "deletes", "database": database, "sql": "delete from goods"},
                  {"name": "for ever", "database": database, "sql": "select pg_sleep(3600)", "seconds": 2},
                  {"name": "floods", "database": database, "sql": "select * from generate_series(1, 1000000)"},
                  {"name": "still all", "database": database, "sql": "select count(*) from goods", "expect": 100})
    for name, overrides in [("good", good), ("lacking", lacking), ("wild", wild)]:
        backup.create_restore_testing_plan(RestoreTestingPlan=plan_of(name))
        backup.create_restore_testing_selection(
            RestoreTestingPlanName=name, RestoreTestingSelection=selection_of("all", RestoreMetadataOverrides=overrides))
        told = run(binary, "drill", "run", name, environment=deployment.environment(PARTNER), status=5)
        assert "cannot be found" in told
        (begun,) = published("drill run", run(binary, "drill", "run", name, "--json", environment=environment))
        assert begun["RecoveryPointArn"] == point["RecoveryPointArn"]

    def over():
        rows = json.loads(run(binary, "drill", "list", "--json", environment=environment))
        return rows if len(rows) == 3 and all(row["Status"] == "over" for row in rows) else None

    drills = {row["RestoreTestingPlanName"]: row for row in running.wait_until(over, 400, "the drills are over", every=1)}
    found = {name: {check["Name"]: (check["Passed"], check["Found"]) for check in drill["Checks"]} for name, drill in drills.items()}
    assert drills["good"]["Outcome"] == "SUCCESSFUL", drills["good"]
    assert found["good"]["all"] == (True, "the value 100; expected: the value 100")
    assert set(found["good"]) >= {"the last one", "amcheck", "checksums", f"newest-row:{database}/public.goods.made"}
    assert (drills["lacking"]["Outcome"], found["lacking"]["the next one"]) == ("FAILED", (False, "0 rows; expected: at least one row"))
    assert "the next one" in drills["lacking"]["OutcomeMessage"]
    assert drills["wild"]["Outcome"] == "FAILED"
    for name, told in [("writes", "tries to write"), ("deletes", "no query that only reads"), ("for ever", "ended after 2 s"),
                       ("floods", "more than 1000 rows")]:
        passed, words = found["wild"][name]
        assert not passed and told in words, (name, words)
    assert found["wild"]["still all"][0], "nothing of it was done"
    asked = {check["Name"]: check.get("Asked") for check in drills["lacking"]["Checks"]}
    assert asked["the next one"] == "select n from goods where n = 101 -- at least one row" and asked["rows"] is None

    # What was signed.
    receipts, pem = tmp_path / "receipts.jsonl", tmp_path / "receipts.pem"
    exported = run(binary, "receipt", "export", environment=environment)
    receipts.write_text(exported)
    pem.write_text(deployment.server.run("receipt", "key"))
    key = serialization.load_pem_public_key(pem.read_bytes())
    said = [envelope_says(line, key) for line in exported.splitlines()]
    assert [statement["number"] for statement, _ in said] == [1, 2, 3]
    assert [statement["previous"] for statement, _ in said] == [None, said[0][1], said[1][1]]
    by_plan = {statement["plan"]: statement for statement, _ in said}
    statement = by_plan["good"]
    assert statement["recoveryPoint"] == point["RecoveryPointArn"] and statement["outcome"] == "SUCCESSFUL"
    assert statement["rootHash"] == drills["good"]["Manifest"]
    (manifest,) = [file for file in objects(deployment, "manifests") if file.name.startswith(statement["rootHash"])]
    assert statement["volume"] in str(manifest)
    if statement["logStart"]:  # Where the cluster's log is kept by then.
        assert statement["logStart"]["position"] <= statement["logEnd"]["position"]
    assert {check["name"]: check["passed"] for check in by_plan["wild"]["checks"]}["writes"] is False
    shown = published("drill show", run(binary, "drill", "show", drills["good"]["DrillIdentifier"], "--json", environment=environment))
    assert shown["Receipt"]["Number"] == statement["number"]
    messages = [event["Message"] for event in deployment.rds().describe_events(SourceType="db-cluster-snapshot", Duration=60)["Events"]]
    assert any(f"Its receipt is number 3 (SHA-256 {said[2][1]})" in text for text in messages), messages

    # Whether they are genuine, on a machine with no data folder.
    alone = running.clean_environment(HOME=str(tmp_path / "nobody"))

    def verify(text, *flags, status=3):
        file = tmp_path / "given.jsonl"
        file.write_text(text)
        return run(binary, "receipt", "verify", str(file), "--key", str(pem), *flags, environment=alone, status=status)

    lines = exported.splitlines(keepends=True)
    told = verify(exported, "--newest", said[2][1], status=0)
    assert "receipts 1 to 3, none missing" in told and "1 SUCCESSFUL" in told
    assert published("receipt verify", verify(exported, "--json", status=0))["chains"][0]["last"] == 3
    assert "receipt 2;" in verify(lines[1], status=0)
    changed = json.loads(lines[0])
    payload = base64.b64decode(changed["payload"]).replace(b'"FAILED"', b'"SUCCESSFUL"', 1).replace(b'"number":1', b'"number":9', 1)
    changed["payload"] = base64.b64encode(payload).decode()
    assert "is not what was signed" in verify(json.dumps(changed))
    assert "1 and 3" in verify(lines[0] + lines[2])
    assert "newest ones are missing" in verify(lines[0] + lines[1], "--newest", said[2][1])
    assert "before 2 are missing" in verify(lines[1] + lines[2], "--newest", said[2][1])
    unsigned = {name: value for name, value in shown.items() if name != "Receipt"}
    assert "is unsigned" in verify(json.dumps(unsigned))
    assert "there is no receipt" in verify("\n")
    other = deploy()
    pem.write_text(other.server.run("receipt", "key"))
    assert "is signed by the key" in verify(exported)
    pem.write_text("no key")
    assert "no key to check receipts by" in verify(exported, status=2)
    # Beside the server no key is named.
    told = deployment.server.run("receipt", "verify", str(receipts))
    assert "Genuine" in told
    assert "cannot be found" in run(binary, "receipt", "export", "none", environment=environment, status=5)


@pytest.mark.timeout(600)
def test_a_damaged_recovery_point_fails_its_test(deploy, binary):
    """A bit that was flipped in a pack, of which no region has another: the owner is told, and the log names the object."""
    deployment = deploy("--no-automated-backups")
    backup, rds = deployment.client("backup"), deployment.rds()
    cluster = deployment.new_cluster("shop")
    with clients.connect(cluster) as connection:
        connection.execute("create table goods as select md5(n::text) from generate_series(1, 20000) n")
    point = ended(backup, start(backup, "Default", cluster))
    pack = objects(deployment, "packs")[0]
    spoil(pack, pack.stat().st_size // 2)
    backup.create_restore_testing_plan(RestoreTestingPlan=plan_of("weekly"))
    backup.create_restore_testing_selection(RestoreTestingPlanName="weekly", RestoreTestingSelection=selection_of("all"))
    environment = deployment.environment()
    (begun,) = published("drill run", run(binary, "drill", "run", "weekly", "--json", environment=environment))

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

    def signed():
        receipts = run(binary, "receipt", "export", environment=environment).splitlines()
        return receipts or None

    # What it found is signed, too.
    (receipt,) = running.wait_until(signed, 120, "its receipt is signed", every=1)
    statement, _ = envelope_says(receipt, serialization.load_pem_public_key(deployment.server.run("receipt", "key").encode()))
    assert (statement["drill"], statement["outcome"]) == (begun["DrillIdentifier"], "FAILED") == (job["RestoreJobId"], "FAILED")
    assert [check["passed"] for check in statement["checks"]] == [False]
