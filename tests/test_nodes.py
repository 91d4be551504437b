"""Several nodes on one PostgreSQL catalog and one vault: any of them may die, freeze or leave."""
import itertools
import json
import re
import secrets
import signal
import subprocess

import pytest

import clients
from clients import FAR, HOME, THIRD, copy_request, unique
from fleet import Fleet
from snapferry_tools import database, running

MEGABYTES = 32
LIMIT = 8_000_000
LEASE_SECONDS = 3
# What a node that is told something has heard of it by then, and what lets another count it as dead.
HEARTBEAT_SECONDS = 2
SILENCE_SECONDS = 12
# A region that holds a snapshot's bytes already is shipped nothing more, so each slow copy has its own.
REGIONS = itertools.cycle([FAR, THIRD, "us-west-2", "eu-central-1", "sa-east-1", "ca-central-1"])


@pytest.fixture(scope="module")
def fleet(deploy_for_module):
    """Two nodes, and a cluster with its snapshot on the first."""
    made = Fleet(
        deploy_for_module,
        ("--cross-region-bytes-per-second", str(LIMIT), "--lease-seconds", str(LEASE_SECONDS)),
    )
    try:
        made.add("north")
        made.add("south")
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def noise(fleet):
    """A cluster of incompressible rows on the first node; its snapshot, and its rows."""
    return fleet.nodes["north"].noise(MEGABYTES)


def far_copy(fleet, noise, through):
    """Begins a slow copy through a node; answers its name, its region, and who runs it, midway."""
    name, region = unique("far"), next(REGIONS)
    rds = fleet.nodes[through].rds(region)
    rds.copy_db_cluster_snapshot(**copy_request(noise[0]["DBClusterSnapshotArn"], name, SourceRegion=HOME))
    clients.wait_percent(rds, name, 25)
    return name, region, fleet.runner(name)


def check_restored(node, name, region, rows):
    """A restore through a node has the rows."""
    target = unique("check")
    rds = node.rds(region)
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=target, SnapshotIdentifier=name, Engine="aurora-postgresql"
    )
    with clients.connect(clients.wait_cluster(rds, target)) as connection:
        assert clients.table_of(connection, "noise") == rows
    rds.delete_db_cluster(DBClusterIdentifier=target, SkipFinalSnapshot=True)


def other(fleet, name):
    """The node that is not the one of that name."""
    return fleet.nodes["south" if name == "north" else "north"]


def test_instances_are_asked_for_through_any_node(fleet):
    """Their servers are on their cluster's node, which finds them an address."""
    name, rds = unique("anywhere"), fleet.nodes["south"].rds()
    cluster = fleet.nodes["north"].new_cluster(name)
    for letter in "ab":
        asked = rds.create_db_instance(
            DBInstanceIdentifier=f"{name}-{letter}", DBClusterIdentifier=name, Engine="aurora-postgresql", DBInstanceClass="db.r6g.large"
        )["DBInstance"]
        rds.get_waiter("db_instance_available").wait(
            DBInstanceIdentifier=f"{name}-{letter}", WaiterConfig={"Delay": 0.1, "MaxAttempts": 600}
        )
    assert asked["DBInstanceStatus"] == "creating" and "Endpoint" not in asked
    reader = rds.describe_db_instances(DBInstanceIdentifier=f"{name}-b")["DBInstances"][0]["Endpoint"]
    follows = "select pg_is_in_recovery()"
    with clients.connect({"Endpoint": reader["Address"], "Port": reader["Port"]}) as connection:
        assert connection.execute(follows).fetchone()[0]
    rds.failover_db_cluster(DBClusterIdentifier=name)
    after = clients.wait_cluster(rds, name)
    assert (after["Endpoint"], after["Port"]) == (cluster["Endpoint"], cluster["Port"])
    with clients.connect(after) as connection:
        assert not connection.execute(follows).fetchone()[0]
    for letter in "ab":
        rds.delete_db_instance(DBInstanceIdentifier=f"{name}-{letter}")
        rds.get_waiter("db_instance_deleted").wait(
            DBInstanceIdentifier=f"{name}-{letter}", WaiterConfig={"Delay": 0.1, "MaxAttempts": 600}
        )
        clients.wait_cluster(rds, name)
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


