"""What people change from the console: each change is an action of the API, as the key that signed in."""
import http.client
import json
import re

import pytest

import clients
from browser import Browser
from snapferry_tools import running

HOME = f"/console/{clients.OWNER}/{clients.HOME}/"


@pytest.fixture
def browser(closed):
    """A browser whose owner is signed in."""
    browser = Browser(closed.server)
    browser.sign_in(closed)
    return browser


@pytest.fixture(scope="module")
def slow(deploy_for_module):
    """A deployment whose copies to other regions take long, with a snapshot to copy."""
    deployment = deploy_for_module("--cross-region-bytes-per-second", "64KiB")
    deployment.noise(8, "noise")
    return deployment


def answered(server, action):
    """How often an action was answered well."""
    text = clients.send(server, "GET", "/metrics").text
    found = re.search(rf'snapferry_requests_total{{api="rds",action="{action}",code="OK"}} (\d+)', text)
    return int(found[1]) if found else 0


def test_a_snapshot_is_taken(closed, browser, plain):
    before, name = answered(closed.server, "CreateDBClusterSnapshot"), clients.unique("taken")
    page = browser.get(browser.get(HOME + "cluster?id=plain").links["Take a snapshot"])
    page = browser.submit(page, "/take", name=name)
    assert page.path == HOME + f"snapshot?id={name}" and f"The snapshot {name} is being taken." in page.text
    clients.wait_snapshot(closed.rds(), name)
    page = browser.get(page.path)
    assert "● available" in page.text and "is being taken" not in page.text, "what was done is said once"
    assert answered(closed.server, "CreateDBClusterSnapshot") == before + 1


def test_what_is_refused_keeps_what_was_written(closed, browser, plain_snapshot):
    page = browser.submit(browser.get(HOME + "take?id=plain"), "/take", name="plain-snapshot")
    assert page.status == 400 and "DBClusterSnapshotAlreadyExistsFault" in page.text
    page = browser.submit(page, "/take", name="a--b<script>")
    assert page.status == 400 and "<script>" not in page.source.replace("<script src", "")
    assert page.form("/take").fields["name"] == "a--b<script>"


def test_a_copy_shows_key_target_and_bytes_first(closed, browser, sealed_snapshot, other_key, far_key):
    page = browser.get(browser.get(HOME + "snapshot?id=sealed-snapshot").links["Copy"])
    name = clients.unique("copied")
    for region, key, says in (
        (clients.HOME, other_key, "none: copies within a region share their bytes"),
        (clients.FAR, far_key, f"what {clients.FAR} holds of it already is not sent again"),
    ):
        rds = closed.rds(region)
        review = browser.get(f"{HOME}copy?id=sealed-snapshot&to={region}&name={name}&key={key}")
        assert re.search(r"Bytes to move (none:|at most [\d.]+ [KM]iB; )", review.text), review.text
        assert f"{key} ● Enabled" in review.text and says in review.text and f"{name} in {region}" in review.text
        assert not clients.exists(rds, name), "nothing is done yet"
        done = browser.post(HOME + "copy", posted(review, "/copy"))
        assert done.path == HOME.replace(clients.HOME, region) + f"snapshot?id={name}" and done.status == 200
        copy = clients.wait_snapshot(rds, name)
        assert copy["KmsKeyId"] == key
        page = browser.get(HOME + "snapshot?id=sealed-snapshot")
        assert page.links[name] == done.path, "it is in the lineage"
        assert sealed_snapshot["DBClusterSnapshotArn"] in browser.get(done.path).text
        rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)


def posted(page, action):
    """The fields of the form of a page that changes something."""
    found = [form for form in page.forms if form.method == "POST" and (form.action or page.path.partition("?")[0]).endswith(action)]
    assert len(found) == 1
    return found[0].fields


def test_a_copy_abroad_needs_a_key_of_that_region(closed, browser, sealed_snapshot):
    review = browser.get(f"{HOME}copy?id=sealed-snapshot&to={clients.FAR}&name=nameless")
    assert "a key never leaves its region" in review.text
    page = browser.post(HOME + "copy", posted(review, "/copy"))
    assert page.status >= 400 and page.form("/copy").fields["name"] == "nameless"
    assert not clients.exists(closed.rds(clients.FAR), "nameless")


