"""The console at /console/: who gets in, what pages show, what they refuse. No scripts run here."""
import contextlib
import gzip
import json
import re
import sqlite3

import pytest

import clients
from browser import Browser

HOME = f"/console/{clients.OWNER}/{clients.HOME}/"
HOSTILE = "<script>alert(1)</script>\"'&"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


@pytest.fixture
def browser(closed):
    """A browser whose owner is signed in."""
    browser = Browser(closed.server)
    assert browser.sign_in(closed).status == 200
    return browser


def test_nobody_sees_a_page_without_signing_in(closed):
    stranger = Browser(closed.server)
    for path in (HOME, HOME + "snapshots?type=manual", HOME + "snapshot?id=x", "/console/", "/console/nothing"):
        page = stranger.ask("GET", path)
        assert page.status in (303, 404), path
        assert clients.OWNER not in page.text
    assert stranger.get("/console").status == 200
    assert "Sign in" in stranger.get(HOME).text
    stranger.jar[f"snapferry-{clients.OWNER}"] = "A" * 43
    assert stranger.ask("GET", HOME).headers["location"].startswith("/console/sign-in?next=")


def test_a_person_signs_in_sees_who_they_are_and_signs_out(closed):
    browser = Browser(closed.server)
    page = browser.get(HOME + "snapshots?type=manual")
    assert page.path.startswith("/console/sign-in?next="), page.path
    key, secret = closed.credentials()
    page = browser.submit(page, "/console/sign-in", key=key, secret=secret)
    assert page.path == HOME + "snapshots?type=manual" and page.status == 200
    assert clients.OWNER in page.text and clients.HOME in page.text
    assert secret not in page.source
    kept = dict(browser.jar)
    browser.submit(page, "/console/sign-out")
    assert browser.jar == {}
    browser.jar = kept
    assert browser.ask("GET", HOME).status == 303, "the session is over, not the cookie alone"
    assert secret not in closed.server.log.read_text()


def test_a_cookie_is_kept_from_scripts_and_other_sites(closed):
    key, secret = closed.credentials()
    browser = Browser(closed.server)
    page = browser.post("/console/sign-in", {"key": key, "secret": secret}, follow=False)
    cookie = page.headers["set-cookie"]
    assert re.fullmatch(rf"snapferry-{clients.OWNER}=[\w-]{{43}}; Path=/; HttpOnly; SameSite=Strict", cookie)


def test_every_page_has_the_policy_and_no_code_in_it(browser, plain):
    for path in ("", "clusters", "snapshots", "snapshot?id=none", "take?id=plain", "jobs", "keys", "health", "plans", "plan?id=x", "drills",
                 "testing-plan?id=x", "drill?id=x", "nothing"):
        page = browser.get(HOME + path)
        assert page.headers["content-security-policy"] == POLICY, path
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.handlers == [], path
        assert all(attributes.get("src", "").startswith("/console/assets/") for tag, attributes in page.tags if tag == "script")
        assert ("style", {}) not in page.tags


def test_assets_are_kept_by_browsers_for_ever(browser):
    page = browser.get(HOME)
    found = [attributes.get("src") or attributes.get("href") for tag, attributes in page.tags if tag in ("script", "link")]
    assert len(found) == 5
    for path in found:
        answer = clients.send(browser.server, "GET", path)
        assert answer.status == 200 and "immutable" in answer.headers["cache-control"], path
        again = clients.send(browser.server, "GET", path, {"If-None-Match": answer.headers["etag"]})
        assert (again.status, again.body) == (304, b"")


def test_assets_are_sent_compressed_to_who_reads_that(browser):
    page, whole = browser.get(HOME), 0
    found = [attributes.get("src") or attributes.get("href") for tag, attributes in page.tags if tag in ("script", "link")]
    for path in found:
        plain = clients.send(browser.server, "GET", path)
        packed = clients.send(browser.server, "GET", path, {"Accept-Encoding": "gzip, br"})
        assert "content-encoding" not in plain.headers and packed.headers["content-encoding"] == "gzip"
        assert gzip.decompress(packed.body) == plain.body and packed.headers["vary"] == plain.headers["vary"] == "accept-encoding"
        assert packed.headers["etag"] != plain.headers["etag"]
        whole += len(packed.body)
    assert whole < 40_000, whole
    # What is secret beside what a stranger chose is not compressed.
    assert "content-encoding" not in browser.get(HOME, **{"Accept-Encoding": "gzip"}).headers


