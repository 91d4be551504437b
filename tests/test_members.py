"""DB instances: a cluster's writer and the readers that follow it, failover, and Multi-AZ DB clusters.

No commit that a client was told of is lost, whoever takes the writes, and the endpoint stays what it is.
"""
import contextlib
import os
import pathlib
import random
import signal
import statistics
import threading
import time

import psycopg
import pytest

import clients
from clients import refused, unique
from snapferry_tools import running

CLASS = "db.r6g.large"
MULTI_AZ = {"Engine": "postgres", "DBClusterInstanceClass": "db.m5d.large", "AllocatedStorage": 100}
ROUNDS = int(os.environ.get("SOAK_ROUNDS", "6"))
SEED = int(os.environ.get("SOAK_SEED", time.time_ns() % 1_000_000))


def add(rds, cluster, name, wait=True, **more):
    """A new instance of a cluster, available by default."""
    made = rds.create_db_instance(
        DBInstanceIdentifier=name, DBClusterIdentifier=cluster, Engine="aurora-postgresql", DBInstanceClass=CLASS, **more
    )["DBInstance"]
    assert made["DBInstanceIdentifier"] == name and made["DBClusterIdentifier"] == cluster
    return wait_instance(rds, name) if wait else made


def wait_instance(rds, name, seconds=60):
    """Waits until an instance is available, by boto3's own waiter."""
    rds.get_waiter("db_instance_available").wait(
        DBInstanceIdentifier=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": seconds * 10}
    )
    return instance_of(rds, name)


def wait_no_cluster(rds, name):
    """Waits until a cluster is gone, by boto3's own waiter."""
    rds.get_waiter("db_cluster_deleted").wait(DBClusterIdentifier=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 300})


def wait_no_instance(rds, name, seconds=60):
    """Waits until an instance is gone, by boto3's own waiter."""
    rds.get_waiter("db_instance_deleted").wait(
        DBInstanceIdentifier=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": seconds * 10}
    )


def instance_of(rds, name):
    """An instance as it is described."""
    return rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]


def members_of(rds, cluster):
    """(name, whether it writes) of a cluster's members."""
    members = clients.cluster_of(rds, cluster)["DBClusterMembers"]
    return {one["DBInstanceIdentifier"]: one["IsClusterWriter"] for one in members}


def writer_of(rds, cluster):
    """The name of a cluster's writer."""
    return next(name for name, writes in members_of(rds, cluster).items() if writes)


def at(instance):
    """An instance's endpoint as `clients.connect` takes it."""
    return {"Endpoint": instance["Endpoint"]["Address"], "Port": instance["Endpoint"]["Port"]}


def until(found, seconds=60, what="it"):
    """Asks until there is an answer that counts; connections that fail are none."""
    end = time.monotonic() + seconds
    while True:
        try:
            if (answer := found()) is not None:
                return answer
        except psycopg.Error:
            pass
        assert time.monotonic() < end, f"{what} took longer than {seconds} s"
        time.sleep(0.05)


def rows_at(place):
    """How many rows are seen there."""
    with clients.connect(place) as connection:
        return connection.execute("select count(*) from marks").fetchone()[0]


def data_folder(server, cluster, member):
    """Where an instance's files are."""
    folder = server.data / "clusters" / cluster["DbClusterResourceId"]
    prefix = "" if member is None else f"{member['DbiResourceId'][3:15].lower()}-"
    first = f"db-{cluster['DbClusterResourceId'][8:]}"
    if member is not None and member["DbiResourceId"] == first:
        prefix = ""
    found = [path for path in folder.iterdir() if path.name.startswith(f"{prefix}try-")]
    assert len(found) == 1, found
    return found[0] / "data"


def postmaster(server, cluster, member):
    """The first process of an instance's server, found by its data folder."""
    return int((data_folder(server, cluster, member) / "postmaster.pid").read_text(encoding="utf-8").split()[0])


