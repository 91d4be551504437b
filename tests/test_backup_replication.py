"""`--replicate-backups`: the automated backups of one region's clusters in another, where the first one is lost too."""
import datetime
import glob
import json
import pathlib
import shutil
import time

import pytest

import clients
from clients import refused, unique
from snapferry_tools import running
from test_points_in_time import lose_disk, rows, window

HOME, FAR = "us-east-1", "eu-west-1"
ON = {"SNAPFERRY_NO_AUTOMATED_BACKUPS": None, "SNAPFERRY_REPLICATE_BACKUPS": f"{HOME}={FAR}"}


@pytest.fixture(scope="module")
def home(deploy_for_module):
    """A deployment that brings the backups of its first region to another."""
    return deploy_for_module(environment=ON)


def far_backup(deployment, resource):
    """What the other region has of a cluster."""
    found = deployment.rds(FAR).describe_db_cluster_automated_backups()["DBClusterAutomatedBackups"]
    return next((one for one in found if one["DbClusterResourceId"] == resource), None)


def wait_far(deployment, resource, moment):
    """Waits until the other region restores a moment."""
    def is_there():
        found = far_backup(deployment, resource)
        return found and found.get("RestoreWindow", {}).get("LatestTime", moment - datetime.timedelta(1)) >= moment and found
    return running.wait_until(is_there, 120, f"{FAR} restores {moment}")


def write(cluster, numbers):
    """Commits each number by itself; when the last one was told."""
    with clients.connect(cluster) as connection:
        for number in numbers:
            connection.execute("insert into t values (%s)", [number])
        return connection.execute("select clock_timestamp()").fetchone()[0]


def new(deployment, name, **more):
    """A cluster with a table."""
    cluster = deployment.new_cluster(name, **more)
    with clients.connect(cluster) as connection:
        connection.execute("create table t (i bigint)")
    return cluster


def restore_far(deployment, resource, **asked):
    """A new cluster in the other region."""
    name = unique("back")
    rds = deployment.rds(FAR)
    rds.restore_db_cluster_to_point_in_time(DBClusterIdentifier=name, SourceDbClusterResourceId=resource, **asked)
    return clients.wait_cluster(rds, name, 120)


@pytest.mark.parametrize("encrypted", [True, False])
def test_points_in_time_outlive_their_region(deploy, encrypted):
    """The region's vault and its clusters' files are removed: the other one restores what it said that it does."""
    home = deploy(environment=ON)
    name = unique("lost")
    cluster = new(home, name, StorageEncrypted=encrypted, **({"KmsKeyId": home.new_key()} if encrypted else {}))
    resource = cluster["DbClusterResourceId"]
    # The window begins with the first snapshot.
    wait_far(home, resource, write(cluster, range(50)))
    middle = write(cluster, range(50, 100))
    found = wait_far(home, resource, middle)
    assert (found["Status"], found["Region"], found["DBClusterIdentifier"]) == ("active", HOME, name)
    assert found["DBClusterArn"] == cluster["DBClusterArn"] and f":{FAR}:" in found["DBClusterAutomatedBackupsArn"]
    assert found.get("KmsKeyId") != cluster.get("KmsKeyId") if encrypted else "KmsKeyId" not in found
    last = write(cluster, range(100, 200))
    told = wait_far(home, resource, last)["RestoreWindow"]["LatestTime"]
    lose_disk(home, cluster)
    shutil.rmtree(pathlib.Path(home.server.data) / "vault" / HOME)
    made = restore_far(home, resource, RestoreToTime=middle)
    assert rows(made) == list(range(100))
    assert made["StorageEncrypted"] is encrypted
    made = restore_far(home, resource, RestoreToTime=told)
    assert rows(made) == list(range(200))


