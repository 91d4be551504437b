"""RestoreDBClusterFromSnapshot: the same rows, also of a cluster that was written to meanwhile."""
import pathlib
import re
import subprocess
import threading

import psycopg
import pytest

import clients
from clients import DATABASE, OWNER, PASSWORD, USER, copied, refused, unique
from snapferry_tools import running


def pgbench(cluster, *arguments):
    """A pgbench process on a cluster."""
    newest = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin/pgbench"), key=lambda path: int(path.parts[-3]))
    where = ["-h", cluster["Endpoint"], "-p", str(cluster["Port"]), "-U", USER]
    return subprocess.Popen(
        [newest, *where, *arguments, DATABASE],
        env=running.clean_environment(PGPASSWORD=PASSWORD),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def restore(deployment, snapshot, **more):
    """A new cluster from a snapshot, available."""
    rds, name = deployment.rds(), unique("restored")
    made = rds.restore_db_cluster_from_snapshot(
        **{"DBClusterIdentifier": name, "SnapshotIdentifier": snapshot, "Engine": "aurora-postgresql"} | more
    )["DBCluster"]
    assert (made["Status"], made["PercentProgress"]) == ("creating", "0")
    restored = clients.wait_cluster(rds, name)
    assert "PercentProgress" not in restored, "no operation goes on"
    return restored


def drop(deployment, *clusters):
    """Deletes clusters."""
    for cluster in clusters:
        deployment.rds().delete_db_cluster(
            DBClusterIdentifier=cluster["DBClusterIdentifier"], SkipFinalSnapshot=True
        )


def test_a_key_that_is_disabled(closed, sealed):
    old = closed.new_key()
    copy = copied(closed, closed.new_snapshot(unique("fresh"), "sealed")["DBClusterSnapshotIdentifier"], KmsKeyId=old)
    closed.kms().disable_key(KeyId=old)
    refused(
        "KMSKeyNotAccessibleFault",
        closed.rds().restore_db_cluster_from_snapshot,
        f"The source snapshot KMS key [{old}] does not exist, is not enabled or you do not have permissions to access it.",
        400,
        DBClusterIdentifier=unique("never"),
        SnapshotIdentifier=copy["DBClusterSnapshotIdentifier"],
        Engine="aurora-postgresql",
    )


def test_the_same_rows_and_the_same_password(closed, sealed, sealed_snapshot):
    restored = restore(closed, "sealed-snapshot")
    assert restored["StorageEncrypted"] is True and restored["KmsKeyId"] == sealed["KmsKeyId"]
    assert restored["DbClusterResourceId"] != sealed["DbClusterResourceId"]
    assert restored["Port"] != sealed["Port"] or restored["Endpoint"] != sealed["Endpoint"]
    with clients.connect(sealed) as here, clients.connect(restored) as there:
        assert clients.table_of(there, "goods") == clients.table_of(here, "goods")
        assert clients.table_of(there, "goods")[0] == 2000
        # A cluster of its own from here on.
        there.execute("delete from goods where i > 10")
        assert clients.table_of(here, "goods")[0] == 2000
        timeline = "select timeline_id from pg_control_checkpoint()"
        try:
            assert there.execute(timeline).fetchone()[0] > here.execute(timeline).fetchone()[0]
        except psycopg.errors.InsufficientPrivilege:
            pass
    drop(closed, restored)


def test_progress_is_shown_and_never_falls(closed, sealed_snapshot):
    rds, name = closed.rds(), unique("watched")
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=name, SnapshotIdentifier="sealed-snapshot", Engine="aurora-postgresql"
    )
    seen = []

    def ended():
        cluster = clients.cluster_of(rds, name)
        if cluster["Status"] == "available":
            return cluster
        seen.append(int(cluster["PercentProgress"]))
        return None

    restored = running.wait_until(ended, 60, f"{name} is available", every=0.02)
    assert "PercentProgress" not in restored and "PercentProgress" not in clients.cluster_of(rds, "sealed")
    assert seen == sorted(seen) and set(seen) <= set(range(100)), seen
    drop(closed, restored)


def test_a_plain_snapshot_can_be_restored_encrypted(closed, plain_snapshot, key):
    assert restore(closed, plain_snapshot["DBClusterSnapshotArn"])["StorageEncrypted"] is False
    sealed_now = restore(closed, "plain-snapshot", KmsKeyId=key)
    assert sealed_now["StorageEncrypted"] is True and sealed_now["KmsKeyId"] == key
    made = closed.new_snapshot(unique("sealed-now"), sealed_now["DBClusterIdentifier"])
    assert made["KmsKeyId"] == key
    with clients.connect(sealed_now) as connection:
        assert clients.table_of(connection, "goods")[0] == 2000
    for cluster in closed.rds().describe_db_clusters()["DBClusters"]:
        if cluster["DBClusterIdentifier"].startswith("restored-") and cluster["Status"] == "available":
            drop(closed, cluster)


