"""Clusters of MySQL with several servers: readers, failovers, and those that cannot be.

Skipped where the machine has no MySQL; `scripts/get-mysql` gets one.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time

import pymysql
import pytest

import clients
from clients import unique
from snapferry_tools import running
from test_mysql import ENGINE, PREFIX, connect, here, is_server_of  # noqa: F401


def member(rds, cluster, name):
    """A new instance of a cluster, available."""
    rds.create_db_instance(
        DBInstanceIdentifier=name, DBClusterIdentifier=cluster, Engine=ENGINE, DBInstanceClass="db.r6g.large")
    return wait_instance(rds, name)


def wait_instance(rds, name):
    """An instance once it is available, by boto3's own waiter."""
    rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier=name, WaiterConfig={"Delay": 0.2, "MaxAttempts": 600})
    return rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]


def delete_member(rds, name):
    """Deletes an instance, and waits until it is gone."""
    rds.delete_db_instance(DBInstanceIdentifier=name)
    rds.get_waiter("db_instance_deleted").wait(DBInstanceIdentifier=name, WaiterConfig={"Delay": 0.2, "MaxAttempts": 600})


def at(instance):
    """An instance's endpoint as `connect` takes it."""
    return {"Endpoint": instance["Endpoint"]["Address"], "Port": instance["Endpoint"]["Port"]}


def writer_of(rds, cluster):
    """The name of a cluster's writer."""
    members = clients.cluster_of(rds, cluster)["DBClusterMembers"]
    return next(one["DBInstanceIdentifier"] for one in members if one["IsClusterWriter"])


def marks_at(place):
    """The numbers that are seen there; none while nobody answers."""
    try:
        with connect(place) as connection, connection.cursor() as cursor:
            cursor.execute("select i from marks")
            return {row[0] for row in cursor.fetchall()}
    except pymysql.err.Error:
        return None


def until_marks(place, wanted, what):
    """Waits until all of them are seen there."""
    running.wait_until(lambda: (marks_at(place) or set()) >= wanted, 90, what, every=0.2)