@pytest.mark.parametrize("key, secret", [
    (None, "wrong"), (None, ""), ("AKIAAAAAAAAAAAAAAAAA", None), ("", ""), (None, "x" * 1000), ("<script>", "<script>"),
])
def test_a_wrong_key_or_secret_says_the_same(closed, key, secret):
    right = closed.credentials()
    browser = Browser(closed.server)
    fields = {"key": right[0] if key is None else key, "secret": right[1] if secret is None else secret}
    page = browser.post("/console/sign-in", fields)
    assert page.status == 403
    assert "There is no active access key with this ID and secret." in page.text
    assert browser.jar == {} and "<script>\"" not in page.source
    assert fields["secret"] not in page.source or not fields["secret"] or fields["secret"] == fields["key"]


def test_attempts_are_bounded(deploy):
    deployment = deploy()
    browser = Browser(deployment.server)
    key, secret = deployment.credentials()
    failed = [browser.post("/console/sign-in", {"key": key, "secret": "wrong"}).status for _ in range(6)]
    assert failed == [403] * 5 + [429]
    page = browser.post("/console/sign-in", {"key": key, "secret": secret})
    assert page.status == 429 and "Wait a minute" in page.text, "also the right one has to wait"
    statuses = {browser.post("/console/sign-in", {"key": f"AKIA{number}", "secret": "x"}).status for number in range(20)}
    assert statuses == {403, 429}, "nor may an address try all keys"


def test_a_session_ends_with_its_key(closed):
    made = closed.server.create_access_key(clients.PARTNER)
    browser = Browser(closed.server)
    fields = {"key": made["access_key_id"], "secret": made["secret_access_key"]}
    page = browser.post("/console/sign-in", fields)
    assert page.status == 200 and clients.PARTNER in page.text
    closed.server.run("access-key", "disable", made["access_key_id"])
    assert browser.ask("GET", page.path).status == 303, "the very next page"
    assert browser.post("/console/sign-in", fields).status == 403
    closed.server.run("access-key", "enable", made["access_key_id"])
    assert browser.ask("GET", page.path).status == 303, "what is over does not come back with its key"


def test_two_accounts_in_two_tabs(closed):
    browser = Browser(closed.server)
    browser.sign_in(closed)
    page = browser.sign_in(closed, clients.PARTNER)
    assert f"Account {clients.PARTNER}" in page.text and f"Account {clients.OWNER}" in page.links
    page = browser.get(page.links[f"Account {clients.OWNER}"])
    assert page.path == HOME and page.status == 200
    assert browser.ask("GET", HOME.replace(clients.OWNER, clients.STRANGER)).status == 303


def test_an_account_does_not_open_anothers_pages(closed, plain):
    browser = Browser(closed.server)
    browser.sign_in(closed, clients.PARTNER)
    cookie = browser.jar.pop(f"snapferry-{clients.PARTNER}")
    browser.jar[f"snapferry-{clients.OWNER}"] = cookie
    assert browser.ask("GET", HOME).status == 303
    browser.jar = {f"snapferry-{clients.PARTNER}": cookie}
    page = browser.get(HOME.replace(clients.OWNER, clients.PARTNER) + "cluster?id=plain")
    assert page.status == 404 and "DBClusterNotFoundFault" in page.text


@pytest.mark.parametrize("headers", [
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": None},
    {"Sec-Fetch-Site": None, "Origin": None},
    {"Sec-Fetch-Site": "none", "Origin": None},
])
def test_a_post_from_elsewhere_changes_nothing(browser, headers):
    page = browser.get(HOME)
    form = page.form("/console/sign-out")
    refused = browser.post("/console/sign-out", form.fields, **headers)
    assert refused.status == 403 and refused.headers["content-type"].startswith("text/html")
    assert browser.get(HOME).path == HOME, "still signed in"
    assert browser.post("/console/sign-in", {"key": "x", "secret": "y"}, **headers).status == 403


def test_a_form_needs_the_sessions_token(closed, browser):
    other = Browser(closed.server)
    foreign = other.sign_in(closed).form("/console/sign-out").fields["token"]
    for token in ("", "x", foreign):
        refused = browser.post("/console/sign-out", {"account": clients.OWNER, "token": token})
        assert refused.status == 403 and "Nothing was changed" in refused.text
    assert browser.get(HOME).path == HOME


def test_a_link_from_another_site_leads_to_the_page(browser):
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Cookie": None}
    page = browser.ask("GET", HOME, headers=followed)
    assert page.status == 200
    assert ("meta", {"http-equiv": "refresh", "content": "0"}) in page.tags, "which asks again, with the cookie"
    assert browser.ask("GET", HOME).status == 200
    for more in ({"Sec-Fetch-Dest": "iframe"}, {"Sec-Fetch-Mode": "cors"}, {"Sec-Fetch-Dest": "image"}):
        assert browser.ask("GET", HOME, headers=followed | more).status == 403


