"""kill -9 in the middle: everything ends as it should after a restart, and nothing is doubled."""
import signal

import psycopg
import pytest

import clients
from clients import FAR, HOME, copy_request, unique
from snapferry_tools import running

MEGABYTES = 64
LIMIT = 16_000_000
# What one shipped object weighs at most: a pack, and what surrounds its frames.
OBJECT_BYTES_MAX = 17 << 20


@pytest.fixture(scope="module")
def crashing(deploy_for_module):
    """A deployment that is killed again and again. Its leases are short, so that work is taken up soon."""
    return deploy_for_module("--cross-region-bytes-per-second", str(LIMIT), "--lease-seconds", "3")


@pytest.fixture(scope="module")
def noise(crashing):
    """An encrypted cluster of incompressible rows, and its snapshot."""
    key = crashing.new_key()
    cluster = crashing.new_cluster("noise", StorageEncrypted=True, KmsKeyId=key)
    with clients.connect(cluster) as connection:
        clients.fill_with_noise(connection, MEGABYTES)
    return crashing.new_snapshot("noise-snapshot", "noise")


@pytest.fixture(scope="module")
def rows(crashing, noise):
    """The cluster's rows, as count and checksum."""
    with clients.connect(clients.cluster_of(crashing.rds(), "noise")) as connection:
        return clients.table_of(connection, "noise")


def crash(deployment):
    """kill -9, and a new start. PostgreSQL must have been left alone: the same postmasters, adopted."""
    deployment.server.kill()
    before = running.postmasters_within(deployment.server.data)
    deployment.server.start()
    return before


def job_of(deployment, kind, subject):
    """The newest job of a kind on a subject."""
    found = [job for job in deployment.server.jobs() if job["kind"] == kind and job["subject"] == subject]
    assert found, f"no {kind} job for {subject}"
    return max(found, key=lambda job: job["created_at"])


def restored_rows(deployment, rds, snapshot):
    """Restores a snapshot; answers the rows of the new cluster, which is removed."""
    name = unique("check")
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=name, SnapshotIdentifier=snapshot, Engine="aurora-postgresql"
    )
    with clients.connect(clients.wait_cluster(rds, name)) as connection:
        found = clients.table_of(connection, "noise")
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    rds.get_waiter("db_cluster_deleted").wait(
        DBClusterIdentifier=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 300}
    )
    return found


def wait_ended(deployment, name, region=HOME):
    """Waits until a snapshot is no longer under way."""
    def ended():
        found = clients.snapshot_of(deployment.rds(region), name)
        return found if found["Status"] not in ("creating", "copying") else None

    return running.wait_until(ended, 90, f"snapshot {name} ends")


def test_a_copy_goes_on_where_it_was(crashing, noise, rows):
    key, name = crashing.new_key(FAR), unique("far")
    crashing.rds(FAR).copy_db_cluster_snapshot(
        **copy_request(noise["DBClusterSnapshotArn"], name, KmsKeyId=key, SourceRegion=HOME)
    )
    for percent in (40, 70):
        clients.wait_percent(crashing.rds(FAR), name, percent)
        crash(crashing)
        assert clients.snapshot_of(crashing.rds(FAR), name)["Status"] == "copying"
    done = wait_ended(crashing, name, FAR)
    assert done["Status"] == "available" and done["PercentProgress"] == 100
    job = job_of(crashing, "copy-snapshot", name)
    progress = job["progress"]
    assert job["state"] == "done" and job["attempts"] >= 3
    # Each row has a kibibyte that does not compress.
    assert progress["bytes_total"] >= rows[0] << 10
    assert progress["bytes_held"] > 0
    # Nothing that had arrived was shipped again: one object at most was cut off at each kill.
    assert progress["bytes_shipped"] <= progress["bytes_total"] + 2 * OBJECT_BYTES_MAX
    assert restored_rows(crashing, crashing.rds(FAR), name) == rows


