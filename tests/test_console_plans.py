"""The console's plans and drills: what they show of the API's answers, and a backup that is begun there."""
import contextlib
import json
import sqlite3

import pytest

import clients
from browser import Browser
from clients import FAR, HOME, OWNER, PARTNER, unique
from snapferry_tools import running
from test_backup_drills import new_plan as new_testing_plan  # noqa: F401
from test_backup_drills import plan_of as drilled_plan_of
from test_backup_drills import selection_of as drilled_selection_of
from test_backup_jobs import ROLE, points, vault  # noqa: F401
from test_backup_plans import new_plan, plan_of  # noqa: F401

ROOT = f"/console/{OWNER}/{HOME}/"
HOSTILE = "<script>alert(1)</script>\"'&"


@pytest.fixture(scope="module")
def backup(closed):
    """The owner's client."""
    return closed.client("backup")


@pytest.fixture
def browser(closed):
    """A browser whose owner is signed in."""
    browser = Browser(closed.server)
    browser.sign_in(closed)
    return browser


def select(backup, plan, **more):
    """A selection of a plan."""
    chosen = {"SelectionName": "some", "IamRoleArn": ROLE} | more
    backup.create_backup_selection(BackupPlanId=plan["BackupPlanId"], BackupSelection=chosen)


def test_a_plan_is_shown_whole(backup, browser, vault, new_plan):  # noqa: F811
    far = f"arn:aws:backup:{FAR}:{OWNER}:backup-vault:Default"
    name = unique("weekly")
    plan = plan_of(vault, ScheduleExpression="cron(30 2 1 1 ? 2098)", ScheduleExpressionTimezone="Etc/UTC", Lifecycle={"DeleteAfterDays": 35},
                   CopyActions=[{"DestinationBackupVaultArn": far, "Lifecycle": {"DeleteAfterDays": 7}}])
    made = new_plan(plan | {"BackupPlanName": name})
    select(backup, made, SelectionName="shop", Resources=["*"],
           Conditions={"StringEquals": [{"ConditionKey": "aws:ResourceTag/team", "ConditionValue": "shop"}]})
    page = browser.get(ROOT + "plans")
    assert "2098-01-01 02:30 UTC" in page.text and "cron(30 2 1 1 ? 2098)" in page.text and "not yet" in page.text
    page = browser.get(page.links[name])
    assert page.status == 200 and page.path == ROOT + f"plan?id={made['BackupPlanId']}"
    for wanted in (vault, far, "35 days", "kept 7 days", "shop", "aws:ResourceTag/team", ROLE, "2098-01-01 02:30 UTC", made["BackupPlanArn"],
                   "There are none of the last 30 days."):
        assert wanted in page.text, wanted
    never = new_plan(plan_of(vault, ScheduleExpression="cron(0 5 1 1 ? 2020)") | {"BackupPlanName": unique("past")})
    page = browser.get(ROOT + f"plan?id={never['BackupPlanId']}")
    assert "The plan selects nothing" in page.text
    assert not [form for form in page.forms if form.action is None], "without a role nothing can be begun"


def test_a_cluster_is_backed_up_as_a_rule_says(closed, backup, browser, plain, vault, new_plan):  # noqa: F811
    made = new_plan(plan_of(vault, Lifecycle={"DeleteAfterDays": 35}, RecoveryPointTags={"kept": "a month"}) | {"BackupPlanName": unique("now")})
    select(backup, made, Resources=["*"])
    page = browser.get(ROOT + f"plan?id={made['BackupPlanId']}")
    page = browser.submit(page, "/plan", cluster="plain")
    assert page.status == 200 and f"plain is being backed up to {vault}." in page.text
    found = running.wait_until(lambda: [row for row in points(backup, vault) if row["Status"] == "COMPLETED"], 120, "the recovery point is there")
    assert [row["ResourceName"] for row in found] == ["plain"] and found[0]["Lifecycle"]["DeleteAfterDays"] == 35
    assert backup.list_tags(ResourceArn=found[0]["RecoveryPointArn"])["Tags"]["kept"] == "a month"
    # It is an action of the API by the key that signed in.
    key, _ = closed.credentials()
    events = closed.client("cloudtrail").lookup_events(LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "StartBackupJob"}])["Events"]
    assert events and events[0]["AccessKeyId"] == key
    # What cannot be is refused, and nothing is begun.
    before = len(backup.list_backup_jobs()["BackupJobs"])
    page = browser.get(ROOT + f"plan?id={made['BackupPlanId']}")
    fields = page.form("/plan").fields
    for change, status, says in (
        ({"cluster": "none-such"}, 404, "DBClusterNotFoundFault"), ({"rule": "none-such"}, 409, "does not have this rule"),
        ({"id": "none-such"}, 400, "Cannot find Backup plan"), ({"token": "x"}, 403, "Nothing was changed"),
    ):
        refused = browser.post(ROOT + "plan", fields | {"cluster": "plain"} | change)
        assert refused.status == status and says in refused.text, (change, refused.status, refused.text)
    assert len(backup.list_backup_jobs()["BackupJobs"]) == before


