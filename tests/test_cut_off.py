"""A Multi-AZ DB cluster on three machines of which the writer's is cut off from the two others, and from the catalog.

Its database goes on and has clients of its own, who are told of nothing that the others do not have. Needs root and
network namespaces.
"""
import contextlib
import os
import subprocess
import sys
import time

import pytest

import clients
from clients import unique
from fleet import Fleet
from snapferry_tools import network, running
from test_members import MULTI_AZ, at, instance_of, lost, members_of, until, with_marks, writer_of
from test_zones import all_follow, begun_marks, commits, endpoint, node_of

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "1"))
NODES = ("north", "south", "west")
# Writes numbers from the first on through one address, one commit each, and tells which were acknowledged.
WITNESS = """
import sys, time, psycopg
host, port, user, password, database, number = sys.argv[1:]
number = int(number)
while True:
    try:
        with psycopg.connect(host=host, port=port, user=user, password=password, dbname=database, autocommit=True,
                             connect_timeout=5) as connection:
            while True:
                number += 1
                connection.execute("insert into marks values (%s)", [number])
                print(number, flush=True)
    except psycopg.Error:
        time.sleep(0.05)
"""


class Witness:
    """A client on a machine of its own, which writes to one server and to no other."""

    def __init__(self, prefix, place, first):
        words = [place["Endpoint"], str(place["Port"]), clients.USER, clients.PASSWORD, clients.DATABASE, str(first)]
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-c", WITNESS, *words], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )

    def end(self):
        """The numbers that were acknowledged."""
        self.process.kill()
        told, _ = self.process.communicate(timeout=60)
        # The last line may have been cut short.
        return [int(line) for line in told.splitlines(keepends=True) if line.endswith("\n")]


@pytest.fixture
def machines(deploy):
    """Three nodes, each on a machine and in a zone of its own."""
    if not network.is_possible():
        pytest.skip("network namespaces cannot be made here: that takes root and iproute2")
    net = network.Machines(NODES)
    with contextlib.ExitStack() as ends:
        ends.callback(net.down)
        if not net.up():
            pytest.skip("machines in network namespaces do not reach one another here: a firewall is between them")
        made = Fleet(deploy, host=net.service)
        ends.callback(made.remove)
        for name in NODES:
            host = net.host(name)
            made.add(
                name, prefix=net.prefix(name), listen=f"{host}:8085", SNAPFERRY_ZONE=f"zone-{name}", SNAPFERRY_HOST=host,
                SNAPFERRY_INSECURE_LISTEN="true", SNAPFERRY_CLUSTER_HOST=host,
            )
        yield made, net


@pytest.mark.long
@pytest.mark.timeout(240 + 180 * ROUNDS)
def test_a_writer_that_is_cut_off_tells_nobody_of_another_commit(machines):
    zones, net = machines
    name = unique("cut")
    cluster = with_marks(zones.nodes["north"], name, **MULTI_AZ)
    others = zones.nodes["north"].rds()
    told, clients_of = [], [begun_marks(cluster)]
    for number in range(ROUNDS):
        commits(clients_of[-1], 50)
        writer = instance_of(others, writer_of(others, name))
        old, victim = writer["DBInstanceIdentifier"], node_of(writer)
        others = next(node for one, node in zones.nodes.items() if one != victim).rds()
        first = 1_000_000 * (number + 1)
        witness = Witness(net.prefix(victim), at(writer), first)
        until(lambda first=first: seen(endpoint(others, name), first) or None, 60, "the witness writes")
        begun = time.monotonic()
        net.cut(victim)
        try:
            until(lambda old=old: writer_of(others, name) != old or None, 90, "the failover")
            now = clients.wait_cluster(others, name)
            # Sessions with the old writer wait on and on: their client asks anew, as drivers do when time is up.
            clients_of[-1].ending.set()
            clients_of.append(begun_marks(now, clients_of[-1].next))
            commits(clients_of[-1], 5)
            print(f"round {number}: writes again after {time.monotonic() - begun:.1f} s")
            commits(clients_of[-1], 200)
            assert running.postmasters_within(zones.nodes[victim].server.data), "the old writer lives"
            assert witness.process.poll() is None
            told += witness.end()
            assert lost(now, told + acknowledged(clients_of)) == [], f"round {number}"
        finally:
            net.heal(victim)
        assert members_of(others, name)[old] is False
        all_follow(others, name, len(told), 180)
        until(lambda old=old: lost(at(instance_of(others, old)), told) == [] or None, 120, "the old writer's rows")
    clients_of[-1].end()
    told += acknowledged(clients_of)
    assert lost(endpoint(others, name), told) == []
    print(f"{len(told)} commits in {ROUNDS} rounds")


def acknowledged(writers):
    """What clients were told of so far."""
    return [number for one in writers for number in one.told[:]]


def seen(place, first):
    """Whether the witness has written."""
    with clients.connect(place) as connection:
        return 10 < connection.execute("select count(*) from marks where i > %s", [first]).fetchone()[0]
