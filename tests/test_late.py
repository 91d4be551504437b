"""Writes and deletes that reach the vault long after their node was given up harm nothing.

One of two nodes reaches the bucket through a relay that keeps single requests back; meanwhile the node is
frozen, another one does its work, and then what was kept back is let through.
"""
import re
import signal
import threading

import pytest

import clients
from clients import FAR, HOME, copy_request
from fleet import Bucket, Fleet
from relay import Relay
from snapferry_tools import running

MEGABYTES = 24
LEASE_SECONDS = 3
GRACE_SECONDS = 4
FLAGS = (
    "--lease-seconds", str(LEASE_SECONDS), "--sweep-grace-seconds", str(GRACE_SECONDS),
    "--cross-region-bytes-per-second", "6000000",
)


class Held:
    """Keeps back the requests that name some objects, each until it is let go; the others pass."""

    def __init__(self):
        self.wanted = lambda method, path, body: []
        self.free = threading.Event()
        self.paths, self.asked, self.answered = [], [], []

    def keep(self, wanted):
        """From now on keeps back what names any objects that are wanted: `wanted` answers their paths."""
        self.free.clear()
        self.paths, self.asked, self.answered = [], [], []
        self.wanted = wanted

    def let_go(self):
        """Lets everything through, and waits until the bucket has answered it; answers the objects' paths."""
        self.wanted = lambda method, path, body: []
        self.free.set()
        running.wait_until(lambda: len(self.asked) <= len(self.answered), 60, "what was kept back has passed")
        return self.paths

    def refuse(self, method, path, body, headers):
        """The relay's question; the answer is never a refusal, only late."""
        found = self.wanted(method, path, body)
        if found:
            self.paths += found
            self.asked.append(body)
            self.free.wait(90)

    def change(self, method, path, body, *got):
        """The relay's other question: notes what the bucket has answered."""
        if any(body is one for one in self.asked):
            self.answered.append(body)
        return got


@pytest.fixture(scope="module")
def held():
    """What keeps the first node's requests back."""
    return Held()


@pytest.fixture(scope="module")
def fleet(deploy_for_module, held):
    """Two nodes on a bucket; the first reaches it through the relay. A cluster of each, and their snapshots."""
    bucket, relay = Bucket(), Relay()
    relay.target = int(bucket.address.rpartition(":")[2])
    relay.refuse, relay.change = held.refuse, held.change
    made = Fleet(deploy_for_module, FLAGS, bucket)
    try:
        made.add("north", SNAPFERRY_VAULT_ENDPOINT=relay.url)
        made.add("south")
        yield made
    finally:
        held.let_go()
        made.remove()
        relay.close()


@pytest.fixture(scope="module")
def noise(fleet):
    """A cluster of the second node, its snapshot, and its rows."""
    return fleet.nodes["south"].noise(MEGABYTES)


def objects(fleet, region):
    """Paths of packs, lists and manifests in a region's vault."""
    return {
        str(file.relative_to(fleet.vault.folder))
        for file in (fleet.vault.folder / "vault" / "ferry" / region).glob("volumes/**/*.*")
        if file.is_file()
    }


def check(fleet, name, rows):
    """The copy restores, with its rows."""
    rds = fleet.nodes["south"].rds(FAR)
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=f"check-{name}", SnapshotIdentifier=name, Engine="aurora-postgresql"
    )
    with clients.connect(clients.wait_cluster(rds, f"check-{name}")) as connection:
        assert clients.table_of(connection, "noise") == rows
    rds.delete_db_cluster(DBClusterIdentifier=f"check-{name}", SkipFinalSnapshot=True)


def far_copy(fleet, noise, name, through):
    """Begins a copy to the far region."""
    request = copy_request(noise[0]["DBClusterSnapshotArn"], name, SourceRegion=HOME)
    fleet.nodes[through].rds(FAR).copy_db_cluster_snapshot(**request)


def freeze(node):
    """Freezes a node."""
    node.server.process.send_signal(signal.SIGSTOP)


def wake(node):
    """Lets it go on."""
    node.server.process.send_signal(signal.SIGCONT)


def is_far_pack(path):
    """Whether an object is a pack of the far region."""
    return f"/{FAR}/volumes/" in path and "/packs/" in path


def written(method, path, body):
    """The far pack that a request writes."""
    return [path] if method == "PUT" and is_far_pack(path) else []


def deleted(method, path, body):
    """The far packs that a request deletes: one by its path, or many by its body."""
    if method == "DELETE":
        found = [path]
    else:
        found = re.findall(r"<Key>([^<]*)</Key>", body.decode()) if method == "POST" and "delete" in path else []
    return [one for one in found if is_far_pack("/" + one)]


def names(paths):
    """An object's hash and incarnation, of each path."""
    return {path.rpartition("/")[2].partition("?")[0].rstrip(".") for path in paths}


def hashes(paths):
    """The content of each path."""
    return {name.partition(".")[0] for name in names(paths)}


def test_late_writes_lie_beside_what_counts(fleet, noise, held):
    north, south = fleet.nodes["north"], fleet.nodes["south"]
    held.keep(written)
    # So that the other one claims it.
    freeze(south)
    far_copy(fleet, noise, "late-write", "north")
    running.wait_until(lambda: held.paths, 60, "the first node writes a pack")
    freeze(north)
    wake(south)
    try:
        clients.wait_snapshot(south.rds(FAR), "late-write")
        job, whole = fleet.job("late-write"), objects(fleet, FAR)
        assert job["runner"].startswith("south/") and job["attempts"] == 2
        late = held.let_go()
        assert names(late) <= names(objects(fleet, FAR)) - names(whole)
        # The same content lies there twice.
        assert hashes(late) <= hashes(whole)
    finally:
        wake(north)
    running.wait_until(lambda: fleet.listed()["north"]["state"] == "serving", 60, "the first node serves again")
    assert whole <= objects(fleet, FAR) and fleet.job("late-write") == job
    check(fleet, "late-write", noise[1])


def test_late_deletes_find_only_what_nobody_needs(fleet, noise, held):
    north, south = fleet.nodes["north"], fleet.nodes["south"]
    if not hashes(objects(fleet, FAR)):
        far_copy(fleet, noise, "late-write", "south")
        clients.wait_snapshot(south.rds(FAR), "late-write")
    before = objects(fleet, FAR)
    held.keep(deleted)
    south.rds(FAR).delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="late-write")
    running.wait_until(lambda: held.paths, 60, "the first node sweeps a pack", every=0.2)
    freeze(north)
    try:
        # The same bytes are wanted again, while the delete of their old name is on its way.
        far_copy(fleet, noise, "late-delete", "south")
        clients.wait_snapshot(south.rds(FAR), "late-delete")
        assert hashes(held.paths) <= hashes(objects(fleet, FAR) - before)
        late = held.let_go()
        assert not names(late) & names(objects(fleet, FAR))
    finally:
        wake(north)
    check(fleet, "late-delete", noise[1])
