"""RestoreDBClusterToPointInTime: a cluster as it was at a moment, from a snapshot and the log behind it.

What a client was told of before the latest restorable time is in it, whatever happened to the server's disk.
"""
import datetime
import glob
import os
import pathlib
import random
import shutil
import signal
import threading
import time

import psycopg
import pytest

import clients
from clients import refused, unique
from snapferry_tools import running

ON = {"SNAPFERRY_NO_AUTOMATED_BACKUPS": None}
ROUNDS = int(os.environ.get("SOAK_ROUNDS", "2"))
SEED = int(os.environ.get("SOAK_SEED", time.time_ns() % 1_000_000))
COMMITS = 1000


@pytest.fixture(scope="module")
def home(deploy_for_module):
    """A deployment that keeps the log of its clusters."""
    return deploy_for_module(environment=ON)


def window(deployment, name):
    """The earliest and the latest moment of a cluster, where it has both."""
    cluster = clients.cluster_of(deployment.rds(), name)
    found = cluster.get("EarliestRestorableTime"), cluster.get("LatestRestorableTime")
    return found if all(found) else None


def wait_for(deployment, name, moment, seconds=30):
    """Waits until a cluster can be restored to a moment."""
    def is_there():
        found = window(deployment, name)
        return found and found[1] >= moment and found
    return running.wait_until(is_there, seconds, f"{name} can be restored to {moment}")


def based(deployment, name, **more):
    """A cluster with a table and a first snapshot behind it."""
    cluster = deployment.new_cluster(name, **more)
    with clients.connect(cluster) as connection:
        connection.execute("create table t (i bigint)")
    stream(deployment, name)
    deployment.new_snapshot(unique(f"{name}-base"), name)
    running.wait_until(lambda: window(deployment, name), 30, f"{name} can be restored")
    return cluster


def stream(deployment, name):
    """Waits until the log of a cluster goes to the vault."""
    return running.wait_until(lambda: chunks(deployment, name), 30, f"the log of {name} goes to the vault")


def chunks(deployment, name):
    """Files of a cluster's log in the vault."""
    resource = clients.cluster_of(deployment.rds(), name)["DbClusterResourceId"]
    return sorted(glob.glob(f"{deployment.server.data}/vault/*/volumes/*/*/*/log/{resource}/*"))


def restored(deployment, source, wait=True, **more):
    """A new cluster from a point in time."""
    name = unique("point")
    asked = {"DBClusterIdentifier": name, "SourceDBClusterIdentifier": source} | more
    made = deployment.rds().restore_db_cluster_to_point_in_time(**asked)["DBCluster"]
    assert (made["Status"], made["PercentProgress"]) == ("creating", "0")
    assert "LatestRestorableTime" not in made
    return clients.wait_cluster(deployment.rds(), name, 120) if wait else made


def drop(deployment, cluster):
    """Deletes a cluster."""
    deployment.rds().delete_db_cluster(DBClusterIdentifier=cluster["DBClusterIdentifier"], SkipFinalSnapshot=True)


def rows(cluster):
    """What is in the table."""
    with clients.connect(cluster) as connection:
        return [row[0] for row in connection.execute("select i from t order by i").fetchall()]


@pytest.fixture(scope="module")
def timed(home):
    """A cluster, and the moment at which each of a thousand commits had just been told."""
    key = home.new_key()
    cluster = based(home, "timed", StorageEncrypted=True, KmsKeyId=key, Tags=[{"Key": "team", "Value": "blue"}])
    moments = []
    with clients.connect(cluster) as connection:
        for number in range(COMMITS):
            connection.execute("insert into t values (%s)", [number])
            moments.append(connection.execute("select clock_timestamp()").fetchone()[0])
    wait_for(home, "timed", moments[-1])
    return cluster, moments


def test_a_moment_between_two_commits_has_exactly_those_before_it(home, timed):
    cluster, moments = timed
    for count in random.Random(SEED).sample(range(1, COMMITS), 2):
        made = restored(home, "timed", RestoreToTime=moments[count - 1])
        assert rows(made) == list(range(count)), f"seed {SEED}"
        assert made["TagList"] == cluster["TagList"] and made["KmsKeyId"] == cluster["KmsKeyId"]
        assert made["StorageEncrypted"] and made["DbClusterResourceId"] != cluster["DbClusterResourceId"]
        with clients.connect(made) as connection:
            connection.execute("insert into t values (-1)")
        drop(home, made)


