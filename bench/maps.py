"""Next snapshots that read only what the log names, beside next snapshots that read every file that was written to.

A cluster of one size and one of four times that, in each of which the same number of pages changes: one in a hundred of
the smaller one's. Both ways in the same run, each with a server of its own, through the API: the CPU seconds and the
bytes that the server's process reads, of files and of sockets, without PostgreSQL's own. Missing an aim is shown, not an
error, since machines differ.
"""
import datetime
import pathlib
import sys
import time

import boto3
import botocore.config
import psycopg

import machine
from snapferry_tools import running

USER, PASSWORD, REGION, DATABASE = "ferryman", "correct-horse-7", "us-east-1", "shop"
WAIT_SECONDS = 1800
FACTORS = (1, 4)
PAGE = 8192
# Files that were written to less than ten seconds before a snapshot are read again by the next one.
SETTLE_SECONDS = 12
CPU_MAX, READ_MAX = 1.3, 1.2


class Cluster:
    """A cluster with one large table, and its snapshots."""

    def __init__(self, server, rds, factor, options):
        self.server, self.rds = server, rds
        self.name, self.rounds = f"times-{factor}", 0
        # The daily window would take a snapshot of its own.
        far = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=12)
        self.rds.create_db_cluster(
            DBClusterIdentifier=self.name, Engine="aurora-postgresql", DatabaseName=DATABASE,
            MasterUsername=USER, MasterUserPassword=PASSWORD, StorageEncrypted=True,
            PreferredBackupWindow=f"{far:%H:%M}-{far + datetime.timedelta(minutes=30):%H:%M}",
        )
        wait = {"Delay": 0.2, "MaxAttempts": 5 * WAIT_SECONDS}
        self.rds.get_waiter("db_cluster_available").wait(DBClusterIdentifier=self.name, WaiterConfig=wait)
        running.wait_until(self.streams, WAIT_SECONDS, f"the log of {self.name} goes to the vault", every=0.2)
        with self.connect() as connection:
            # Room in each page, so that an update changes one page of the table and none of its index.
            connection.execute("create table accounts (aid bigint, abalance int, filler char(84)) with (fillfactor = 90)")
            connection.execute(
                "insert into accounts select i, 0, '' from generate_series(1, %s) i", (options.scale * factor * 100_000,)
            )
            connection.execute("alter table accounts add primary key (aid)")
            # Readers would leave hints, and so change every page.
            connection.execute("vacuum (freeze, analyze) accounts")
            (self.pages,) = connection.execute("select relpages from pg_class where relname = 'accounts'").fetchone()
            (self.bytes,) = connection.execute("select pg_database_size(current_database())").fetchone()

    def connect(self):
        """SQL on the cluster."""
        (found,) = self.rds.describe_db_clusters(DBClusterIdentifier=self.name)["DBClusters"]
        return psycopg.connect(
            host=found["Endpoint"], port=found["Port"], user=USER, password=PASSWORD, dbname=DATABASE, autocommit=True
        )

    def streams(self):
        """Whether its log goes to the vault and the snapshot that begins its window is there."""
        (found,) = self.rds.describe_db_clusters(DBClusterIdentifier=self.name)["DBClusters"]
        return found.get("LatestRestorableTime")

    def settle(self):
        """Has the log that there is in the vault, and its files older than a clock's doubt."""
        with self.connect() as connection:
            connection.execute("checkpoint")
        time.sleep(SETTLE_SECONDS)

    def change(self, count):
        """Updates one row in each of so many pages, which lie evenly and are others in each round."""
        self.rounds += 1
        step = self.pages // count
        with self.connect() as connection:
            done = connection.execute(
                "update accounts set abalance = abalance + 1 where ctid in"
                " (select format('(%%s,1)', page * %s + %s)::tid from generate_series(0, %s) page)",
                (step, self.rounds % step, count - 1),
            )
            if done.rowcount != count:
                raise SystemExit(f"{done.rowcount} of {count} pages changed")
        self.settle()

    def snapshot(self, name):
        """A snapshot: wall and CPU seconds, bytes read."""
        pid, name = self.server.process.pid, f"{self.name}-{name}"
        cpu, read, begun = machine.own_cpu_seconds(pid), running.read_bytes(pid), time.monotonic()
        self.rds.create_db_cluster_snapshot(DBClusterSnapshotIdentifier=name, DBClusterIdentifier=self.name)

        def look():
            (seen,) = self.rds.describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=name)["DBClusterSnapshots"]
            if seen["Status"] == "failed":
                raise SystemExit(f"snapshot {name} failed:\n{self.server.tail()}")
            return seen["Status"] == "available"

        running.wait_until(look, WAIT_SECONDS, f"{name} is available", every=0.02)
        wall = time.monotonic() - begun
        return wall, machine.own_cpu_seconds(pid) - cpu, running.read_bytes(pid) - read


