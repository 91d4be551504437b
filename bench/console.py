"""What the console's first page costs a person with 100,000 snapshots: time and bytes; and all that it loads besides.

Clusters and snapshots are records like one real cluster's, of another node.
"""
import contextlib
import gzip
import http.client
import re
import sqlite3
import statistics
import sys
import time
import urllib.parse

import boto3
import botocore.config

import machine
from scrape import multiply
from snapferry_tools import running

REGION, ACCOUNT = "us-east-1", "000000000000"
HOME = f"/console/{ACCOUNT}/{REGION}/"
CLUSTERS, SNAPSHOTS = 100, 100_000
AIM_MS, AIM_KB, AIM_ASSETS_KB = 200, 100, 40
PAGES = [("Overview", ""), ("Snapshots", "snapshots"), ("Clusters", "clusters"), ("a cluster", "cluster?id=c"), ("Keys", "keys"), ("Plans", "plans")]


def fill(path):
    """Makes one cluster with a snapshot many."""
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as database, database:
        (resource,) = database.execute("SELECT resource_id FROM clusters").fetchone()
        other = f"'{resource}-' || n.i"
        named = "'\"name\":\"' || t.name || '\"', '\"name\":\"' || t.name || '-' || n.i || '\"'"
        multiply(database, "clusters", {
            "name": "t.name || '-' || n.i", "resource_id": other, "node": "'elsewhere'", "body": f"replace(replace(t.body, '{resource}', {other}), {named})",
        }, CLUSTERS - 1)
        of = f"'{resource}-' || (1 + n.i % {CLUSTERS - 1})"
        multiply(database, "snapshots", {
            "name": "t.name || '-' || n.i", "cluster_resource_id": of, "cluster_name": f"t.cluster_name || '-' || (1 + n.i % {CLUSTERS - 1})",
            "body": f"replace(replace(t.body, '{resource}', {of}), {named})",
        }, SNAPSHOTS - 1)


class Visitor:
    """A browser that is signed in."""

    def __init__(self, server):
        self.server, self.cookie = server, ""
        form = urllib.parse.urlencode({"key": ACCOUNT}).encode()
        status, headers, _, _ = self.ask("POST", "/console/sign-in", form)
        assert status == 303, status
        self.cookie = headers["set-cookie"].partition(";")[0]

    def ask(self, method, path, body=None):
        """One request on a connection of its own: status, headers, body, milliseconds."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=120)
        headers = {"Cookie": self.cookie, "Sec-Fetch-Site": "same-origin", "Accept-Encoding": "gzip", "Origin": self.server.url}
        if body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        begun = time.monotonic()
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        read = answer.read()
        took = 1000 * (time.monotonic() - begun)
        connection.close()
        return answer.status, {name.lower(): text for name, text in answer.getheaders()}, read, took


def assets(visitor):
    """Bytes on the wire and in memory of all that the first page loads."""
    _, _, page, _ = visitor.ask("GET", HOME)
    sent = whole = 0
    for path in set(re.findall(rb'"(/console/assets/[^"]+)"', page)):
        _, headers, body, _ = visitor.ask("GET", path.decode())
        sent += len(body)
        whole += len(gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body)
    return sent, whole


def main():
    """Prints the table; writes the report."""
    parser = machine.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    described = machine.describe()
    folder = running.make_folder("snapferry-bench-")
    server = running.Server(options.binary, folder / "data", "--dev", "--no-automated-backups")
    config = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=60)
    try:
        server.start()
        rds = boto3.Session(ACCOUNT, "anything").client("rds", REGION, endpoint_url=server.url, config=config)
        rds.create_db_cluster(DBClusterIdentifier="c", Engine="aurora-postgresql", MasterUsername="ferryman", MasterUserPassword="correct-horse-7")
        rds.get_waiter("db_cluster_available").wait(DBClusterIdentifier="c", WaiterConfig={"Delay": 0.2, "MaxAttempts": 600})
        rds.create_db_cluster_snapshot(DBClusterIdentifier="c", DBClusterSnapshotIdentifier="s")
        waiter = rds.get_waiter("db_cluster_snapshot_available")
        waiter.wait(DBClusterSnapshotIdentifier="s", WaiterConfig={"Delay": 0.2, "MaxAttempts": 600})
        server.stop()
        fill(server.data / "catalog.sqlite")
        server.start()
        visitor, rows = Visitor(server), []
        for name, path in PAGES:
            asked = [visitor.ask("GET", HOME + path) for _ in range(options.rounds)]
            assert {status for status, *_ in asked} == {200}, path
            took, size = [one[3] for one in asked], len(asked[-1][2])
            is_met = statistics.median(took) <= AIM_MS and size <= AIM_KB * 1000
            rows.append([name, f"{took[0]:.0f}", f"{statistics.median(took):.0f}", f"{max(took):.0f}", f"{size / 1000:.1f}", "met" if is_met else "missed"])
        sent, whole = assets(visitor)
    finally:
        server.stop()
        running.remove_folder(folder)
    lines = [
        "# What the console's pages cost",
        "",
        f"Made by `scripts/bench-console`. {described}.",
        "",
        f"An account with {CLUSTERS} clusters and {SNAPSHOTS:,} snapshots in one region; each page asked {options.rounds} times, on connections of their own.",
        "",
        machine.markdown(["page", "the first, ms", "median, ms", "slowest, ms", "kB", f"aim: {AIM_MS} ms, {AIM_KB} kB"], rows),
        "",
        f"Style sheet, scripts and icon: {sent / 1000:.1f} kB sent (aim: {AIM_ASSETS_KB}), {whole / 1000:.1f} kB unpacked; browsers keep them.",
    ]
    machine.publish(lines, options.report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