def test_every_node_answers_for_every_cluster(fleet, noise):
    north, south = fleet.nodes["north"], fleet.nodes["south"]
    assert clients.cluster_of(south.rds(), "noise") == clients.cluster_of(north.rds(), "noise")
    # The snapshot is asked of the one, and taken by the other, which has the files.
    name = unique("through-south")
    south.rds().create_db_cluster_snapshot(DBClusterSnapshotIdentifier=name, DBClusterIdentifier="noise")
    clients.wait_snapshot(south.rds(), name)
    assert fleet.job(name, "create-snapshot")["runner"].startswith("north/")
    north.rds().delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)
    clients.wait_gone(south.rds(), name)
    assert {name: one["clusters"] for name, one in fleet.listed().items()} == {"north": 1, "south": 0}


def test_an_access_key_that_one_node_made_is_known_to_the_other(fleet):
    made = fleet.nodes["south"].server.create_access_key("222233334444")
    account = fleet.nodes["north"]
    session = clients.boto3.Session(made["access_key_id"], made["secret_access_key"])
    sts = session.client("sts", HOME, endpoint_url=account.server.url)
    assert sts.get_caller_identity()["Account"] == "222233334444"


def test_a_killed_nodes_copy_goes_on_elsewhere(fleet, noise):
    name, region, runner = far_copy(fleet, noise, "north")
    survivor = other(fleet, runner)
    fleet.nodes[runner].server.kill()
    done = clients.wait_snapshot(survivor.rds(region), name)
    assert done["PercentProgress"] == 100
    job = fleet.job(name)
    assert job["state"] == "done" and job["attempts"] == 2
    assert not job["runner"].startswith(f"{runner}/")
    # It comes back under its name at once, whatever its last heartbeat says.
    fleet.nodes[runner].server.start()
    check_restored(survivor, name, region, noise[1])


def test_a_frozen_nodes_copy_goes_on_elsewhere_and_its_late_commit_is_refused(fleet, noise):
    name, region, runner = far_copy(fleet, noise, "south")
    frozen, survivor = fleet.nodes[runner].server, other(fleet, runner)
    frozen.process.send_signal(signal.SIGSTOP)
    try:
        done = clients.wait_snapshot(survivor.rds(region), name)
        ended = fleet.job(name)
        running.wait_until(
            lambda: fleet.listed()[runner]["state"] == "lost", SILENCE_SECONDS + 10, "its silence is noticed"
        )
    finally:
        frozen.process.send_signal(signal.SIGCONT)
    assert ended["state"] == "done" and not ended["runner"].startswith(f"{runner}/")
    # It wakes with half a copy and a lease that another has had since.
    running.wait_until(
        lambda: re.search(r"canceled, or taken over", frozen.log.read_text(errors="replace")), 60, "it gives up"
    )
    running.wait_until(lambda: fleet.listed()[runner]["state"] == "serving", 60, "it serves again")
    assert fleet.job(name) == ended
    assert clients.snapshot_of(fleet.nodes[runner].rds(region), name) == done
    check_restored(fleet.nodes[runner], name, region, noise[1])


def test_a_stopped_node_hands_its_copy_over(fleet, noise):
    name, region, runner = far_copy(fleet, noise, "north")
    assert fleet.nodes[runner].server.stop() == 0
    assert fleet.listed()[runner]["state"] == "stopped"
    clients.wait_snapshot(other(fleet, runner).rds(region), name)
    fleet.nodes[runner].server.start()


def test_a_drained_node_takes_on_nothing(fleet, noise):
    fleet.verb("node", "drain", "north")
    assert fleet.listed()["north"]["state"] == "drained"
    try:
        north = fleet.nodes["north"]
        told = clients.send(north.server, "GET", "/readyz")
        assert told.status == 503 and "drained" in told.text
        name = unique("far")
        request = copy_request(noise[0]["DBClusterSnapshotArn"], name, SourceRegion=HOME)
        north.rds(FAR).copy_db_cluster_snapshot(**request)
        assert fleet.runner(name) == "south"
        # Its own cluster's snapshots nobody else can take.
        north.new_snapshot(unique("own"), "noise")
        clients.refused(
            "InsufficientStorageClusterCapacity",
            north.rds().create_db_cluster,
            DBClusterIdentifier=unique("none"),
            Engine="aurora-postgresql",
            MasterUsername=clients.USER,
            MasterUserPassword=clients.PASSWORD,
        )
        clients.wait_snapshot(north.rds(FAR), name)
    finally:
        fleet.nodes["north"].server.stop()
        fleet.nodes["north"].server.start()
    assert fleet.listed()["north"]["state"] == "serving"