@pytest.mark.parametrize("encrypted", [True, False])
def test_a_restored_cluster_goes_on_from_its_snapshot(closed, other_key, encrypted):
    cluster = closed.new_cluster(unique("line"), StorageEncrypted=encrypted)
    with clients.connect(cluster) as connection:
        clients.fill_with_noise(connection, 16)
    first, second, third = unique("line-first"), unique("line-second"), unique("line-third")
    closed.new_snapshot(first, cluster["DBClusterIdentifier"])
    # Another key is no other lineage.
    extra = {"KmsKeyId": other_key} if encrypted else {}
    restored = restore(closed, first, **extra)
    with clients.connect(restored) as connection:
        connection.execute("create table more as select generate_series(1, 100) as i")
    closed.new_snapshot(second, restored["DBClusterIdentifier"])
    drop(closed, cluster)
    closed.rds().delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=first)
    again = restore(closed, second)
    with clients.connect(again) as connection:
        assert clients.table_of(connection, "more")[0] == 100
    closed.new_snapshot(third, again["DBClusterIdentifier"])
    stored = {
        job["subject"]: job["progress"]["bytes_shipped"]
        for job in closed.server.jobs()
        if job["kind"] == "create-snapshot"
    }
    assert stored[first] > 8 << 20
    assert stored[second] < stored[first] / 4 and stored[third] < stored[first] / 4
    drop(closed, restored)
    drop(closed, again)


def test_a_restore_under_another_key(closed, sealed_snapshot, other_key):
    restored = restore(closed, "sealed-snapshot", KmsKeyId=other_key)
    assert restored["KmsKeyId"] == other_key
    drop(closed, restored)


def test_a_snapshot_of_a_cluster_under_write_load(closed):
    """Consistent, and whatever was committed before the request is there."""
    name = unique("busy")
    cluster = closed.new_cluster(name, StorageEncrypted=True)
    load = pgbench(cluster, "-i", "-q", "-s", "4")
    assert load.wait(60) == 0, load.stderr.read()
    with clients.connect(cluster) as connection:
        connection.execute("create table ledger (i bigint primary key, note text)")
    stop = threading.Event()
    committed = [0]

    def write():
        with clients.connect(cluster) as connection:
            while not stop.is_set():
                connection.execute("insert into ledger values (%s, repeat('x', 200))", (committed[0] + 1,))
                committed[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    load = pgbench(cluster, "-n", "-c", "4", "-T", "600")
    rds = closed.rds()
    snapshots = []
    try:
        for _ in range(2):
            running.wait_until(lambda seen=committed[0]: committed[0] > seen + 200, 60, "rows are written")
            before, snapshot = committed[0], unique("busy-snapshot")
            rds.create_db_cluster_snapshot(DBClusterSnapshotIdentifier=snapshot, DBClusterIdentifier=name)
            clients.wait_snapshot(rds, snapshot)
            snapshots.append((snapshot, before, committed[0]))
            assert load.poll() is None
    finally:
        stop.set()
        writer.join(30)
        load.terminate()
        load.wait(30)
    for snapshot, before, after in snapshots:
        restored = restore(closed, copied(closed, snapshot)["DBClusterSnapshotIdentifier"])
        with clients.connect(restored) as connection:
            count, last = connection.execute("select count(*), max(i) from ledger").fetchone()
            assert count == last, "rows are missing in between"
            assert before <= last <= after + 1
            sums = [
                connection.execute(f"select coalesce(sum({column}), 0) from {table}").fetchone()[0]
                for column, table in (
                    ("abalance", "pgbench_accounts"),
                    ("tbalance", "pgbench_tellers"),
                    ("bbalance", "pgbench_branches"),
                    ("delta", "pgbench_history"),
                )
            ]
            assert len(set(sums)) == 1, sums
            # Heap and index agree.
            connection.execute("set enable_seqscan = off")
            by_index = connection.execute("select count(*) from ledger where i > 0").fetchone()
            connection.execute("set enable_seqscan = on; set enable_indexscan = off; set enable_indexonlyscan = off")
            assert connection.execute("select count(*) from ledger where i > 0").fetchone() == by_index
        drop(closed, restored)
    drop(closed, cluster)


def test_refusals(closed, plain_snapshot, sealed_snapshot, far_key):
    rds = closed.rds()
    request = {
        "DBClusterIdentifier": unique("never"),
        "SnapshotIdentifier": "plain-snapshot",
        "Engine": "aurora-postgresql",
    }
    def lasting():
        clusters = rds.describe_db_clusters()["DBClusters"]
        return [one["DBClusterIdentifier"] for one in clusters if one["Status"] != "deleting"]

    before = lasting()
    call = rds.restore_db_cluster_from_snapshot
    refused("DBClusterAlreadyExistsFault", call, **request | {"DBClusterIdentifier": "plain"})
    for missing in ("nobody", f"arn:aws:rds:us-east-1:{OWNER}:cluster-snapshot:nobody"):
        refused(
            "DBClusterSnapshotNotFoundFault",
            call,
            f"DBClusterSnapshot not found: {missing}",
            404,
            **request | {"SnapshotIdentifier": missing},
        )
    refused("InvalidParameterValue", call, **request | {"DBClusterIdentifier": "-x"})
    with pytest.raises(rds.exceptions.ClientError):
        call(**request | {"Engine": "aurora-mysql"})
    for wrong in (far_key, "alias/nobody"):
        refused(
            "KMSKeyNotAccessibleFault",
            call,
            re.compile("does not exist, is not enabled or you do not have permissions"),
            **request | {"SnapshotIdentifier": "sealed-snapshot", "KmsKeyId": wrong},
        )
    # A snapshot is restored where it lies.
    with pytest.raises(rds.exceptions.ClientError):
        closed.rds(clients.FAR).restore_db_cluster_from_snapshot(
            **request | {"SnapshotIdentifier": plain_snapshot["DBClusterSnapshotArn"]}
        )
    assert lasting() == before