class Marks(threading.Thread):
    """Writes numbers through a cluster's endpoint, one commit each, and notes which were acknowledged."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster, self.told, self.next = cluster, set(), 0
        self.ending = threading.Event()

    def run(self):
        while not self.ending.is_set():
            try:
                with connect(self.cluster) as connection, connection.cursor() as cursor:
                    while not self.ending.is_set():
                        self.next += 1
                        cursor.execute("insert into marks values (%s)", [self.next])
                        self.told.add(self.next)
            except pymysql.err.Error:
                time.sleep(0.05)

    def goes_on(self, more=50):
        """Waits until so many more were acknowledged."""
        wanted = len(self.told) + more
        running.wait_until(lambda: len(self.told) >= wanted, 90, "commits go on", every=0.05)

    def end(self):
        """Those that were acknowledged."""
        self.ending.set()
        self.join(60)
        return self.told


def kill_server(here, place):
    """SIGKILL for the server at an endpoint."""
    (process,) = [pid for pid in running.processes_within(here.server.data) if is_server_of(pid, place)]
    os.kill(process, 9)


def test_readers_follow_and_take_over(here):
    """No acknowledged commit is lost when the writer is killed, and the old one comes back."""
    rds, name = here.rds(), unique("fleet")
    cluster = here.new_cluster(name, Engine=ENGINE)
    with connect(cluster) as connection, connection.cursor() as cursor:
        cursor.execute("create table marks (i int primary key)")
        cursor.execute("insert into marks values (0)")
    member(rds, name, f"{name}-a")
    reader = member(rds, name, f"{name}-b")
    until_marks(at(reader), {0}, "the reader")
    with connect(at(reader)) as connection, connection.cursor() as cursor, pytest.raises(pymysql.err.OperationalError, match="super-read-only"):
        cursor.execute("insert into marks values (-1)")
    described = clients.cluster_of(rds, name)
    assert described["ReaderEndpoint"] in (reader["Endpoint"]["Address"], cluster["Endpoint"])

    marks = Marks(cluster)
    marks.start()
    marks.goes_on()
    kill_server(here, cluster)
    running.wait_until(lambda: writer_of(rds, name) == f"{name}-b", 90, "the failover", every=0.2)
    marks.goes_on()
    after = clients.wait_cluster(rds, name)
    assert (after["Endpoint"], after["Port"]) == (cluster["Endpoint"], cluster["Port"]), "the endpoint stays"
    told = marks.end()
    assert told <= marks_at(cluster)
    until_marks(at(wait_instance(rds, f"{name}-a")), told, "the old writer's return")

    delete_member(rds, f"{name}-a")
    assert told <= marks_at(cluster)
    rds.delete_db_instance(DBInstanceIdentifier=f"{name}-b")
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_writer_that_is_killed_again_and_again_loses_nothing(deploy):
    """Snapferry itself is killed in the middle of some failovers."""
    deployment = deploy(environment={"SNAPFERRY_MYSQL_DIR": PREFIX, "SNAPFERRY_CLUSTER_FORCE_TLS": "true"})
    rds, name = deployment.rds(), unique("killed")
    if not rds.describe_db_engine_versions(Engine=ENGINE)["DBEngineVersions"]:
        pytest.skip("there is no MySQL on this machine: scripts/get-mysql gets one")
    cluster = deployment.new_cluster(name, Engine=ENGINE)
    with connect(cluster) as connection, connection.cursor() as cursor:
        cursor.execute("create table marks (i int primary key)")
    for letter in "abc":
        member(rds, name, f"{name}-{letter}")
    marks = Marks(cluster)
    marks.start()
    for number in range(6):
        before = writer_of(rds, name)
        marks.goes_on(100)
        kill_server(deployment, cluster)
        if number % 3 == 2:
            time.sleep(number / 2)
            deployment.server.kill()
            deployment.server.start()
            rds = deployment.rds()
        running.wait_until(lambda: writer_of(rds, name) != before, 120, "the failover", every=0.2)
        clients.wait_cluster(rds, name)
        marks.goes_on(20)
        until_marks(at(wait_instance(rds, before)), set(marks.told), "the old writer's return")
    target = f"{name}-a" if writer_of(rds, name) != f"{name}-a" else f"{name}-b"
    rds.failover_db_cluster(DBClusterIdentifier=name, TargetDBInstanceIdentifier=target)
    clients.wait_cluster(rds, name)
    assert writer_of(rds, name) == target
    marks.goes_on(20)
    told = marks.end()
    assert told <= marks_at(cluster)
    for letter in "abc":
        until_marks(at(wait_instance(rds, f"{name}-{letter}")), told, "all have all")
    rds.create_db_cluster_snapshot(DBClusterSnapshotIdentifier="of-all", DBClusterIdentifier=name)
    clients.wait_snapshot(rds, "of-all")
    delete_member(rds, target)
    assert writer_of(rds, name) != target and told <= marks_at(cluster)
    rds.restore_db_cluster_from_snapshot(DBClusterIdentifier="again", SnapshotIdentifier="of-all", Engine=ENGINE)
    assert told <= marks_at(clients.wait_cluster(rds, "again"))


def administrator(place, sql):
    """Runs statements on the server at an endpoint as Snapferry does, past what a client may; what it has against them."""
    done = subprocess.run(
        [str(pathlib.Path(PREFIX) / "bin/mysql"), "--no-defaults", "--user=rdsadmin", f"--socket={socket_of(place)}"],
        input=sql, capture_output=True, text=True, check=False, timeout=60)
    return done.stderr


def socket_of(place):
    """The socket of the server at an endpoint, by its command line."""
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        if is_server_of(process.name, place):
            words = (process / "cmdline").read_bytes().decode().split("\0")
            return next(word.removeprefix("--socket=") for word in words if word.startswith("--socket="))
    raise AssertionError(f"nothing runs at {place}")


def failures(rds, cluster):
    """What the events say of a cluster's failovers that came to nothing."""
    events = rds.describe_events(SourceType="db-cluster", SourceIdentifier=cluster, EventCategories=["failover"])["Events"]
    return [event["Message"] for event in events if "failover failed" in event["Message"]]