def test_drills_are_shown_before_there_are_any(browser, new_testing_plan):  # noqa: F811
    name = unique("drilled").replace("-", "_")
    new_testing_plan(drilled_plan_of(name, ScheduleExpression="cron(0 5 1 1 ? 2097)"), drilled_selection_of("all_of_them", ValidationWindowHours=4))
    page = browser.get(ROOT + "drills")
    assert "2097-01-01 05:00 UTC" in page.text
    page = browser.get(page.links[name])
    for wanted in ("all_of_them", "LATEST_WITHIN_WINDOW", "Validation window hours 4", "There was no drill.", "2097-01-01 05:00 UTC"):
        assert wanted in page.text, wanted


@pytest.mark.parametrize("path", ["plan", "plan?id=none", "testing-plan", "testing-plan?id=none", "drill", "drill?id=none"])
def test_what_is_not_there_is_said(browser, path):
    page = browser.get(ROOT + path)
    assert page.status in (400, 404) and page.headers["content-type"].startswith("text/html"), page.status
    assert browser.post(ROOT + "drills", {"token": "x"}).status in (403, 405)


def test_another_account_sees_nothing_of_it(closed, vault, new_plan, new_testing_plan):  # noqa: F811
    made = new_plan(plan_of(vault) | {"BackupPlanName": unique("ours")})
    name = unique("mine").replace("-", "_")
    new_testing_plan(drilled_plan_of(name))
    browser, there = Browser(closed.server), ROOT.replace(OWNER, PARTNER)
    browser.sign_in(closed, PARTNER)
    assert "There are no backup plans" in browser.get(there + "plans").text
    assert name not in browser.get(there + "drills").text
    for path in (f"plan?id={made['BackupPlanId']}", f"testing-plan?id={name}"):
        assert browser.get(there + path).status in (400, 404), path


def drill_is_shown(deployment, drill):
    """The console shows a drill's receipt with all that the API tells of it."""
    browser = Browser(deployment.server)
    browser.sign_in(deployment)
    listed = browser.get(ROOT + "drills")
    assert drill["DrillIdentifier"] in listed.links and drill["RestoreTestingPlanName"] in listed.links
    page = browser.get(listed.links[drill["DrillIdentifier"]])
    assert page.status == 200 and drill["Outcome"] in page.text
    for check in drill["Checks"]:
        assert check["Name"] in page.text and check["Found"] in page.text, check
    for name in ("Manifest", "SourceResourceArn", "BackupVaultName", "RecoveryPointArn", "Status"):
        assert drill[name] in page.text, name
    plan = browser.get(ROOT + f"testing-plan?id={drill['RestoreTestingPlanName']}")
    assert drill["DrillIdentifier"] in plan.links


def test_what_is_stored_is_text(deploy):
    deployment = deploy("--dev")
    backup = deployment.client("backup")
    plan = backup.create_backup_plan(BackupPlan=plan_of("Default"))["BackupPlanId"]
    select(backup, {"BackupPlanId": plan}, Resources=["*"])
    backup.create_restore_testing_plan(RestoreTestingPlan=drilled_plan_of("x"))
    backup.create_restore_testing_selection(RestoreTestingPlanName="x", RestoreTestingSelection=drilled_selection_of("y"))
    deployment.server.stop()
    with contextlib.closing(sqlite3.connect(deployment.server.data / "catalog.sqlite")) as catalog:
        for table in ("backup_plans", "backup_selections", "restore_testing_selections"):
            for row, body in catalog.execute(f"select rowid, body from {table}").fetchall():
                # A restore testing plan's selections are asked for by their names.
                free = {"resources", "overrides", "value", "key"} | ({"name"} if table != "restore_testing_selections" else set())
                catalog.execute(f"update {table} set body = ? where rowid = ?", (json.dumps(spoiled(json.loads(body), free)), row))
        catalog.commit()
    deployment.server.start()
    browser = Browser(deployment.server)
    browser.sign_in(deployment)
    for path in ("plans", f"plan?id={plan}", "drills", "testing-plan?id=x"):
        page = browser.get(ROOT + path)
        assert page.status == 200 and not page.handlers, (path, page.text)
        assert all("src" in attributes for tag, attributes in page.tags if tag == "script"), path
        assert HOSTILE in page.text or path == "drills", path


def spoiled(value, free):
    """A record with hostile text in all members of these names."""
    if isinstance(value, dict):
        return {name: hostile(entry) if name in free else spoiled(entry, free) for name, entry in value.items()}
    return [spoiled(entry, free) for entry in value] if isinstance(value, list) else value


def hostile(value):
    """The same with all texts replaced."""
    if isinstance(value, dict):
        return {HOSTILE: HOSTILE}
    return [HOSTILE for _ in value] if isinstance(value, list) else HOSTILE