def measure(options, how):
    """{factor: (cluster's bytes, pages changed, first, unchanged, next)}, each (wall, CPU, read)."""
    folder = running.make_folder("snapferry-bench-", beside=options.beside)
    settings = {"SNAPFERRY_NO_AUTOMATED_BACKUPS": "false", "SNAPFERRY_CHANGE_MAPS": how}
    server = running.Server(options.binary, folder / "data", "--dev", environment=settings)
    config = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=120)
    found, changed = {}, None
    try:
        server.start()
        rds = boto3.Session("000000000000", "anything").client("rds", REGION, endpoint_url=server.url, config=config)
        for factor in FACTORS:
            print(f"change maps {how}, {factor} x {options.scale}", file=sys.stderr, flush=True)
            cluster = Cluster(server, rds, factor, options)
            changed = changed or cluster.pages // 100
            cluster.settle()
            first = cluster.snapshot("first")
            time.sleep(SETTLE_SECONDS)
            unchanged = cluster.snapshot("unchanged")
            rounds = []
            for number in range(options.rounds):
                cluster.change(changed)
                rounds.append(cluster.snapshot(f"next-{number}"))
            following = tuple(machine.median(values) for values in zip(*rounds))
            found[factor] = (cluster.bytes, changed, first, unchanged, following)
    finally:
        server.stop()
        running.remove_folder(folder)
    return found


def row(work, factor, how, spent):
    """A line of the table."""
    wall, cpu, read = spent
    return [f"{work}, {factor} x", how, f"{wall:.2f}", f"{cpu:.2f}", f"{read / 1e6:.1f}"]


def judge(found):
    """A line for each aim."""
    (_, changed, _, fixed, small), (_, _, _, fixed_large, large) = (found["on"][factor] for factor in FACTORS)
    rows = [("CPU at 4 x of 1 x", large[1] / small[1], CPU_MAX)]
    for factor, spent, least in zip(FACTORS, (small, large), (fixed, fixed_large)):
        rows.append((f"bytes read at {factor} x, of changed pages and an unchanged cluster's", spent[2] / (changed * PAGE + least[2]), READ_MAX))
    return [[text, f"{seen:.2f}", f"{most:g}", "met" if seen <= most else "missed"] for text, seen, most in rows]


def main():
    """Prints the tables; writes the report."""
    parser = machine.parser(__doc__, "--rounds")
    parser.add_argument("--scale", type=int, default=50, help="100,000 rows each, of 128 bytes: 50 is 0.8 GB, and 3.2")
    parser.add_argument("--beside", default="/var/tmp", type=pathlib.Path, help="where the folders with the data are made")
    options = parser.parse_args()
    described = machine.describe()
    found = {how: measure(options, how) for how in ("off", "on")}
    rows = []
    for work, at in (("first", 2), ("unchanged", 3), ("next", 4)):
        for factor in FACTORS:
            rows += [row(work, factor, how, found[how][factor][at]) for how in found]
    ratios = []
    for factor in FACTORS:
        off, on = found["off"][factor][4], found["on"][factor][4]
        ratios.append([f"{factor} x", *(f"{mine / other:.2f}" for mine, other in zip(on, off))])
    small, changed = found["on"][1][:2]
    large = found["on"][4][0]
    lines = [
        "# Next snapshots by change maps",
        "",
        f"Made by `make bench-maps`. {described}.",
        "",
        f"Clusters of {small / 1e6:.0f} MB and of {large / 1e6:.0f} MB; before each next snapshot {changed} pages of either "
        f"change, evenly over its table: {changed * PAGE / 1e6:.1f} MB. Medians of {options.rounds} rounds. What is read is "
        "counted at the server's process: files, its own of the vault too, and the log that comes in meanwhile. A snapshot "
        "of a cluster that did not change reads what every one must: the log that goes along, small files, the base's lists.",
        "",
        machine.markdown(["snapshot", "`--change-maps`", "wall s", "CPU s", "MB read"], rows),
        "",
        "With maps, of what it takes without, for the next snapshot:",
        "",
        machine.markdown(["", "wall", "CPU", "bytes read"], ratios),
        "",
        machine.markdown(["aim, with maps", "seen", "at most", ""], judge(found)),
    ]
    machine.publish(lines, options.report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
