"""Multi-AZ DB clusters whose instances are on several nodes: a node dies with its databases, freezes, or is asked away.

No commit that a client was told of is lost, and the members that were gone come back.
"""
import os
import random
import signal
import time

import pytest

import clients
import test_members
from clients import refused, unique
from fleet import Fleet
from snapferry_tools import running
from test_members import MULTI_AZ, Marks, at, data_folder, instance_of, lost, members_of, rows_at, until, with_marks, writer_of

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "3"))
SEED = int(os.environ.get("SOAK_SEED", time.time_ns() % 1_000_000))
NODES = ("north", "south", "west")
# What lets others count a node as dead.
SILENCE_SECONDS = 12


@pytest.fixture(scope="module")
def zones(deploy_for_module):
    """Three nodes, each in a zone of its own."""
    made = Fleet(deploy_for_module)
    try:
        for name in NODES:
            made.add(name, SNAPFERRY_ZONE=f"zone-{name}")
        yield made
    finally:
        made.remove()


def node_of(member):
    """The name of the node that has an instance."""
    return member["AvailabilityZone"].removeprefix("zone-")


def postmaster(zones, cluster, member):
    """The first process of an instance's server."""
    server = zones.nodes[node_of(member)].server
    return int((data_folder(server, cluster, member) / "postmaster.pid").read_text(encoding="utf-8").split()[0])


def awake(zones, but=None):
    """The API at a node other than that one."""
    return next(node for name, node in zones.nodes.items() if name != but).rds()


def endpoint(rds, name):
    """A cluster's endpoint as it is described now."""
    found = clients.cluster_of(rds, name)
    return {"Endpoint": found["Endpoint"], "Port": found["Port"]}


def all_follow(rds, name, rows, seconds=120):
    """Waits until every reader has the rows."""

    def done():
        readers = [instance_of(rds, one) for one, writes in members_of(rds, name).items() if not writes]
        return len(readers) == 2 and all(rows_at(at(one)) >= rows for one in readers) or None

    until(done, seconds, "all readers have the rows")


def commits(marks, more=20, seconds=90):
    """Waits until some more commits are acknowledged."""
    wanted = len(marks.told) + more
    until(lambda: len(marks.told) >= wanted or None, seconds, "some commits")


def test_instances_on_three_nodes_hand_over(zones):
    assert {name: one["zone"] for name, one in zones.listed().items()} == {name: f"zone-{name}" for name in NODES}
    north, name = zones.nodes["north"], unique("spread")
    rds = north.rds()
    cluster = with_marks(north, name, **MULTI_AZ)
    first, second, third = (f"{name}-instance-{number}" for number in (1, 2, 3))
    assert members_of(rds, name) == {first: True, second: False, third: False}
    described = [instance_of(rds, one) for one in (first, second, third)]
    assert node_of(described[0]) == "north" and {node_of(one) for one in described} == set(NODES)
    assert sorted(cluster["AvailabilityZones"]) == sorted(f"zone-{one}" for one in NODES)
    for one in described:
        assert data_folder(zones.nodes[node_of(one)].server, cluster, one).is_dir()
    marks = Marks(cluster)
    marks.start()
    commits(marks)
    # Its server dies: its node is there, and begins the handover.
    os.kill(postmaster(zones, cluster, described[0]), signal.SIGKILL)
    until(lambda: writer_of(rds, name) != first or None, 60, "the failover")
    clients.wait_cluster(rds, name)
    assert endpoint(rds, name) == {"Endpoint": cluster["Endpoint"], "Port": cluster["Port"]}
    commits(marks)
    all_follow(rds, name, len(marks.told))
    # Somebody asks another node for the old writer, once its own has noted that it is there again.
    until(lambda: fails_over(awake(zones, "north"), name, TargetDBInstanceIdentifier=first) or None, 60, "the second failover")
    until(lambda: writer_of(rds, name) == first or None, 60, "the failover")
    clients.wait_cluster(rds, name)
    commits(marks)
    told = marks.end()
    assert lost(cluster, told) == []
    refused("InvalidParameterCombination", rds.modify_db_cluster, DBClusterIdentifier=name, Port=5544, ApplyImmediately=True)
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    test_members.wait_no_cluster(rds, name)
    for one in zones.nodes.values():
        assert not (one.server.data / "clusters" / cluster["DbClusterResourceId"]).exists()
        running.wait_until(lambda one=one: not servers_of(one.server, cluster), 60, "no server is left")