def test_an_idle_cluster_to_its_latest_time(home, timed):
    """Nothing is written while it is idle, and the latest time goes on."""
    cluster, _ = timed

    def is_quiet():
        seen = chunks(home, "timed")
        time.sleep(2)
        return chunks(home, "timed") == seen

    # What a thousand commits left to a server's own housekeeping is done first.
    running.wait_until(is_quiet, 60, "the server is idle")
    before, first = chunks(home, "timed"), window(home, "timed")[1]
    running.wait_until(lambda: window(home, "timed")[1] > first + datetime.timedelta(seconds=3), 20, "time goes on")
    late = datetime.datetime.now(datetime.UTC) - window(home, "timed")[1]
    assert late < datetime.timedelta(seconds=2)
    assert len(chunks(home, "timed")) - len(before) <= 1, "an idle server writes a record of its own now and then"
    (backup,) = home.rds().describe_db_cluster_automated_backups(DBClusterIdentifier="timed")["DBClusterAutomatedBackups"]
    earliest, latest = window(home, "timed")
    assert backup["RestoreWindow"]["EarliestTime"] == earliest and backup["RestoreWindow"]["LatestTime"] <= latest
    for asked in ({"UseLatestRestorableTime": True}, {"RestoreToTime": latest}):
        made = restored(home, "timed", Tags=[{"Key": "team", "Value": "red"}], **asked)
        assert rows(made) == list(range(COMMITS))
        assert made["TagList"] == [{"Key": "team", "Value": "red"}]
        drop(home, made)


