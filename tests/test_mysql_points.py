"""RestoreDBClusterToPointInTime of MySQL: a cluster as it was at a moment, from a snapshot and the binary log behind it.

Skipped where the machine has no MySQL; `scripts/get-mysql` gets one.
"""
import datetime
import os
import pathlib
import random
import shutil
import signal
import threading
import time

import pymysql
import pytest

import clients
import test_points_in_time as points
from clients import DATABASE, refused, unique
from snapferry_tools import running
from test_mysql import ENGINE, PREFIX, connect, is_server_of
from test_mysql_members import member
from test_points_in_time import ROUNDS, SEED, chunks, drop, wait_for, window
from test_verify import DAMAGED, spoil, verify

COMMITS = 120


@pytest.fixture(scope="module")
def home(deploy_for_module):
    """A deployment that keeps the log of its clusters, and lets clients in without TLS."""
    mysql = {"SNAPFERRY_MYSQL_DIR": PREFIX, "SNAPFERRY_CLUSTER_FORCE_TLS": "false"}
    deployment = deploy_for_module(environment=points.ON | mysql)
    if not deployment.rds().describe_db_engine_versions(Engine=ENGINE)["DBEngineVersions"]:
        pytest.skip("there is no MySQL on this machine: scripts/get-mysql gets one")
    return deployment


def run(cluster, *statements):
    """Runs statements, each a commit; answers the last one's rows."""
    with connect(cluster) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall()


def moment(cluster):
    """The server's time."""
    return run(cluster, "select utc_timestamp(6)")[0][0].replace(tzinfo=datetime.UTC)


def based(deployment, name, **more):
    """A cluster with a table and a first snapshot behind it."""
    cluster = deployment.new_cluster(name, Engine=ENGINE, **more)
    run(cluster, "create table t (i bigint primary key)")
    running.wait_until(lambda: chunks(deployment, name), 60, f"the log of {name} goes to the vault")
    deployment.new_snapshot(unique(f"{name}-base"), name)
    running.wait_until(lambda: window(deployment, name), 60, f"{name} can be restored")
    return cluster


def rows(cluster):
    """What is in the table."""
    return [row[0] for row in run(cluster, "select i from t order by i")]


@pytest.fixture(scope="module")
def timed(home):
    """A cluster, and the moment at which each of many commits had just been told."""
    cluster = based(home, "mysql-timed", StorageEncrypted=True, KmsKeyId=home.new_key())
    moments = []
    with connect(cluster) as connection, connection.cursor() as cursor:
        for number in range(COMMITS):
            cursor.execute("insert into t values (%s)", [number])
            cursor.execute("select utc_timestamp(6)")
            moments.append(cursor.fetchone()[0].replace(tzinfo=datetime.UTC))
    wait_for(home, "mysql-timed", moments[-1], 60)
    return cluster, moments


def test_a_moment_between_two_commits_has_exactly_those_before_it(home, timed):
    cluster, moments = timed
    count = random.Random(SEED).randrange(1, COMMITS)
    made = points.restored(home, "mysql-timed", RestoreToTime=moments[count - 1])
    assert rows(made) == list(range(count)), f"seed {SEED}"
    assert (made["Engine"], made["KmsKeyId"]) == (ENGINE, cluster["KmsKeyId"])
    numbers = "select @@global.gtid_executed"
    behind = f"select gtid_subset('{run(made, numbers)[0][0]}', '{run(cluster, numbers)[0][0]}')"
    assert run(cluster, behind) == ((1,),)
    # Its own time begins anew.
    run(made, "insert into t values (-1)")
    told = moment(made)
    name = made["DBClusterIdentifier"]
    running.wait_until(lambda: chunks(home, name), 60, "its own log goes to the vault")
    home.new_snapshot(unique("own"), name)
    earliest, _ = running.wait_until(lambda: window(home, name), 60, "it can be restored itself")
    assert earliest > told
    drop(home, made)
    hour = datetime.timedelta(hours=1)
    for outside in (moments[0] - hour, moments[-1] + hour):
        refused("InvalidRestoreFault", home.rds().restore_db_cluster_to_point_in_time, DBClusterIdentifier="never",
                SourceDBClusterIdentifier="mysql-timed", RestoreToTime=outside)


def test_an_idle_cluster_to_its_latest_time(home, timed):
    """Nothing is written while it is idle, and the latest time goes on."""
    before, first = chunks(home, "mysql-timed"), window(home, "mysql-timed")[1]
    later = first + datetime.timedelta(seconds=3)
    running.wait_until(lambda: window(home, "mysql-timed")[1] > later, 60, "time goes on")
    assert len(chunks(home, "mysql-timed")) <= len(before)
    made = points.restored(home, "mysql-timed", UseLatestRestorableTime=True)
    assert rows(made) == list(range(COMMITS))
    drop(home, made)


