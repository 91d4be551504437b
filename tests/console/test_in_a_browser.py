"""The console in Chromium: by mouse, by keyboard, without scripts; axe's rules; pictures for the documents.

`make test-console` runs this, in an environment of its own. CONSOLE_PICTURES=DIR keeps pictures there.
"""
import os
import pathlib
import shutil

import pytest

import clients
from snapferry_tools import running

pytestmark = pytest.mark.long

HOME = f"/console/{clients.OWNER}/{clients.HOME}/"
PAGES = ("", "clusters", "cluster?id=orders", "snapshots", "snapshot?id=monday", "take?id=orders", "copy?id=monday&to=eu-west-1&name=monday-eu",
         "restore?id=monday", "delete?id=monday", "jobs", "keys", "plans", "drills", "testing-plan?id=monthly", "health")


@pytest.fixture(scope="module")
def deployment(deploy_for_module):
    """A deployment with clusters, snapshots, a copy elsewhere and keys."""
    deployment = deploy_for_module("--dev", "--cross-region-bytes-per-second", "256KiB")
    key = deployment.new_key(Description="orders and what is kept of them")
    deployment.kms().create_alias(AliasName="alias/orders", TargetKeyId=key)
    deployment.new_cluster("orders", StorageEncrypted=True, KmsKeyId=key)
    deployment.new_cluster("catalogue", Tags=[{"Key": "team", "Value": "shop"}])
    deployment.new_cluster("forgotten")
    deployment.new_snapshot("monday", "orders", Tags=[{"Key": "kept", "Value": "a year"}])
    deployment.new_snapshot("catalogue-monday", "catalogue")
    clients.copied(deployment, "catalogue-monday")
    deployment.rds().modify_db_cluster_snapshot_attribute(
        DBClusterSnapshotIdentifier="catalogue-monday", AttributeName="restore", ValuesToAdd=[clients.PARTNER])
    far = deployment.rds(clients.FAR)
    arn = clients.snapshot_of(deployment.rds(), "catalogue-monday")["DBClusterSnapshotArn"]
    far.copy_db_cluster_snapshot(SourceRegion=clients.HOME, **clients.copy_request(arn, "catalogue-monday-eu"))
    clients.wait_snapshot(far, "catalogue-monday-eu")
    plan(deployment)
    return deployment


def plan(deployment):
    """A backup plan and a restore testing plan, which are due at night."""
    backup = deployment.client("backup")
    rule = {"RuleName": "night", "TargetBackupVaultName": "Default", "Lifecycle": {"DeleteAfterDays": 35}, "CopyActions": [
        {"DestinationBackupVaultArn": f"arn:aws:backup:{clients.FAR}:{clients.OWNER}:backup-vault:Default"}]}
    made = backup.create_backup_plan(BackupPlan={"BackupPlanName": "nightly", "Rules": [rule]})["BackupPlanId"]
    role = f"arn:aws:iam::{clients.OWNER}:role/backup"
    backup.create_backup_selection(BackupPlanId=made, BackupSelection={"SelectionName": "all", "IamRoleArn": role, "Resources": ["*"]})
    points = {"Algorithm": "LATEST_WITHIN_WINDOW", "IncludeVaults": ["*"], "RecoveryPointTypes": ["SNAPSHOT"]}
    backup.create_restore_testing_plan(RestoreTestingPlan={
        "RestoreTestingPlanName": "monthly", "ScheduleExpression": "cron(0 4 1 * ? *)", "RecoveryPointSelection": points})
    backup.create_restore_testing_selection(RestoreTestingPlanName="monthly", RestoreTestingSelection={
        "RestoreTestingSelectionName": "orders", "ProtectedResourceType": "Aurora", "IamRoleArn": role, "ProtectedResourceArns": ["*"]})