def test_by_its_name_for_life_and_under_another_key(home, timed):
    cluster, moments = timed
    other, name = home.new_key(), unique("other")
    home.rds().restore_db_cluster_to_point_in_time(
        DBClusterIdentifier=name, SourceDbClusterResourceId=cluster["DbClusterResourceId"],
        RestoreToTime=moments[COMMITS // 2], KmsKeyId=other, BackupRetentionPeriod=3, RestoreType="full-copy",
    )
    made = clients.wait_cluster(home.rds(), name)
    assert rows(made) == list(range(COMMITS // 2 + 1))
    assert made["KmsKeyId"] == other and made["BackupRetentionPeriod"] == 3
    # Its own time begins anew.
    stream(home, name)
    home.new_snapshot(unique("own"), name)
    earliest, _ = running.wait_until(lambda: window(home, name), 30, "it can be restored itself")
    assert earliest > moments[-1]
    drop(home, made)


def test_what_is_refused(home, timed):
    cluster, moments = timed
    call = home.rds().restore_db_cluster_to_point_in_time
    source = {"SourceDBClusterIdentifier": "timed"}
    latest = {"UseLatestRestorableTime": True}
    new = {"DBClusterIdentifier": "refused"}
    hour = datetime.timedelta(hours=1)
    for code, asked in [
        ("InvalidParameterCombination", source),
        ("InvalidParameterCombination", source | {"UseLatestRestorableTime": False}),
        ("InvalidParameterCombination", source | latest | {"RestoreToTime": moments[0]}),
        ("InvalidParameterCombination", latest),
        ("InvalidParameterCombination", source | latest | {"SourceDbClusterResourceId": cluster["DbClusterResourceId"]}),
        ("InvalidParameterCombination", source | {"RestoreToTime": moments[0], "RestoreType": "copy-on-write"}),
        ("InvalidParameterCombination", source | latest | {"RestoreType": "copy-on-write"}),
        ("InvalidParameterValue", source | latest | {"RestoreType": "half-copy"}),
        ("InvalidParameterValue", source | latest | {"Port": 80}),
        ("InvalidParameterValue", source | latest | {"EngineMode": "serverless"}),
        ("InvalidRestoreFault", source | {"RestoreToTime": moments[0] - hour}),
        ("InvalidRestoreFault", source | {"RestoreToTime": moments[-1] + hour}),
        ("DBClusterNotFoundFault", latest | {"SourceDBClusterIdentifier": "nobody"}),
        ("DBClusterAutomatedBackupNotFoundFault", latest | {"SourceDbClusterResourceId": "cluster-NOBODY"}),
        ("DBClusterAutomatedBackupNotFoundFault", latest | {"SourceDbClusterResourceId": f"cluster-{'A' * 26}"}),
        ("KMSKeyNotAccessibleFault", source | latest | {"KmsKeyId": "alias/nobody"}),
        ("DBClusterAlreadyExistsFault", source | latest | {"DBClusterIdentifier": "timed"}),
    ]:
        refused(code, call, **(new | asked))
    # Nobody else's.
    stranger = home.rds(account="111122223333").restore_db_cluster_to_point_in_time
    refused("DBClusterNotFoundFault", stranger, **new, **source, **latest)
    resource = {"SourceDbClusterResourceId": cluster["DbClusterResourceId"]}
    refused("DBClusterAutomatedBackupNotFoundFault", stranger, **new, **resource, **latest)


def test_a_cluster_without_a_base_has_no_time(home):
    cluster = home.new_cluster("young")
    stream(home, "young")
    assert window(home, "young") is None
    refused(
        "InvalidRestoreFault", home.rds().restore_db_cluster_to_point_in_time,
        DBClusterIdentifier="never", SourceDBClusterIdentifier="young", UseLatestRestorableTime=True,
    )
    key = {"SourceDBClusterIdentifier": "young", "UseLatestRestorableTime": True, "DBClusterIdentifier": "never"}
    home.new_snapshot(unique("young-base"), "young")
    running.wait_until(lambda: window(home, "young"), 30, "it can be restored")
    said = refused(
        "InvalidParameterCombination", home.rds().restore_db_cluster_to_point_in_time, KmsKeyId=home.new_key(), **key
    )
    assert "isn't encrypted" in said
    drop(home, cluster)


def test_a_killed_server_goes_on_where_it_was(deploy):
    """The process is killed, and so is the database: one chain of chunks, and all that was committed."""
    place = deploy(environment=ON | {"SNAPFERRY_STOP_CLUSTERS_ON_EXIT": None})
    cluster = based(place, "goes-on")
    with clients.connect(cluster) as connection:
        connection.execute("insert into t select generate_series(1, 1000)")
    place.server.kill()
    with clients.connect(cluster) as connection:
        connection.execute("insert into t select generate_series(1001, 2000)")
    place.server.start()
    for postmaster in running.postmasters_within(place.server.data):
        os.kill(postmaster, signal.SIGKILL)
    cluster = running.wait_until(lambda: able(place, "goes-on"), 60, "it is back")
    with clients.connect(cluster) as connection:
        connection.execute("insert into t select generate_series(2001, 3000)")
        moment = connection.execute("select clock_timestamp()").fetchone()[0]
    wait_for(place, "goes-on", moment, 60)
    made = restored(place, "goes-on", UseLatestRestorableTime=True)
    assert rows(made) == list(range(1, 3001))
    metrics = clients.send(place.server, "GET", "/metrics")
    assert b"snapferry_log_gaps_total 0" in metrics.body
    place.server.run("data", "stop-clusters", check=False)


def able(deployment, name):
    """A cluster whose server takes sessions, if it does."""
    cluster = clients.cluster_of(deployment.rds(), name)
    if cluster["Status"] != "available":
        return None
    try:
        with clients.connect(cluster):
            return cluster
    except psycopg.OperationalError:
        return None


def test_a_multi_az_cluster_is_restored_too(home):
    name = unique("multi")
    multi_az = {"Engine": "postgres", "DBClusterInstanceClass": "db.m5d.large", "AllocatedStorage": 100}
    cluster = based(home, name, **multi_az)
    with clients.connect(cluster) as connection:
        connection.execute("insert into t values (1)")
        moment = connection.execute("select clock_timestamp()").fetchone()[0]
        connection.execute("insert into t values (2)")
    wait_for(home, name, moment)
    made = restored(home, name, RestoreToTime=moment, DBClusterInstanceClass="db.m5d.large")
    assert rows(made) == [1] and len(made["DBClusterMembers"]) == 3
    for one in (made, cluster):
        drop(home, one)


def test_a_writer_that_took_over_goes_on(home):
    rds, cluster = home.rds(), based(home, "two")
    for name in ("two-1", "two-2"):
        rds.create_db_instance(
            DBInstanceIdentifier=name, DBClusterIdentifier="two", Engine="aurora-postgresql", DBInstanceClass="db.r6g.large"
        )
        rds.get_waiter("db_instance_available").wait(
            DBInstanceIdentifier=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 600}
        )
    with clients.connect(cluster) as connection:
        connection.execute("insert into t values (1)")
        before = connection.execute("select clock_timestamp()").fetchone()[0]
    rds.failover_db_cluster(DBClusterIdentifier="two", TargetDBInstanceIdentifier="two-2")
    running.wait_until(lambda: clients.cluster_of(rds, "two")["Status"] == "available", 60, "it failed over", every=0.2)
    running.wait_until(lambda: able(home, "two"), 30, "it takes sessions")
    with clients.connect(clients.cluster_of(rds, "two")) as connection:
        connection.execute("insert into t values (2)")
        moment = connection.execute("select clock_timestamp()").fetchone()[0]
    wait_for(home, "two", moment, 60)
    timelines = {pathlib.Path(name).name.split(".")[1] for name in chunks(home, "two")}
    assert timelines == {"00000001", "00000002"}
    for asked, wanted in (({"UseLatestRestorableTime": True}, [1, 2]), ({"RestoreToTime": before}, [1])):
        made = restored(home, "two", **asked)
        assert rows(made) == wanted
        drop(home, made)


def test_a_gap_is_told_and_ends_the_window(home):
    """The server no longer has what comes next: an event, no time behind it, and a new stream."""
    cluster = based(home, "gap")
    with clients.connect(cluster) as connection:
        connection.execute("insert into t values (1)")
        moment = connection.execute("select clock_timestamp()").fetchone()[0]
    wait_for(home, "gap", moment)
    streams = {pathlib.Path(name).name.split(".")[0] for name in chunks(home, "gap")}
    lose_log(home, cluster)
    new = running.wait_until(
        lambda: {pathlib.Path(name).name.split(".")[0] for name in chunks(home, "gap")} - streams, 60, "a new stream"
    )
    assert len(new) == 1
    events = home.rds().describe_events(SourceType="db-cluster", SourceIdentifier="gap", Duration=60)["Events"]
    assert any(event["Message"].startswith("DB cluster's log has a gap: ") for event in events)
    assert window(home, "gap") is None
    # What lies before it is there still.
    made = restored(home, "gap", RestoreToTime=moment)
    assert rows(made) == [1]
    drop(home, made)
    home.new_snapshot(unique("gap-base"), "gap")
    earliest, _ = running.wait_until(lambda: window(home, "gap"), 30, "its time begins anew")
    assert earliest > moment


def lose_log(deployment, cluster):
    """Takes the log of a server away, as a bound of its disk would."""
    with administrator(deployment, cluster) as connection:
        for _ in range(200):
            connection.execute(
                "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = 'vault_log' and active"
            )
            try:
                connection.execute("select pg_drop_replication_slot('vault_log')")
                break
            except psycopg.errors.ObjectInUse:
                time.sleep(0.01)
            except psycopg.errors.UndefinedObject:
                break
        for _ in range(3):
            connection.execute("create table if not exists gone (i int)")
            connection.execute("insert into gone values (1)")
            connection.execute("select pg_switch_wal()")
            connection.execute("checkpoint")


def administrator(deployment, cluster):
    """A session of the server's own administrator, over its socket."""
    for postmaster in running.postmasters_within(deployment.server.data):
        lines = pathlib.Path(f"/proc/{postmaster}/cwd/postmaster.pid").read_text(encoding="utf-8").splitlines()
        if (int(lines[3]), lines[5]) == (cluster["Port"], cluster["Endpoint"]):
            return psycopg.connect(host=lines[4], port=lines[3], user="rdsadmin", dbname="rdsadmin", autocommit=True)
    raise AssertionError("its server does not run")


class Load(threading.Thread):
    """Writes, and keeps when each commit was told."""

    def __init__(self, cluster, first):
        super().__init__()
        self.cluster, self.told, self.next = cluster, [], first
        self.ending = threading.Event()

    def run(self):
        """Until the server is gone."""
        try:
            with clients.connect(self.cluster) as connection:
                while not self.ending.is_set():
                    connection.execute("insert into t values (%s)", [self.next])
                    self.told.append((datetime.datetime.now(datetime.UTC), self.next))
                    self.next += 1
        except psycopg.OperationalError:
            pass


def lose_disk(deployment, cluster):
    """Kills all that runs on a cluster's folder, and removes it; answers when."""
    folder = next(
        pathlib.Path(f"/proc/{pid}/cwd").resolve() for pid in running.postmasters_within(deployment.server.data)
        if cluster["DbClusterResourceId"] in str(pathlib.Path(f"/proc/{pid}/cwd").resolve())
    )
    killed = datetime.datetime.now(datetime.UTC)
    for pid in running.processes_within(folder):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    shutil.rmtree(folder, ignore_errors=True)
    return killed


def test_nothing_that_was_told_is_lost_with_the_disk(home):
    """Killed under load, and its folder removed: what was told before the latest time is there. (SOAK_ROUNDS=100)"""
    chance = random.Random(SEED)
    for turn in range(ROUNDS):
        name = unique("lost")
        cluster = based(home, name)
        load = Load(cluster, turn * 1_000_000)
        load.start()
        time.sleep(chance.uniform(1.5, 3))
        killed = lose_disk(home, cluster)
        load.ending.set()
        load.join()
        _, latest = window(home, name)
        assert killed - latest < datetime.timedelta(seconds=3), f"seed {SEED}: {killed - latest}"
        made = restored(home, name, UseLatestRestorableTime=True)
        found = set(rows(made))
        missing = [number for moment, number in load.told if moment <= latest and number not in found]
        assert not missing, f"seed {SEED}: {missing[:5]} of {len(load.told)}"
        assert load.told and found
        drop(home, made)
        drop(home, cluster)
