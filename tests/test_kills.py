"""Nodes, PostgreSQL and the S3 server are killed at random, and nodes frozen; what was acknowledged holds.

Callers note what they were told. In the end every snapshot whose making was acknowledged is available, every
one whose deletion was acknowledged is gone, and what is restored has the rows of its moment.
SOAK_SEED repeats a run's choices, though not its timing.
"""
import collections
import os
import random
import signal
import threading
import time

import boto3
import botocore.config
import botocore.exceptions
import psycopg
import pytest

import clients
from clients import FAR, HOME, copy_request
from fleet import Bucket, Fleet, Folder
from snapferry_tools import running

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "6"))
SEED = int(os.environ.get("SOAK_SEED", time.time_ns() % 1_000_000))
LEASE_SECONDS = 3
FREEZE_SECONDS = LEASE_SECONDS + 1.5
CALLERS = 3
RESTORED = 3 if ROUNDS < 20 else 12
pytestmark = pytest.mark.timeout(120 + 20 * ROUNDS)

FLAGS = (
    "--lease-seconds", str(LEASE_SECONDS), "--manual-snapshots-max", "1000000",
    "--cross-region-copies-max", "1000", "--sweep-grace-seconds", "5",
)
# Rows that tell whether they are whole: each number once, and the content that belongs to it.
ROWS = """
    insert into goods select i, sha512(i::text::bytea) || sha512((-i)::text::bytea)
    from generate_series((select coalesce(max(i), 0) + 1 from goods), (select coalesce(max(i), 0) + 200 from goods)) i
"""
CHECK = """
    select count(*), coalesce(max(i), 0), count(distinct i),
           count(*) filter (where content <> sha512(i::text::bytea) || sha512((-i)::text::bytea)) from goods
"""


class Caller(threading.Thread):
    """Makes, copies and deletes snapshots through all nodes in turns, and notes what it was told."""

    def __init__(self, world, number):
        super().__init__(daemon=True)
        self.world, self.number = world, number
        self.chance = random.Random(SEED * 100 + number)
        self.ending = threading.Event()
        # (region, name) of what was acknowledged: made and not deleted since; deleted.
        self.there, self.gone = {}, set()
        self.told, self.refused, self.made = 0, 0, 0

    def run(self):
        """Goes round the nodes, as a balancer does."""
        while not self.ending.is_set():
            for node in list(self.world.fleet.nodes.values()):
                try:
                    self.step(node)
                    self.told += 1
                except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
                    self.refused += 1
                    time.sleep(0.05)

    def step(self, node):
        """One request."""
        self.made += 1
        name, die = f"s-{self.number}-{self.made}", self.chance.random()
        if die < 0.5:
            self.world.rds(node, HOME).copy_db_cluster_snapshot(**copy_request("first", name, KmsKeyId=self.world.keys[HOME]))
            self.there[HOME, name] = "copy"
        elif die < 0.75:
            source = self.chance.choice([name for region, name in self.world.sources()])
            request = copy_request(self.world.arn(source), name, KmsKeyId=self.world.keys[FAR], SourceRegion=HOME)
            self.world.rds(node, FAR).copy_db_cluster_snapshot(**request)
            self.there[FAR, name] = "far copy"
        elif die < 0.85:
            self.world.rds(node, HOME).create_db_cluster_snapshot(
                DBClusterSnapshotIdentifier=name, DBClusterIdentifier="shop"
            )
            self.there[HOME, name] = "snapshot"
        elif self.there:
            region, victim = self.chance.choice(list(self.there))
            # From here on nobody knows, until the answer is there.
            del self.there[region, victim]
            self.world.rds(node, region).delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=victim)
            self.gone.add((region, victim))


class World:
    """The fleet, its cluster, and what all callers were told."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.north = fleet.nodes["north"]
        self.keys = {region: self.north.new_key(region) for region in (HOME, FAR)}
        self.cluster = self.north.new_cluster("shop", StorageEncrypted=True, KmsKeyId=self.keys[HOME])
        with clients.connect(self.cluster) as connection:
            connection.execute("create table goods (i int, content bytea)")
            connection.execute(ROWS)
        first = self.north.new_snapshot("first", "shop")
        self.prefix = first["DBClusterSnapshotArn"].removesuffix("first")
        self.callers = [Caller(self, number) for number in range(CALLERS)]

    def rds(self, node, region):
        """A client that soon gives up on a node that is frozen."""
        made = self.__dict__.setdefault("made_clients", {})
        key = (threading.get_ident(), node.server.url, region)
        if key not in made:
            config = botocore.config.Config(connect_timeout=2, read_timeout=12, retries={"total_max_attempts": 1})
            session = boto3.Session(*self.north.credentials())
            made[key] = session.client("rds", region, endpoint_url=node.server.url, config=config)
        return made[key]

    def sources(self):
        """What copies to the far region start from."""
        return [(HOME, "first")] + [
            at for caller in self.callers for at, what in list(caller.there.items()) if what == "snapshot"
        ]

    def arn(self, name):
        """A home snapshot's ARN."""
        return self.prefix + name

    def listed(self, node, region):
        """Every manual snapshot of a region by name: its status."""
        pages = node.rds(region).get_paginator("describe_db_cluster_snapshots").paginate(SnapshotType="manual")
        return {
            one["DBClusterSnapshotIdentifier"]: one["Status"] for page in pages for one in page["DBClusterSnapshots"]
        }