def test_what_is_brought_follows_its_cluster(home):
    name = unique("goes")
    cluster = new(home, name)
    resource = cluster["DbClusterResourceId"]
    wait_far(home, resource, write(cluster, [1]))
    rds, far = home.rds(), home.rds(FAR)
    # While its cluster is there it is not deleted by hand, and its snapshots are neither.
    refused(
        "InvalidDBClusterAutomatedBackupStateFault",
        far.delete_db_cluster_automated_backup,
        DbClusterResourceId=resource,
    )
    (snapshot,) = far.describe_db_cluster_snapshots(SnapshotType="automated", DbClusterResourceId=resource)["DBClusterSnapshots"]
    refused(
        "InvalidDBClusterSnapshotStateFault",
        far.delete_db_cluster_snapshot,
        DBClusterSnapshotIdentifier=snapshot["DBClusterSnapshotIdentifier"],
    )
    # A snapshot of this region restores as ever, and nothing of the other one is the cluster's own.
    assert window(home, name)[1] >= far_backup(home, resource)["RestoreWindow"]["EarliestTime"]
    new_name = {"DBClusterIdentifier": unique("no"), "UseLatestRestorableTime": True}
    refused(
        "DBClusterNotFoundFault", far.restore_db_cluster_to_point_in_time, SourceDBClusterIdentifier=name, **new_name
    )
    # Another account sees nothing of it.
    partner = home.rds(FAR, clients.PARTNER)
    assert not partner.describe_db_cluster_automated_backups()["DBClusterAutomatedBackups"]
    refused(
        "DBClusterAutomatedBackupNotFoundFault",
        partner.restore_db_cluster_to_point_in_time,
        SourceDbClusterResourceId=resource,
        **new_name,
    )
    # It outlives its cluster.
    moment = write(cluster, [2])
    # Written down, so that it holds when nobody brings anything any more.
    wait_far(home, resource, moment + datetime.timedelta(seconds=6))
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    retained = lambda: far_backup(home, resource)["Status"] == "retained"
    running.wait_until(retained, 120, "it is retained")
    assert rows(restore_far(home, resource, RestoreToTime=moment)) == [1, 2]
    far.delete_db_cluster_automated_backup(DbClusterResourceId=resource)
    assert far_backup(home, resource) is None
    assert not far.describe_db_cluster_snapshots(SnapshotType="automated", DbClusterResourceId=resource)["DBClusterSnapshots"]


def test_an_idle_cluster_costs_no_objects_and_its_time_goes_on(home):
    name = unique("idle")
    cluster = new(home, name)
    resource = cluster["DbClusterResourceId"]
    wait_far(home, resource, write(cluster, [1]))
    # What its server writes of its own accord, after a start, is over.
    chunks = lambda: sorted(glob.glob(f"{home.server.data}/vault/{FAR}/volumes/*/*/*/log/{resource}/*"))
    def is_quiet():
        before = chunks()
        time.sleep(6)
        return chunks() == before and before
    before = running.wait_until(is_quiet, 120, "nothing more is brought")
    moment = datetime.datetime.now(datetime.UTC)
    wait_far(home, resource, moment)
    assert len(chunks()) <= len(before) + 2


def test_a_region_that_takes_nothing_is_told_and_caught_up_with(home):
    """The other vault's folder is gone: an event; once it is back, all that was written meanwhile is brought."""
    name = unique("held")
    cluster = new(home, name)
    resource = cluster["DbClusterResourceId"]
    wait_far(home, resource, write(cluster, [1]))
    vault = pathlib.Path(home.server.data) / "vault" / FAR
    away = vault.with_name(f"{FAR}-away")
    vault.rename(away)
    try:
        moment = write(cluster, range(2, 50))
        def messages():
            found = home.rds().describe_events(SourceType="db-cluster", SourceIdentifier=name, Duration=60)["Events"]
            return [event["Message"] for event in found]
        stalled = lambda: any(text.startswith("DB cluster's backups do not get to the other region: ") for text in messages())
        running.wait_until(stalled, 120, "its owner is told")
        assert far_backup(home, resource)["RestoreWindow"]["LatestTime"] < moment
    finally:
        away.rename(vault)
    wait_far(home, resource, moment)
    resumed = lambda: "DB cluster's backups get to the other region again." in messages()
    running.wait_until(resumed, 60, "its owner is told again")
    assert rows(restore_far(home, resource, RestoreToTime=moment)) == list(range(1, 50))


def test_a_setting_that_is_taken_back_leaves_what_is_there(deploy):
    home = deploy(environment=ON)
    cluster = new(home, unique("back"))
    resource = cluster["DbClusterResourceId"]
    wait_far(home, resource, write(cluster, [1]))
    moment = write(cluster, [2])
    wait_far(home, resource, moment + datetime.timedelta(seconds=6))
    home.server.stop()
    del home.server.environment["SNAPFERRY_REPLICATE_BACKUPS"]
    home.server.start()
    retained = lambda: far_backup(home, resource)["Status"] == "retained"
    running.wait_until(retained, 60, "it is retained")
    assert rows(restore_far(home, resource, RestoreToTime=moment)) == [1, 2]


def test_what_is_brought_is_verified(home):
    """A chunk that is damaged over there is named by `vault verify`."""
    name = unique("seen")
    cluster = new(home, name)
    resource = cluster["DbClusterResourceId"]
    wait_far(home, resource, write(cluster, [1]) + datetime.timedelta(seconds=6))
    verify = lambda check: home.server.run("vault", "verify", "--region", FAR, "--format", "json", "--restart", check=check)
    verify(True)
    chunk = pathlib.Path(sorted(glob.glob(f"{home.server.data}/vault/{FAR}/volumes/*/*/*/log/{resource}/*"))[-1])
    whole = bytearray(chunk.read_bytes())
    whole[len(whole) // 2] ^= 1
    chunk.chmod(0o600)
    chunk.write_bytes(whole)
    told = json.loads(verify(False))
    assert any(one["kind"] == "log chunk" and one["region"] == FAR for one in told["findings"]), told
