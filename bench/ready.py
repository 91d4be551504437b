"""Time until a new cluster is ready: from CreateDBCluster's call until it is available, and until it answers a query.

Of a cluster with one server and of a Multi-AZ DB cluster, which has three. The first of a version is made by initdb
and told apart; later ones are copies of what that left. The aims are for two quiet cores; missing one is shown, not an
error, since machines differ.
"""
import statistics
import sys
import time

import boto3
import botocore.config
import psycopg

import machine
from snapferry_tools import proof, running

USER, PASSWORD, REGION = "ferryman", "correct-horse-7", "us-east-1"
READY_SECONDS = 300
MULTI_AZ = {"DBClusterInstanceClass": "db.r6gd.large", "AllocatedStorage": 100, "StorageType": "io1", "Iops": 1000}
# Name, what it is made with, and the aim in seconds.
KINDS = (
    ("one server", {"Engine": "aurora-postgresql"}, 3),
    ("Multi-AZ, three servers", {"Engine": "postgres", **MULTI_AZ}, 8),
)


def answers(cluster):
    """Whether the database takes a session of its master user, and answers."""
    try:
        with proof.connect(cluster, USER, PASSWORD, "postgres") as connection:
            return connection.execute("select 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def measure(rds, name, made):
    """Seconds until a new cluster is available, and until it answered a query; it is gone afterwards."""
    named = {"DBClusterIdentifier": name}
    begun = time.monotonic()
    rds.create_db_cluster(**named, MasterUsername=USER, MasterUserPassword=PASSWORD, **made)

    def there():
        (found,) = rds.describe_db_clusters(**named)["DBClusters"]
        return found if found["Status"] == "available" else None

    cluster = running.wait_until(there, READY_SECONDS, f"{name} is available", every=0.02)
    available = time.monotonic() - begun
    running.wait_until(lambda: answers(cluster), READY_SECONDS, f"{name} answers", every=0.01)
    answered = time.monotonic() - begun
    rds.delete_db_cluster(**named, SkipFinalSnapshot=True)
    rds.get_waiter("db_cluster_deleted").wait(**named, WaiterConfig={"Delay": 0.2, "MaxAttempts": 1000})
    return available, answered


def row(name, aim, rounds):
    """A line of the table."""
    available, answered = zip(*rounds)
    median = statistics.median(answered)
    return [
        name, len(rounds), f"{statistics.median(available):.2f}", f"{median:.2f}",
        f"{min(answered):.2f} to {max(answered):.2f}", f"{aim}: {'met' if median <= aim else 'missed'}",
    ]


def main():
    """Prints the table; writes the report."""
    parser = machine.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    described = machine.describe()
    folder = running.make_folder("snapferry-bench-")
    server = running.Server(options.binary, folder / "data", "--dev", "--no-automated-backups")
    config = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=60)
    rows = []
    try:
        server.start()
        rds = boto3.Session("000000000000", "anything").client("rds", REGION, endpoint_url=server.url, config=config)
        rows.append(row("the first, by initdb", KINDS[0][2], [measure(rds, "first", KINDS[0][1])]))
        for name, made, aim in KINDS:
            measured = [measure(rds, f"ready-{number}", made) for number in range(options.rounds)]
            rows.append(row(name, aim, measured))
    finally:
        server.stop()
        running.remove_folder(folder)
    lines = [
        "# How soon a new cluster is ready",
        "",
        f"Made by `make bench-ready`. {described}.",
        "",
        "Seconds from the call of CreateDBCluster, one cluster at a time: until it is `available`, and until its master "
        "user's session answers a query.",
        "",
        machine.markdown(["", "rounds", "available", "answers", "range", "aim"], rows),
    ]
    machine.publish(lines, options.report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