def test_none_hands_over_while_a_reader_is_copied(zones):
    """Nobody knows what a reader has whose files are made anew: the writer stays what it is, and says why."""
    rds, name = zones.nodes["north"].rds(), unique("copied")
    cluster = with_marks(zones.nodes["north"], name, **MULTI_AZ)
    members = members_of(rds, name)
    first = instance_of(rds, writer_of(rds, name))
    reader = instance_of(rds, next(one for one, writes in members.items() if not writes))
    mark = data_folder(zones.nodes[node_of(reader)].server, cluster, reader).parent / "whole"
    away = mark.with_name("whole.away")
    mark.rename(away)
    try:
        # Its own node notes that, within a second or two.
        told = f"DB cluster {name} can't fail over now: its reader {reader['DBInstanceIdentifier']} is being copied anew"
        until(lambda: is_refused(rds, name, told) or None, 60, "the refusal")
        marks = begun_marks(cluster)
        commits(marks, 5)
        # Nor when the writer's server dies: it is started again.
        os.kill(postmaster(zones, cluster, first), signal.SIGKILL)
        commits(marks, 20)
        assert lost(cluster, marks.end()) == []
        assert members_of(rds, name) == members
    finally:
        away.rename(mark)
    until(lambda: fails_over(rds, name) or None, 60, "the failover")
    until(lambda: not members_of(rds, name)[first["DBInstanceIdentifier"]] or None, 60, "another writer")
    clients.wait_cluster(rds, name)
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    test_members.wait_no_cluster(rds, name)


def fails_over(rds, name, **more):
    """Whether a failover begins."""
    try:
        rds.failover_db_cluster(DBClusterIdentifier=name, **more)
    except rds.exceptions.InvalidDBClusterStateFault:
        return False
    return True


def is_refused(rds, name, told):
    """Whether a failover is refused in these words; one that begins instead ends before the next try."""
    try:
        rds.failover_db_cluster(DBClusterIdentifier=name)
    except rds.exceptions.InvalidDBClusterStateFault as fault:
        return told in str(fault)
    clients.wait_cluster(rds, name)
    return False


@pytest.mark.long
def test_a_node_that_is_lost_in_the_midst_of_a_change_is_not_waited_for(zones):
    """What it was to do is given up, and its owner is told."""
    rds, name = zones.nodes["south"].rds(), unique("midst")
    cluster = with_marks(zones.nodes["north"], name, **MULTI_AZ)
    first = writer_of(rds, name)
    with clients.connect(cluster) as connection:
        connection.execute("insert into marks values (1)")
    harm(zones, "frozen", "north", cluster)
    try:
        assert rds.reboot_db_cluster(DBClusterIdentifier=name)["DBCluster"]["Status"] == "rebooting"
        until(lambda: writer_of(rds, name) != first or None, 90, "the failover")
        moved = clients.wait_cluster(rds, name)
        assert lost(moved, [1]) == []
        with clients.connect(moved) as connection:
            connection.execute("insert into marks values (2)")
        told = [event["Message"] for event in rds.describe_events(SourceType="db-cluster", SourceIdentifier=name)["Events"]]
        assert any("is not heard of" in message for message in told), told
    finally:
        heal(zones, "frozen", "north")
    all_follow(rds, name, 2)
    assert lost(endpoint(rds, name), [1, 2]) == []
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    test_members.wait_no_cluster(rds, name)


def servers_of(server, cluster):
    """Processes whose command line names a cluster's folder on a node."""
    folder = str(server.data / "clusters" / cluster["DbClusterResourceId"])
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if folder.encode() in file.read():
                    found.append(int(pid))
        except OSError:
            pass
    return found


def lose_machine(zones, name, cluster):
    """A node and all that it runs are gone at once."""
    server = zones.nodes[name].server
    server.kill()
    for pid in servers_of(server, cluster):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.long