def test_damage_of_the_log_is_named(home, timed):
    """By `vault verify`, and by a restore that needs it."""
    chunk = pathlib.Path(max(chunks(home, "mysql-timed"), key=os.path.getsize))
    whole = chunk.read_bytes()
    spoil(chunk)
    try:
        (finding,) = verify(home, status=DAMAGED)["findings"]
        assert hash_of_chunk(chunk) == finding["hash"]
        assert [one["name"] for one in finding["needed_by"]] == ["mysql-timed"]
    finally:
        chunk.write_bytes(whole)


def hash_of_chunk(path):
    """The hash that a chunk's name has."""
    return path.name.split(".")[5]


def test_a_gap_is_told_and_ends_the_window(home):
    """The master user has the server number its logs anew: an event, no time behind it, and a new stream."""
    cluster = based(home, "mysql-gap")
    run(cluster, "insert into t values (1)")
    told = moment(cluster)
    wait_for(home, "mysql-gap", told, 60)
    streams = {pathlib.Path(name).name.split(".")[0] for name in chunks(home, "mysql-gap")}
    run(cluster, "reset binary logs and gtids", "insert into t values (2)")
    new_base(home, "mysql-gap", streams)
    assert window(home, "mysql-gap")[0] > told
    # What lies before it is there still.
    made = points.restored(home, "mysql-gap", RestoreToTime=told)
    assert rows(made) == [1]
    drop(home, made)
    drop(home, cluster)


def new_base(deployment, name, streams):
    """Waits until a gap was told and another stream has begun, and gives it a base."""
    new = running.wait_until(
        lambda: {pathlib.Path(one).name.split(".")[0] for one in chunks(deployment, name)} - streams, 60, "a new stream"
    )
    assert len(new) == 1
    events = deployment.rds().describe_events(SourceType="db-cluster", SourceIdentifier=name, Duration=60)["Events"]
    assert any(event["Message"].startswith("DB cluster's log has a gap: ") for event in events)
    deployment.new_snapshot(unique(f"{name}-base"), name)
    running.wait_until(lambda: window(deployment, name), 60, "its time begins anew")


def test_a_writer_that_took_over_begins_anew(home):
    """Each server has a log of its own: a failover is a gap, told as one, and no commit is passed over."""
    rds, name = home.rds(), "mysql-two"
    cluster = based(home, name)
    for one in ("mysql-two-1", "mysql-two-2"):
        member(rds, name, one)
    run(cluster, "insert into t values (1)")
    told = moment(cluster)
    wait_for(home, name, told, 60)
    streams = {pathlib.Path(one).name.split(".")[0] for one in chunks(home, name)}
    rds.failover_db_cluster(DBClusterIdentifier=name, TargetDBInstanceIdentifier="mysql-two-2")
    running.wait_until(lambda: clients.cluster_of(rds, name)["Status"] == "available", 90, "it failed over", every=0.2)
    running.wait_until(lambda: try_run(clients.cluster_of(rds, name), "insert into t values (2)"), 60, "it takes writes")
    new_base(home, name, streams)
    for asked, wanted in (({"UseLatestRestorableTime": True}, [1, 2]), ({"RestoreToTime": told}, [1])):
        made = points.restored(home, name, **asked)
        assert rows(made) == wanted
        drop(home, made)


def try_run(cluster, statement):
    """Whether a statement is done."""
    try:
        run(cluster, statement)
        return True
    except pymysql.err.Error:
        return False


class Load(threading.Thread):
    """Writes, and keeps when each commit was told."""

    def __init__(self, cluster):
        super().__init__()
        self.cluster, self.told = cluster, []
        self.ending = threading.Event()

    def run(self):
        """Until the server is gone."""
        try:
            with connect(self.cluster) as connection, connection.cursor() as cursor:
                number = 0
                while not self.ending.is_set():
                    cursor.execute("insert into t values (%s)", [number])
                    self.told.append((datetime.datetime.now(datetime.UTC), number))
                    number += 1
        except pymysql.err.Error:
            pass


def lose_disk(deployment, cluster):
    """Kills a cluster's server, and removes its folder; answers when."""
    (server,) = [pid for pid in running.processes_within(deployment.server.data) if is_server_of(pid, cluster)]
    folder = pathlib.Path(f"/proc/{server}/cwd").resolve()
    killed = datetime.datetime.now(datetime.UTC)
    os.kill(server, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)
    return killed


def test_nothing_that_was_told_is_lost_with_the_disk(home):
    """Killed under load, and its folder removed: what was told before the latest time is there. (SOAK_ROUNDS=100)"""
    chance = random.Random(SEED)
    for _ in range(ROUNDS):
        name = unique("mysql-lost")
        cluster = based(home, name)
        load = Load(cluster)
        load.start()
        time.sleep(chance.uniform(1.5, 3))
        killed = lose_disk(home, cluster)
        load.ending.set()
        load.join()
        _, latest = window(home, name)
        assert killed - latest < datetime.timedelta(seconds=5), f"seed {SEED}: {killed - latest}"
        made = points.restored(home, name, UseLatestRestorableTime=True)
        found = set(rows(made))
        missing = [number for moment, number in load.told if moment <= latest and number not in found]
        assert not missing, f"seed {SEED}: {missing[:5]} of {len(load.told)}"
        assert load.told and found
        drop(home, made)
        drop(home, cluster)