def test_an_external_url_is_an_origin_of_ours(deploy):
    outside = "https://ferry.example.net"
    deployment = deploy("--external-url", outside)
    browser = Browser(deployment.server, origin=outside)
    key, secret = deployment.credentials()
    for host in ("ferry.example.net", f"127.0.0.1:{deployment.server.port}"):
        page = browser.post("/console/sign-in", {"key": key, "secret": secret}, follow=False, Host=host)
        assert page.status == 303, host
        assert page.headers["set-cookie"].startswith("__Host-snapferry-") and page.headers["set-cookie"].endswith("; Secure")
    for origin in ("http://ferry.example.net", "https://ferry.example.net:8443", "https://evil.example"):
        refused = browser.post("/console/sign-in", {"key": key, "secret": secret}, Host="ferry.example.net", Origin=origin)
        assert refused.status == 403, origin


def test_the_console_can_be_left_out(deploy):
    deployment = deploy("--no-console")
    answer = clients.send(deployment.server, "GET", "/console/")
    assert answer.status == 403 and "Snapferry" not in answer.text


def test_secrets_are_not_typed_where_others_can_read_them(deploy):
    deployment = deploy("--insecure-listen", start=False)
    deployment.server.listen = "0.0.0.0:0"
    deployment.server.start()
    page = Browser(deployment.server).get("/console/sign-in")
    assert page.status == 403 and "--tls-certificate" in page.text and not page.forms


def test_without_checked_secrets_an_account_is_picked(dev):
    browser = Browser(dev.server)
    page = browser.get("/console/")
    assert "secret" not in page.form("/console/sign-in").fields
    page = browser.submit(page, "/console/sign-in", key=clients.PARTNER)
    assert page.path == HOME.replace(clients.OWNER, clients.PARTNER)


def test_light_and_dark_are_remembered(browser):
    page = browser.get(HOME + "snapshots")
    assert ("html", {"lang": "en", "data-theme": "system"}) in page.tags
    page = browser.submit(page, "/console/theme", button=("theme", "dark"))
    assert page.path == HOME + "snapshots"
    assert ("html", {"lang": "en", "data-theme": "dark"}) in page.tags
    page = browser.post("/console/theme", {"theme": "<script>", "back": "//evil.example/"}, follow=False)
    assert page.headers["location"] == "/console/" and "<" not in page.headers["set-cookie"]


def test_another_region_is_chosen(browser):
    page = browser.submit(browser.get(HOME), f"/console/{clients.OWNER}", region=clients.FAR)
    assert page.path == HOME.replace(clients.HOME, clients.FAR)
    assert browser.get(HOME.replace(clients.HOME, "atlantis-1")).status == 404


def test_the_first_page_says_what_is_backed_up(closed, browser, plain, plain_snapshot):
    cluster = clients.unique("bare")
    closed.new_cluster(cluster)
    page = browser.get(HOME)
    assert "no good backup" in page.text and page.links["plain-snapshot"].endswith("snapshot?id=plain-snapshot")
    rows = page.text.partition("another region")[2]
    assert re.search(rf"{cluster} ● available ✖ never none ○ none", rows), rows
    assert re.search(r" plain ● available ● \d+ \w+ ago plain-snapshot ", rows), rows


def test_the_first_page_finds_a_copy_elsewhere(closed, browser, plain_snapshot):
    name = clients.unique("elsewhere")
    far = closed.rds(clients.FAR)
    far.copy_db_cluster_snapshot(SourceRegion=clients.HOME, **clients.copy_request(plain_snapshot["DBClusterSnapshotArn"], name))
    clients.wait_snapshot(far, name)
    page = browser.get(HOME)
    assert page.links[name] == HOME.replace(clients.HOME, clients.FAR) + f"snapshot?id={name}"
    assert f"{name} in {clients.FAR} ● " in page.text
    assert browser.get(page.links[name]).status == 200


def test_a_cluster_is_shown_with_its_members(closed, browser, plain):
    page = browser.get(browser.get(HOME + "clusters").links["plain"])
    assert f"{plain['Endpoint']}:{plain['Port']}" in page.text
    assert plain["DBClusterArn"] in page.text and plain["MasterUsername"] in page.text
    for member in plain["DBClusterMembers"]:
        assert member["DBInstanceIdentifier"] in page.text


def test_snapshots_are_filtered_and_shown(closed, browser, plain_snapshot, sealed_snapshot):
    page = browser.get(HOME + "snapshots")
    assert {"plain-snapshot", "sealed-snapshot"} <= set(page.links)
    page = browser.submit(page, "/snapshots", cluster="sealed")
    assert "sealed-snapshot" in page.links and "plain-snapshot" not in page.links
    page = browser.get(page.links["sealed-snapshot"])
    assert sealed_snapshot["DBClusterSnapshotArn"] in page.text
    page = browser.get(HOME + "snapshots?name=none-such")
    assert "No snapshot is like that." in page.text
    page = browser.get(HOME + "snapshots?marker=%3Cscript%3E")
    assert page.status == 400 and "<script>" not in page.source.replace("<script src", "")