class Marks(threading.Thread):
    """Writes numbers through a cluster's endpoint, one commit each, and notes which were acknowledged."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster, self.told, self.next = cluster, [], 0
        self.ending = threading.Event()
        self.gaps = []

    def run(self):
        last = time.monotonic()
        while not self.ending.is_set():
            try:
                with clients.connect(self.cluster) as connection:
                    while not self.ending.is_set():
                        self.next += 1
                        connection.execute("insert into marks values (%s)", [self.next])
                        self.told.append(self.next)
                        now = time.monotonic()
                        self.gaps.append(now - last)
                        last = now
            except psycopg.Error:
                time.sleep(0.02)

    def end(self):
        """Those that were acknowledged."""
        self.ending.set()
        self.join(30)
        return self.told


def lost(cluster, told):
    """Acknowledged numbers that the cluster does not have."""
    with clients.connect(cluster) as connection:
        there = {row[0] for row in connection.execute("select i from marks")}
    return sorted(set(told) - there)


def with_marks(deployment, name, **more):
    """A new cluster with an empty table."""
    cluster = deployment.new_cluster(name, **more)
    with clients.connect(cluster) as connection:
        connection.execute("create table marks (i bigint primary key)")
    return cluster


def test_the_first_instance_is_the_writer_that_is_there(closed):
    rds, name = closed.rds(), unique("adopted")
    cluster = with_marks(closed, name)
    assert cluster["DBClusterMembers"] == []
    one = add(rds, name, f"{name}-a", PromotionTier=3, Tags=[{"Key": "k", "Value": "v"}], PreferredMaintenanceWindow="Sun:04:00-Sun:04:30")
    assert (one["Endpoint"]["Address"], one["Endpoint"]["Port"]) == (cluster["Endpoint"], cluster["Port"])
    assert one["PreferredMaintenanceWindow"] == "sun:04:00-sun:04:30" and one["TagList"] == [{"Key": "k", "Value": "v"}]
    assert one["PromotionTier"] == 3 and one["PendingModifiedValues"] == {} and one["DBInstanceClass"] == CLASS
    assert one == instance_of(rds, f"{name}-a"), "a second read equals the first"
    assert members_of(rds, name) == {f"{name}-a": True}
    refused("InvalidDBClusterStateFault", rds.delete_db_cluster, DBClusterIdentifier=name, SkipFinalSnapshot=True,
            message="Cluster cannot be deleted, it still contains DB instances in non-deleting state.")
    changed = rds.modify_db_instance(DBInstanceIdentifier=f"{name}-a", NewDBInstanceIdentifier=f"{name}-b", PromotionTier=0,
                                     ApplyImmediately=True)["DBInstance"]
    assert (changed["DBInstanceIdentifier"], changed["PromotionTier"]) == (f"{name}-b", 0)
    arn = changed["DBInstanceArn"]
    rds.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "more", "Value": ""}])
    assert len(rds.list_tags_for_resource(ResourceName=arn)["TagList"]) == 2
    rds.reboot_db_instance(DBInstanceIdentifier=f"{name}-b")
    wait_instance(rds, f"{name}-b")
    assert rows_at(cluster) == 0
    gone = rds.delete_db_instance(DBInstanceIdentifier=f"{name}-b", SkipFinalSnapshot=True)["DBInstance"]
    assert gone["DBInstanceStatus"] == "deleting"
    refused("DBInstanceNotFound", rds.describe_db_instances, DBInstanceIdentifier=f"{name}-b", status=404)
    assert clients.cluster_of(rds, name)["DBClusterMembers"] == [] and rows_at(cluster) == 0, "it answers as before"
    told = [event["Message"] for event in rds.describe_events(SourceType="db-instance", SourceIdentifier=f"{name}-b")["Events"]]
    assert told == ["DB instance restarted.", "DB instance deleted."]
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


def test_what_instances_are_refused(closed, plain):
    rds, name = closed.rds(), unique("never")
    asked = {"DBInstanceIdentifier": name, "DBClusterIdentifier": "plain", "Engine": "aurora-postgresql", "DBInstanceClass": CLASS}

    def wrong(code, message=None, **more):
        refused(code, rds.create_db_instance, message, **{key: value for key, value in (asked | more).items() if value is not None})

    wrong("InvalidParameterCombination", DBClusterIdentifier=None)
    wrong("DBClusterNotFoundFault", DBClusterIdentifier="no-such-cluster")
    wrong("InvalidParameterCombination", Engine="aurora-mysql")
    wrong("InvalidParameterCombination", EngineVersion="9.6")
    wrong("InvalidParameterValue", DBInstanceClass="large")
    wrong("InvalidParameterValue", PromotionTier=16)
    wrong("InvalidParameterValue", DBInstanceIdentifier="-a")
    wrong("InvalidParameterValue", AvailabilityZone="eu-nowhere-1a")
    wrong("InvalidParameterValue", PreferredMaintenanceWindow="04:00-04:30")
    wrong("InvalidParameterCombination", MultiAZ=True)
    wrong("InvalidParameterCombination", MasterUserPassword="something-else",
          message="The requested DB Instance will be a member of a DB Cluster. Set master user password for the DB Cluster.")
    for call in (rds.modify_db_instance, rds.reboot_db_instance, rds.delete_db_instance, rds.describe_db_instances):
        refused("DBInstanceNotFound", call, f"DBInstance {name} not found.", 404, DBInstanceIdentifier=name)
    refused("InvalidDBClusterStateFault", rds.failover_db_cluster, DBClusterIdentifier="plain")
    by = [{"Name": "db-cluster-id", "Values": ["plain"]}]
    assert rds.describe_db_instances(Filters=by)["DBInstances"] == []


def test_a_reader_follows_and_takes_over(closed):
    rds, name = closed.rds(), unique("pair")
    cluster = with_marks(closed, name)
    add(rds, name, f"{name}-a")
    reader = add(rds, name, f"{name}-b")
    assert members_of(rds, name) == {f"{name}-a": True, f"{name}-b": False}
    assert at(reader) != at(instance_of(rds, f"{name}-a"))
    with clients.connect(cluster) as connection:
        connection.execute("insert into marks select generate_series(1, 1000)")
    until(lambda: rows_at(at(reader)) == 1000 or None, what="the reader")
    with clients.connect(at(reader)) as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("insert into marks values (0)")
    described = clients.cluster_of(rds, name)
    assert (described["ReaderEndpoint"], described["Port"]) in (
        (reader["Endpoint"]["Address"], reader["Endpoint"]["Port"]), (cluster["Endpoint"], cluster["Port"])
    )
    refused("DBInstanceAlreadyExists", rds.create_db_instance, DBInstanceIdentifier=f"{name}-b", DBClusterIdentifier=name,
            Engine="aurora-postgresql", DBInstanceClass=CLASS)
    refused("InvalidDBInstanceState", rds.failover_db_cluster, DBClusterIdentifier=name, TargetDBInstanceIdentifier=f"{name}-a")
    moved = rds.failover_db_cluster(DBClusterIdentifier=name, TargetDBInstanceIdentifier=f"{name}-b")["DBCluster"]
    assert moved["Status"] == "failing-over"
    after = clients.wait_cluster(rds, name)
    assert members_of(rds, name) == {f"{name}-a": False, f"{name}-b": True}
    assert (after["Endpoint"], after["Port"]) == (cluster["Endpoint"], cluster["Port"]), "the endpoint stays"
    with clients.connect(cluster) as connection:
        connection.execute("insert into marks values (0)")
    old = instance_of(rds, f"{name}-a")
    assert at(old) == at(reader), "they changed places"
    until(lambda: rows_at(at(old)) == 1001 or None, 120, what="the old writer's return")
    snapshot = closed.new_snapshot(unique("of-pair"), name)
    assert snapshot["Status"] == "available"
    rds.delete_db_instance(DBInstanceIdentifier=f"{name}-b")
    wait_no_instance(rds, f"{name}-b")
    clients.wait_cluster(rds, name)
    assert members_of(rds, name) == {f"{name}-a": True} and rows_at(cluster) == 1001
    told = {event["Message"] for event in rds.describe_events(SourceType="db-cluster", SourceIdentifier=name)["Events"]}
    assert f"Completed failover to DB instance: {name}-b" in told
    rds.delete_db_instance(DBInstanceIdentifier=f"{name}-a")
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    folder = closed.server.data / "clusters" / cluster["DbClusterResourceId"]
    wait_no_cluster(rds, name)
    assert not folder.exists()


def test_a_failover_while_a_reader_is_made(closed):
    """One that is being made cannot take the writes; it follows whoever has them by then."""
    rds, name = closed.rds(), unique("early")
    cluster = with_marks(closed, name)
    with clients.connect(cluster) as connection:
        connection.execute("insert into marks select generate_series(1, 1000)")
    add(rds, name, f"{name}-a")
    refused(
        "InvalidDBClusterStateFault", rds.failover_db_cluster, DBClusterIdentifier=name,
        message=f"DB cluster {name} has no available reader that could take its writes.",
    )
    add(rds, name, f"{name}-b")
    add(rds, name, f"{name}-c", wait=False)
    rds.failover_db_cluster(DBClusterIdentifier=name, TargetDBInstanceIdentifier=f"{name}-b")
    clients.wait_cluster(rds, name)
    made = wait_instance(rds, f"{name}-c", 120)
    assert members_of(rds, name) == {f"{name}-a": False, f"{name}-b": True, f"{name}-c": False}
    with clients.connect(cluster) as connection:
        connection.execute("insert into marks values (0)")
    for one in (at(made), at(instance_of(rds, f"{name}-a"))):
        until(lambda one=one: rows_at(one) == 1001 or None, 90, "all rows")
    for letter in "cab":
        rds.delete_db_instance(DBInstanceIdentifier=f"{name}-{letter}")
        wait_no_instance(rds, f"{name}-{letter}")
        clients.wait_cluster(rds, name)
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    wait_no_cluster(rds, name)


def test_an_old_writer_that_was_left_recovering_comes_back(deploy):
    """It recovers alone before it follows. Snapferry is killed meanwhile, and finds it running when it starts again."""
    deployment, name = deploy(), unique("left")
    rds = deployment.rds()
    cluster = with_marks(deployment, name)
    add(rds, name, f"{name}-a")
    add(rds, name, f"{name}-b")
    with clients.connect(cluster) as connection:
        connection.execute("insert into marks values (1)")
    folder = data_folder(deployment.server, cluster, instance_of(rds, f"{name}-a"))
    before = set(running.processes_within(folder))
    kill(deployment.server, cluster, instance_of(rds, f"{name}-a"))
    end = time.monotonic() + 30
    while not (new := [pid for pid in running.postmasters_within(folder) if pid not in before]):
        assert time.monotonic() < end
    os.kill(new[0], signal.SIGSTOP)
    deployment.server.kill()
    os.kill(new[0], signal.SIGCONT)
    deployment.server.start()
    rds = deployment.rds()
    clients.wait_cluster(rds, name)
    assert members_of(rds, name) == {f"{name}-a": False, f"{name}-b": True}
    until(lambda: readers_answer(rds, name) or None, 120, "the old writer's return")


@pytest.mark.long
@pytest.mark.timeout(120 + 30 * ROUNDS)
@pytest.mark.parametrize("kind", ["aurora", "multi-az"])
def test_a_killed_writer_loses_nothing(deploy, kind):
    """Also of a cluster whose commits wait for no reader: what the old writer had not sent is in its folder.
    Snapferry itself is killed in the middle of some failovers."""
    deployment, chance = deploy(), random.Random(SEED)
    rds, name = deployment.rds(), unique("killed")
    if kind == "aurora":
        cluster = with_marks(deployment, name)
        for letter in "ab":
            add(rds, name, f"{name}-{letter}")
    else:
        cluster = with_marks(deployment, name, **MULTI_AZ)
    marks = Marks(cluster)
    marks.start()
    for number in range(ROUNDS):
        before = writer_of(rds, name)
        wanted = len(marks.told) + chance.randrange(20, 200)
        until(lambda: len(marks.told) >= wanted or None, what="some commits")
        kill(deployment.server, cluster, instance_of(rds, before))
        if number % 5 == 4:
            time.sleep(chance.random())
            deployment.server.kill()
            deployment.server.start()
            rds = deployment.rds()
        else:
            until(lambda: writer_of(rds, name) != before or None, 60, "the failover")
        clients.wait_cluster(rds, name)
        until(lambda: rows_at(cluster) or None, 60, "the endpoint")
        if kind == "aurora":
            until(lambda: readers_answer(rds, name) or None, 120, "the old writer's return")
    told = marks.end()
    assert lost(cluster, told) == []
    pauses = sorted(marks.gaps)[-ROUNDS:]
    print(f"{kind}: {ROUNDS} rounds, {len(told)} commits, seed {SEED}: pauses of a median {statistics.median(pauses):.1f} s, at most {pauses[-1]:.1f} s")
    assert statistics.median(pauses) < 10


def readers_answer(rds, name):
    """Whether every reader answers with the rows that were there."""
    readers = [one for one, writes in members_of(rds, name).items() if not writes]
    return all(rows_at(at(instance_of(rds, one))) > 0 for one in readers)


def kill(server, cluster, member):
    """SIGKILL for an instance's first process."""
    os.kill(postmaster(server, cluster, member), signal.SIGKILL)