def test_a_snapshot_is_shared_and_that_is_taken_back(closed, browser, plain):
    name = clients.unique("lent")
    arn = closed.new_snapshot(name, "plain")["DBClusterSnapshotArn"]
    path, partner = HOME + f"snapshot?id={name}", Browser(closed.server)
    theirs = partner.sign_in(closed, clients.PARTNER).path
    assert "This account alone." in browser.get(path).text
    page = browser.post(path, posted_share(browser.get(path)) | {"add": clients.PARTNER})
    assert f"Account {clients.PARTNER} may copy and restore {name}." in page.text
    lent = partner.get(theirs + "snapshots?type=shared")
    assert arn in lent.links
    lent = partner.get(lent.links[arn])
    assert lent.status == 200 and "Restore" in lent.links and "Delete" not in lent.links
    refused = partner.post(theirs + "delete", {"id": arn, "written": arn, "token": lent.form("/sign-out").fields["token"]})
    assert refused.status >= 400 and clients.exists(closed.rds(), name)
    page = browser.post(path, posted_share(page) | {"remove": clients.PARTNER, "add": ""})
    assert "may not use" in page.text and "This account alone." in page.text
    assert partner.get(theirs + "snapshots?type=shared").links.get(arn) is None
    assert partner.get(theirs + f"snapshot?id={arn}").status == 404


def posted_share(page):
    """The fields of the form that shares."""
    return next(form.fields for form in page.forms if "add" in form.fields)


def test_a_snapshot_is_deleted_by_its_written_name(closed, browser, plain):
    name = clients.unique("doomed")
    closed.new_snapshot(name, "plain")
    page = browser.get(browser.get(HOME + f"snapshot?id={name}").links["Delete"])
    assert "other good snapshots of this cluster" in page.text and "no copy of it" in page.text
    page = browser.submit(page, "/delete", written="another")
    assert page.status == 400 and "Nothing was deleted" in page.text and clients.exists(closed.rds(), name)
    page = browser.submit(page, "/delete", written=name)
    assert f"The snapshot {name} was deleted." in page.text and not clients.exists(closed.rds(), name)


def test_a_snapshot_is_restored(closed, browser, plain_snapshot):
    name = clients.unique("restored")
    page = browser.get(browser.get(HOME + "snapshot?id=plain-snapshot").links["Restore"])
    page = browser.submit(page, "/restore", name=name)
    assert page.path == HOME + f"cluster?id={name}" and page.status == 200
    with clients.connect(clients.wait_cluster(closed.rds(), name)) as connection:
        assert connection.execute("select count(*) from goods").fetchone() == (2000,)
    closed.rds().delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


@pytest.mark.parametrize("page", ["take", "copy", "restore", "delete", "snapshot", "jobs"])
def test_changes_need_the_sessions_token_and_their_own_origin(closed, browser, plain_snapshot, page):
    token = browser.get(HOME).form("/sign-out").fields["token"]
    rest = {"id": "plain-snapshot", "name": "forged", "written": "plain-snapshot", "add": "all"}
    path = HOME + f"{page}?id=plain-snapshot"
    assert browser.post(path, rest).status == 403
    assert browser.post(path, rest | {"token": token[::-1]}).status == 403
    assert browser.post(path, rest | {"token": token}, Origin="https://evil.example").status == 403
    browser.jar = {}
    assert browser.post(path, rest | {"token": token}).status == 401
    assert clients.exists(closed.rds(), "plain-snapshot") and not clients.exists(closed.rds(), "forged")


def test_a_copy_is_watched_and_ended(slow):
    browser = Browser(slow.server)
    browser.sign_in(slow)
    far, there = slow.rds(clients.FAR), HOME.replace(clients.HOME, clients.FAR)
    arn = clients.snapshot_of(slow.rds(), "noise-snapshot")["DBClusterSnapshotArn"]
    far.copy_db_cluster_snapshot(SourceRegion=clients.HOME, **clients.copy_request(arn, "slow-copy"))
    def told():
        page = browser.get(there + "jobs")
        return page if re.search(r"copy snapshot slow-copy [\d.]+ .?i?B of [\d.]+ MiB, \d+ % [\d.]+ .?i?B/s \d+ \w+", page.text) else None

    page = running.wait_until(told, 90, "bytes, rate and time left are told", every=0.5)
    assert "slow-copy" not in browser.get(HOME + "jobs").text, "another region's"
    with Stream(browser, there + "jobs/live") as stream:
        assert stream.status == 200 and stream.headers["content-type"] == "text/event-stream"
        first = stream.event()
        assert "slow-copy" in first["data"] and first["id"] == "1"
        assert stream.event()["id"] == "2", "it moves"
        page = browser.submit(page, "/jobs")
        assert "The copy slow-copy was ended" in page.text
        while "Nothing runs" not in stream.event()["data"]:
            pass
    assert not clients.exists(far, "slow-copy")