def write_through(cluster, sql):
    """Runs a statement by a client."""
    with connect(cluster) as connection, connection.cursor() as cursor:
        cursor.execute(sql)


SPOIL = (
    "set sql_log_bin = 0; set global super_read_only = off; insert into {database}.marks values (-1);"
    " set global super_read_only = on;"
)


def test_a_reader_that_cannot_take_over_does_not_hold_up_its_cluster(here):
    """Found before the writer is ended, and after: the writer goes on, with all that it had."""
    rds, name = here.rds(), unique("stuck")
    cluster = here.new_cluster(name, Engine=ENGINE)
    write_through(cluster, "create table marks (i int primary key)")
    member(rds, name, f"{name}-a")
    reader = member(rds, name, f"{name}-b")
    write_through(cluster, "insert into marks values (0)")
    until_marks(at(reader), {0}, "the reader")

    # It hears of a row that it has already, and gets to it once it is alone.
    delay = "stop replica sql_thread; change replication source to source_delay = 12; start replica sql_thread;"
    # Its keeper may begin to follow in the middle of that.
    running.wait_until(lambda: not administrator(at(reader), delay), 60, "it takes its time", every=0.3)
    assert not administrator(at(reader), SPOIL.format(database=clients.DATABASE))
    write_through(cluster, "insert into marks values (-1)")
    time.sleep(1)
    rds.failover_db_cluster(DBClusterIdentifier=name)
    (failed,) = running.wait_until(lambda: failures(rds, name), 120, "it is given up", every=0.3)
    assert "the reader cannot do what the writer's log has" in failed and "copied again" in failed
    assert clients.wait_cluster(rds, name)["Endpoint"] == cluster["Endpoint"]
    assert writer_of(rds, name) == f"{name}-a"
    until_marks(cluster, {0, -1}, "the writer goes on")
    write_through(cluster, "insert into marks values (1)")

    # It has stopped at that row by now.
    running.wait_until(lambda: has_stopped(at(wait_instance(rds, f"{name}-b"))), 90, "it stops there", every=0.3)
    rds.failover_db_cluster(DBClusterIdentifier=name)
    running.wait_until(lambda: len(failures(rds, name)) == 2, 120, "it is given up", every=0.3)
    kill_server(here, clients.wait_cluster(rds, name))
    until_marks(cluster, {0, -1, 1}, "the writer is started again")
    assert writer_of(rds, name) == f"{name}-a"
    delete_member(rds, f"{name}-b")
    rds.delete_db_instance(DBInstanceIdentifier=f"{name}-a")
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


def has_stopped(place):
    """Whether a reader has stopped at what it could not do."""
    try:
        with connect(place, cursorclass=pymysql.cursors.DictCursor) as connection, connection.cursor() as cursor:
            cursor.execute("show replica status")
            return cursor.fetchone()["Last_SQL_Errno"] != 0
    except pymysql.err.Error:
        return False


MULTI_AZ = {"Engine": "mysql", "DBClusterInstanceClass": "db.m5d.large", "AllocatedStorage": 100}


def process_of(place):
    """The number of the process that serves an endpoint."""
    (found,) = [int(process.name) for process in pathlib.Path("/proc").glob("[0-9]*") if is_server_of(process.name, place)]
    return found