def test_a_multi_az_cluster(closed):
    rds, name = closed.rds(), unique("multi")
    begun = time.monotonic()
    cluster = with_marks(closed, name, **MULTI_AZ)
    took = time.monotonic() - begun
    names = [f"{name}-instance-{number}" for number in (1, 2, 3)]
    assert members_of(rds, name) == {names[0]: True, names[1]: False, names[2]: False}
    zones = {instance_of(rds, one)["AvailabilityZone"] for one in names}
    assert len(zones) == 3 and cluster["MultiAZ"]
    with clients.connect(cluster) as connection:
        assert connection.execute("show synchronous_standby_names").fetchone()[0].startswith("ANY 1 (")
    refused("InvalidDBClusterStateFault", rds.delete_db_instance, DBInstanceIdentifier=names[0])
    refused("InvalidParameterCombination", rds.create_db_instance, DBInstanceIdentifier="more", DBClusterIdentifier=name,
            Engine="postgres", DBInstanceClass=CLASS)
    marks = Marks(cluster)
    marks.start()
    until(lambda: len(marks.told) > 50 or None, what="some commits")
    kill(closed.server, cluster, instance_of(rds, names[0]))
    until(lambda: writer_of(rds, name) != names[0] or None, 60, "the failover")
    clients.wait_cluster(rds, name)
    told = marks.end()
    assert lost(cluster, told) == []
    reads = log_lines(closed, "the snapshot is read from a reader")
    snapshot = closed.new_snapshot(unique("of-multi"), name)["DBClusterSnapshotIdentifier"]
    assert log_lines(closed, "the snapshot is read from a reader") == reads + 1
    restored = rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=f"{name}-2", SnapshotIdentifier=snapshot, Engine="postgres", DBClusterInstanceClass="db.m5d.large"
    )["DBCluster"]
    restored = clients.wait_cluster(rds, f"{name}-2")
    assert rows_at(restored) == rows_at(cluster) and len(members_of(rds, f"{name}-2")) == 3
    for one in (name, f"{name}-2"):
        rds.delete_db_cluster(DBClusterIdentifier=one, SkipFinalSnapshot=True)
    for one, made in ((name, cluster), (f"{name}-2", restored)):
        wait_no_cluster(rds, one)
        folder = closed.server.data / "clusters" / made["DbClusterResourceId"]
        assert not folder.exists()
    assert took < 30, took