def test_a_create_ends_one_way_or_the_other(crashing, noise, rows):
    with clients.connect(clients.cluster_of(crashing.rds(), "noise")) as connection:
        # Every page changes, so that the snapshot has something to store.
        connection.execute("create table other as select * from noise")
    name = unique("made")
    crashing.rds().create_db_cluster_snapshot(DBClusterSnapshotIdentifier=name, DBClusterIdentifier="noise")
    running.wait_until(
        lambda: clients.snapshot_of(crashing.rds(), name)["PercentProgress"] > 0, 60, "the snapshot has begun", 0.005
    )
    before = crash(crashing)
    after = running.postmasters_within(crashing.server.data)
    assert after == before and len(after) == 1
    done = wait_ended(crashing, name)
    job = job_of(crashing, "create-snapshot", name)
    if done["Status"] == "failed":
        assert job["error"]
        with pytest.raises(crashing.rds().exceptions.ClientError):
            crashing.rds().copy_db_cluster_snapshot(**copy_request(name, unique("never")))
    else:
        assert done["Status"] == "available" and job["attempts"] >= 1
        assert restored_rows(crashing, crashing.rds(), name) == rows
    # The cluster is none the worse: another snapshot of it works.
    crashing.new_snapshot(unique("next"), "noise")
    with clients.connect(clients.cluster_of(crashing.rds(), "noise")) as connection:
        connection.execute("drop table other")
        assert connection.execute("select count(*) from pg_replication_slots").fetchone() == (0,)


def test_a_restore_ends_whole(crashing, noise, rows):
    rds, name = crashing.rds(), unique("restored")
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=name, SnapshotIdentifier="noise-snapshot", Engine="aurora-postgresql"
    )
    running.wait_until(
        lambda: job_of(crashing, "restore-cluster", name)["progress"]["bytes_done"] > 0
        or clients.cluster_of(rds, name)["Status"] == "available",
        30,
        "the restore has begun",
        0.005,
    )
    crash(crashing)
    rds = crashing.rds()
    cluster = clients.wait_cluster(rds, name, 90)
    with clients.connect(cluster) as connection:
        assert clients.table_of(connection, "noise") == rows
    assert len(running.postmasters_within(crashing.server.data)) == 2
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    rds.get_waiter("db_cluster_deleted").wait(
        DBClusterIdentifier=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 300}
    )
    # Nothing of it, nor of a try that was cut off, is left in the data folder.
    assert len(running.postmasters_within(crashing.server.data)) == 1
    left = list((crashing.server.data / "clusters").glob(f"*{cluster['DbClusterResourceId']}*"))
    assert left == []


def test_a_new_cluster_ends_whole(crashing):
    name = unique("new")
    crashing.new_cluster(name, wait=False)
    crash(crashing)
    cluster = clients.wait_cluster(crashing.rds(), name, 90)
    with clients.connect(cluster) as connection:
        assert connection.execute("select current_user").fetchone() == (clients.USER,)
    crashing.rds().delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    crash(crashing)
    crashing.rds().get_waiter("db_cluster_deleted").wait(
        DBClusterIdentifier=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 600}
    )


def test_postgresql_is_adopted_with_its_sessions(crashing, noise):
    cluster = clients.cluster_of(crashing.rds(), "noise")
    with clients.connect(cluster) as session:
        session.execute("create temp table mine as select 1 as one")
        before = crash(crashing)
        assert session.execute("select one from mine").fetchone() == (1,)
        clients.wait_cluster(crashing.rds(), "noise")
        assert running.postmasters_within(crashing.server.data) == before


def test_postgresql_that_died_too_is_started_again(crashing, noise, rows):
    crashing.server.kill()
    for pid in running.processes_within(crashing.server.data):
        running.os.kill(pid, signal.SIGKILL)
    running.wait_until(lambda: not running.processes_within(crashing.server.data), 60, "PostgreSQL is gone")
    crashing.server.start()
    cluster = clients.wait_cluster(crashing.rds(), "noise")

    def answers():
        try:
            with clients.connect(cluster) as connection:
                return clients.table_of(connection, "noise")
        except psycopg.OperationalError:
            return None

    assert running.wait_until(answers, 60, "the cluster takes connections again") == rows


def test_a_gentle_end_in_the_middle_of_a_copy(crashing, noise):
    region = "eu-central-1"
    name = unique("far")
    crashing.rds(region).copy_db_cluster_snapshot(
        **copy_request(noise["DBClusterSnapshotArn"], name, KmsKeyId=crashing.new_key(region), SourceRegion=HOME)
    )
    clients.wait_percent(crashing.rds(region), name, 20)
    assert crashing.server.stop() == 0
    assert running.processes_within(crashing.server.data) == []
    crashing.server.start()
    assert wait_ended(crashing, name, region)["Status"] == "available"
    progress = job_of(crashing, "copy-snapshot", name)["progress"]
    assert progress["bytes_shipped"] <= progress["bytes_total"] + OBJECT_BYTES_MAX