def test_what_is_stored_is_text(deploy):
    deployment = deploy("--dev")
    deployment.new_cluster("hostile")
    deployment.new_snapshot("hostile-snapshot", "hostile")
    deployment.server.stop()
    with contextlib.closing(sqlite3.connect(deployment.server.data / "catalog.sqlite")) as catalog:
        for table in ("clusters", "snapshots"):
            for name, body in catalog.execute(f"select name, body from {table}").fetchall():
                changed = json.loads(body) | {
                    "tags": [{"key": HOSTILE, "value": HOSTILE}], "engine_version": HOSTILE, "master_username": HOSTILE, "database_name": HOSTILE,
                }
                catalog.execute(f"update {table} set body = ? where name = ?", (json.dumps(changed), name))
        catalog.commit()
    deployment.server.start()
    browser = Browser(deployment.server)
    browser.sign_in(deployment)
    ids = "?id=hostile-snapshot"
    for path in ("", "clusters", "cluster?id=hostile", "snapshots", f"snapshot{ids}", f"copy{ids}&name=x", f"restore{ids}", f"delete{ids}", "health"):
        page = browser.get(HOME + path)
        assert page.status == 200 and not page.handlers, path
        assert all("src" in attributes for tag, attributes in page.tags if tag == "script"), path
        assert HOSTILE in page.text or not path.partition("?")[0] in ("cluster", "clusters", "snapshots", "snapshot"), path


@pytest.mark.parametrize("path", ["cluster?id=", "cluster?id=none", "snapshot", "snapshot?id=none", "nothing", "snapshots/x"])
def test_what_is_not_there_is_said(browser, path):
    page = browser.get(HOME + path)
    assert page.status == 404 and page.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("path", [
    "cluster?id=" + "%3Cscript%3Ealert(1)%3C/script%3E", "snapshots?cluster=%3Cscript%3E&name=%22%3E%3Cscript%3E", "snapshots?type=%3Cscript%3E",
    "?marker=%00%ff", "?marker=%zz", "snapshot?id=a&id=b",
])
def test_hostile_addresses_are_text(browser, path):
    page = browser.get(HOME + path)
    assert page.status < 500 and not page.handlers
    assert all("src" in attributes for tag, attributes in page.tags if tag == "script")


def test_many_snapshots_come_page_by_page(deploy):
    deployment = deploy("--dev")
    deployment.new_cluster("busy")
    deployment.new_snapshot("first", "busy")
    multiply(deployment, "first", 350)
    browser = Browser(deployment.server)
    browser.sign_in(deployment)
    page, seen = browser.get(HOME + "snapshots"), []
    while True:
        assert len(page.source.encode()) < 100_000
        seen += [name for name, link in page.links.items() if "snapshot?id=" in link]
        if "Next page" not in page.links:
            break
        page = browser.get(page.links["Next page"])
    assert len(seen) == len(set(seen)) == 351
    page = browser.get(HOME)
    assert len(page.source.encode()) < 100_000 and "more manual ones than were looked at" in page.text


def multiply(deployment, name, count):
    """Writes a snapshot's record many times under other names, beside the server."""
    deployment.server.stop()
    with contextlib.closing(sqlite3.connect(deployment.server.data / "catalog.sqlite")) as catalog:
        columns = [row[1] for row in catalog.execute("pragma table_info(snapshots)")]
        row = dict(zip(columns, catalog.execute("select * from snapshots where name = ?", (name,)).fetchone()))
        body = json.loads(row["body"])
        copies = [row | {"name": f"copy-{number:06}"} for number in range(count)]
        for copy in copies:
            copy["body"] = json.dumps(body | {"name": copy["name"]})
        marks = ", ".join("?" * len(columns))
        catalog.executemany(f"insert into snapshots values ({marks})", [tuple(copy[column] for column in columns) for copy in copies])
        catalog.commit()
    deployment.server.start()


def test_methods_that_pages_have_not(browser):
    assert browser.ask("PUT", HOME).status == 405
    assert browser.ask("HEAD", HOME).status == 200
    token = browser.get(HOME).form("/console/sign-out").fields["token"]
    assert browser.post(HOME, {"token": token}).status == 405


def test_a_body_beyond_all_bounds(browser):
    page = browser.ask("POST", "/console/sign-in", b"key=" + b"x" * (2 << 20))
    assert page.status == 413 and page.headers["content-type"].startswith("text/html")
