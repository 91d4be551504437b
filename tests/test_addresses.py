"""Where clusters are: an address for each, held for it alone, and another one where it is taken."""
import contextlib
import re
import socket

import pytest

import clients
from clients import PASSWORD, USER, refused, unique
from snapferry_tools import running

NEW = {"Engine": "aurora-postgresql", "MasterUsername": USER, "MasterUserPassword": PASSWORD}
PORT, LONELY_PORT = 18_777, 18_778


def place(cluster):
    """A cluster's address and port."""
    return cluster["Endpoint"], cluster["Port"]


@contextlib.contextmanager
def taken(address):
    """Another program that listens."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(address)
        other.listen()
        yield other


def answers(cluster):
    """Whether a cluster takes its master user."""
    with clients.connect(cluster, database="postgres") as connection:
        return connection.execute("select 1").fetchone() == (1,)


def events_of(deployment, name):
    """What events say of a cluster."""
    found = deployment.rds().describe_events(SourceType="db-cluster", SourceIdentifier=name)
    return [event["Message"] for event in found["Events"]]


def test_clusters_of_two_deployments_have_the_same_port(closed, dev):
    names = [unique("same") for _ in range(3)]
    clusters = [
        closed.new_cluster(names[0], Port=5432),
        closed.new_cluster(names[1]),
        dev.new_cluster(names[2], Port=5432),
    ]
    assert {cluster["Port"] for cluster in clusters} == {5432}
    assert len({cluster["Endpoint"] for cluster in clusters}) == 3
    for cluster in clusters:
        assert cluster["ReaderEndpoint"] == cluster["Endpoint"]
        assert not cluster["Endpoint"].startswith(("127.0.", "127.1."))
        assert answers(cluster)


def test_a_restore_has_its_sources_port(closed):
    source = closed.new_cluster(unique("source"), Port=PORT)
    snapshot = closed.new_snapshot(unique("snapshot"), source["DBClusterIdentifier"])["DBClusterSnapshotIdentifier"]
    copy = clients.copied(closed, snapshot)["DBClusterSnapshotIdentifier"]
    rds = closed.rds()
    for taken_from, more in ((snapshot, {"Port": PORT}), (snapshot, {}), (copy, {}), (snapshot, {"Port": 5432})):
        name = unique("restored")
        rds.restore_db_cluster_from_snapshot(
            DBClusterIdentifier=name, SnapshotIdentifier=taken_from, Engine="aurora-postgresql", **more
        )
        restored = clients.wait_cluster(rds, name)
        assert restored["Port"] == more.get("Port", PORT)
        assert restored["Endpoint"] != source["Endpoint"]
        assert answers(restored)


def test_the_address_is_held_from_the_answer_on(deploy):
    deployment = deploy()
    made = deployment.new_cluster("held", wait=False)
    with pytest.raises(OSError), taken(place(made)):
        pass
    cluster = clients.wait_cluster(deployment.rds(), "held")
    assert place(cluster) == place(made)
    deployment.rds().delete_db_cluster(DBClusterIdentifier="held", SkipFinalSnapshot=True)
    deployment.rds().get_waiter("db_cluster_deleted").wait(
        DBClusterIdentifier="held", WaiterConfig={"Delay": 0.1, "MaxAttempts": 300}
    )
    with taken(place(made)):
        pass


def test_an_address_that_is_taken_meanwhile_is_chosen_anew(deploy):
    deployment = deploy()
    whole = deployment.new_cluster("whole", Port=PORT)
    begun = deployment.new_cluster("begun", wait=False, Port=PORT)
    assert begun["Status"] == "creating"
    deployment.server.kill()
    for pid in running.postmasters_within(deployment.server.data):
        running.end_processes_within(deployment.server.data)
    with taken(place(whole)), taken(place(begun)):
        deployment.server.start()
        for before in (whole, begun):
            name = before["DBClusterIdentifier"]
            after = running.wait_until(
                lambda name=name, before=before: (
                    (found := clients.cluster_of(deployment.rds(), name))["Status"] == "available"
                    and place(found) != place(before)
                    and found
                ),
                40,
                f"{name} is elsewhere",
            )
            assert after["Port"] == PORT and after["Endpoint"] != before["Endpoint"]
            assert answers(after)
            moved = [text for text in events_of(deployment, name) if "new address" in text]
            assert moved == [
                f"DB cluster has a new address: {after['Endpoint']}, port {PORT}, because another program has "
                f"{before['Endpoint']}, port {PORT}."
            ]


def test_a_port_that_a_program_has_on_all_addresses(deploy):
    deployment = deploy()
    source = deployment.new_cluster("source", Port=LONELY_PORT)
    deployment.new_snapshot("snapshot", "source")
    deployment.rds().delete_db_cluster(DBClusterIdentifier="source", SkipFinalSnapshot=True)
    deployment.rds().get_waiter("db_cluster_deleted").wait(
        DBClusterIdentifier="source", WaiterConfig={"Delay": 0.1, "MaxAttempts": 300}
    )
    with taken(("0.0.0.0", source["Port"])):
        said = refused(
            "InvalidParameterValue",
            deployment.rds().create_db_cluster,
            re.compile(f"^Port {LONELY_PORT} is taken .* another program listens at it on all"),
            400,
            DBClusterIdentifier="asks",
            Port=LONELY_PORT,
            **NEW,
        )
        assert "not free on this host" not in said
        deployment.rds().restore_db_cluster_from_snapshot(
            DBClusterIdentifier="takes-what-there-is", SnapshotIdentifier="snapshot", Engine="aurora-postgresql"
        )
        restored = clients.wait_cluster(deployment.rds(), "takes-what-there-is")
        assert restored["Port"] != LONELY_PORT and answers(restored)


def test_a_range_of_ones_own(deploy):
    deployment = deploy("--cluster-addresses", "127.9.8.6-127.9.8.7")
    made = [deployment.new_cluster(f"in-{i}", wait=False) for i in range(2)]
    assert {cluster["Endpoint"] for cluster in made} == {"127.9.8.6", "127.9.8.7"}
    refused(
        "InsufficientStorageClusterCapacity",
        deployment.rds().create_db_cluster,
        re.compile(r"No address from 127\.9\.8\.6 to 127\.9\.8\.7 is free .*--cluster-addresses"),
        400,
        DBClusterIdentifier="out",
        **NEW,
    )
    for cluster in made:
        assert answers(clients.wait_cluster(deployment.rds(), cluster["DBClusterIdentifier"]))


def test_a_range_that_the_machine_does_not_have(deploy):
    deployment = deploy("--cluster-addresses", "2001:db8::/120")
    refused(
        "InsufficientStorageClusterCapacity",
        deployment.rds().create_db_cluster,
        re.compile(r"none is this machine's"),
        400,
        DBClusterIdentifier="nowhere",
        **NEW,
    )
    assert deployment.rds().describe_db_clusters()["DBClusters"] == []


def test_one_address_for_all_as_before_and_its_clusters_stay_there(deploy, binary):
    deployment = deploy("--cluster-host", "127.0.0.1", "--cluster-ports", "20000-20049")
    cluster = deployment.new_cluster("kept", wait=False)
    assert cluster["Endpoint"] == "127.0.0.1" and 20_000 <= cluster["Port"] < 20_050
    for port, why in ((5432, "left to this machine's own PostgreSQL"), (cluster["Port"], "taken by another cluster")):
        refused(
            "InvalidParameterValue",
            deployment.rds().create_db_cluster,
            re.compile(f"^Port {port} of 127.0.0.1 is {why}"),
            400,
            DBClusterIdentifier="other",
            Port=port,
            **NEW,
        )
    cluster = clients.wait_cluster(deployment.rds(), "kept")
    deployment.server.stop()
    # The next version is started without the flags, as most are.
    later = running.Server(binary, deployment.server.data).start()
    try:
        again = clients.Deployment(later)
        found = clients.wait_cluster(again.rds(), "kept")
        assert place(found) == place(cluster) and answers(found)
        assert not again.new_cluster("young", wait=False)["Endpoint"].startswith("127.0.")
        clients.wait_cluster(again.rds(), "young")
    finally:
        later.stop()