def disturb(world, chance, victim):
    """One disturbance, and its end; answers what it was."""
    fleet = world.fleet
    if victim in fleet.nodes:
        server = fleet.nodes[victim].server
        if chance.random() < 0.35:
            server.process.send_signal(signal.SIGSTOP)
            try:
                time.sleep(FREEZE_SECONDS)
            finally:
                server.process.send_signal(signal.SIGCONT)
            return "node frozen"
        server.kill()
        time.sleep(chance.uniform(0, 1))
        server.start()
        return "node killed"
    what = fleet.database if victim == "database" else fleet.vault
    what.kill()
    time.sleep(chance.uniform(0, 0.7))
    what.start()
    return f"{victim} killed"


def check_rows(world, region, name, number):
    """A restored snapshot has whole rows, none missing."""
    rds, target = world.north.rds(region), f"check-{number}"
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=target, SnapshotIdentifier=name, Engine="aurora-postgresql"
    )
    with clients.connect(clients.wait_cluster(rds, target)) as connection:
        count, highest, distinct, wrong = connection.execute(CHECK).fetchone()
    assert wrong == 0 and count == highest == distinct and count >= 200, (name, count, highest, distinct, wrong)
    rds.delete_db_cluster(DBClusterIdentifier=target, SkipFinalSnapshot=True)


@pytest.mark.parametrize("vault", [Folder, Bucket])
def test_what_was_acknowledged_survives_any_kill(deploy_for_module, vault):
    print(f"SOAK_SEED={SEED}")
    chance = random.Random(SEED)
    fleet = Fleet(deploy_for_module, FLAGS, vault())
    try:
        fleet.add("north")
        fleet.add("south")
        world = World(fleet)
        victims = ["north", "south", "database"] + (["bucket"] if vault is Bucket else [])
        for caller in world.callers:
            caller.start()
        troubles = collections.Counter()
        for number in range(ROUNDS):
            time.sleep(chance.uniform(0.2, 1.2))
            victim = chance.choice(victims) if len(victims) <= number else victims[number]
            print(f"{number}: {victim}", flush=True)
            troubles[disturb(world, chance, victim)] += 1
            add_rows(world)
        print(f"{ROUNDS} rounds: " + ", ".join(f"{what} {count}" for what, count in sorted(troubles.items())))
        for caller in world.callers:
            caller.ending.set()
        for caller in world.callers:
            caller.join(60)
        settle(world)
        check(world, chance)
    finally:
        fleet.remove()


def add_rows(world):
    """More rows, once the cluster's server answers. A busy machine may be slow, and a node that comes back may
    have to start the server again."""
    def added():
        try:
            connection = clients.connect(world.cluster)
        except psycopg.OperationalError as error:
            print(f"no connection yet: {error}; {world.north.server.tail()}", flush=True)
            return False
        with connection:
            connection.execute(ROWS)
        return True

    running.wait_until(added, 60, "the cluster takes rows")


def settle(world):
    """Waits until no job is open; tells which are and what the nodes said when they stay."""
    def still_open():
        return [job for job in world.fleet.jobs() if job["state"] == "open"]

    try:
        running.wait_until(lambda: not still_open(), 120, "all jobs have ended", every=0.5)
    except TimeoutError:
        logs = [node.server.tail() for node in world.fleet.nodes.values()]
        print("open:", *still_open(), *logs, sep="\n", flush=True)
        raise


def check(world, chance):
    """What callers were told is so, by every node, and what lies in the vault is whole."""
    fleet, callers = world.fleet, world.callers
    told, refused = sum(caller.told for caller in callers), sum(caller.refused for caller in callers)
    there = {at: what for caller in callers for at, what in caller.there.items()}
    gone = set().union(*(caller.gone for caller in callers))
    print(f"{told} acknowledged, {refused} refused; {len(there)} to be there, {len(gone)} to be gone")
    assert told > 3 * ROUNDS
    lists = {region: world.listed(fleet.nodes["south"], region) for region in (HOME, FAR)}
    assert lists == {region: world.listed(fleet.nodes["north"], region) for region in (HOME, FAR)}
    errors = {job["subject"]: job["error"] for job in fleet.jobs() if job["state"] == "failed"}
    lost = [(at, what, lists[at[0]].get(at[1]), errors.get(at[1])) for at, what in there.items()]
    assert [one for one in lost if one[2] != "available"] == []
    assert [at for at in gone if at[1] in lists[at[0]]] == []
    # Two rounds of the sweep, whose grace is short here, must have left all that is needed.
    time.sleep(3)
    for number, (region, name) in enumerate(chance.sample(list(there), min(RESTORED, len(there)))):
        check_rows(world, region, name, number)