def test_a_multi_az_cluster_has_each_commit_in_two_places(here):
    """A commit waits for a reader, and a writer that is lost with its files loses none."""
    rds, name = here.rds(), unique("zones")
    cluster = here.new_cluster(name, **MULTI_AZ)
    names = [f"{name}-instance-{number}" for number in (1, 2, 3)]
    assert {one["DBInstanceIdentifier"]: one["IsClusterWriter"] for one in cluster["DBClusterMembers"]} == dict(zip(names, (True, False, False)))
    zones = {rds.describe_db_instances(DBInstanceIdentifier=one)["DBInstances"][0]["AvailabilityZone"] for one in names}
    assert cluster["MultiAZ"] and cluster["Engine"] == "mysql" and len(zones) == 3
    write_through(cluster, "create table marks (i int primary key)")
    marks = Marks(cluster)
    marks.start()
    marks.goes_on()
    places = [at(rds.describe_db_instances(DBInstanceIdentifier=one)["DBInstances"][0]) for one in names]
    readers = [process_of(place) for place in places[1:]]
    try:
        for reader in readers:
            os.kill(reader, signal.SIGSTOP)
        time.sleep(1)
        before = len(marks.told)
        time.sleep(4)
        assert len(marks.told) == before, "no commit while no reader can have it"
        os.kill(readers[1], signal.SIGCONT)
        marks.goes_on()
    finally:
        for reader in readers:
            os.kill(reader, signal.SIGCONT)

    for _ in range(2):
        old = writer_of(rds, name)
        place = at(rds.describe_db_instances(DBInstanceIdentifier=old)["DBInstances"][0])
        running.wait_until(lambda: all_follow(rds, names, old), 120, "both readers follow", every=0.3)
        marks.goes_on()
        lose_server(place)
        running.wait_until(lambda: writer_of(rds, name) != old, 120, "the failover", every=0.2)
        clients.wait_cluster(rds, name)
        marks.goes_on(20)
        told = set(marks.told)
        assert told <= marks_at(cluster), sorted(told - marks_at(cluster))[:10]
        until_marks(at(wait_instance(rds, old)), told, "the old writer's return")
    told = marks.end()
    assert told <= marks_at(cluster)

    # Stopped and started again it is what it was.
    rds.stop_db_cluster(DBClusterIdentifier=name)
    running.wait_until(lambda: clients.cluster_of(rds, name)["Status"] == "stopped", 120, "it is stopped", every=0.3)
    rds.start_db_cluster(DBClusterIdentifier=name)
    again = clients.wait_cluster(rds, name)
    assert told <= marks_at(again)
    here.new_snapshot(f"{name}-s", name)
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=f"{name}-r", SnapshotIdentifier=f"{name}-s", Engine="mysql", DBClusterInstanceClass="db.m5d.large")
    restored = clients.wait_cluster(rds, f"{name}-r")
    assert told <= marks_at(restored) and len(restored["DBClusterMembers"]) == 3
    write_through(restored, "insert into marks values (-1)")
    for one in (name, f"{name}-r"):
        rds.delete_db_cluster(DBClusterIdentifier=one, SkipFinalSnapshot=True)


def all_follow(rds, names, writer):
    """Whether all others than the writer are there and hear from it."""
    for name in names:
        if name != writer and not hears(at(rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0])):
            return False
    return True


def hears(place):
    """Whether the reader at an endpoint hears from its writer."""
    try:
        with connect(place, cursorclass=pymysql.cursors.DictCursor) as connection, connection.cursor() as cursor:
            cursor.execute("show replica status")
            found = cursor.fetchone()
            return bool(found) and found["Replica_IO_Running"] == found["Replica_SQL_Running"] == "Yes"
    except pymysql.err.Error:
        return False


def lose_server(place):
    """SIGKILL for the server at an endpoint, and its files are gone."""
    process = process_of(place)
    data = pathlib.Path(os.readlink(f"/proc/{process}/cwd"))
    os.kill(process, 9)
    lost = data.with_name("lost")
    data.rename(lost)
    shutil.rmtree(lost)
