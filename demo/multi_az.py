"""The demo's second story: a Multi-AZ DB cluster loses its writer in the middle of its work, and no commit.

It is written to through one address all the time; then it is snapshotted, copied under a key of another region, and restored
there with three instances again.
"""
import os
import pathlib
import signal
import threading
import time

import psycopg

from snapferry_tools import proof

NAME, DATABASE = "orders", "orders"
CLASS = {"DBClusterInstanceClass": "db.r6gd.large", "AllocatedStorage": 100, "StorageType": "io1", "Iops": 1000}
# Commits before the writer is killed, and after another one took over.
BEFORE, AFTER = 200, 200
TAKE_OVER_SECONDS = 60


class Orders(threading.Thread):
    """Places orders through the cluster's endpoint, one commit each, and notes which were acknowledged and when."""

    def __init__(self, connect):
        super().__init__(daemon=True)
        self.connect, self.acknowledged, self.times = connect, [], []
        self.ending = threading.Event()

    def run(self):
        number = 0
        while not self.ending.is_set():
            try:
                with self.connect() as connection:
                    while not self.ending.is_set():
                        number += 1
                        connection.execute("insert into orders values (%s, now())", [number])
                        self.acknowledged.append(number)
                        self.times.append(time.monotonic())
            except psycopg.Error:
                # What was not acknowledged may be there or not; a client asks again under another number.
                time.sleep(0.05)

    def await_count(self, count, failed):
        """Waits until so many were acknowledged."""
        end = time.monotonic() + TAKE_OVER_SECONDS
        while len(self.acknowledged) < count:
            if end < time.monotonic():
                raise failed(f"{len(self.acknowledged)} of {count} orders were taken within {TAKE_OVER_SECONDS} s")
            time.sleep(0.02)

    def longest_gap(self):
        """Seconds without an acknowledged commit."""
        return max(later - earlier for earlier, later in zip(self.times, self.times[1:]))


def create(demo, key):
    """Three instances from the beginning, in three zones."""
    rds = demo.client("rds")
    with demo.table.step("create a Multi-AZ DB cluster") as step:
        rds.create_db_cluster(
            DBClusterIdentifier=NAME,
            Engine="postgres",
            DatabaseName=DATABASE,
            MasterUsername=demo.user,
            MasterUserPassword=demo.password,
            StorageEncrypted=True,
            KmsKeyId=key,
            **CLASS,
        )
        cluster = demo.await_cluster(rds, NAME)
        found = rds.describe_db_instances(Filters=[{"Name": "db-cluster-id", "Values": [NAME]}])["DBInstances"]
        zones = sorted(instance["AvailabilityZone"] for instance in found)
        if len(cluster["DBClusterMembers"]) != 3 or len(set(zones)) != 3:
            raise demo.failed(f"a Multi-AZ DB cluster has {len(cluster['DBClusterMembers'])} instances in {zones}")
        step.note = f"one writer, two readers, in {', '.join(zones)}"
    return cluster


def writer_of(cluster):
    """The name of the instance that takes writes."""
    return next(one["DBInstanceIdentifier"] for one in cluster["DBClusterMembers"] if one["IsClusterWriter"])


def kill_the_writer(demo, cluster):
    """kill -9 of the server that takes the writes, which go on at the same address. Answers what was acknowledged."""
    rds = demo.client("rds")
    connect = lambda: proof.connect(cluster, demo.user, demo.password, DATABASE)  # noqa: E731
    with connect() as connection:
        connection.execute("create table orders (number bigint primary key, at timestamptz not null)")
    orders = Orders(connect)
    with demo.table.step("kill -9 its writer while it writes") as step:
        orders.start()
        try:
            orders.await_count(BEFORE, demo.failed)
            with connect() as connection:
                # Asked while it is there: a session's process ends with it.
                server = parent_of(connection.execute("select pg_backend_pid()").fetchone()[0])
            os.kill(server, signal.SIGKILL)
            orders.await_count(len(orders.acknowledged) + AFTER, demo.failed)
        finally:
            orders.ending.set()
            orders.join(TAKE_OVER_SECONDS)
        after = demo.await_cluster(rds, NAME)
        if writer_of(after) == writer_of(cluster):
            raise demo.failed("the killed instance still takes the writes")
        if (after["Endpoint"], after["Port"]) != (cluster["Endpoint"], cluster["Port"]):
            raise demo.failed("the cluster's address has changed")
        with connect() as connection:
            kept = {row[0] for row in connection.execute("select number from orders")}
        lost = set(orders.acknowledged) - kept
        if lost:
            raise demo.failed(f"{len(lost)} acknowledged commits are lost, the first is {min(lost)}")
        step.note = (
            f"{writer_of(after)} took over: {orders.longest_gap():.1f} s without a commit, "
            f"{len(orders.acknowledged)} acknowledged, 0 lost"
        )
    return after


def parent_of(pid):
    """A backend's parent is its server's first process."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(next(line for line in status.splitlines() if line.startswith("PPid:")).split()[1])


def copy_and_restore(demo, cluster, key, home, far):
    """A snapshot, its copy in another region, three instances there, and the same rows."""
    with demo.table.step("snapshot it") as step:
        demo.client("rds").create_db_cluster_snapshot(DBClusterSnapshotIdentifier="orders-1", DBClusterIdentifier=NAME)
        snapshot = demo.await_snapshot(demo.client("rds"), "orders-1", step)
        step.bytes = demo.moved("create-snapshot", "orders-1")
    rds = demo.client("rds", far)
    with demo.table.step(f"copy the snapshot to {far}") as step:
        rds.copy_db_cluster_snapshot(
            SourceDBClusterSnapshotIdentifier=snapshot["DBClusterSnapshotArn"],
            TargetDBClusterSnapshotIdentifier="orders-far",
            KmsKeyId=key,
            SourceRegion=home,
        )
        demo.await_snapshot(rds, "orders-far", step)
        step.bytes = demo.moved("copy-snapshot", "orders-far")
    with demo.table.step("restore it as a Multi-AZ DB cluster") as step:
        rds.restore_db_cluster_from_snapshot(
            DBClusterIdentifier=f"{NAME}-far", SnapshotIdentifier="orders-far", Engine="postgres",
            **{name: value for name, value in CLASS.items() if name != "AllocatedStorage"},
        )
        restored = demo.await_cluster(rds, f"{NAME}-far", step)
        if len(restored["DBClusterMembers"]) != 3:
            raise demo.failed(f"it came back with {len(restored['DBClusterMembers'])} instances")
        rows = [
            proof.fingerprints(connection)
            for connection in (
                proof.connect(cluster, demo.user, demo.password, DATABASE),
                proof.connect(restored, demo.user, demo.password, DATABASE),
            )
        ]
        found = proof.differences(*rows)
        if found:
            raise demo.failed("the Multi-AZ DB clusters do not hold the same rows: " + "; ".join(found))
        step.note = f"{sum(count for count, _ in rows[0].values())} rows are the same"


def tell(demo, keys, home, far):
    """The whole story."""
    cluster = create(demo, keys["source"])
    cluster = kill_the_writer(demo, cluster)
    copy_and_restore(demo, cluster, keys["far"], home, far)