@pytest.fixture(scope="module")
def chromium():
    """Debian's Chromium."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    assert program, "chromium is missing: apt-get install chromium"
    with sync_playwright() as playwright:
        # As root it has no sandbox to go to.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium, deployment):
    """Opens pages of a signed-in account; afterwards nothing came from elsewhere and the policy held."""
    opened, told = [], []

    def open_page(path="", **more):
        context = chromium.new_context(base_url=deployment.server.url, **more)
        opened.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: told.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", lambda request: told.append(request.url) if not request.url.startswith((deployment.server.url, "data:")) else None)
        page.goto("/console/")
        page.get_by_label("Account").fill(clients.OWNER)
        page.get_by_role("button", name="Sign in").click()
        page.goto(HOME + path)
        return page

    yield open_page
    for context in opened:
        context.close()
    assert told == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280, 1920])
def test_axe_finds_nothing(open_page, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    # axe is put into pages, which the policy rightly forbids.
    page = open_page(color_scheme=scheme, viewport={"width": width, "height": 900}, bypass_csp=True)
    axe = Axe()
    for path in PAGES:
        page.goto(HOME + path)
        found = axe.run(page)
        assert found.violations_count == 0, (path, found.generate_report())
        wide = page.evaluate("document.scrollingElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"{path} is {wide} pixels too wide"


@pytest.mark.parametrize("scripts", [True, False])
def test_a_cluster_is_backed_up_by_a_plan(open_page, deployment, scripts):
    page = open_page("plans", java_script_enabled=scripts)
    page.get_by_role("link", name="nightly").click()
    page.get_by_label("Cluster").fill("orders")
    page.get_by_role("button", name="Back up").click()
    page.get_by_role("status").get_by_text("orders is being backed up to Default.").wait_for()


@pytest.mark.parametrize("scripts", [True, False])
def test_a_snapshot_is_taken_copied_shared_restored_and_deleted(open_page, deployment, scripts):
    page = open_page("cluster?id=catalogue", java_script_enabled=scripts)
    name, rds = clients.unique("byhand"), deployment.rds()
    page.get_by_role("link", name="Take a snapshot").click()
    page.get_by_label("Name of the snapshot").fill(name)
    page.get_by_role("button", name="Take the snapshot").click()
    page.get_by_role("status").get_by_text(f"The snapshot {name} is being taken.").wait_for()
    clients.wait_snapshot(rds, name)
    page.goto(HOME + f"snapshot?id={name}")
    page.get_by_role("link", name="Copy", exact=True).click()
    page.get_by_label("Name of the copy").fill(name + "-copy")
    page.get_by_role("button", name="Look at it first").click()
    page.get_by_text("copies within a region share their bytes").wait_for()
    page.get_by_role("button", name="Make the copy").click()
    page.get_by_role("heading", name=name + "-copy").wait_for()
    clients.wait_snapshot(rds, name + "-copy")
    page.goto(HOME + f"snapshot?id={name}-copy")
    page.get_by_label("Share with account").fill(clients.PARTNER)
    page.get_by_role("button", name="Share").click()
    page.get_by_role("button", name=f"Take it back from {clients.PARTNER}").click()
    page.get_by_text("This account alone.").wait_for()
    page.get_by_role("link", name="Restore").click()
    page.get_by_label("Name of the new cluster").fill(name + "-again")
    page.get_by_role("button", name="Restore").click()
    page.get_by_role("heading", name=name + "-again").wait_for()
    clients.wait_cluster(rds, name + "-again")
    page.goto(HOME + f"delete?id={name}-copy")
    page.get_by_label("Write its name to delete it").fill(name + "-copy")
    page.get_by_role("button", name="Delete the snapshot").click()
    page.get_by_text(f"The snapshot {name}-copy was deleted.").wait_for()
    assert not clients.exists(rds, name + "-copy")
    rds.delete_db_cluster(DBClusterIdentifier=name + "-again", SkipFinalSnapshot=True)


def test_by_keyboard_alone(open_page, deployment):
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    for key, path in (("c", "clusters"), ("s", "snapshots"), ("k", "keys"), ("j", "jobs"), ("p", "plans"), ("d", "drills"), ("h", "health"), ("o", "")):
        page.keyboard.press("g")
        page.keyboard.press(key)
        page.wait_for_url("**" + HOME + path)
    page.goto(HOME + "snapshots")
    page.keyboard.press("/")
    page.keyboard.type("monday")
    page.keyboard.press("Enter")
    page.wait_for_url("**name=monday**")
    reach(page, "monday")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="monday").wait_for()
    reach(page, "Delete")
    page.keyboard.press("Enter")
    page.get_by_label("Write its name to delete it").wait_for()
    reach(page, "Keep it")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="monday").wait_for()
    assert clients.exists(deployment.rds(), "monday")


def reach(page, text):
    """Tabs until what has the focus says so."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent").strip() == text:
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", "the focus is seen"
            return
    raise AssertionError(f"{text} is not reached by Tab")


def test_a_copy_is_seen_to_move_and_ended(open_page, deployment):
    deployment.noise(4, "noise")
    arn = clients.snapshot_of(deployment.rds(), "noise-snapshot")["DBClusterSnapshotArn"]
    far = deployment.rds(clients.FAR)
    far.copy_db_cluster_snapshot(SourceRegion=clients.HOME, **clients.copy_request(arn, "moving"))
    page = open_page()
    page.goto(HOME.replace(clients.HOME, clients.FAR) + "jobs")
    bar = page.get_by_role("progressbar", name="Progress of moving")
    bar.wait_for()
    page.evaluate("window.here = true")
    running.wait_until(lambda: float(bar.get_attribute("value")) > 0, 90, "the bar moves", every=0.5)
    before = float(bar.get_attribute("value"))
    running.wait_until(lambda: float(bar.get_attribute("value")) > before, 90, "it moves on", every=0.5)
    assert page.evaluate("window.here"), "the page was not loaded again"
    picture(page, "jobs")
    page.get_by_role("button", name="Cancel moving").click()
    page.get_by_text("The copy moving was ended").wait_for()
    page.get_by_text("Nothing runs in this region.").wait_for()
    assert not clients.exists(far, "moving")


def test_light_and_dark(open_page):
    page = open_page(color_scheme="light")
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.get_by_role("button", name="Dark").click()
    assert page.evaluate(colour) != light
    page.get_by_role("button", name="System").click()
    assert page.evaluate(colour) == light


def test_pictures(open_page):
    page = open_page(viewport={"width": 1280, "height": 720}, color_scheme="light")
    for path, name in (("", "overview"), ("snapshot?id=catalogue-monday", "snapshot"), ("copy?id=monday&to=eu-west-1&name=monday-eu", "copy")):
        page.goto(HOME + path)
        assert page.get_by_role("heading", level=1).is_visible()
        picture(page, name)
    page.get_by_role("button", name="Dark").click()
    page.goto(HOME)
    picture(page, "overview-dark")


def picture(page, name):
    """Keeps what is seen, if pictures are wanted."""
    folder = os.environ.get("CONSOLE_PICTURES")
    if folder:
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=pathlib.Path(folder) / f"console-{name}.png")