@pytest.mark.timeout(300 + 120 * ROUNDS)
@pytest.mark.parametrize("kind", ["lost", "frozen", "node-killed"])
def test_a_writers_node_is_lost_and_no_commit_with_it(zones, kind):
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    name = unique(kind)
    cluster = with_marks(zones.nodes["north"], name, **MULTI_AZ)
    told, marks, pauses, others = [], begun_marks(cluster), [], awake(zones)
    for number in range(ROUNDS):
        commits(marks, chance.randrange(20, 200))
        writer = instance_of(others, writer_of(others, name))
        victim = node_of(writer)
        others = awake(zones, victim)
        begun = time.monotonic()
        harm(zones, kind, victim, cluster)
        try:
            until(lambda rds=others, old=writer["DBInstanceIdentifier"]: writer_of(rds, name) != old or None, 60, "the failover")
            clients.wait_cluster(others, name)
            # On one machine the address stays where writes go, unless a node that is frozen has it.
            moved = endpoint(others, name)
            assert kind == "frozen" or moved == {one: marks.cluster[one] for one in moved}
            # Sessions with a frozen writer wait on and on: their client asks anew, as drivers do when time is up.
            marks.ending.set()
            told += marks.told
            marks = begun_marks(moved, marks.next)
            commits(marks, 5)
            pauses.append(time.monotonic() - begun)
            assert lost(moved, told + marks.told[:]) == [], f"round {number}"
        finally:
            heal(zones, kind, victim)
        all_follow(others, name, len(told) + len(marks.told))
    told += marks.end()
    assert lost(marks.cluster, told) == []
    print(f"{kind}: {len(told)} commits, writes again after {sorted(round(one, 1) for one in pauses)} s")
    others.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    test_members.wait_no_cluster(others, name)


def begun_marks(cluster, after=0):
    """A client that writes, from a number on."""
    marks = Marks(cluster)
    marks.next = after
    marks.start()
    return marks


def harm(zones, kind, victim, cluster):
    """Loses a node's machine, freezes the node, or kills it and leaves its databases."""
    if kind == "lost":
        lose_machine(zones, victim, cluster)
    elif kind == "frozen":
        zones.nodes[victim].server.process.send_signal(signal.SIGSTOP)
    else:
        zones.nodes[victim].server.kill()


def heal(zones, kind, victim):
    """Lets the node go on."""
    if kind == "frozen":
        zones.nodes[victim].server.process.send_signal(signal.SIGCONT)
    else:
        zones.nodes[victim].server.start()


@pytest.mark.long
@pytest.mark.parametrize("lost_one", ["writer", "reader"])
def test_a_cluster_whose_node_is_forgotten_is_gone_everywhere(zones, lost_one):
    """A fourth node takes the cluster in; with it go the servers that the others have."""
    zones.add("spare", SNAPFERRY_ZONE="zone-spare")
    through = zones.nodes["spare" if lost_one == "writer" else "north"]
    name = unique(lost_one)
    cluster = with_marks(through, name, **MULTI_AZ)
    members = [instance_of(through.rds(), one) for one in members_of(through.rds(), name)]
    nodes = [node_of(one) for one in members]
    victim = "spare" if lost_one == "writer" else next(one for one in nodes if one != "north")
    lose_machine(zones, victim, cluster)
    running.wait_until(lambda: zones.listed()[victim]["state"] == "lost", SILENCE_SECONDS + 20, "its silence is noticed")
    zones.verb("node", "forget", victim, "--drop-clusters")
    gone = zones.nodes.pop(victim)
    try:
        test_members.wait_no_cluster(awake(zones), name)
        for one in set(nodes) - {victim}:
            server = zones.nodes[one].server
            running.wait_until(lambda server=server: not servers_of(server, cluster), 60, "no server is left")
    finally:
        running.remove_folder(gone.server.data)
        if victim != "spare":
            zones.nodes.pop("spare").server.stop()
            zones.verb("node", "forget", "spare")
            zones.add(victim, SNAPFERRY_ZONE=f"zone-{victim}")