def test_a_name_is_one_nodes(fleet):
    with pytest.raises(running.StartError, match="the node name north is taken"):
        fleet.add("north", start=False).server.start()


def test_a_folders_clusters_are_never_looked_for_elsewhere(fleet, noise):
    fleet.nodes["north"].server.stop()
    try:
        with pytest.raises(running.StartError, match="clusters of that name lie in another data folder"):
            fleet.add("north", start=False).server.start()
    finally:
        fleet.nodes["north"].server.start()


def test_another_master_key_is_refused(fleet):
    stranger = fleet.add("stranger", start=False)
    stranger.server.environment["SNAPFERRY_MASTER_KEY"] = secrets.token_hex(32)
    with pytest.raises(running.StartError, match="is not the one"):
        stranger.server.start()
    del stranger.server.environment["SNAPFERRY_MASTER_KEY"]
    with pytest.raises(running.StartError, match="master key .* is missing"):
        stranger.server.start()


def test_a_node_that_never_comes_back_is_forgotten(fleet, noise):
    west, north = fleet.add("west"), fleet.nodes["north"]
    west.new_cluster("western")
    west.server.kill()
    del fleet.nodes["west"]
    north.rds().create_db_cluster_snapshot(DBClusterSnapshotIdentifier="stuck", DBClusterIdentifier="western")

    def forget(*words):
        command = [north.server.binary, "node", "forget", *words, "--format", "json"]
        environment = running.clean_environment(SNAPFERRY_CATALOG=fleet.database.url)
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)

    for name, says in {"west": "was heard of", "north": "was heard of", "nobody": "nothing is known"}.items():
        refused = forget(name, "--drop-clusters")
        assert refused.returncode == 1 and says in refused.stderr, refused.stderr
    running.wait_until(lambda: fleet.listed()["west"]["state"] == "lost", SILENCE_SECONDS + 20, "its silence is noticed")
    refused = forget("west")
    assert refused.returncode == 1 and ":western" in refused.stderr and "--drop-clusters" in refused.stderr
    assert clients.cluster_of(north.rds(), "western")["Status"]
    gone = json.loads(forget("west", "--drop-clusters").stdout)
    assert len(gone["clusters"]) == 1 and gone["jobs_failed"] == 1
    assert set(fleet.listed()) == {"north", "south"}
    with pytest.raises(north.rds().exceptions.DBClusterNotFoundFault):
        clients.cluster_of(north.rds(), "western")
    assert clients.snapshot_of(north.rds(), "stuck")["Status"] == "failed"
    events = north.rds().describe_events(SourceType="db-cluster", SourceIdentifier="western")["Events"]
    assert "is lost: the node that had it was forgotten" in events[-1]["Message"]
    north.rds().delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="stuck")
    # Its name is free for another data folder.
    fleet.add("west").server.stop()
    del fleet.nodes["west"]
    forget("west")


def test_a_deployment_moves_to_postgresql(deploy):
    alone = deploy("--dev")
    alias = unique("alias/moved")
    key = alone.new_key()
    alone.kms().create_alias(AliasName=alias, TargetKeyId=key)
    target = database.Database()
    try:
        words = ["catalog", "copy", str(alone.server.data), target.url, "--format", "json"]
        refused = subprocess.run([alone.server.binary, *words], capture_output=True, text=True, check=False)
        assert refused.returncode == 1 and "another server" in refused.stderr
        alone.server.stop()
        done = subprocess.run([alone.server.binary, *words], capture_output=True, text=True, check=True)
        copied = {one["table"]: one["rows"] for one in json.loads(done.stdout)}
        assert copied["kms_keys"] == 1 and copied["kms_aliases"] == 1
        alone.server.environment |= {
            "SNAPFERRY_CATALOG": target.url,
            "SNAPFERRY_VAULT": str(alone.server.data / "vault"),
        }
        alone.server.start()
        assert alone.kms().describe_key(KeyId=alias)["KeyMetadata"]["Arn"] == key
        again = subprocess.run([alone.server.binary, *words], capture_output=True, text=True, check=False)
        assert again.returncode == 1
        alone.server.stop()
        again = subprocess.run([alone.server.binary, *words], capture_output=True, text=True, check=False)
        assert again.returncode == 1 and "already" in again.stderr
    finally:
        alone.server.stop()
        target.remove()