def test_a_stream_ends_with_its_session(closed, browser):
    page = browser.get(HOME)
    with Stream(browser, HOME + "jobs/live") as stream:
        assert "data" in stream.event()
        browser.submit(page, "/console/sign-out")
        while stream.event().get("event") != "over":
            pass
    with Stream(browser, HOME + "jobs/live") as stream:
        assert stream.status == 401


def test_more_viewers_than_fit(deploy):
    deployment = deploy("--dev")
    browser = Browser(deployment.server)
    browser.sign_in(deployment)
    streams = [Stream(browser, HOME + "jobs/live") for _ in range(64)]
    try:
        assert {stream.status for stream in streams} == {200}
        with Stream(browser, HOME + "jobs/live") as refused:
            assert refused.status == 503
        assert browser.get(HOME + "jobs").status == 200, "the page itself is there for all"
        streams.pop().close()

        def room():
            with Stream(browser, HOME + "jobs/live") as stream:
                return stream.status == 200

        running.wait_until(room, 60, "a place is free again", every=0.5)
    finally:
        for stream in streams:
            stream.close()


class Stream:
    """A stream of events, as the browser's script reads it."""

    def __init__(self, browser, path):
        self.connection = http.client.HTTPConnection("127.0.0.1", browser.server.port, timeout=60)
        cookie = "; ".join(f"{name}={value}" for name, value in browser.jar.items())
        self.connection.request("GET", path, headers={"Cookie": cookie, "Sec-Fetch-Site": "same-origin", "Accept": "text/html, text/event-stream"})
        self.answer = self.connection.getresponse()
        self.status = self.answer.status
        self.headers = {name.lower(): value for name, value in self.answer.getheaders()}

    def event(self):
        """The next event; comments are passed over."""
        event = {}
        while True:
            line = self.answer.readline().decode().rstrip("\n")
            if not line and event:
                return event
            name, _, value = line.partition(": ")
            if name:
                event[name] = event[name] + value if name in event else value
            assert line or not self.answer.isclosed(), "the stream ended"

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def test_jobs_are_an_action_of_the_accounts_own(slow):
    far = slow.rds(clients.FAR)
    arn = clients.snapshot_of(slow.rds(), "noise-snapshot")["DBClusterSnapshotArn"]
    far.copy_db_cluster_snapshot(SourceRegion=clients.HOME, **clients.copy_request(arn, "told"))

    def jobs(region=clients.FAR, account=clients.OWNER):
        signer = clients.Signer(slow, account, region, "snapferry")
        answer = signer.post(b"{}", path="/DescribeJobs", extra={"Content-Type": "application/json"})
        assert answer.status == 200, answer.text
        return json.loads(answer.text)["data"]["Jobs"]

    job = running.wait_until(lambda: [job for job in jobs() if 0 < job["BytesDone"] < job["BytesTotal"]], 60, "it is under way")[0]
    assert (job["JobType"], job["SourceType"], job["SourceIdentifier"]) == ("copy-snapshot", "snapshot", "told")
    assert jobs(clients.HOME) == [] and jobs(account=clients.PARTNER) == []
    assert "why" not in job and set(job) == {
        "JobIdentifier", "JobType", "SourceType", "SourceIdentifier", "CreateTime", "BytesTotal", "BytesDone", "BytesShipped",
        "PercentProgress", "Attempts",
    }
    far.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="told")
    running.wait_until(lambda: jobs() == [], 60, "it is over")


def test_a_key_tells_what_would_become_unreadable(closed, browser, key, other_key, sealed_snapshot):
    closed.kms().create_alias(AliasName="alias/console", TargetKeyId=key)
    page = browser.get(HOME + "keys")
    assert "alias/console" in page.text and "sealed clusters" in page.text
    page = browser.get(page.links[key.rpartition("/")[2]])
    assert {"sealed", "sealed-snapshot"} <= set(page.links) and "plain-snapshot" not in page.links
    unused = closed.new_key(Description="<script>alert(1)</script>")
    page = browser.get(HOME + f"key?id={unused}")
    assert "Nothing of this account in this region is under this key." in page.text
    assert "<script>alert(1)</script>" in page.text and "<script>alert" not in page.source
    closed.kms().delete_alias(AliasName="alias/console")


def test_health_and_events_are_told(closed, browser, plain_snapshot):
    page = browser.get(HOME + "health")
    assert "● The server can work" in page.text and "Damaged or missing objects" in page.text
    assert "plain-snapshot" in page.text, "its event"