def log_lines(deployment, words):
    """How many lines of Snapferry's log have these words."""
    return deployment.server.log.read_text(encoding="utf-8").count(words)


@contextlib.contextmanager
def frozen(pid):
    """A process stands still."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def receiver_of_the_first_reader(server, week):
    """The process by which the reader that snapshots are read from hears of its writer."""
    readers = [one for one, writes in members_of(week.rds, week.name).items() if not writes]
    first = min((instance_of(week.rds, one) for one in readers), key=lambda one: one["DbiResourceId"])
    for pid in running.processes_within(data_folder(server, week.cluster, first)):
        with contextlib.suppress(OSError):
            if b"walreceiver" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    raise AssertionError("the reader hears nothing")


class Week:
    """A Multi-AZ DB cluster and what is in it, told after every step."""

    def __init__(self, rds, name, cluster, rows=0, password=clients.PASSWORD):
        self.rds, self.name, self.cluster, self.rows, self.password = rds, name, cluster, rows, password

    def write(self, rows):
        """Commits more rows through the endpoint."""
        with clients.connect(self.cluster, self.password) as connection:
            connection.execute("insert into marks select generate_series(%s::bigint, %s)", [self.rows + 1, self.rows + rows])
        self.rows += rows

    def check(self):
        """It is available, at its endpoint, with its members; and every one of them has every row."""
        now = clients.wait_cluster(self.rds, self.name)
        assert (now["Endpoint"], now["Port"], now["MultiAZ"]) == (self.cluster["Endpoint"], self.cluster["Port"], True)
        members = members_of(self.rds, self.name)
        assert sorted(members.values()) == [False, False, True]
        for place in [now] + [at(instance_of(self.rds, one)) for one in members]:
            until(lambda place=place: self.count(place) == self.rows or None, 60, f"every row at {place['Endpoint']}")
        return now

    def count(self, place):
        """Rows there, all of them different and none left out."""
        with clients.connect(place, self.password) as connection:
            found, last = connection.execute("select count(*), max(i) from marks").fetchone()
            assert found == last
            return found

    def fail_over(self):
        """Another instance takes the writes."""
        before = writer_of(self.rds, self.name)
        assert self.rds.failover_db_cluster(DBClusterIdentifier=self.name)["DBCluster"]["Status"] == "failing-over"
        self.check()
        assert writer_of(self.rds, self.name) != before

    def restored(self, rds, snapshot, name, **more):
        """A cluster of a snapshot, with the same rows."""
        made = rds.restore_db_cluster_from_snapshot(
            **{"DBClusterIdentifier": name, "SnapshotIdentifier": snapshot, "Engine": "postgres"} | more
        )["DBCluster"]
        assert made["Status"] == "creating"
        return Week(rds, name, clients.wait_cluster(rds, name), self.rows, self.password)


@pytest.mark.long
def test_a_week_in_the_life_of_a_multi_az_cluster(closed):
    """Rows are looked for at every instance after every step."""
    near, far, name = closed.rds(), closed.rds("us-east-1"), unique("week")
    keys = [closed.new_key(), closed.new_key("us-east-1")]
    week = Week(near, name, with_marks(closed, name, StorageEncrypted=True, KmsKeyId=keys[0], **MULTI_AZ))
    week.write(1000)
    week.check()

    near.reboot_db_cluster(DBClusterIdentifier=name)
    week.check()
    week.fail_over()
    week.write(10)

    reader = next(one for one, writes in members_of(near, name).items() if not writes)
    near.reboot_db_instance(DBInstanceIdentifier=reader)
    wait_instance(near, reader)
    changed = near.modify_db_cluster(
        DBClusterIdentifier=name, MasterUserPassword="another-long-password", BackupRetentionPeriod=7, DeletionProtection=True,
        ApplyImmediately=True,
    )["DBCluster"]
    assert changed["Status"] == "resetting-master-credentials"
    week.password = "another-long-password"
    now = week.check()
    assert (now["BackupRetentionPeriod"], now["DeletionProtection"]) == (7, True) and "PendingModifiedValues" not in now

    week.write(10)
    kept = week.rows
    snapshot = closed.new_snapshot(unique("monday"), name)
    with frozen(receiver_of_the_first_reader(closed.server, week)):
        # It is behind, so the writer is read.
        week.write(10)
        assert closed.new_snapshot(unique("tuesday"), name)["Status"] == "available"
        assert 0 < log_lines(closed, "no snapshot is read from the reader, so it is from the writer")
    week.write(10)
    far.copy_db_cluster_snapshot(
        SourceDBClusterSnapshotIdentifier=snapshot["DBClusterSnapshotArn"], TargetDBClusterSnapshotIdentifier=f"{name}-far",
        SourceRegion=clients.HOME, KmsKeyId=keys[1],
    )
    copy = clients.wait_snapshot(far, f"{name}-far")
    assert copy["StorageEncrypted"] and copy["KmsKeyId"] != snapshot["KmsKeyId"]
    week.rows, rows = kept, week.rows
    away = week.restored(far, f"{name}-far", f"{name}-away", DBClusterInstanceClass="db.m5d.large")
    week.rows = rows
    away.check()
    away.fail_over()
    away.write(10)

    far.stop_db_cluster(DBClusterIdentifier=away.name)
    until(lambda: clients.cluster_of(far, away.name)["Status"] == "stopped" or None, 60, "the stop")
    far.start_db_cluster(DBClusterIdentifier=away.name)
    away.check()
    away.write(10)
    away.check()

    far.delete_db_cluster(DBClusterIdentifier=away.name, FinalDBSnapshotIdentifier=f"{name}-last")
    wait_no_cluster(far, away.name)
    assert clients.wait_snapshot(far, f"{name}-last")["StorageEncrypted"]
    last = away.restored(far, f"{name}-last", f"{name}-single")
    assert last.count(last.cluster) == away.rows and not members_of(far, last.name)
    far.delete_db_cluster(DBClusterIdentifier=last.name, SkipFinalSnapshot=True)

    week.check()
    refused("InvalidParameterCombination", near.delete_db_cluster, DBClusterIdentifier=name, SkipFinalSnapshot=True)
    near.modify_db_cluster(DBClusterIdentifier=name, DeletionProtection=False)
    near.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    for rds, gone in ((near, name), (far, last.name)):
        wait_no_cluster(rds, gone)
    told = [event["Message"] for event in near.describe_events(SourceType="db-cluster", SourceIdentifier=name)["Events"]]
    assert sum(message.startswith("Completed failover") for message in told) == 1
