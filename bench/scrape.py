"""What a scrape of /metrics costs with 2,000 clusters that have metrics of their own: time and bytes.

One cluster is real; the others are records like it, of another node, with ten snapshots each.
"""
import contextlib
import http.client
import sqlite3
import statistics
import sys
import time

import boto3
import botocore.config

import machine
from snapferry_tools import running

REGION = "us-east-1"
CLUSTERS, SNAPSHOTS = 2_000, 10
AIM_MS = 50
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"


def columns(database, table):
    """A table's columns."""
    return [row[1] for row in database.execute(f"PRAGMA table_info({table})")]


def multiply(database, table, changed, count):
    """Adds so many rows like the one that there is; `changed` says what is another in row n.i, by column."""
    names = columns(database, table)
    values = ", ".join(changed.get(name, f"t.{name}") for name in names)
    database.execute(f"{NUMBERS} INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM n, {table} AS t WHERE t.rowid = 1", [count])


def fill(path):
    """Makes one cluster with a snapshot many."""
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as database, database:
        (resource,) = database.execute("SELECT resource_id FROM clusters").fetchone()
        other = f"'{resource}-' || n.i"
        multiply(database, "clusters", {
            "name": "t.name || '-' || n.i", "resource_id": other, "node": "'elsewhere'",
            "body": f"replace(replace(t.body, '{resource}', {other}), '\"name\":\"' || t.name || '\"', '\"name\":\"' || t.name || '-' || n.i || '\"')",
        }, CLUSTERS - 1)
        of = f"'{resource}-' || (1 + n.i % {CLUSTERS - 1})"
        multiply(database, "snapshots", {
            "name": "t.name || '-' || n.i", "cluster_resource_id": of,
            "body": f"replace(replace(t.body, '{resource}', {of}), '\"name\":\"' || t.name || '\"', '\"name\":\"' || t.name || '-' || n.i || '\"')",
        }, CLUSTERS * SNAPSHOTS)


def scrape(server):
    """One scrape: milliseconds, and what was told."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    begun = time.monotonic()
    connection.request("GET", "/metrics")
    text = connection.getresponse().read()
    took = 1000 * (time.monotonic() - begun)
    connection.close()
    return took, text


def main():
    """Prints the table; writes the report."""
    parser = machine.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    described = machine.describe()
    folder = running.make_folder("snapferry-bench-")
    automated = {"SNAPFERRY_NO_AUTOMATED_BACKUPS": None}
    server = running.Server(options.binary, folder / "data", "--dev", environment=automated)
    config = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=60)
    try:
        server.start()
        rds = boto3.Session("000000000000", "anything").client("rds", REGION, endpoint_url=server.url, config=config)
        rds.create_db_cluster(DBClusterIdentifier="c", Engine="aurora-postgresql", MasterUsername="ferryman", MasterUserPassword="correct-horse-7")
        rds.get_waiter("db_cluster_available").wait(DBClusterIdentifier="c", WaiterConfig={"Delay": 0.2, "MaxAttempts": 600})
        window = b"snapferry_cluster_latest_restorable_timestamp_seconds{"
        running.wait_until(lambda: window in scrape(server)[1], 120, "the cluster's first snapshot")
        server.stop()
        fill(server.data / "catalog.sqlite")
        server.start()
        first, _ = scrape(server)
        told = [scrape(server) for _ in range(options.rounds) if not time.sleep(1.1)]
        cpu = machine.own_cpu_seconds(server.process.pid)
        time.sleep(1.1 * options.rounds)
        idle = machine.own_cpu_seconds(server.process.pid) - cpu
        cpu = machine.own_cpu_seconds(server.process.pid)
        told += [scrape(server) for _ in range(options.rounds) if not time.sleep(1.1)]
        spent = machine.own_cpu_seconds(server.process.pid) - cpu - idle
    finally:
        server.stop()
        running.remove_folder(folder)
    took, text = [one for one, _ in told], told[-1][1]
    series = text.count(b"snapferry_cluster_last_snapshot_timestamp_seconds{")
    lines = [
        "# What a scrape costs",
        "",
        f"Made by `scripts/bench-scrape`. {described}.",
        "",
        f"`/metrics` with names, of a server whose catalog has {CLUSTERS:,} clusters with {SNAPSHOTS} snapshots each, asked every 1.1 s.",
        "",
        machine.markdown(
            ["clusters told", "KiB", "the first, ms", "median, ms", "99th of 100, ms", "server CPU ms each", f"aim: {AIM_MS} ms"],
            [[f"{series:,}", f"{len(text) / 1024:,.0f}", f"{first:.0f}", f"{statistics.median(took):.1f}",
              f"{statistics.quantiles(took, n=100)[98]:.1f}", f"{max(0, 1000 * spent / options.rounds):.0f}",
              "met" if statistics.quantiles(took, n=100)[98] <= AIM_MS else "missed"]]),
    ]
    machine.publish(lines, options.report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
